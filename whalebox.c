/*
 * whalebox: a container runtime in one file, to be read.
 *
 * The kernel knows no containers.  It knows processes, and a process can be
 * born with views of its own: of hostname, processes, mounts, network.  A
 * container, here a box, is such a process.  It is closed in step by step, and
 * then becomes the command that it was made for.
 *
 *   whalebox, the parent                in the host's namespaces, your rights
 *     |  prepares what the box needs
 *     |  clone3(flags) ---------------> the child: in new namespaces
 *     |  passes signals on, waits           | closes the box around itself
 *     |                                     | execve(COMMAND)
 *     |  <------------ exit status -------- | ends
 *     |  takes away what it made
 *
 * Each step is a chapter of the tutorial, a section of this file, and a switch.
 * Start reading at main(), at the end.  From there go to child(), the box being
 * closed, in order, and on to the chapters that it calls.  MIT licence.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>              /* O_CLOEXEC */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>             /* functions like printf */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>        /* SYS_clone3: libc has no name for it */
#include <sys/wait.h>
#include <linux/sched.h>        /* struct clone_args, CLONE_* */

#ifndef STAGE
/* The chapters and their switches: -DSTAGE=n turns on chapters 1 to n, and
 * -DWITH_X=0 or 1 overrides one.  Chapter 0 is always there. */
#define STAGE 16
#endif
#ifndef WITH_UTS
#define WITH_UTS (STAGE >= 1)                   /* 1: a name of its own */
#endif
#ifndef WITH_IPC
#define WITH_IPC (STAGE >= 2)                   /* 2: its own mailboxes */
#endif
#ifndef WITH_PID
#define WITH_PID (STAGE >= 3)                   /* 3: its own process tree */
#endif
#ifndef WITH_MOUNT
#define WITH_MOUNT (STAGE >= 4)                 /* 4: its own mounts, /proc */
#endif
#ifndef WITH_USER
#define WITH_USER (STAGE >= 5)                  /* 5: its own users */
#endif
#ifndef WITH_NET
#define WITH_NET (STAGE >= 6)                   /* 6: its own network stack */
#endif
#ifndef WITH_CGROUP
#define WITH_CGROUP (STAGE >= 7)                /* 7: limits */
#endif
#ifndef WITH_ROOT
#define WITH_ROOT (STAGE >= 8 && WITH_MOUNT)    /* 8: its own root */
#endif
#ifndef WITH_LAYERS
#define WITH_LAYERS (STAGE >= 9 && WITH_ROOT)   /* 9: layers */
#endif
#ifndef WITH_LOCKS
#define WITH_LOCKS (STAGE >= 10)                 /* 10: locks */
#endif
#ifndef WITH_VOLUMES
#define WITH_VOLUMES (STAGE >= 11 && WITH_ROOT) /* 11: volumes, environment */
#endif
#ifndef WITH_TTY
#define WITH_TTY (STAGE >= 12 && WITH_ROOT)     /* 12: a session, a terminal */
#endif
#ifndef WITH_DETACH
#define WITH_DETACH (STAGE >= 13 && WITH_LAYERS) /* 13: in the background */
#endif
#ifndef WITH_EXEC                               /* 14: visiting */
#define WITH_EXEC (STAGE >= 14 && WITH_DETACH && WITH_VOLUMES && WITH_TTY)
#endif
#ifndef WITH_IMAGES                             /* 15: images */
#define WITH_IMAGES (STAGE >= 15 && WITH_DETACH && WITH_VOLUMES)
#endif
#ifndef WITH_BRIDGE                             /* 16: wires */
#define WITH_BRIDGE (STAGE >= 16 && WITH_NET && WITH_DETACH && WITH_VOLUMES)
#endif
#ifndef WITH_GATE                               /* of chapters 5 and up */
#define WITH_GATE (WITH_USER || WITH_ROOT)
#endif
#ifndef WITH_TOOLS                              /* of chapters 5 and up */
#define WITH_TOOLS (WITH_GATE || WITH_NET || WITH_CGROUP || WITH_LOCKS)
#endif
#ifndef WITH_NAME                               /* boxes have names */
#define WITH_NAME (WITH_UTS || WITH_TOOLS)
#endif
#ifndef WITH_NAMESPACES                         /* of chapters 1 and up */
#define WITH_NAMESPACES (WITH_NAME || WITH_IPC || WITH_PID || WITH_MOUNT)
#endif
#ifndef WITH_AFTER                              /* of chapters 7 and up */
#define WITH_AFTER (WITH_CGROUP || WITH_LAYERS || WITH_TTY)
#endif
#ifndef WITH_DOCTOR                             /* the command doctor */
#define WITH_DOCTOR WITH_LOCKS
#endif
#ifndef WITH_COMMANDS                           /* of whalebox's own */
#define WITH_COMMANDS (WITH_DOCTOR || WITH_DETACH)
#endif
#ifndef WITH_LEFT_OUT                           /* names what a build lacks */
#define WITH_LEFT_OUT 1
#endif
#ifndef WITH_FOREIGN                            /* knows words of other tools */
#define WITH_FOREIGN WITH_LOCKS
#endif
#if WITH_ROOT && !WITH_MOUNT
#error "a private root needs private mounts: without them the host's change"
#endif
#if (WITH_LAYERS || WITH_VOLUMES || WITH_TTY) && !WITH_ROOT
#error "layers, volumes and terminals are mounted in a private root"
#endif

#if WITH_MOUNT || WITH_CGROUP
#include <sys/mount.h>          /* mount and its MS_ flags */
#endif
#if WITH_TOOLS
#include <limits.h>             /* PATH_MAX, UINT_MAX */
#include <sys/stat.h>
#endif
#if WITH_USER || WITH_VOLUMES
#include <linux/securebits.h>   /* SECBIT_NO_SETUID_FIXUP */
#endif
#if WITH_NET || WITH_CGROUP || WITH_LOCKS || WITH_TTY
#include <sched.h>              /* unshare, setns */
#include <sys/ioctl.h>
#include <sys/socket.h>
#endif
#if WITH_CGROUP || WITH_ROOT || WITH_LOCKS
#include <dirent.h>             /* struct dirent, as getdents64 fills it */
#include <time.h>
#include <sys/file.h>           /* flock */
#include <sys/vfs.h>            /* statfs */
#include <linux/magic.h>        /* which file system it is */
#define FOLDER (O_RDONLY | O_DIRECTORY | O_CLOEXEC)
#endif
#if WITH_ROOT || WITH_LOCKS
#include <sys/sysmacros.h>      /* makedev */
#include <linux/mount.h>        /* open_tree, move_mount, mount_setattr */
#include <linux/openat2.h>      /* struct open_how */
#endif
#if WITH_TTY || WITH_DOCTOR || WITH_IMAGES
#include <sys/mman.h>           /* memory that processes share */
#endif
#if WITH_TTY || WITH_DETACH
#include <sys/signalfd.h>       /* signals that poll(2) can wait for */
#endif

#define PRINTF(n) __attribute__((format(printf, (n), (n) + 1)))
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#if WITH_LOCKS || WITH_VOLUMES || WITH_TTY || WITH_DETACH
#define LAST_CHAPTER 16         /* of the tutorial, in this build or not */
#else
#define LAST_CHAPTER 9          /* of those that a small build may have */
#endif

#if WITH_VOLUMES
/* What -v asks for, or --tmpfs: then it has no source. */
struct volume {
    const char *source, *target;        /* a path of ours, a path in the box */
    int is_read_only;
    struct tree *tree;                  /* the source, to be mounted */
    unsigned long flags;                /* of a tmpfs: MS_NOSUID ... */
    const char *data;                   /* and the rest, as "size=1048576" */
};

/* Who has set a variable: nobody asked for it, a file did, or -e. */
enum origin { USUAL, IN_FILE, GIVEN };
#endif

#if WITH_BRIDGE
/* A port of the host's that is a box's: -p [IP:]HOST:BOX[/PROTOCOL]. */
struct port {
    unsigned int ip;                    /* of the host's; 0: any */
    unsigned long long host, box;
    const char *protocol;               /* "tcp" or "udp" */
};
#endif

/* What was asked for on the command line. */
static struct options {
    int explain;                        /* --explain */
#if WITH_NAME
    const char *name;                   /* --name */
#endif
#if WITH_UTS
    const char *hostname;               /* --hostname */
#endif
#if WITH_USER
    int host_users;                     /* --userns host */
#endif
#if WITH_NET
    int host_network;                   /* --network host */
#endif
#if WITH_CGROUP
    unsigned long long memory;          /* -m, in bytes; 0: no limit */
    unsigned long long cpus;            /* --cpus, in 1/100,000 */
    unsigned long long shares;          /* --cpu-shares */
    unsigned long long pids;            /* --pids-limit */
    const char *cpuset;                 /* --cpuset-cpus */
#endif
#if WITH_ROOT
    const char *rootfs;                 /* --rootfs */
#endif
#if WITH_LAYERS
    const char *storage;                /* --storage */
#endif
#if WITH_LOCKS
    unsigned long long added_caps, dropped_caps;        /* --cap-add, -drop */
#endif
#if WITH_VOLUMES
    struct volume volumes[32];          /* -v, --tmpfs */
    size_t volume_count;
    char *variables[256];               /* -e, NAME=VALUE; the last is NULL */
    enum origin origins[256];           /* of these */
    const char *workdir, *user;         /* -w, -u */
    int read_only, init;                /* --read-only, --init */
#endif
#if WITH_TTY
    int terminal;                       /* -t */
    int interactive;                    /* -i, which says nothing new */
#endif
#if WITH_DETACH
    int detach, remove;                 /* -d, --rm */
    unsigned long long log_max;         /* --log-max, in bytes */
#endif
#if WITH_IMAGES
    const char *image;                  /* --image */
    const char *entrypoint;             /* --entrypoint; "": none */
    const char *stop_signal;            /* --stop-signal */
    unsigned long long max_size;        /* --max-size, in bytes */
#endif
#if WITH_BRIDGE
    const char *network;                /* --network, NULL: not given */
    struct port ports[64];              /* -p */
    size_t port_count;
#endif
} opt;

/* The one box that this process makes. */
static struct box {
    char **argv;                /* the command and its arguments */
    struct clone_args clone;    /* how it is born: for clone3(2) */
    pid_t pid;                  /* the child's number out here, 0 for none */
    int status;                 /* how it ended, as from waitpid(2) */
#if WITH_NAME
    const char *id, *name;      /* twelve random hex digits; --name, or id */
#endif
#if WITH_TOOLS
    unsigned long flags;        /* CLONE_NEW*: what it does not share with us */
#endif
#if WITH_USER || WITH_ROOT
    int userns;                 /* its user namespace, to map files by, or -1 */
    int keeps_groups;           /* setgroups(2) is denied in it */
#endif
#if WITH_CGROUP
    int cgroup;                 /* the cgroup it is born in, or -1 */
#endif
#if WITH_TTY
    int has_terminal;           /* it gets a terminal of its own */
    int is_on_terminal;         /* which is open, as streams 0 to 2 */
#endif
#if WITH_DETACH
    int is_kept;                /* its folder stays when it ends */
    int has_folder;             /* a run before made its folder */
#endif
#if WITH_IMAGES
    const char *image;          /* what it is made of, or NULL: a folder */
#endif
} box = {
    .clone.exit_signal = SIGCHLD,       /* what we are sent when it ends */
#if WITH_USER || WITH_ROOT
    .userns = -1,
#endif
#if WITH_CGROUP
    .cgroup = -1,
#endif
};

/* An option of a run. */
struct option {
    char letter;                /* 'h', or 0 */
    const char *name;           /* "help" */
    const char *value;          /* what --help calls its value; NULL: a flag */
    const char *help;           /* what it is for */
    void (*set)(const struct option *, const char *value);
    void *into;                 /* where SET stores the value */
#if WITH_CGROUP || WITH_ROOT || WITH_LOCKS
    unsigned long long low, high;       /* of a number */
#endif
};

/* What fixes a step that begins with CALL and fails with ERROR. */
struct hint {
    const char *call;
    int error;                  /* errno; 0: any */
    const char *fix;
#if WITH_USER || WITH_CGROUP || WITH_ROOT || WITH_DOCTOR
    const char *file, *has;     /* FILE must have this text; NULL: no matter */
#endif
};

/* A chapter as the parent sees it: what it has no use for is 0.  What the child
 * does stands in child(). */
struct chapter {
#if WITH_NAMESPACES
    unsigned long flag;         /* CLONE_NEW*: a namespace of its own, or 0 */
#endif
#if WITH_USER || WITH_NET
    const int *is_shared;       /* the option that leaves FLAG out, or NULL */
#endif
#if WITH_TOOLS
    void (*before)(void);       /* before the clone */
#endif
#if WITH_GATE
    void (*at_gate)(void);      /* while the child waits at the gate */
#endif
#if WITH_AFTER
    void (*after)(void);        /* on every way out: take away what was made */
#endif
    const struct option *options;       /* the last has no name */
    const struct hint *hints;           /* the last has no call */
#if WITH_COMMANDS
    const struct command *commands;     /* the last has no name */
#endif
};
static const struct chapter chapters[LAST_CHAPTER + 1];

/* === The skeleton: what is told, and the way out ========================= */
static const char *who = "parent";      /* which process this is */
static int failure = 125;               /* our exit status if a step fails */
static struct { int chapter; const char *call; } now = { 0, "" }; /* the step */
static void undo(void);
#if WITH_USER || WITH_CGROUP || WITH_ROOT || WITH_DOCTOR
static int has_text(const char *file, const char *words);
#endif
#if WITH_DOCTOR
static const char *find_host_cause(int error);
static void note_step(int chapter);
static void note_failure(const char *why, const char *fix);
#endif
#if WITH_DETACH
static int told_fd = 2;                 /* where we speak: standard error */
static int refusal_fd = -1;             /* a pipe: a byte for a failure */
static char *visible(const char *from);
#endif

/* vprintf into memory that lasts as long as we do.  Nothing is ever freed: a
 * run takes so many steps, and ends. */
static char *vtext(const char *format, va_list args) {
    char *result;

    if (vasprintf(&result, format, args) < 0)
        _exit(125);                     /* no memory, not even to say so */
    return result;
}

/* The same with arguments as printf has them. */
PRINTF(1) static char *text(const char *format, ...) {
    va_list args;

    va_start(args, format);
    char *result = vtext(format, args);
    va_end(args);
    return result;
}

/* Write all LENGTH bytes, in one piece where that can be, so that they are not
 * mixed with what others write there.  A pipe may take a part of them, or, if
 * somebody who shares it has made it non-blocking, none for now: that is no
 * error, but a reason to wait.  Returns 0, or -1 with errno. */
static int write_all(int fd, const char *bytes, size_t length) {
    struct pollfd room = { .fd = fd, .events = POLLOUT };

    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EAGAIN)
            return -1;
        if (written < 0) {
            poll(&room, 1, -1);         /* for as long as it takes */
            continue;
        }
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* The same for a string. */
static int put(int fd, const char *all) {
    return write_all(fd, all, strlen(all));
}

/* Tell LINE on standard error. */
static void tell(const char *line) {
#if WITH_DETACH
    put(told_fd, text("%s\n", visible(line)));
#else
    put(2, text("%s\n", line));
#endif
}

/* Say why we leave, and what fixes it (or NULL).  Does not return. */
PRINTF(2) static _Noreturn void refuse(const char *fix, const char *fmt, ...) {
    va_list args;

    va_start(args, fmt);
    const char *why = vtext(fmt, args);
    va_end(args);
    tell(text("whalebox: %s", why));
    if (fix)
        tell(text("  hint: %s", fix));

#if WITH_DOCTOR
    note_failure(why, fix);
#endif
#if WITH_DETACH
    write(refusal_fd, "", 1);           /* tells the launcher of -d, if any */
#endif

    /* The child has made nothing that outlives it. */
    if (strcmp(who, "parent") == 0)
        undo();
    _exit(failure);
}

/* Say what is done next: the system call as C has it, and what does the same in
 * a shell, or NULL.  Every call whose failure ends us has its step, so that an
 * error names the call that failed; --explain prints it. */
static void take_step(int chapter, const char *call, const char *shell) {
    now.chapter = chapter;
    now.call = call;
#if WITH_DOCTOR
    note_step(chapter);
#endif
    if (opt.explain && shell)
        tell(text("[%2d %-6s] %-40s # %s", chapter, who, call, shell));
    else if (opt.explain)
        tell(text("[%2d %-6s] %s", chapter, who, call));
}

/* The shell's words are put together only if somebody reads them. */
#define step(chapter, call, shell) \
    take_step((chapter), (call), opt.explain ? (shell) : NULL)

/* Does hint H speak of the step that has just failed with ERROR? */
static int is_about(const struct hint *h, int error) {
    if (strncmp(now.call, h->call, strlen(h->call)) != 0)
        return 0;
    if (h->error != 0 && h->error != error)
        return 0;
#if WITH_USER || WITH_CGROUP || WITH_ROOT || WITH_DOCTOR
    if (h->file)
        return has_text(h->file, h->has);
#endif
    return 1;
}

/* The step failed, for the reason in errno: say so, with a hint, and leave. */
static _Noreturn void die(void) {
    int error = errno;                  /* before another call sets it */
    const char *fix = NULL;

    for (const struct hint *h = chapters[now.chapter].hints; h && h->call; h++)
        if (!fix && is_about(h, error))
            fix = h->fix;

#if WITH_DOCTOR
    /* What is wrong with the host is wrong for every step. */
    const char *host_fix = find_host_cause(error);
    if (host_fix)
        fix = host_fix;
#endif
    refuse(fix, "chapter %d: %s: %s", now.chapter, now.call, strerror(error));
}

/* The result of the step's system call, unless it failed. */
static int must(long result) {
    if (result < 0)
        die();
    return (int)result;
}

/* === Chapter 0: a plain process ============================================
 *
 * One process makes another: clone, execve, wait.  Whatever the box becomes, to
 * the host it stays a process, with a number, signals and an exit status.
 */
static void set_help(const struct option *o, const char *value);
static void set_version(const struct option *o, const char *value);
#if WITH_NAME
static void set_name(const struct option *o, const char *value);
#endif

/* A setter checks a value of one kind, and stores it. */
static void set_flag(const struct option *o, const char *value) {
    (void)value;                        /* a flag has none */
    *(int *)o->into = 1;
}

static const struct option process_options[] = {
    { 'h', "help", NULL, "print this, and end", .set = set_help },
    { 0, "version", NULL, "print the version", .set = set_version },
#if WITH_NAME
    { 0, "name", "NAME", "its name: letters, digits, then _ . - too",
      .set = set_name, .into = &opt.name },
#endif
    { 0, "explain", NULL, "tell each step",
      .set = set_flag, .into = &opt.explain },
    { 0 }
};
static const struct hint process_hints[] = {
#if WITH_NAMESPACES
    { "clone3", EPERM, .fix = "only root may make these namespaces without "
      "chapter 5's; in docker, use --privileged" },
#endif
#if WITH_USER
    { "clone3", ENOSPC, "sysctl -w user.max_user_namespaces=15000",
      "/proc/sys/user/max_user_namespaces", "\n0\n" },
#endif
    { "execve", ENOENT, .fix = "the path is looked up in the box; if it is "
      "there, its #! interpreter or its loader is not" },
    { "execvp", ENOENT, .fix = "no folder of the box's PATH has it" },
    { "exec", EACCES, .fix = "it must be a file with its x bit set" },
    { 0 }
};

static sigset_t awaited;                /* signals that wait_for_box() takes */

/* Close what the caller left open, but for the standard streams: the box would
 * have it, too (CVE-2024-21626).  close_range(2). */
static void close_files(void) {
    step(0, "close_range(3, ~0)", NULL);
    must(syscall(SYS_close_range, 3U, ~0U, 0));
}

/* Have signals wait until wait_for_box() asks for them: until then one would be
 * lost, or end us on the spot, with nothing taken away.  Those that the caller
 * ignores, as nohup(1) has it, stay ignored here and are not passed on; the
 * command begins with all of them as they are by default.  sigprocmask(2). */
static void hold_signals(void) {
    static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT,
        SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGTTIN, SIGTTOU };
    struct sigaction old;

    signal(SIGPIPE, SIG_IGN);           /* a write says EPIPE instead */

    sigemptyset(&awaited);
    sigaddset(&awaited, SIGCHLD);       /* the child has ended */
    for (size_t i = 0; i < LENGTH(passed_on); i++)
        if (sigaction(passed_on[i], NULL, &old) == 0 &&
            old.sa_handler != SIG_IGN)
            sigaddset(&awaited, passed_on[i]);

    step(0, "sigprocmask(SIG_BLOCK)", NULL);
    must(sigprocmask(SIG_BLOCK, &awaited, NULL));
}

/* A pipe to which only the parent can write.  When the parent dies, however it
 * dies, the kernel closes that end, and poll(2) shows a hang-up at the other.
 */
static int lifeline_fds[2];

/* One process becomes two, and the second calls MAIN_OF_CHILD, which does not
 * return.  Without flags clone3 is fork(2); each CLONE_NEW* gives the child a
 * new namespace.  Returns the child's number, which is its own until we have
 * waited for it.  clone(2). */
static pid_t clone_child(struct clone_args *args, void (*main_of_child)(void)) {
    step(0, "pipe2(lifeline, O_CLOEXEC)", NULL);
    must(pipe2(lifeline_fds, O_CLOEXEC));       /* not for the command */

    step(0, text("clone3(0x%llx)", args->flags), "unshare --fork");
    pid_t pid = must(syscall(SYS_clone3, args, sizeof(*args)));
    if (pid == 0) {
        /* Here is the child: in the namespaces that the flags asked for, and
         * with the host's files. */
        who = "child";
        close(lifeline_fds[1]);         /* or it would never hang up */
        main_of_child();
    }
    close(lifeline_fds[0]);             /* the child's end; ours stays open */
    return pid;
}

/* In the child: if the parent dies, the kernel is to kill us.  If it died
 * before we asked for that, no signal comes, but the pipe has hung up, which
 * poll(2) tells without being asked for it.  PR_SET_PDEATHSIG. */
static void die_with_parent(void) {
    struct pollfd lifeline = { .fd = lifeline_fds[0] };

    step(0, "prctl(PR_SET_PDEATHSIG), poll(lifeline)", "unshare --kill-child");
    must(prctl(PR_SET_PDEATHSIG, SIGKILL));
    if (must(poll(&lifeline, 1, 0)) != 0)       /* 0 ms: only a look */
        _exit(failure);
}

/* In the child, once the box is closed: become the command.  A signal mask and
 * ignored signals would survive execve(2), so they are taken back first.  127
 * and 126 are what shells say of a command that is not there, or cannot be
 * executed. */
static _Noreturn void become_command(void) {
    step(0, "sigaction(SIG_DFL), sigprocmask(SIG_SETMASK)", NULL);
    for (int sig = 1; sig < NSIG; sig++) {
        if (sig == SIGKILL || sig == SIGSTOP)
            continue;                   /* nobody can change these */
        if (sig >= 32 && sig < SIGRTMIN)
            continue;                   /* libc's own */
        if (signal(sig, SIG_DFL) == SIG_ERR)
            die();
    }
    must(sigprocmask(SIG_SETMASK, &(sigset_t){ 0 }, NULL));     /* none */

    const char *call = strchr(box.argv[0], '/') ? "execve" : "execvp";
    step(0, text("%s(%s)", call, box.argv[0]), text("exec %s", box.argv[0]));
    execvp(box.argv[0], box.argv);      /* returns only if it fails */
    failure = 126;
    if (errno == ENOENT)
        failure = 127;
    die();
}

/* Is SIG what a terminal stops a process with, as ^Z does?  termios(3). */
static int is_stop(int sig) {
    return sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* Stop, as SIG would have stopped us if we did not block it.  It waits until it
 * is let through: then we sleep.  In a process group that no shell is left to
 * continue the kernel drops it, and we go on at once. */
static void stop_ourselves(int sig) {
    sigset_t one = { 0 };

    sigaddset(&one, sig);
    raise(sig);
    sigprocmask(SIG_UNBLOCK, &one, NULL);       /* here we stop */
    sigprocmask(SIG_BLOCK, &one, NULL);
}

/* Pass on a signal that was sent to us.  The box is in our own process group,
 * so what the terminal sends (SI_KERNEL) has reached it already, and must not
 * come twice.  But the SIGHUP of a closed terminal goes to the leader of a
 * session, and the SIGALRM of an alarm(2) to who set it: these two may be for
 * us alone. */
static void pass_on(const siginfo_t *info) {
    int sig = info->si_signo;

    /* The box may be immune to ^Z, as the first process of a tree is, but not
     * to a SIGSTOP from out here.  So we stop it, and then ourselves. */
    if (is_stop(sig)) {
        kill(box.pid, SIGSTOP);
        stop_ourselves(sig);
        kill(box.pid, SIGCONT);
        return;
    }

    if (sig == SIGHUP || sig == SIGALRM ||
        (sig != SIGCHLD && info->si_code != SI_KERNEL))
        kill(box.pid, sig);
}

#if WITH_TTY
/* What await_signal() does with one: a box in a session of its own gets more of
 * them from us. */
static void (*take_signal)(const siginfo_t *info) = pass_on;
#endif
#if WITH_DETACH
/* What it does until one comes, or NULL. */
static void (*until_signal)(void) = NULL;
#endif

/* Sleep until a signal comes, and deal with it. */
static void await_signal(void) {
    siginfo_t info;                     /* which, who sent it, and why */

#if WITH_DETACH
    if (until_signal)
        until_signal();
#endif
    if (sigwaitinfo(&awaited, &info) < 0)       /* sleeps */
        return;
#if WITH_TTY
    take_signal(&info);
#else
    pass_on(&info);
#endif
}

/* Wait for the box to end, and deal with the signals that we get meanwhile, of
 * which one tells of that end.  Sets box.status. */
static void wait_for_box(void) {
    step(0, text("waitpid(%d)", box.pid), "wait");
    do {
        await_signal();
    } while (must(waitpid(box.pid, &box.status, WNOHANG)) != box.pid);
    box.pid = 0;                        /* it has no number any more */
}

/* STATUS, from waitpid(2), as shells have it: 128+N if signal N ended it. */
static int exit_status(int status) {
    if (WIFSIGNALED(status))
        return 128 + WTERMSIG(status);
    return WEXITSTATUS(status);
}

#if WITH_NAME
/* --- A box's name -----------------------------------------------------------
 *
 * People call a box by its name.  It becomes a hostname and, later, a folder.
 */

/* Refuse the VALUE that option O was given, and say what O is for. */
static _Noreturn void refuse_value(const struct option *o, const char *value) {
    refuse(text("--%s %s  %s", o->name, o->value, o->help),
           "--%s: not \"%s\"", o->name, value);
}

/* The text is not copied: the command line lasts as long as we do. */
static void set_text(const struct option *o, const char *value) {
    if (!*value)
        refuse_value(o, value);
    *(const char **)o->into = value;
}

/* A name becomes a folder and a hostname: no '/', no "..", no "-x". */
static void set_name(const struct option *o, const char *value) {
    size_t good = strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-");

    if (value[good] || good > 63 || strchr("_.-", *value))
        refuse_value(o, value);
    set_text(o, value);
}

/* The box's id is twelve random hex digits, which are its name if it was given
 * none. */
static void name_box(void) {
    unsigned long long bits;

    step(0, "getrandom(64 bits)", NULL);
    must(getentropy(&bits, sizeof(bits)));
    box.id = text("%012llx", bits >> 16);
    box.name = box.id;
    if (opt.name)
        box.name = opt.name;
}
#endif /* WITH_NAME */

#if WITH_UTS
/* === Chapter 1: a name of its own ==========================================
 *
 * A UTS namespace holds two strings, the hostname and the NIS domain name, and
 * each process points to one such namespace.  CLONE_NEWUTS gives the child a
 * copy: what it calls itself is its own affair.  uts_namespaces(7).
 */
static const struct option uts_options[] = {
    { 0, "hostname", "NAME", "default: its own name",
      .set = set_name, .into = &opt.hostname },
    { 0 }
};

/* In the child: call the box by its --hostname, or else by its name.  This
 * takes CAP_SYS_ADMIN in the user namespace that owns the UTS namespace, which
 * the box's PID 1 has.  sethostname(2). */
static void set_hostname(void) {
    const char *name = opt.hostname ? opt.hostname : box.name;

    step(1, text("sethostname(%s)", name), text("hostname %s", name));
    must(sethostname(name, strlen(name)));
}
#endif /* WITH_UTS */

#if WITH_IPC
/* === Chapter 2: its own mailboxes ==========================================
 *
 * System V queues, semaphores and shared memory, and POSIX message queues, are
 * found by a number or a name of their own, not by a path, so no private root
 * hides them.  CLONE_NEWIPC gives the child an empty set, and that is all: the
 * flag stands in chapters[], near the end.  ipc_namespaces(7).
 */
#endif /* WITH_IPC */

#if WITH_PID
/* === Chapter 3: its own process tree =======================================
 *
 * With CLONE_NEWPID the child is number 1 of a tree of its own, with a second
 * number in the parent's.  PID 1 has duties: orphans become its children, to
 * be waited for; a signal that it has no handler for does nothing to it; and
 * when it ends, the kernel kills all who are left in the tree.  The flag, in
 * chapters[], is all the code there is.  pid_namespaces(7).
 */
#endif /* WITH_PID */

#if WITH_MOUNT
/* === Chapter 4: its own mounts and /proc ===================================
 *
 * CLONE_NEWNS gives the child a copy of the mount table.  A copy, but mounts
 * may be *shared*: what is mounted on one in this table then appears in the
 * others.  Under systemd all are, so the child first cuts itself off.
 * mount_namespaces(7), proc(5).
 */
enum { SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC };   /* nothing to misuse */

static const struct hint mount_hints[] = {
    { "mount(proc", EPERM, .fix = "the host's /proc is partly hidden, as in "
      "docker: run the outer container with --privileged" },
    { "", EPERM, .fix = "mounting takes root or a user namespace" },
    { 0 }
};

/* In the child: cut its mount table off from the host's, all of it, and before
 * any mount: one made while "/" is shared is made on the host as well. */
static void make_mounts_private(void) {
    step(4, "mount(/, MS_REC|MS_PRIVATE)", "mount --make-rprivate /");
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

/* In the child: at PLACE a /proc that shows its own processes, in place of the
 * host's.  Nothing in it is ever a program or a device, so none is taken for
 * one.  proc(5). */
static void mount_proc(const char *place) {
    step(4, "mount(proc, proc)", "mount -t proc proc /proc");
    must(mount("proc", place, "proc", SAFE, NULL));
}
#endif /* WITH_MOUNT */

#if WITH_TOOLS
/* --- Tools of the chapters from 5 on ---------------------------------------
 */

#define TOOL static __attribute__((unused))     /* not used at every stage */

static int host_root;                   /* root, and in no user namespace */

/* The step has failed with ERROR unless this HOLDS. */
TOOL void require(int holds, int error) {
    if (holds)
        return;
    errno = error;
    die();
}

enum { MOST_READ = 1 << 20 };           /* bytes: mounts can be many */

/* All that FD has to give, closing it, as a string that is good until the next
 * call, with a '\n' just before it: so "\n" begins every line.  NULL with errno
 * if it cannot be read. */
static char *read_all(int fd) {
    static char buffer[MOST_READ];
    size_t total = 1;                   /* bytes of it in use */
    ssize_t count;

    /* /proc gives a page at a time. */
    while ((count = read(fd, buffer + total, sizeof(buffer) - 1 - total)) > 0)
        total += (size_t)count;

    int error = errno;                  /* which close(2) may set */
    close(fd);
    errno = error;
    if (count < 0)
        return NULL;
    if (total == sizeof(buffer) - 1) {
        errno = EFBIG;                  /* or some of it would be missing */
        return NULL;
    }

    buffer[0] = '\n';
    buffer[total] = '\0';
    return buffer + 1;
}

/* The same of FILE, below DIR_FD or AT_FDCWD, without waiting for anybody who
 * might write it. */
static char *try_to_read(int dir_fd, const char *file) {
    int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;

    /* No symbolic link in a folder of ours is meant to be followed. */
    if (dir_fd != AT_FDCWD)
        flags |= O_NOFOLLOW;
    int fd = openat(dir_fd, file, flags);
    if (fd < 0)
        return NULL;
    return read_all(fd);
}

/* The same; "" if there is no FILE.  One that cannot be read is fatal: taken
 * for empty, it might make another box. */
TOOL char *read_file(int dir_fd, const char *file) {
    static char none[2] = "\n";         /* "", with a '\n' just before it */
    char *all = try_to_read(dir_fd, file);

    if (all)
        return all;
    if (errno != ENOENT && errno != ESRCH) {
        step(now.chapter, text("read(%s)", file), NULL);
        die();
    }
    return none + 1;
}

/* Are these WORDS in FILE?  "\n0\n" is a whole line. */
TOOL int has_text(const char *file, const char *words) {
    const char *all = try_to_read(AT_FDCWD, file);

    return all && strstr(all - 1, words) != NULL;
}


/* open(2) takes the lowest number that is free.  Were one of the standard
 * streams closed, a file of ours would become it, and be written to. */
static void open_streams(void) {
    step(0, "open(/dev/null)", NULL);
    while (must(open("/dev/null", O_RDWR)) <= 2)
        ;                               /* the last of them is closed later */
}

/* Are we root, and not of a user namespace?  Outside any the map is one of all
 * 2^32-1 ids.  Without a /proc that is ours nothing goes well, and it is better
 * to say so now. */
static void find_host_root(void) {
    step(0, "read(/proc/self/uid_map)", NULL);
    must(access("/proc/self/uid_map", R_OK));

    /* In the /proc of another PID namespace the number that our child has is
     * somebody else's. */
    char own[16] = "";
    step(0, "readlink(/proc/self)", NULL);
    must(readlink("/proc/self", own, sizeof(own) - 1));
    require(atoi(own) == getpid(), ESRCH);

    if (geteuid() == 0)
        host_root = strstr(read_file(AT_FDCWD, "/proc/self/uid_map"),
                           "4294967295") != NULL;
}

/* Where the program NAME is, along PATH, or NULL. */
TOOL const char *find_program(const char *name) {
    const char *set = getenv("PATH");
    char *path = text("%s", set ? set : "/usr/local/bin:/bin:/usr/bin");
    const char *folder;

    while ((folder = strsep(&path, ":"))) {
        const char *file = text("%s/%s", folder, name);
        if (*folder == '/' && access(file, X_OK) == 0)
            return file;
    }
    return NULL;
}

/* "host": share that namespace with the host after all. */
TOOL void set_host(const struct option *o, const char *value) {
    if (strcmp(value, "host") != 0)
        refuse_value(o, value);
    *(int *)o->into = 1;
}

/* A whole number from LOW to HIGH, in digits alone: strtoull(3) would take "-1"
 * for 2^64-1, and "" for 0 (CVE-2024-40635).  Returns 0, or -1. */
TOOL int parse_number(const char *s, unsigned long long low,
                      unsigned long long high, unsigned long long *into) {
    const char *start = s;

    for (*into = 0; *s >= '0' && *s <= '9'; s++) {
        unsigned int digit = (unsigned int)(*s - '0');
        if (digit > high || *into > (high - digit) / 10)
            return -1;                  /* it would pass HIGH */
        *into = *into * 10 + digit;
    }

    if (s == start || *s || *into < low)
        return -1;
    return 0;
}

/* Write VALUE to FILE below DIR_FD in one write(2), as /proc and cgroupfs want
 * it; FLAGS as O_CREAT.  Returns 0, or -1 with errno. */
TOOL int write_file(int dir_fd, const char *file, const char *value,
                    int flags) {
    int fd = openat(dir_fd, file, O_WRONLY | O_CLOEXEC | flags, 0644);
    if (fd < 0)
        return -1;

    ssize_t written = write(fd, value, strlen(value));
    close(fd);
    if (written < 0)
        return -1;
    return 0;
}
#endif

#if WITH_GATE
/* --- The gate ---------------------------------------------------------------
 *
 * The parent cannot prepare all before the clone: what needs the child itself,
 * such as a map of its users, has to wait for it.  So the child waits, too, at
 * the lifeline, until it is sent a byte.
 *
 *   whalebox, the parent                in the host's namespaces, your rights
 *     |  prepares what the box needs
 *     |  clone3(flags) ---------------> the child: in new namespaces
 *     |  says who the child's users are     | waits at the gate
 *     |  opens the gate ------------------> | closes the box around itself
 */

/* In the child: wait for the parent.  The end of the file means that it has
 * died, and then nobody waits for us. */
static void wait_at_gate(void) {
    char byte;

    step(0, "read(lifeline)", NULL);
    if (must(read(lifeline_fds[0], &byte, 1)) == 0)
        _exit(failure);
}

/* Let the child at the gate go on.  If it is dead (EPIPE), that is no error
 * here: waiting for it tells why. */
static void open_gate(void) {
    step(0, "write(lifeline)", NULL);
    if (write(lifeline_fds[1], "", 1) < 0 && errno != EPIPE)
        die();
}

/* Until it becomes the command, nobody in a box may look into this process: at
 * its memory, its environment, its open files, all of them the host's still.
 * Each change of ids may undo that, as fs.suid_dumpable has it, so this comes
 * after each.  PR_SET_DUMPABLE. */
static void hide_process(void) {
    step(0, "prctl(PR_SET_DUMPABLE, 0)", NULL);
    must(prctl(PR_SET_DUMPABLE, 0));
}

#if WITH_USER
static void become_box_root(void);
#endif

/* How a child begins, if the parent has to do its part first.  What comes after
 * it is die_with_parent(), which a change of ids would undo. */
static void start_child(void) {
    wait_at_gate();
#if WITH_USER
    become_box_root();
#endif
    hide_process();
}
#endif /* WITH_GATE */

#if WITH_USER
/* === Chapter 5: its own users ==============================================
 *
 * A user namespace gives the child user ids of its own, and all capabilities
 * over what its namespaces own, and over nothing else.  Until a map says which
 * id in here is which out there, every one of them is 65534, "nobody".
 *
 *   run by root:    box 0..65535 is host 100000..165535, which is nobody
 *   run by a user:  box 0 is that user; box 1.. what /etc/subuid may grant
 *
 * To map 0 to 0, as many do, is to rename nothing.  user_namespaces(7).
 */
static const struct option user_options[] = {
    { 0, "userns", "host", "share the host's users: root is root",
      .set = set_host, .into = &opt.host_users },
    { 0 }
};
static const struct hint user_hints[] = {
    { "new", 0, .fix = "is it set-user-ID root, and the range yours?" },
    { 0 }
};


/* --- Tools: which ids a box may have ----------------------------------------
 */

enum { WHOLE_RANGE = 65536 };           /* so many ids a system counts on */

/* So many ids of the host's, one after the other. */
struct range { unsigned long long start, count; };

/* A file that tells whose ids are whose: those that are granted for boxes, in
 * lines of NAME:START:COUNT, or those of accounts, in NAME:...:ID:... */
struct id_list {
    const char *file;
    int is_of_grants;
    const char *content;                /* of the file, once it was read */
};

/* User ids, or group ids. */
struct ids {
    struct id_list grants, accounts;
    const char *option;                 /* by which usermod(8) grants them */
    struct range range;                 /* the box's; COUNT 0: just one id */
    const char *rival;                  /* who has what was wanted, or NULL */
};
static struct ids uids = { { "/etc/subuid", 1, NULL },
    { "/etc/passwd", 0, NULL }, "--add-subuids", { 0, 0 }, NULL };
static struct ids gids = { { "/etc/subgid", 1, NULL },
    { "/etc/group", 0, NULL }, "--add-subgids", { 0, 0 }, NULL };

static const char *own_name, *own_number;       /* what lists call us */

/* A copy of what the LIST says, to be cut into lines. */
static char *copy_list(struct id_list *list) {
    if (!list->content)
        list->content = text("%s", read_file(AT_FDCWD, list->file));
    return text("%s", list->content);
}

/* Take lines of the LIST from *REST until one tells of ids.  Sets *IDS, and
 * returns whose they are, a name or a number; NULL at the end.  subuid(5). */
static const char *next_owner(const struct id_list *list, char **rest,
                              struct range *ids) {
    char *line;

    while ((line = strsep(rest, "\n"))) {
        const char *name = strsep(&line, ":");
        const char *start = strsep(&line, ":");
        const char *third = strsep(&line, ":");
        if (!third)
            continue;                   /* half a line */

        ids->count = 1;
        if (!list->is_of_grants)
            start = third;
        else if (parse_number(third, 1, UINT_MAX, &ids->count) < 0)
            continue;
        if (parse_number(start, 0, UINT_MAX - ids->count, &ids->start) == 0)
            return name;
    }
    return NULL;
}

/* Does a LIST call us so?  By name or by number. */
static int is_us(const char *name) {
    return strcmp(name, own_name) == 0 || strcmp(name, own_number) == 0;
}

static int have_common(const struct range *a, const struct range *b) {
    return a->start < b->start + b->count && b->start < a->start + a->count;
}

/* Who has some of these IDS, as the LIST tells?  What is granted to us does not
 * count.  Returns a name, and sets *THEIRS; NULL if nobody has. */
static const char *find_owner(struct id_list *list, const struct range *ids,
                              struct range *theirs) {
    char *rest = copy_list(list);
    const char *name;

    while ((name = next_owner(list, &rest, theirs)))
        if (have_common(ids, theirs) && !(list->is_of_grants && is_us(name)))
            break;
    return name;
}

/* The same for both lists: for whom are these IDS, or who has one of them? */
static const char *find_other(struct ids *kind, const struct range *ids,
                              struct range *theirs) {
    const char *name = find_owner(&kind->grants, ids, theirs);

    if (!name)
        name = find_owner(&kind->accounts, ids, theirs);
    return name;
}

/* The range of root's boxes: the first of root's own that is large enough, or
 * else ids from 100000 on.  Where somebody else has some of these, who could
 * end the box's processes then, it is the next ones that nobody has. */
static void choose_free_range(struct ids *kind) {
    struct range *range = &kind->range, theirs;
    char *rest = copy_list(&kind->grants);
    const char *name;

    while ((name = next_owner(&kind->grants, &rest, range))) {
        if (!is_us(name) || range->count < WHOLE_RANGE)
            continue;
        kind->rival = find_other(kind, range, &theirs);
        if (!kind->rival)
            return;
    }

    *range = (struct range){ 100000, WHOLE_RANGE };
    while ((name = find_other(kind, range, &theirs))) {
        kind->rival = name;
        range->start = theirs.start + theirs.count;
        if (range->start > UINT_MAX - WHOLE_RANGE)
            refuse(text("give root a line in %s", kind->grants.file),
                   "no %d ids are nobody's", WHOLE_RANGE);
    }
}

/* The range of a user's boxes: the largest of those granted.  One that has our
 * own id in it would have that twice. */
static void choose_granted_range(struct ids *kind, unsigned int own_id) {
    struct range own = { own_id, 1 }, found;
    char *rest = copy_list(&kind->grants);
    const char *name;

    while ((name = next_owner(&kind->grants, &rest, &found)))
        if (is_us(name) && found.count > kind->range.count &&
            !have_common(&found, &own))
            kind->range = found;
}

/* Why root's boxes have other ids than they would have; and what keeps those
 * that they have for them. */
static const char *describe_rival(const struct ids *kind) {
    return text("boxes would have ids that \"%s\" has: they begin at %llu",
                kind->rival, kind->range.start);
}

static const char *fix_rival(const struct ids *kind) {
    unsigned long long first = kind->range.start;

    return text("keep these for root: usermod %s %llu-%llu root", kind->option,
                first, first + kind->range.count - 1);
}

/* Say so. */
static void tell_rival(const struct ids *kind) {
    if (!kind->rival)
        return;
    tell(text("whalebox: chapter 5: %s", describe_rival(kind)));
    tell(text("  hint: %s", fix_rival(kind)));
}

/* Choose the ids of a user's boxes.  It takes all of this to have more than
 * one. */
static void choose_as_user(void) {
    choose_granted_range(&uids, getuid());
    choose_granted_range(&gids, getgid());
    if (uids.range.count == 0 || gids.range.count == 0 ||
        !find_program("newuidmap") || !find_program("newgidmap")) {
        uids.range.count = 0;
        gids.range.count = 0;
    }
}

/* Find out which ids a box of ours has. */
static void find_ids(void) {
    struct range own = { getuid(), 1 }, found;

    own_number = text("%u", getuid());
    own_name = find_owner(&uids.accounts, &own, &found);
    if (!own_name)
        own_name = own_number;

    if (host_root) {
        choose_free_range(&uids);
        choose_free_range(&gids);
    } else {
        choose_as_user();
    }
}

/* Before the clone: which ids is the box to have?  It is asked once. */
static void choose_ids(void) {
    if (!(box.flags & CLONE_NEWUSER))
        return;

    if (!own_name) {
        find_ids();
        tell_rival(&uids);
        tell_rival(&gids);
    }
    box.keeps_groups = uids.range.count == 0;
}

/* --- The maps -------------------------------------------------------------
 */

static unsigned long own_securebits;    /* as they were before the clone */

/* Before the clone: for that alone, root's effective user is the one that the
 * box's root is going to be.  The kernel charges what is taken in a user
 * namespace, such as inotify instances, POSIX queues and pending signals, to
 * the user who made that namespace, too, and host root is to run out of nothing
 * that a box takes.  capabilities(7). */
static void answer_as_box(void) {
    unsigned int id = (unsigned int)uids.range.start;

    if (!host_root || !(box.flags & CLONE_NEWUSER))
        return;

    /* With this bit the capabilities outlast the change of user. */
    step(5, "prctl(PR_SET_SECUREBITS)", NULL);
    own_securebits = (unsigned long)must(prctl(PR_GET_SECUREBITS));
    must(prctl(PR_SET_SECUREBITS, own_securebits | SECBIT_NO_SETUID_FIXUP));

    step(5, text("setresuid(-1, %u, -1)", id), NULL);
    must(syscall(SYS_setresuid, -1, id, -1));
}

/* After the clone: be host root again. */
static void answer_as_root(void) {
    if (!host_root || !(box.flags & CLONE_NEWUSER))
        return;

    step(5, "setresuid(-1, 0, -1)", NULL);
    must(syscall(SYS_setresuid, -1, 0, -1));
    step(5, "prctl(PR_SET_SECUREBITS)", NULL);
    must(prctl(PR_SET_SECUREBITS, own_securebits));
}

/* Is the child still alive, 100 milliseconds from now?  If it is not, that is
 * why its maps could not be written, and it has said itself why it died. */
static int is_child_alive(void) {
    siginfo_t end = { 0 };

    usleep(100000);                     /* microseconds */
    waitid(P_PID, (id_t)box.pid, &end, WEXITED | WNOHANG | WNOWAIT);
    return end.si_pid == 0;
}

/* Write MAP to FILE of the child's folder in /proc. */
static void write_map(const char *file, const char *map) {
    const char *path = text("/proc/%d/%s", box.pid, file);

    step(5, text("write(%s, \"%s\")", file, map),
         text("echo %s > %s", map, path));
    if (write_file(AT_FDCWD, path, map, 0) < 0 && is_child_alive())
        die();
}

/* Have newuidmap(1) or newgidmap(1), which are set-user-ID root, write a map
 * that we may not: box 0 is ID, and 1 and up are the RANGE granted. */
static void run_map_tool(char *tool, unsigned int id,
                         const struct range *range) {
    char *own = text("%u", id);
    char *start = text("%llu", range->start);
    char *count = text("%llu", range->count);
    char *argv[] = { tool, text("%d", box.pid), "0", own, "1",
                     "1", start, count, NULL };
    int status;

    /* The tool runs outside the box, with the caller's rights.  vfork(2) is
     * cheap, and enough: the copy does nothing but exec. */
    step(5, "vfork(), waitpid()", text("%s %d 0 %s 1 1 %s %s", tool, box.pid,
                                       own, start, count));
    pid_t helper = must(vfork());
    if (helper == 0) {
        execvp(tool, argv);             /* along PATH */
        _exit(failure);
    }
    must(waitpid(helper, &status, 0));

    /* The tool has said itself what it did not like. */
    if (status != 0 && is_child_alive()) {
        step(5, text("%s(%d, 0 %s 1, 1 %s %s)", tool, box.pid, own, start,
                     count), NULL);
        errno = EPERM;
        die();
    }
}

/* Root may map any id: box 0 is the first of a range that nobody else has. */
static void write_maps_as_root(void) {
    write_map("uid_map", text("0 %llu %llu", uids.range.start,
                              uids.range.count));
    write_map("gid_map", text("0 %llu %llu", gids.range.start,
                              gids.range.count));

    const char *link = text("/proc/%d/ns/user", box.pid);
    step(5, text("open(%s)", link), NULL);
    box.userns = must(open(link, O_RDONLY | O_CLOEXEC));
}

/* A user may map its own id to box 0, and its own group only once setgroups(2)
 * is denied: the box could else leave a group that some file's mode shuts out.
 * Who was granted groups may leave any, and so may the box then. */
static void write_maps_as_user(void) {
    if (!box.keeps_groups) {
        run_map_tool("newuidmap", getuid(), &uids.range);
        run_map_tool("newgidmap", getgid(), &gids.range);
        return;
    }

    write_map("uid_map", text("0 %u 1", getuid()));
    write_map("setgroups", "deny");
    write_map("gid_map", text("0 %u 1", getgid()));
}

/* The child is at the gate, and nobody: say who is who.  user_namespaces(7). */
static void write_maps(void) {
    if (!(box.flags & CLONE_NEWUSER))
        return;
    if (host_root)
        write_maps_as_root();
    else
        write_maps_as_user();
}

/* In the child: become the box's root, with no further groups, unless a user's
 * have to stay.  These are system calls without libc, which would look for
 * threads to change as well. */
static void become_box_root(void) {
    if (!(box.flags & CLONE_NEWUSER))
        return;

    if (!box.keeps_groups) {
        step(5, "setgroups(0)", "setpriv --clear-groups ...");
        must(syscall(SYS_setgroups, 0, NULL));
    }
    step(5, "setresgid(0), setresuid(0)", "setpriv --regid 0 --reuid 0 ...");
    must(syscall(SYS_setresgid, 0, 0, 0));      /* real, effective, saved */
    must(syscall(SYS_setresuid, 0, 0, 0));
}
#endif /* WITH_USER */

#if WITH_NET
/* === Chapter 6: its own network stack ======================================
 *
 * Interfaces, addresses, routes, firewall rules, ports, even abstract Unix
 * sockets: CLONE_NEWNET gives the child a set of its own, in which there is a
 * loopback interface, which is down, and nothing else.  The child has it made
 * itself, by unshare(2), for the kernel takes longer for this namespace than
 * for all others, and the parent has work to do meanwhile.
 * network_namespaces(7).
 */
#include <net/if.h>             /* struct ifreq, IFF_UP */

/* "host", or "none", which is what it is without. */
static void set_network(const struct option *o, const char *value) {
    if (strcmp(value, "none") == 0)
        *(int *)o->into = 0;
    else
        set_host(o, value);
}

#if WITH_BRIDGE
static void choose_network(const struct option *o, const char *value);
#endif
static const struct option net_options[] = {
#if WITH_BRIDGE
    { 0, "network", "none|host|bridge|NAME",
      "none, the default, is loopback alone",
      .set = choose_network, .into = &opt.host_network },
#else
    { 0, "network", "none|host", "loopback alone (default), or the host's",
      .set = set_network, .into = &opt.host_network },
#endif
    { 0 }
};

static const struct hint net_hints[] = {
    { "unshare", EPERM, .fix = "only root may make a network namespace without "
      "chapter 5's users" },
    { "unshare", ENOSPC, .fix = "sysctl -w user.max_net_namespaces=15000" },
    { 0 }
};

/* Before the clone: the box is born with our network, and makes its own. */
static void postpone_network(void) {
    box.clone.flags &= ~(__u64)CLONE_NEWNET;
}

/* In the child: once lo is up, 127.0.0.1 answers.  Any socket will do to name
 * the stack whose interface is meant.  netdevice(7). */
static void bring_up_loopback(void) {
    struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

    step(6, "socket(AF_INET)", NULL);
    int socket_fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    step(6, "ioctl(lo, SIOCSIFFLAGS, IFF_UP)", "ip link set lo up");
    must(ioctl(socket_fd, SIOCSIFFLAGS, &lo));
    close(socket_fd);
}

/* In the child: write the SETTING of its stack, unless this kernel has no such
 * thing, or /proc/sys is read-only, as in some containers. */
static void write_setting(const char *setting, const char *value) {
    const char *path = text("/proc/sys/net/ipv4/%s", setting);

    step(6, text("write(%s, \"%s\")", path, value),
         text("echo %s > %s", value, path));
    if (write_file(AT_FDCWD, path, value, 0) < 0 && errno != ENOENT &&
        errno != EROFS)
        die();
}

/* In the child: ports below 1024 are for root, so that users of one machine can
 * trust its servers, and ping takes a raw socket.  In a stack of one box nobody
 * is to be kept from either: all users may listen anywhere, and all groups that
 * the box has may ping.  This is docker's default.  /proc/sys/net shows the
 * stack of whoever looks, and keeps its names for each stack that lives: so it
 * is asked in a /proc of the box's own, where there are no others to look
 * through.  ip(7), icmp(7). */
static void open_stack(void) {
    unsigned long long groups = 0;
    char *rest = text("%s", read_file(AT_FDCWD, "/proc/self/gid_map"));
    char *line;

    if (!(box.flags & CLONE_NEWNET))
        return;

    /* Ids in the box are mapped from 0 on, without a gap: sum up the lines. */
    while ((line = strsep(&rest, "\n")) && *line)
        groups += (unsigned long long)atoll(strrchr(line, ' ') + 1);
    if (groups > 1ULL << 31)
        groups = 1ULL << 31;            /* the kernel takes no group above */

    write_setting("ip_unprivileged_port_start", "0");
    write_setting("ping_group_range", text("0 %llu", groups - 1));
}

/* In the child, first of all: leave the host's network for one of its own.  Its
 * user namespace, in which nobody has a name as yet, owns that: it may. */
static void make_network(void) {
    if (!(box.flags & CLONE_NEWNET))
        return;

    step(6, "unshare(CLONE_NEWNET)", "unshare --net");
    must(unshare(CLONE_NEWNET));
    bring_up_loopback();
}
#endif /* WITH_NET */

#if WITH_CGROUP || WITH_ROOT || WITH_LOCKS
/* --- Tools of the chapters from 7 on: sizes, and folders of folders ---------
 */

TOOL void set_number(const struct option *o, const char *value) {
    if (parse_number(value, o->low, o->high, o->into) < 0)
        refuse_value(o, value);
}

/* Bytes: digits, and then a unit or none.  Returns 0, or -1. */
TOOL int parse_size(const char *s, unsigned long long *into) {
    static const char units[] = "bkmgBKMG";     /* each 1,024 of the former */
    size_t digits = strspn(s, "0123456789");
    const char *unit = s + digits;
    int shift = 0;

    if (*unit) {
        const char *found = strchr(units, *unit);
        if (!found || unit[1])          /* as in 1x, and in 1mb */
            return -1;
        shift = 10 * (int)((found - units) % 4);
    }

    if (parse_number(text("%.*s", (int)digits, s), 1, LLONG_MAX >> shift,
                     into) < 0)
        return -1;
    *into <<= shift;
    return 0;
}

TOOL void set_size(const struct option *o, const char *value) {
    if (parse_size(value, o->into) < 0)
        refuse_value(o, value);
}

/* The step failed, for the reason in errno.  Say so and go on: this is for the
 * clean-up, which takes away what it can. */
TOOL void complain(void) {
    tell(text("whalebox: chapter %d: %s: %s", now.chapter, now.call,
              strerror(errno)));
}

/* Close FD, and leave errno as it is: it tells of the call before. */
TOOL void close_quietly(int fd) {
    int why = errno;

    close(fd);
    errno = why;
}

/* Is this an entry for for_each()?  A file system that does not say what it is
 * has DT_UNKNOWN: that one is looked at, too. */
static int is_wanted(const struct dirent *entry, int files) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
        return 0;
    return files || entry->d_type != DT_REG;
}

/* Call TASK for each entry of the folder DIR_FD, with regular FILES among them
 * or without, until it returns other than 0.  Returns that, or 0, or -1 with
 * errno if the folder cannot be read.  getdents64(2). */
TOOL int for_each(int dir_fd, int files,
                  int (*task)(int dir_fd, const char *name)) {
    _Alignas(struct dirent) char buffer[4096];

    /* The descriptor may have been read to its end before. */
    if (lseek(dir_fd, 0, SEEK_SET) < 0)
        return -1;

    for (;;) {
        long length = syscall(SYS_getdents64, dir_fd, buffer, sizeof(buffer));
        if (length <= 0)
            return (int)length;

        long at = 0;                    /* an entry's offset in the buffer */
        while (at < length) {
            struct dirent *entry = (struct dirent *)(buffer + at);
            at += entry->d_reclen;
            if (!is_wanted(entry, files))
                continue;

            int result = task(dir_fd, entry->d_name);
            if (result != 0)
                return result;
        }
    }
}

/* A mount, as a line of /proc/self/mountinfo tells of it: which folder of its
 * file system it shows, as that line has it, and where. */
struct mounted {
    char *folder, *place;
    int is_cgroup2;                     /* that is of this type */
};

/* Make PATH, as /proc has written it, a path again, and return it: a blank, a
 * tab, a new line and a backslash stand there as \040, \011, \012 and \134. */
TOOL char *unescape(char *path) {
    char *to = path;

    for (const char *from = path; *from; from++) {
        char byte = *from;
        if (byte == '\\') {             /* three digits, of three bits each */
            byte = (char)((from[1] & 7) << 6 | (from[2] & 7) << 3 |
                          (from[3] & 7));
            from += 3;
        }
        *to++ = byte;
    }
    *to = '\0';
    return path;
}

/* Take a line from *REST, of /proc/self/mountinfo: its fields 4 and 5 are those
 * paths.  Returns 0 at the end.  proc(5). */
TOOL int next_mount(char **rest, struct mounted *mounted) {
    char *line = strsep(rest, "\n");

    mounted->place = NULL;
    for (int field = 1; field <= 5; field++) {
        mounted->folder = mounted->place;       /* the field before */
        mounted->place = strsep(&line, " ");
    }
    if (!line)
        return 0;
    unescape(mounted->place);
    mounted->is_cgroup2 = strstr(line, " - cgroup2 ") != NULL;
    return 1;
}

/* A whalebox shows that it lives by a lock on its box's folders, which the
 * kernel drops when the process ends, in whatever way.  The locks of fcntl(2),
 * unlike flock(2)'s, do not go on to children, which may outlive us.  A folder
 * can only be opened for reading, and so be locked only by F_RDLCK.  Returns 0,
 * or -1 with errno. */
TOOL int lock_folder(int dir_fd) {
    struct flock lock = { .l_type = F_RDLCK };
    return fcntl(dir_fd, F_SETLK, &lock);
}

/* Does nobody have that lock?  If it cannot be told, somebody may. */
TOOL int is_abandoned(int dir_fd) {
    struct flock lock = { .l_type = F_WRLCK };  /* would it be granted? */
    return fcntl(dir_fd, F_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

enum { MOST_LOOKS = 64 };               /* so many at a time */

/* What look_at_some() tells the tasks that it gives to for_each(). */
static unsigned long folders, first_folder, at_folder;
static int (*look_into)(int dir_fd, const char *name);

static int count_folder(int dir_fd, const char *name) {
    (void)dir_fd;
    (void)name;
    folders++;
    return 0;
}

static int look_in_turn(int dir_fd, const char *name) {
    unsigned long turn = (at_folder + folders - first_folder) % folders;

    at_folder++;
    if (turn < MOST_LOOKS)
        look_into(dir_fd, name);
    return 0;
}

/* What the CLOCK shows.  It is asked twice if it does not tell, for a time of 0
 * would be taken for one.  Libc's clock_gettime(2), which finds a way without a
 * system call, would make the program a kilobyte larger. */
TOOL struct timespec read_clock(clockid_t clock) {
    struct timespec time = { 0 };

    if (syscall(SYS_clock_gettime, clock, &time) < 0)
        syscall(SYS_clock_gettime, clock, &time);
    return time;
}

/* Has a run looked into the folder DIR_FD just now?  The folder's time of
 * access says until when that look is enough; whoever lists it only makes that
 * end sooner.  A time too far off is of a clock that was set back since. */
static int was_looked_into(int dir_fd) {
    struct timespec time = read_clock(CLOCK_REALTIME);
    struct stat st;

    if (fstat(dir_fd, &st) < 0)
        return 0;
    long long rest = 1000LL * (st.st_atim.tv_sec - time.tv_sec) +
                     (st.st_atim.tv_nsec - time.tv_nsec) / 1000000;
    return rest > 0 && rest <= MOST_LOOKS;
}

/* COUNT folders in DIR_FD have been looked at: nobody needs to look again for
 * COUNT milliseconds.  If the time cannot be set, the next run looks, too.
 * Libc's utimensat(2) is large, having to do with older kernels. */
static void note_look(int dir_fd, unsigned long count) {
    struct timespec times[2] = { [1] = { .tv_nsec = UTIME_OMIT } };

    times[0] = read_clock(CLOCK_REALTIME);
    times[0].tv_nsec += (long)count * 1000000;
    if (times[0].tv_nsec >= 1000000000) {
        times[0].tv_nsec -= 1000000000;
        times[0].tv_sec++;
    }
    syscall(SYS_utimensat, dir_fd, NULL, times, 0);
}

/* Call LOOK for 64 of the folders in DIR_FD, or for all if there are no more,
 * beginning at a random one, so that each has its turn in some run.  Then no
 * run looks for as many milliseconds as folders were looked at.  A look at one
 * takes some microseconds: however many boxes there are and are made, a
 * hundredth of the time goes for that at most.  getrandom(2). */
TOOL void look_at_some(int dir_fd, int (*look)(int dir_fd, const char *name)) {
    unsigned int chance;

    if (was_looked_into(dir_fd))
        return;

    folders = 0;
    at_folder = 0;
    look_into = look;
    if (for_each(dir_fd, 0, count_folder) < 0 || folders == 0)
        return;

    step(now.chapter, "getrandom()", NULL);
    must(getentropy(&chance, sizeof(chance)));
    first_folder = chance % folders;
    for_each(dir_fd, 0, look_in_turn);
    note_look(dir_fd, folders < MOST_LOOKS ? folders : MOST_LOOKS);
}

/* Is there anything called NAME in the folder DIR_FD?  If that cannot be told,
 * yes: then nothing is left out, and whatever uses it says what is wrong. */
TOOL int is_there(int dir_fd, const char *name) {
    struct stat st;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno != ENOENT && errno != ENOTDIR;
}

/* Is FD still what is called NAME in the folder DIR_FD?  -1 with errno if that
 * cannot be told. */
TOOL int is_same_file(int fd, int dir_fd, const char *name) {
    struct stat ours, there;

    if (fstat(fd, &ours) < 0)
        return -1;
    if (fstatat(dir_fd, name, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -1;
    return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}
#endif

#if WITH_CGROUP
/* === Chapter 7: limits =====================================================
 *
 * A cgroup is a folder in cgroupfs: mkdir makes one, and it gets the files of
 * those controllers that the folder above it hands down.
 *
 *   /sys/fs/cgroup    cgroup.subtree_control: memory pids    for root; or the
 *     whalebox        cgroup.subtree_control: memory pids    cgroup delegated
 *       NAME          memory.max, pids.max ...               to a user
 * cgroups(7), and the kernel's admin-guide/cgroup-v2.
 */
static const char *base_path = "";      /* the folder above "whalebox", or "" */
static int base_fd = -1;                /* the same, opened */
static int boxes_fd = -1;               /* the folder "whalebox" in it */

/* The kernel counts memory by the page, and less than one would be none. */
static void set_memory(const struct option *o, const char *value) {
    set_size(o, value);
    if (opt.memory < (unsigned long long)getpagesize())
        refuse(text("a page, %d bytes, is the least", getpagesize()),
               "--memory: not \"%s\"", value);
}

/* How many CPUs, as in 1.5 or .5, kept as microseconds in every 100,000, of
 * which the kernel accepts no fewer than 1,000: the point moves by five digits.
 */
static void set_cpus(const struct option *o, const char *value) {
    char *part = text("%s", value);
    const char *whole = strsep(&part, ".");

    if (!part)
        part = "0";
    size_t places = strlen(part);
    if (places == 0 || places > 5)
        refuse_value(o, value);

    const char *digits = text("%s%s%.*s", whole, part, 5 - (int)places,
                              "00000");
    if (parse_number(digits, 1000, 8192 * 100000ULL, o->into) < 0)
        refuse_value(o, value);
}

static const struct option limit_options[] = {
    { 'm', "memory", "SIZE", "most memory: digits, then b, k, m, g or none",
      .set = set_memory, .into = &opt.memory },
    { 0, "cpus", "N", "1.5, say; from 0.01",
      .set = set_cpus, .into = &opt.cpus },
    { 0, "cpu-shares", "N", "weight among boxes: 2 to 262144, usually 1024",
      .set = set_number, .into = &opt.shares, .low = 2, .high = 262144 },
    { 0, "cpuset-cpus", "LIST", "as in 0-2,5",
      .set = set_text, .into = &opt.cpuset },
    { 0, "pids-limit", "N", "most processes",
      .set = set_number, .into = &opt.pids, .low = 1, .high = 4194304 },
    { 0 }
};
static const struct hint limit_hints[] = {
    { "write(cpuset", 0, .fix = "CPUs that are online, as nproc has them" },
    { "", 0, "controllers are bound to cgroup v1 here, and limits need v2: run "
      "without limits, or boot with cgroup_no_v1=all and "
      "systemd.unified_cgroup_hierarchy=1", "/proc/self/cgroup", ":memory:/" },
    { "write(cgroup", EBUSY, .fix = "a cgroup with processes in it hands "
      "nothing down: mkdir a leaf in it, and echo PID > leaf/cgroup.procs" },
    { "write(cgroup", ENOENT, .fix = "not in its cgroup.controllers: the "
      "cgroup above must hand it down" },
    { "", ENODEV, .fix = "mount -t cgroup2 none /sys/fs/cgroup" },
    { "", EACCES, .fix = "no cgroup is delegated to you: run as root, or "
      "systemd-run --user --scope -p Delegate=yes whalebox ..." },
    { 0 }
};

static const char *cgroup2_path;        /* see find_cgroup2() */

/* Take PATH for the place of cgroup v2 if one is to be seen there.  Returns
 * whether it can be written to: if not, a better one may follow.  statfs(2). */
static int take_cgroup2(const char *path) {
    struct statfs fs;

    if (statfs(path, &fs) < 0 || fs.f_type != CGROUP2_SUPER_MAGIC)
        return 0;
    cgroup2_path = text("%s", path);
    return !(fs.f_flags & MS_RDONLY);
}

/* Where cgroup v2 is mounted, or NULL: where systemd mounts it, alone or beside
 * v1, or else where the list of mounts says, which may be long. */
static const char *find_cgroup2(void) {
    struct mounted mounted;

    cgroup2_path = NULL;
    if (take_cgroup2("/sys/fs/cgroup") ||
        take_cgroup2("/sys/fs/cgroup/unified"))
        return cgroup2_path;

    char *rest = read_file(AT_FDCWD, "/proc/self/mountinfo");
    while (next_mount(&rest, &mounted))
        if (mounted.is_cgroup2 && take_cgroup2(mounted.place))
            break;
    return cgroup2_path;
}

/* The cgroup of v2 in FILE, which is /proc/N/cgroup: the path in its line that
 * is 0::PATH, or "".  proc(5). */
static const char *read_cgroup(const char *file) {
    const char *line = strstr(read_file(AT_FDCWD, file) - 1, "\n0::/");

    if (!line)
        return "";
    line += strlen("\n0::");
    return text("%.*s", (int)strcspn(line, "\n"), line);
}

/* Set base_path to where boxes get their cgroups: for root the mount of type
 * cgroup2, for a user the top of what was delegated.  Returns 0, or -1 with
 * errno: ENODEV if there is no cgroup v2, or why access(2) denies us all. */
static int find_base(void) {
    const char *top = find_cgroup2();
    if (!top) {
        errno = ENODEV;
        return -1;
    }

    char *path = text("%s%s", top,
                      host_root ? "" : read_cgroup("/proc/self/cgroup"));

    /* As long as a cgroup is ours, the one above it may be, too. */
    while (strlen(path) >= strlen(top) &&
           access(text("%s/cgroup.procs", path), W_OK) == 0) {
        base_path = text("%s", path);
        *strrchr(path, '/') = '\0';
    }
    return base_path[0] ? 0 : -1;
}

/* End what is in the cgroup NAME below PARENT_FD, and remove it: it stays EBUSY
 * as long as a process in it is dying, which takes a moment; a second is
 * plenty.  Any other error is given three more tries.  What fails is told, and
 * the clean-up goes on.  cgroup.kill is of Linux 5.14. */
static void remove_cgroup(int parent_fd, const char *name) {
    step(7, text("rmdir(%s)", name),
         text("rmdir %s/whalebox/%s", base_path, name));
    for (int tries = 0; tries < 200; tries++) {
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return;                     /* gone, by us or by another */
        if (errno != EBUSY && tries == 3)
            break;

        write_file(parent_fd, text("%s/cgroup.kill", name), "1", 0);
        poll(NULL, 0, 5);               /* milliseconds */
        errno = EBUSY;                  /* for complain() */
    }
    complain();
}

/* Remove the cgroup NAME below PARENT_FD unless the whalebox that made it
 * lives, and end the processes that are left in it.  Returns 0, to go on. */
static int sweep_cgroup(int parent_fd, const char *name) {
    int cgroup_fd = openat(parent_fd, name, FOLDER | O_NOFOLLOW);

    if (cgroup_fd >= 0 && is_abandoned(cgroup_fd))
        remove_cgroup(parent_fd, name);
    close(cgroup_fd);
    return 0;
}

/* Write one limit, while the box's cgroup is still empty. */
static void write_limit(const char *file, const char *value) {
    step(7, text("write(%s, \"%s\")", file, value),
         text("echo %s > %s/whalebox/%s/%s", value, base_path, box.name, file));
    must(write_file(box.cgroup, file, value, 0));
}

/* The same for a number, of which 0 is no limit. */
static void write_number(const char *file, unsigned long long number) {
    if (number)
        write_limit(file, text("%llu", number));
}

/* Write all limits that were asked for. */
static void write_limits(void) {
    write_number("memory.max", opt.memory);

    /* With memory.max alone the box would move to the swap, and go on. */
    if (opt.memory && is_there(box.cgroup, "memory.swap.max"))
        write_limit("memory.swap.max", "0");

    if (opt.cpus)
        write_limit("cpu.max", text("%llu 100000", opt.cpus));

    /* cgroup v1's shares are 2 to 262144, and v2's weights 1 to 10000. */
    if (opt.shares)
        write_number("cpu.weight", 1 + (opt.shares - 2) * 9999 / 262142);

    write_number("pids.max", opt.pids);

    /* A CPU that is not there is refused by the kernel, or, where one could be
     * plugged in, accepted, and others are used: what is in effect has to be
     * what was set. */
    if (opt.cpuset) {
        write_limit("cpuset.cpus", opt.cpuset);
        const char *set = text("%s", read_file(box.cgroup, "cpuset.cpus"));
        const char *used = read_file(box.cgroup, "cpuset.cpus.effective");
        require(strcmp(set, used) == 0, ENODEV);
    }
}

/* Open the folder of all boxes' cgroups, made if it is missing, and lock it, so
 * that nobody changes what is in it meanwhile.  It is closed to other users,
 * who could lock it, too.  Sets boxes_fd, or leaves it at -1 with errno. */
static void open_boxes(void) {
    step(7, "find cgroup v2", NULL);
    if (find_base() < 0)
        return;

    /* The last box removes the folder, perhaps while we wait for the lock: then
     * we have locked a folder that has no name any more, and begin anew. */
    step(7, text("mkdir(%s/whalebox)", base_path), "mkdir -p");
    base_fd = open(base_path, FOLDER);
    for (int tries = 0; base_fd >= 0 && tries < 100; tries++) {
        if (mkdirat(base_fd, "whalebox", 0711) < 0 && errno != EEXIST)
            return;
        boxes_fd = openat(base_fd, "whalebox", FOLDER);
        if (boxes_fd < 0 && errno == ENOENT)
            continue;                   /* it was removed just now */
        if (boxes_fd < 0)
            return;
        if (flock(boxes_fd, LOCK_EX) == 0 &&
            is_same_file(boxes_fd, base_fd, "whalebox") > 0)
            return;
        close(boxes_fd);
        boxes_fd = -1;
    }
}

/* Make the cgroup whalebox/NAME, and lock it.  Boxes whose whalebox was killed
 * are removed first: one may have had the same name.  Sets box.cgroup, or
 * leaves it at -1 with errno. */
static void make_cgroup_folder(void) {
    open_boxes();
    if (boxes_fd < 0)
        return;

    sweep_cgroup(boxes_fd, box.name);
    look_at_some(boxes_fd, sweep_cgroup);

    step(7, text("mkdir(%s/whalebox/%s)", base_path, box.name), "mkdir -p");
    if (mkdirat(boxes_fd, box.name, 0755) < 0)
        return;
    box.cgroup = openat(boxes_fd, box.name, FOLDER);
    if (box.cgroup < 0 || lock_folder(box.cgroup) < 0) {
        int why = errno;
        close(box.cgroup);
        box.cgroup = -1;
        unlinkat(boxes_fd, box.name, AT_REMOVEDIR);
        errno = why;
    }
}

/* The controllers that the limits need, as cgroup.subtree_control takes them;
 * "" without limits. */
static const char *wanted_controllers(void) {
    return text("%s%s%s%s",
                opt.memory ? "+memory " : "",
                opt.cpus || opt.shares ? "+cpu " : "",
                opt.cpuset ? "+cpuset " : "",
                opt.pids ? "+pids " : "");
}

/* There is no cgroup for the box, for the reason in errno.  Without limits that
 * is no obstacle where the host has no cgroup v2, or none for us. */
static void do_without_cgroup(int is_limited) {
    if (errno == EEXIST)
        refuse("choose another --name", "a box named %s is running", box.name);
    if (is_limited || (errno != ENODEV && errno != ENOENT && errno != EACCES &&
                       errno != EROFS))
        die();

    box.flags &= ~(unsigned long)CLONE_NEWCGROUP;
}

/* Have the child of ARGS born in the box's cgroup, so that its limits hold from
 * its first instruction on.  The cgroup namespace it makes later: if that were
 * made now, its root would be our cgroup. */
static void be_born_in_cgroup(struct clone_args *args) {
    args->flags &= ~(__u64)CLONE_NEWCGROUP;
    if (box.cgroup < 0)
        return;
    args->flags |= CLONE_INTO_CGROUP;   /* Linux 5.7 */
    args->cgroup = (__u64)box.cgroup;
}

/* Before the clone: a cgroup for the box to be born in, with its limits. */
static void make_cgroup(void) {
    const char *wanted = wanted_controllers();

    make_cgroup_folder();
    if (box.cgroup < 0)
        do_without_cgroup(*wanted != '\0');
    be_born_in_cgroup(&box.clone);
    if (boxes_fd >= 0)
        flock(boxes_fd, LOCK_UN);       /* the next box's turn */
    if (*wanted == '\0')
        return;

    /* A controller is handed down one level at a time.  Only then do its files,
     * the limits, appear in the box's cgroup. */
    step(7, text("write(cgroup.subtree_control, %s)", wanted),
         text("cd %s; echo %s> cgroup.subtree_control", base_path, wanted));
    must(write_file(base_fd, "cgroup.subtree_control", wanted, 0));
    must(write_file(boxes_fd, "cgroup.subtree_control", wanted, 0));
    write_limits();
}

#if WITH_DETACH
/* For whalebox rm: remove the cgroup of the box NAME, if its supervisor was
 * killed, and the folder of all boxes, which fails if others are in it.  What
 * was locked is free again when it is closed. */
static void drop_dead_cgroup(const char *name) {
    open_boxes();
    if (boxes_fd < 0)
        return;

    sweep_cgroup(boxes_fd, name);
    unlinkat(base_fd, "whalebox", AT_REMOVEDIR);
    close(boxes_fd);
}
#endif

/* The FILE of the box's cgroup, its lines as one.  "" if it cannot be read, as
 * without a controller. */
static const char *read_as_line(const char *file) {
    const char *all = try_to_read(box.cgroup, file);
    char *line = text("%s", all ? all : "");
    char *end = line;

    while ((end = strchr(end, '\n')))
        *end = end[1] ? ' ' : '\0';
    return line;
}

/* How often the kernel has killed in the box for want of memory. */
static long long count_kills(void) {
    const char *kills = strstr(read_as_line("memory.events"), "oom_kill ");

    return kills ? atoll(kills + strlen("oom_kill ")) : 0;
}

/* It has: say at which limit, and how often it came so far. */
static void tell_out_of_memory(void) {
    tell(text("whalebox: chapter 7: out of memory at %s bytes: %s",
              read_as_line("memory.max"), read_as_line("memory.events")));
    tell("  hint: what does not fit is killed, for no swap stands behind a "
         "limit; -m gives more");
}

/* After the end: remove the box's cgroup, if we made one, and the folder of all
 * boxes, which stays as long as others are in it.  Whoever has locked that is
 * about to make a cgroup there, so we wait until it is made. */
static void drop_cgroup(void) {
    if (box.cgroup < 0 || boxes_fd < 0)
        return;

    if (count_kills() > 0)
        tell_out_of_memory();
    remove_cgroup(boxes_fd, box.name);
    flock(boxes_fd, LOCK_EX);
    unlinkat(base_fd, "whalebox", AT_REMOVEDIR);
}

/* In the child, which was born in its cgroup: have that as the top of what it
 * sees.  cgroup_namespaces(7). */
static void enter_cgroup_namespace(void) {
    if (!(box.flags & CLONE_NEWCGROUP))
        return;

    step(7, "unshare(CLONE_NEWCGROUP)", "unshare --cgroup");
    must(unshare(CLONE_NEWCGROUP));
}
#endif /* WITH_CGROUP */

#if WITH_ROOT || WITH_LOCKS
/* --- Tools of the chapters from 8 on: mounts that are held ------------------
 */

/* Write the path of what FD is open on, which is called NAME, to INTO.  The
 * kernel knows it, and there is no link in it. */
TOOL void find_path(int fd, const char *name, char into[PATH_MAX]) {
    step(8, text("readlink(/proc/self/fd/%d)", fd), text("realpath %s", name));
    size_t length = (size_t)must(readlink(text("/proc/self/fd/%d", fd), into,
                                          PATH_MAX - 1));
    into[length] = '\0';
}

/* A copy of the mount at PATH that is nowhere yet: a descriptor, to change and
 * then attach.  FLAGS: AT_RECURSIVE, or 0.  open_tree(2), Linux 5.2. */
TOOL int clone_tree(const char *path, unsigned int flags) {
    step(8, text("open_tree(%s, OPEN_TREE_CLONE)", path), NULL);
    return must(syscall(SYS_open_tree, AT_FDCWD, path,
                        flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
}

/* In the child: attach the mount TREE_FD, a copy of the one at FROM, at what
 * PLACE_FD holds, which is called TO, and close both.  It is mounted on a
 * descriptor since a path could lead elsewhere meanwhile (CVE-2021-30465).
 * move_mount(2), Linux 5.2. */
TOOL void attach_tree(int tree_fd, const char *from, int place_fd,
                      const char *to) {
    step(8, text("move_mount(%s, %s)", from, to),
         text("mount --bind %s %s", from, to));
    must(syscall(SYS_move_mount, tree_fd, "", place_fd, "",
                 MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
    close(tree_fd);
    close(place_fd);
}

#if WITH_LAYERS || WITH_VOLUMES
/* Open PATH from the folder FROM_FD, as HOW says.  Whether a ".." has led out
 * of that the kernel cannot tell if anything is renamed meanwhile, anywhere: it
 * says EAGAIN, and is asked again, but not for ever, for a box could rename
 * without end.  Returns a descriptor, or -1 with errno.  openat2(2). */
static int open_as(struct open_how *how, int from_fd, const char *path) {
    int tries = 1000;
    int fd;

    do {
        fd = (int)syscall(SYS_openat2, from_fd, path, how, sizeof(*how));
        tries--;
    } while (fd < 0 && errno == EAGAIN && tries > 0);
    return fd;
}
#endif
#endif

#if WITH_ROOT
/* === Chapter 8: its own root ===============================================
 *
 * The child's mounts are its own, but they still show the host's files.
 * pivot_root makes another mount the root, and then the old one is detached:
 * not hidden behind a wall, as after chroot(2), but no longer there.
 *
 *   /  host          =>    /  rootfs, with proc, sys, dev     =>    /  rootfs
 *                              `- host, on top of "/"                (no host)
 * pivot_root(2); which mounts a box has is the OCI runtime specification's.
 */

/* The host's folders for the box.  Root copies their mounts before the clone:
 * the way to them may be closed to the user that the child becomes. */
static struct tree {
    int fd;                             /* the copy, or -1 */
    unsigned int flags;                 /* AT_RECURSIVE: what is below, too */
#if WITH_VOLUMES
    int is_device;                      /* its file system has no other ids */
#endif
#if WITH_VOLUMES || !WITH_LAYERS
    int has_mounts;                     /* the copy is of those in it, too */
#endif
    char path[PATH_MAX];                /* resolved */
} trees[64], *rootfs;                   /* more than a box can ask for */
static int tree_count;                  /* how many are taken */

static const struct option root_options[] = {
    { 0, "rootfs", "DIR", "the box's root ($WHALEBOX_ROOTFS, ./rootfs)",
      .set = set_text, .into = &opt.rootfs },
    { 0 }
};
static const struct hint root_hints[] = {
    { "openat2", ELOOP, .fix = "a symbolic link in the rootfs leads the mount "
      "elsewhere: make it a plain folder" },
    { "open(", 0, .fix = "name one with --rootfs, or make one: "
      "./busybox-rootfs.sh" },
    { "pivot_root", EINVAL, "the root is an initramfs, which cannot be left: "
      "boot from a disk, or switch_root to one",
      "/proc/self/mounts", " / rootfs " },
    { "mount_setattr", EINVAL, .fix = "this file system cannot show files "
      "under other ids (overlay, proc, FUSE, NFS, tmpfs before Linux 6.3): "
      "use ext4, xfs or btrfs, or --userns host" },
    { "fcntl", EINVAL, .fix = "too few open files allowed: ulimit -n 256" },
    { 0 }
};

/* A folder leads to the one above it, and so to all of the host, from whatever
 * root a box has (CVE-2024-21626), and so may what was opened with O_PATH.  The
 * box inherits the standard streams, so none of them may be one of these. */
static void refuse_folders(void) {
    static const char *const streams[] = { "input", "output", "error" };
    struct stat st;

    for (int fd = 0; fd <= 2; fd++) {
        step(8, text("fstat(standard %s), fcntl(F_GETFL)", streams[fd]), NULL);
        must(fstat(fd, &st));
        int flags = must(fcntl(fd, F_GETFL));

        if (S_ISDIR(st.st_mode) || (flags & O_PATH))
            refuse("redirect it from, or to, a file, a pipe or /dev/null",
                   "standard %s is a folder, or was opened with O_PATH: it "
                   "would lead out of the box", streams[fd]);
    }
}

/* There has to be room for the files that we open, most of them as mounts: that
 * one can have the number 64 shows it.  It is closed with the caller's. */
static void need_descriptors(void) {
    step(8, "fcntl(F_DUPFD, 64)", "ulimit -n");
    must(fcntl(0, F_DUPFD, 64));
}

/* In the child: a descriptor of the folder TARGET, made if missing, to mount
 * on.  No symbolic link on the way: the rootfs may be a stranger's, and its
 * "proc" a link to our /etc (CVE-2019-19921).  openat2(2). */
static int open_target(const char *target) {
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS };

    step(8, text("mkdir(%s)", target), text("mkdir -p %s", target));
    if (mkdirat(AT_FDCWD, target, 0755) < 0 && errno != EEXIST)
        die();

    step(8, text("openat2(%s, RESOLVE_NO_SYMLINKS)", target), NULL);
    return must(syscall(SYS_openat2, AT_FDCWD, target, &how, sizeof(how)));
}

/* The options of a mount, as mount(8) writes them. */
static const char *mount_options(unsigned long flags, const char *data) {
    return text("nosuid%s%s%s%s%s",
                flags & MS_RDONLY ? ",ro" : "",
                flags & MS_NODEV ? ",nodev" : "",
                flags & MS_NOEXEC ? ",noexec" : "",
                *data ? "," : "", data);
}

/* In the child: show the host's own instance of TARGET, with all that is
 * mounted in it and with FLAGS, at the descriptor PLACE_FD, and close that. */
static void bind_from_host(const char *target, int place_fd,
                           unsigned long flags) {
    struct mount_attr attr = { .attr_set = flags };
    const char *host = text("/%s", target);
    int tree_fd = clone_tree(host, AT_RECURSIVE);

    step(8, text("mount_setattr(%s)", host), NULL);
    must(syscall(SYS_mount_setattr, tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE,
                 &attr, sizeof(attr)));
    attach_tree(tree_fd, host, place_fd, target);
}

/* In the child: mount a file system that the kernel makes up at TARGET, below
 * the new root.  What it shows is a namespace of the kind SHOWS (0: of none).
 * The kernel allows that only if our user namespace owns it, so where the box
 * shares the host's, the host's own mount is shown instead.  For /sys it also
 * wants to see one that hides nothing: the host's has to be there still. */
static void mount_fresh(const char *type, const char *target,
                        unsigned long shows, unsigned long flags,
                        const char *data) {
    int place_fd = open_target(target);

    if ((box.flags & shows) != shows) {
        bind_from_host(target, place_fd, flags);
        return;
    }

    step(8, text("mount(%s, %s)", type, target),
         text("mount -t %s -o %s %s %s", type, mount_options(flags, data), type,
              target));
    must(mount(type, text("/proc/self/fd/%d", place_fd), type, flags, data));
    close(place_fd);
}

/* In the child: the /proc of chapter 4, in the new root, while the host's is in
 * sight still: the kernel gives a user namespace no /proc that shows more than
 * the one it has. */
static void mount_root_proc(void) {
    int place_fd = open_target("proc");

    if (!(box.flags & CLONE_NEWPID)) {
        bind_from_host("proc", place_fd, SAFE);
        return;
    }

    mount_proc(text("/proc/self/fd/%d", place_fd));
    close(place_fd);
}

/* Before the clone: take the folder NAME, or with AT_RECURSIVE also a file,
 * into trees[], and copy its mount if we are root. */
static struct tree *open_folder(const char *name, unsigned int flags) {
    struct tree *tree = &trees[tree_count];
    const char *path = name;

    tree_count++;
    tree->flags = flags;
    if (!(flags & AT_RECURSIVE))
        path = text("%s/.", name);      /* leads nowhere unless NAME is one */

    step(8, text("open(%s)", name), text("ls %s", name));
    int fd = must(open(path, O_PATH | O_CLOEXEC));
    find_path(fd, name, tree->path);
    close(fd);

    tree->fd = -1;
    if (host_root)
        tree->fd = clone_tree(tree->path, flags);
    return tree;
}

#if WITH_VOLUMES
static _Noreturn void die_of_mount(const struct tree *tree,
                                   const struct mount_attr *attr,
                                   const char *change);
#endif

/* The child's ids are mapped: have root's copies show the disk's id N as the
 * box's N.  A copy of a shared mount is shared: end that.  mount_setattr(2). */
static void idmap_folders(void) {
    for (struct tree *t = trees; t < trees + tree_count && t->fd >= 0; t++) {
        struct mount_attr attr = { .propagation = MS_PRIVATE };
        const char *change = "MS_PRIVATE";

        if (box.userns >= 0) {
            attr.attr_set = MOUNT_ATTR_IDMAP;
            attr.userns_fd = (__u64)box.userns;
            change = "MOUNT_ATTR_IDMAP";
        }
#if WITH_VOLUMES
        if (t->is_device) {             /* its ids stay as they are */
            attr.attr_set = 0;
            change = "MS_PRIVATE";
        }
#endif

        step(8, text("mount_setattr(%s, %s)", t->path, change),
             "mount -o X-mount.idmap");
        int result = (int)syscall(SYS_mount_setattr, t->fd, "", AT_EMPTY_PATH |
                                  t->flags, &attr, sizeof(attr));
#if WITH_VOLUMES
        if (result < 0)
            die_of_mount(t, &attr, change);     /* it names the one */
#endif
        must(result);
    }
}

/* In the child: copy those mounts that root has not copied for us.  A user may
 * not leave out what is mounted in a folder, which could uncover something:
 * EINVAL. */
static void copy_folders(void) {
    for (struct tree *t = trees; t < trees + tree_count; t++) {
        if (t->fd >= 0)
            continue;

        step(8, text("open_tree(%s, OPEN_TREE_CLONE)", t->path), NULL);
        t->fd = (int)syscall(SYS_open_tree, AT_FDCWD, t->path, t->flags |
                             OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
#if WITH_VOLUMES || !WITH_LAYERS
        t->has_mounts = t->fd < 0 && errno == EINVAL;
        if (t->has_mounts)
            continue;                   /* it is copied below, as a whole */
#endif
        must(t->fd);
    }
#if WITH_VOLUMES || !WITH_LAYERS

    for (struct tree *t = trees; t < trees + tree_count; t++)
        if (t->has_mounts)
            t->fd = clone_tree(t->path, AT_RECURSIVE);
#endif
}

/* In the child: attach TREE at the folder TO. */
static void attach_folder(const struct tree *tree, const char *to) {
    step(8, text("openat(%s)", to), NULL);
    int place_fd = must(openat(AT_FDCWD, to,
                               O_PATH | O_DIRECTORY | O_CLOEXEC));
    attach_tree(tree->fd, tree->path, place_fd, to);
}

/* Before the clone: the rootfs, which --rootfs names, or else the environment,
 * or else it is the folder of that name right here. */
static void open_rootfs(void) {
    const char *path = opt.rootfs;

    if (!path)
        path = getenv("WHALEBOX_ROOTFS");
    if (!path || *path == '\0')
        path = "rootfs";
    rootfs = open_folder(path, 0);
}

/* Before the clone: let the box open its streams anew, as /dev/stdout and the
 * like.  Then it is asked for its rights, as with any file, and a pipe is for
 * its maker alone.  One without a name is found by nobody who has not got it
 * already, so its mode does not matter; a FIFO's does, and stays.  pipe(7). */
static void open_pipes(void) {
    struct statfs fs;

    for (int fd = 0; fd <= 2; fd++)
        if (fstatfs(fd, &fs) == 0 && fs.f_type == PIPEFS_MAGIC)
            fchmod(fd, 0666);           /* or it is another's: no matter */
}

/* Before the clone: what the new root is made of. */
static void prepare_root(void) {
    open_rootfs();
    open_pipes();
}

#if !WITH_LAYERS
/* In the child: with no layer above it, the rootfs itself is the new root.  No
 * device in it can be opened: it may be a stranger's.  It is attached at /tmp,
 * which every host has. */
static void attach_rootfs(void) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV };

    step(8, text("mount_setattr(%s, MOUNT_ATTR_NODEV)", rootfs->path), NULL);
    must(syscall(SYS_mount_setattr, rootfs->fd, "", AT_EMPTY_PATH |
                 (rootfs->has_mounts ? AT_RECURSIVE : 0), &attr, sizeof(attr)));
    attach_folder(rootfs, "/tmp");

    step(8, "chdir(/tmp)", "cd /tmp");
    must(chdir("/tmp"));
}
#endif

/* In the child: show the host's device NAME in the folder DEV_FD, on an empty
 * file, for root of a user namespace may not mknod(2).  What is attached is
 * what has been looked at, whatever its path is meanwhile: a /dev/null that is
 * a file, say, is refused (CVE-2025-31133). */
static void bind_device(int dev_fd, const char *name, dev_t number) {
    const char *host = text("/dev/%s", name);
    struct stat st;
    int tree_fd = clone_tree(host, 0);

    step(8, text("openat, fstat(%s)", host), NULL);
    int place_fd = must(openat(dev_fd, name, O_CREAT | O_EXCL | O_CLOEXEC,
                               0666));
    must(fstat(tree_fd, &st));
    require(S_ISCHR(st.st_mode) && st.st_rdev == number, ENODEV);

    attach_tree(tree_fd, host, place_fd, host + 1);     /* "dev/NAME" */
}

/* In the child: /dev, with nothing of the host's but six harmless devices. */
static void mount_dev(void) {
    static const char *const links[][2] = {
        { "ptmx", "pts/ptmx" }, { "fd", "/proc/self/fd" },
        { "stdin", "fd/0" }, { "stdout", "fd/1" }, { "stderr", "fd/2" },
    };

    mount_fresh("tmpfs", "dev", 0, MS_NOSUID | MS_NODEV, "mode=755,size=64k");
    mount_fresh("devpts", "dev/pts", 0, MS_NOSUID | MS_NOEXEC,
                "newinstance,ptmxmode=0666,mode=0620"); /* its own terminals */
    mount_fresh("tmpfs", "dev/shm", 0, SAFE, "mode=1777,size=64m");
    if ((box.flags & CLONE_NEWIPC) || is_there(AT_FDCWD, "/dev/mqueue"))
        mount_fresh("mqueue", "dev/mqueue", CLONE_NEWIPC, SAFE, "");

    int place_fd = open_target("dev");
    step(8, "openat(dev)", NULL);
    int dev_fd = must(openat(place_fd, ".", FOLDER));
    bind_device(dev_fd, "null", makedev(1, 3));     /* takes all */
    bind_device(dev_fd, "zero", makedev(1, 5));     /* gives zeros */
    bind_device(dev_fd, "full", makedev(1, 7));     /* ENOSPC at every write */
    bind_device(dev_fd, "random", makedev(1, 8));   /* gives random bytes */
    bind_device(dev_fd, "urandom", makedev(1, 9));  /* the same today */
    bind_device(dev_fd, "tty", makedev(5, 0));      /* the caller's terminal */

    for (size_t i = 0; i < LENGTH(links); i++) {
        step(8, text("symlink(dev/%s)", links[i][0]),
             text("ln -s %s dev/%s", links[i][1], links[i][0]));
        must(symlinkat(links[i][1], dev_fd, links[i][0]));
    }
}

/* In the child: /sys, and in it the box's own cgroup, to look at only. */
static void mount_sys(void) {
    mount_fresh("sysfs", "sys", CLONE_NEWNET, SAFE | MS_RDONLY, "");

    /* The host's /sys shows the host's cgroups: an empty folder covers them.
     * The box's go on top, since no file system is mounted over itself. */
    int hosts = (box.flags & (CLONE_NEWNET | CLONE_NEWCGROUP)) !=
                (CLONE_NEWNET | CLONE_NEWCGROUP);
    if (hosts && is_there(AT_FDCWD, "sys/fs/cgroup"))
        mount_fresh("tmpfs", "sys/fs/cgroup", 0, SAFE | MS_RDONLY, "");
    if (box.flags & CLONE_NEWCGROUP)
        mount_fresh("cgroup2", "sys/fs/cgroup", 0, SAFE | MS_RDONLY, "");
}

/* In the child: make "." the root.  The old root comes to lie on top of it, so
 * that "." finds it there, and is detached with all that is mounted on it. */
static void pivot_to_rootfs(void) {
    step(8, "pivot_root(\".\", \".\")", "pivot_root . .");
    must(syscall(SYS_pivot_root, ".", "."));    /* the new, the old */

    step(8, "umount2(\".\", MNT_DETACH)", "umount -l .");
    must(umount2(".", MNT_DETACH));

    /* What was "." is "/" now: the box begins there. */
    step(8, "chdir(/)", "cd /");
    must(chdir("/"));
}
#endif /* WITH_ROOT */

#if WITH_LAYERS
/* === Chapter 9: layers =====================================================
 *
 * A union file system shows several folders as one.  What the box writes goes
 * to the top one; those below never change, so boxes can share them.
 *
 *   box/upper   what the box wrote, and whiteouts for what it removed
 *   init        /etc/hosts, hostname, resolv.conf of this box, read-only
 *   lower       the rootfs, read-only, everybody's
 *
 * What a box wrote is removed when it has ended.  That is the most dangerous
 * thing that whalebox does, for the names in there are a stranger's.  Three
 * rules keep a removal to what it is meant for:
 *
 *   - It is our own.  A box's folder has a mark, the file "box"; a folder that
 *     has none was made by somebody else, and stays.
 *   - Nobody is in it.  The mark names the box's first process, with which all
 *     the others end.  Where it cannot be told whether that lives, all stays.
 *   - There is no way out.  A folder that is opened is never left by "..", and
 *     is opened by a name in a folder that is open already, if that name is
 *     neither a link nor a mount.  See clear_folder().
 *
 * The kernel's filesystems/overlayfs; aufs(5), which some kernels have.
 */
#include <linux/fs.h>            /* RENAME_NOREPLACE */

static const char *storage;             /* what stacks the layers */
static char home[PATH_MAX];             /* where all boxes' folders are */
static int containers_fd = -1;          /* the same, opened */
static int folder_fd = -1;              /* this box's, with upper and work */
static unsigned long long first_start;  /* its first process's start_time() */
static struct tree *layers;             /* the same folder, to be mounted */
static const char *sync_option = ",volatile";   /* overlay need not sync */
#if WITH_DETACH
static int is_to_stay(int dir_fd);
static void sync_mark(int fd);
#endif

static const struct option layer_options[] = {
    { 0, "storage", "overlay|aufs",
      "how to stack layers; aufs, for root, with --userns host",
      .set = set_text, .into = &opt.storage },
    { 0 }
};
static const struct hint layer_hints[] = {
    { "mount(overlay", EPERM, .fix = "in a user namespace overlay needs Linux "
      "5.11: as root, --userns host" },
    { "mount(overlay", EINVAL, .fix = "the upper layer cannot be on overlay "
      "(as in docker) or NFS: put WHALEBOX_HOME on a disk" },
    { "mount(aufs", EPERM, .fix = "root: --userns host, or modprobe aufs "
      "allow_userns=1" },
    { "mount(aufs", EINVAL, .fix = "a layer is on overlay or aufs, or in "
      "another: see dmesg" },
    { "mount", ENODEV, .fix = "this kernel has no such file system: modprobe "
      "it, or choose the other --storage" },
    { "mkdir", 0, .fix = "name a folder of yours: WHALEBOX_HOME=DIR" },
    { "open", ENOTDIR, .fix = "it is a symbolic link, or no folder: name the "
      "folder itself, WHALEBOX_HOME=DIR" },
    { "open", EACCES, .fix = "name a folder of yours: WHALEBOX_HOME=DIR" },
    { 0 }
};

/* --- Who lives in a box's folder ------------------------------------------ */

/* When the process PID started, in clock ticks since the boot.  No other that
 * ever has its number started then.  0 with errno if there is none, or if it
 * cannot be looked at.  proc(5), field 22 of stat. */
static unsigned long long start_time(int pid) {
    char stat[1024];

    int fd = open(text("/proc/%d/stat", pid), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, stat, sizeof(stat) - 1);
    close(fd);                          /* this cannot fail, nor set errno */
    if (length < 0)
        return 0;
    stat[length] = '\0';

    /* Field 2 is the program's name in parentheses, and may have any character
     * in it.  After the last ')' each field has one blank before it. */
    char *field = strrchr(stat, ')');
    for (int n = 2; field && n < 22; n++)
        field = strchr(field + 1, ' ');
    if (!field) {
        errno = ESRCH;
        return 0;
    }
    return (unsigned long long)atoll(field);
}

/* What tells this boot from any other: numbers of processes begin anew.  "-" if
 * /proc hides it: then the start time alone tells them apart. */
static const char *boot_id(void) {
    static char id[37];                 /* it stays as it is */

    if (!*id) {
        char *read = read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id");
        snprintf(id, sizeof(id), "%s", *read ? read : "-");
    }
    return id;
}

/* What tells our numbers of processes from the same numbers in a container: the
 * PID namespace, by its inode number. */
static unsigned long long pid_namespace(void) {
    static struct stat st;              /* it stays as it is */

    if (st.st_ino == 0) {
        step(9, "stat(/proc/self/ns/pid)", NULL);
        must(stat("/proc/self/ns/pid", &st));
    }
    return st.st_ino;
}

/* A mark is one line, "PID START BOOT NAMESPACE": the box's first process, by
 * its number here, its start time, the boot, and the namespace that the number
 * is of.  PID is 0 as long as there is nobody.  NAMESPACE is 0, which none is,
 * for a box that shares ours: in that, others may outlive the first. */
struct mark {
    unsigned long long pid, start, pid_namespace;
    char boot[64];
};

/* Write the mark of the box in DIR_FD.  One write in place: a reader finds the
 * old line or the new, and what follows it does not count. */
static void write_mark(int dir_fd, pid_t pid, unsigned long long start) {
    unsigned long long namespace = 0;

    if (box.flags & CLONE_NEWPID)
        namespace = pid_namespace();
    const char *line = text("%d %llu %s %llu\n", pid, start, boot_id(),
                            namespace);

    step(9, text("openat, write(%s/box)", box.name),
         text("echo %d... >box", pid));
    int fd = must(openat(dir_fd, "box", O_WRONLY | O_CREAT | O_NOFOLLOW |
                         O_CLOEXEC, 0600));
    ssize_t written = must(pwrite(fd, line, strlen(line), 0));
    require(written == (ssize_t)strlen(line), ENOSPC);
#if WITH_DETACH
    sync_mark(fd);
#endif
    close(fd);
}

/* Read the first line of the file "box" in DIR_FD into LINE, of SIZE bytes,
 * without its '\n'.  The file may be anything, a FIFO even, so opening it must
 * not wait.  Returns 0, or -1 with errno: ENOENT if there is no such line of
 * ours, or what keeps us from reading it. */
static int read_mark_line(int dir_fd, char *line, size_t size) {
    struct stat st;
    ssize_t length = 0;

    int fd = openat(dir_fd, "box", O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
                    O_CLOEXEC);
    if (fd < 0) {
        if (errno == ELOOP || errno == ENXIO)
            errno = ENOENT;             /* a link, or a socket */
        return -1;
    }
    int result = fstat(fd, &st);
    if (result == 0 && S_ISREG(st.st_mode) && st.st_uid == getuid())
        length = read(fd, line, size - 1);
    close(fd);
    if (result < 0 || length < 0)
        return -1;

    line[length] = '\0';
    char *end = strchr(line, '\n');
    if (!end) {
        errno = ENOENT;
        return -1;
    }
    *end = '\0';
    return 0;
}

/* Read the mark of the folder DIR_FD.  Returns 0, or -1 with errno: ENOENT if
 * it has none, or none that makes sense, and so is not a box's. */
static int read_mark(int dir_fd, struct mark *mark) {
    char line[256], *rest = line;

    if (read_mark_line(dir_fd, line, sizeof(line)) < 0)
        return -1;
    errno = ENOENT;                     /* unless it makes sense */

    /* A word that is missing is NULL, and so are all after it. */
    const char *pid = strsep(&rest, " ");
    const char *start = strsep(&rest, " ");
    const char *boot = strsep(&rest, " ");
    const char *namespace = rest;
    if (!namespace || *boot == '\0' || strlen(boot) > 36 ||
        parse_number(start, 0, LLONG_MAX, &mark->start) < 0 ||
        parse_number(namespace, 0, LLONG_MAX, &mark->pid_namespace) < 0)
        return -1;

    strcpy(mark->boot, boot);
    return parse_number(pid, 0, INT_MAX, &mark->pid);
}

/* Does the process, if there is one, end within so many SECONDS?  Where that
 * cannot be told we leave, since nobody is to be killed on a guess. */
static int ends(int pidfd, int seconds) {
    struct pollfd process = { .fd = pidfd, .events = POLLIN };

    if (pidfd < 0)
        return 1;
    int ended = poll(&process, 1, seconds * 1000);
    if (ended < 0) {
        step(9, "poll(pidfd)", NULL);
        die();
    }
    return ended;
}

/* Does the process live that the mark of the folder DIR_FD names?  With it all
 * others of the box have ended.  It is held by its pidfd before it is looked
 * at, so that no other can take its number meanwhile.  Sets *PIDFD, to -1
 * unless it lives. */
enum residence { NOBODY, SOMEBODY, UNKNOWN };
static enum residence find_resident(int dir_fd, int *pidfd) {
    struct mark mark;

    *pidfd = -1;
    if (read_mark(dir_fd, &mark) < 0)
        return UNKNOWN;                 /* this is no box's folder */
    if (strcmp(mark.boot, boot_id()) != 0)
        return NOBODY;                  /* nobody outlives a boot */
    if (mark.pid == 0)
        return NOBODY;                  /* a child at the gate ends by itself */
    if (mark.pid_namespace != pid_namespace())
        return UNKNOWN;                 /* it cannot be told from here */

    *pidfd = (int)syscall(SYS_pidfd_open, (pid_t)mark.pid, 0);
    if (*pidfd < 0 && errno == ESRCH)
        return NOBODY;
    if (*pidfd < 0)
        return UNKNOWN;

    unsigned long long start = start_time((int)mark.pid);
    if (start == mark.start && !ends(*pidfd, 0))
        return SOMEBODY;

    /* Another process has the number, or ours has ended just now.  If its start
     * time cannot be read, though it lives, it may be either. */
    int is_gone = start != 0 || ends(*pidfd, 0);
    close(*pidfd);
    *pidfd = -1;
    return is_gone ? NOBODY : UNKNOWN;
}

/* Send SIG to a process by its descriptor; nothing happens if it is gone. */
static void send_signal(int pidfd, int sig) {
    syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
}

/* End the process that the mark of the folder DIR_FD names, whose whalebox is
 * dead: it was to end with that, but a change of user undoes PR_SET_PDEATHSIG,
 * and so may the program itself.  Returns whether nobody lives there any more,
 * which may take the kernel up to ten seconds. */
static int end_resident(int dir_fd) {
    int pidfd;
    enum residence found = find_resident(dir_fd, &pidfd);

    if (found != SOMEBODY)
        return found == NOBODY;

    send_signal(pidfd, SIGKILL);
    int has_ended = ends(pidfd, 10);
    close(pidfd);
    return has_ended;
}

/* The child is at the gate, and goes on only when its box's mark names it. */
static void name_resident(void) {
    step(9, text("read(/proc/%d/stat)", box.pid), NULL);
    first_start = start_time(box.pid);
    require(first_start != 0, errno);
    write_mark(folder_fd, box.pid, first_start);
}

/* --- Removing what a box wrote ---------------------------------------------
 */

static int cleared_fd;                  /* the folder that is being cleared */
static int entries_left;                /* what a round has left in it */
static time_t deadline;                 /* when to give up: CLOCK_MONOTONIC */
static const char *failed_call;         /* which, for remove_box() to tell */

/* CALL has failed, and errno says why.  Returns -1. */
static int fail_at(const char *call) {
    failed_call = call;
    return -1;
}

/* Hold the folder NAME in DIR_FD, and nothing else by that name: on the way to
 * it is no link, and no mount, which may show files that are not ours.  Returns
 * a descriptor, with O_PATH, or -1 with errno.  openat2(2). */
static int hold_subfolder(int dir_fd, const char *name) {
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV };

    return (int)syscall(SYS_openat2, dir_fd, name, &how, sizeof(how));
}

/* The same, to be read.  It may be closed even to its owner, as one of
 * overlay's is. */
static int open_subfolder(int dir_fd, const char *name) {
    struct stat st;

    int path_fd = hold_subfolder(dir_fd, name);
    if (path_fd < 0)
        return fail_at("openat2");

    /* An O_PATH descriptor cannot be read, but it holds the folder: its mode is
     * changed, and it is opened, without its name being looked up again. */
    if (fstat(path_fd, &st) == 0 && (st.st_mode & 0700) != 0700)
        chmod(text("/proc/self/fd/%d", path_fd), 0700);
    int fd = openat(path_fd, ".", FOLDER);

    close_quietly(path_fd);
    return fd < 0 ? fail_at("openat") : fd;
}

/* Remove NAME from DIR_FD, a link itself and not what it leads to.  Returns 0,
 * 1 if it is a folder with something in it, or -1 with errno. */
static int remove_entry(int dir_fd, const char *name) {
    if (read_clock(CLOCK_MONOTONIC).tv_sec > deadline) {
        errno = ETIMEDOUT;
        return fail_at("unlinkat");
    }

    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return 1;
    return fail_at("unlinkat");
}

/* The same, but move a folder with something in it up into the folder that is
 * being cleared, where its inode's number is a name that no other has. */
static int lift_entry(int dir_fd, const char *name) {
    struct stat st;

    int result = remove_entry(dir_fd, name);
    if (result <= 0)
        return result;

    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_at("fstatat");
    const char *number = text("%llu", (unsigned long long)st.st_ino);
    entries_left++;
    result = renameat(dir_fd, name, cleared_fd, number);

    /* To move a folder is to write its "..", so one that is closed to its owner
     * cannot be moved.  To open it makes it writable. */
    if (result < 0 && errno == EACCES) {
        close(open_subfolder(dir_fd, name));
        result = renameat(dir_fd, name, cleared_fd, number);
    }

    if (result < 0 && errno != ENOENT)
        return fail_at("renameat");
    return 0;
}

/* Remove NAME from the folder that is being cleared; if it is a folder with
 * something in it, empty that.  The mark stays: it is what goes last. */
static int clear_entry(int dir_fd, const char *name) {
    if (strcmp(name, "box") == 0)
        return 0;
    int result = remove_entry(dir_fd, name);
    if (result <= 0)
        return result;

    int fd = open_subfolder(dir_fd, name);
    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    result = for_each(fd, 1, lift_entry);
    close_quietly(fd);
    if (result == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
        entries_left++;                 /* somebody has put something there */
    return result;
}

/* Most boxes have written nothing.  What overlay itself leaves of such a one in
 * the folder DIR_FD is always the same, and quickly removed: file by file, each
 * from a folder that is held.  What fails here is clear_folder()'s work. */
static void remove_usual(int dir_fd) {
    static const struct { const char *folder, *name; int flags; } usual[] = {
        { "work/work/incompat/volatile", "dirty", 0 },
        { "work/work/incompat", "volatile", AT_REMOVEDIR },
        { "work/work", "incompat", AT_REMOVEDIR },
        { "work", "work", AT_REMOVEDIR },
    };

    for (size_t i = 0; i < LENGTH(usual); i++) {
        int held_fd = hold_subfolder(dir_fd, usual[i].folder);
        if (held_fd < 0)
            continue;
        unlinkat(held_fd, usual[i].name, usual[i].flags);
        close(held_fd);
    }
}

/*
 * Remove all that is in the folder DIR_FD, but its mark.  A walk that goes down
 * has to come up again, and whoever renames a folder meanwhile decides where
 * ".." leads.  So this one never goes down by more than one folder: what is
 * further down is moved up first, and its turn comes in the next round.
 * However deep a tree is, two descriptors do, and each name is looked up in a
 * folder that is held open and was found below DIR_FD.
 *
 * Where something is made anew as fast as it is removed there is no end, so it
 * gives up after so many SECONDS.  Returns 0, or -1 with errno (ETIMEDOUT).
 */
static int clear_folder(int dir_fd, int seconds) {
    int result = 0;

    remove_usual(dir_fd);
    cleared_fd = dir_fd;
    failed_call = "getdents64";         /* if it is none of the others */
    deadline = read_clock(CLOCK_MONOTONIC).tv_sec + seconds;
    do {
        entries_left = 0;
        result = for_each(dir_fd, 1, clear_entry);
    } while (result == 0 && entries_left > 0);
    return result;
}

static int leftover_fd, leftover_seconds;       /* for clear_folder() */

/* In a helper: root of a user namespace that is mapped as the box's was.  Its
 * exit status tells clear_by_helper() how it went. */
static _Noreturn void clear_as_box_root(void) {
    start_child();
    die_with_parent();
    if (clear_folder(leftover_fd, leftover_seconds) == 0)
        _exit(0);
    _exit(errno == ETIMEDOUT ? 2 : 1);
}

/* What ids of a user's range have left in a box's folder, only root of a user
 * namespace with that range can remove: a helper becomes that.  Returns 0, or
 * -1 with errno. */
static int clear_by_helper(int dir_fd, int seconds) {
    struct clone_args args = { .flags = CLONE_NEWUSER,
                               .exit_signal = SIGCHLD };
    pid_t box_pid = box.pid;
    int status = -1;                    /* if even waiting fails */

    leftover_fd = dir_fd;
    leftover_seconds = seconds;

    /* The helper is made as a box is, but with nothing of its own except users,
     * and is mapped as that was. */
#if WITH_USER
    choose_ids();
#endif
    box.pid = clone_child(&args, clear_as_box_root);
#if WITH_USER
    write_maps();
#endif
    open_gate();
    waitpid(box.pid, &status, 0);
    close(lifeline_fds[1]);
    box.pid = box_pid;

    if (status == 0)
        return 0;
    errno = exit_status(status) == 2 ? ETIMEDOUT : EPERM;
    return -1;
}

/* Is the folder DIR_FD one that a whalebox made, and not somebody else's?  One
 * that was killed at it may have left the mark empty. */
static int is_half_made(int dir_fd) {
    struct mark mark;
    struct stat st;

    if (fstatat(dir_fd, "box", &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode) && st.st_size == 0)
        return 1;
    return read_mark(dir_fd, &mark) == 0;
}

/* A folder is made under the name ".new", which no box can have, and loses its
 * name that way, too, so that it is never without its mark under a box's name.
 * Remove what a whalebox that was killed has left of one: there is no more in
 * it than this.  What is not a whalebox's makes it fail.  The caller has the
 * lock on containers_fd.  Returns 0, or -1 with errno. */
static int remove_new_folder(void) {
    int dir_fd = openat(containers_fd, ".new", FOLDER | O_NOFOLLOW);

    if (dir_fd < 0)
        return errno == ENOENT ? 0 : -1;

    /* With something in these two it is no half-made box: the mark stays. */
    if (is_half_made(dir_fd)) {
        unlinkat(dir_fd, "upper", AT_REMOVEDIR);
        unlinkat(dir_fd, "work", AT_REMOVEDIR);
        if (!is_there(dir_fd, "upper") && !is_there(dir_fd, "work"))
            unlinkat(dir_fd, "box", 0);
    }
    close(dir_fd);
    return unlinkat(containers_fd, ".new", AT_REMOVEDIR);
}

/* Take its name from the folder DIR_FD: it is called ".new" then.  If NAME has
 * become another folder's meanwhile, that stays.  Returns 0, or -1 with errno.
 */
static int take_name(int dir_fd, const char *name) {
    int is_ours = is_same_file(dir_fd, containers_fd, name);

    if (is_ours < 0)
        return fail_at("fstatat");
    if (!is_ours) {
        if (is_same_file(dir_fd, containers_fd, ".new") > 0)
            return 0;                   /* an earlier try came this far */
        errno = ESTALE;
        return fail_at("renameat");
    }

    /* One that somebody was killed at may have that name, and be in the way. */
    if (renameat(containers_fd, name, containers_fd, ".new") == 0)
        return 0;
    if (remove_new_folder() < 0)
        return fail_at("unlinkat");
    if (renameat(containers_fd, name, containers_fd, ".new") < 0)
        return fail_at("renameat");
    return 0;
}

/* The folder DIR_FD, called NAME, has nothing in it but its mark: take it away,
 * the mark when it has no box's name any more.  Returns 0, or -1 with errno. */
static int remove_emptied(int dir_fd, const char *name) {
    if (flock(containers_fd, LOCK_EX) < 0)
        return fail_at("flock");

    int result = take_name(dir_fd, name);
    if (result == 0 && unlinkat(dir_fd, "box", 0) < 0 && errno != ENOENT)
        result = fail_at("unlinkat");
    if (result == 0 && unlinkat(containers_fd, ".new", AT_REMOVEDIR) < 0)
        result = fail_at("unlinkat");

    int why = errno;
    flock(containers_fd, LOCK_UN);
    errno = why;
    return result;
}

/* Try once to remove the box's folder DIR_FD.  Returns 0, or -1 with errno. */
static int try_to_remove(int dir_fd, const char *name, int seconds) {
    int result = clear_folder(dir_fd, seconds);

    if (result < 0 && errno != ETIMEDOUT && !host_root &&
        (box.flags & CLONE_NEWUSER))
        result = clear_by_helper(dir_fd, seconds);
    if (result < 0)
        return -1;
    return remove_emptied(dir_fd, name);
}

/* Remove the box's folder DIR_FD, whose name is NAME, and in which nobody
 * lives.  What fails is tried again, since it may have failed by chance, unless
 * its SECONDS are over.  Returns 0, or -1, having said why: then its mark is
 * still there, and a later run tries. */
static int remove_box(int dir_fd, const char *name, int seconds) {
    step(9, text("unlinkat(%s)", name), text("rm -rf %s/%s", home, name));
    for (int tries = 0; tries < 3; tries++) {
        if (try_to_remove(dir_fd, name, seconds) == 0)
            return 0;
        if (errno == ETIMEDOUT)
            break;
    }

    now.chapter = 9;                    /* a helper's steps came after ours */
    now.call = text("%s(%s)", failed_call, name);
    complain();
    return -1;
}

/* Is the box's folder DIR_FD to be removed by us?  Its whalebox has to be dead,
 * and nobody else at it: we take a lock, so that no two remove it at once, and
 * look again, since it may have changed hands, or lost its name, before that.
 */
static int is_to_be_swept(int dir_fd) {
    struct stat st;

    if (!is_abandoned(dir_fd))
        return 0;
    if (flock(dir_fd, LOCK_EX | LOCK_NB) < 0 || !is_abandoned(dir_fd))
        return 0;
#if WITH_DETACH
    if (is_to_stay(dir_fd))
        return 0;
#endif
    return fstat(dir_fd, &st) == 0 && st.st_nlink > 0;
}

#if WITH_BRIDGE
static void drop_dead_wire(const char *name);
#endif

/* Remove the box NAME below PARENT_FD if its whalebox is dead, and end what is
 * left of it.  Returns 0, to go on. */
static int sweep_box(int parent_fd, const char *name) {
    if (*name == '.')
        return 0;                       /* ".new": no box has such a name */
    int dir_fd = openat(parent_fd, name, FOLDER | O_NOFOLLOW);
    if (dir_fd < 0)
        return 0;

    if (is_to_be_swept(dir_fd) && end_resident(dir_fd)) {
#if WITH_BRIDGE
        drop_dead_wire(name);
#endif
        remove_box(dir_fd, name, 10);
    }
    close(dir_fd);
    return 0;
}

/* --- The folder of all boxes, and this box's -------------------------------
 */

/* Refuse the folder DIR_FD, which is PATH, unless it is the caller's own and
 * none of the bits CLOSED is in its mode.  A user who could write there could
 * make us believe anything: which process to end, and what to remove.  In a
 * folder with the sticky bit, as a new tmpfs has it, others can write, and yet
 * not rename what is ours. */
static void check_owner(int dir_fd, const char *path, mode_t closed) {
    struct stat st;

    step(9, text("fstat(%s)", path), text("stat %s", path));
    must(fstat(dir_fd, &st));
    if (st.st_uid != getuid())
        refuse("name a folder of yours: WHALEBOX_HOME=DIR",
               "%s belongs to user %u, and not to you", path, st.st_uid);

    if (st.st_mode & S_ISVTX)
        closed &= 055;                  /* all but w */
    if (st.st_mode & closed)
        refuse(text("chmod %s %s", closed & 055 ? "700" : "go-w", path),
               "%s is open to others (mode %03o)", path, st.st_mode & 07777);
}

/* Where the folder of all boxes' folders is to be: as the environment has it,
 * and else where programs keep what is theirs. */
static const char *home_path(void) {
    const char *set = getenv("WHALEBOX_HOME");
    if (set && *set)
        return set;
    if (host_root)
        return "/var/lib/whalebox";

    const char *data = getenv("XDG_DATA_HOME");
    if (data && *data)
        return text("%s/whalebox", data);

    const char *own = getenv("HOME");
    return text("%s/.local/share/whalebox", own ? own : "");
}

/* Make the folder PATH, and those above it.  Where one of these cannot be made,
 * nor can the last, and that is what is told. */
static void make_path(const char *path) {
    char *above = text("%s", path);
    char *slash = above;

    step(9, text("mkdir(%s/containers)", path),
         text("mkdir -p %s/containers", path));
    while ((slash = strchr(slash + 1, '/'))) {
        *slash = '\0';
        mkdir(above, 0700);
        *slash = '/';
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        die();
}

/* Open the folder of all boxes' folders, made if missing, for its owner alone:
 * root's has set-user-ID files in it that anybody may have written.  Sets
 * containers_fd, and home. */
static void open_containers(void) {
    const char *path = home_path();
    const char *folders_path = text("%s/containers", path);

    if (access(path, F_OK) < 0)
        make_path(path);                /* the first box of all */
    step(9, text("open(%s, O_NOFOLLOW)", path), text("ls -d %s", path));
    int home_fd = must(open(path, FOLDER | O_NOFOLLOW));
    check_owner(home_fd, path, 022);

    step(9, text("mkdir(%s)", folders_path), NULL);
    if (mkdirat(home_fd, "containers", 0700) < 0 && errno != EEXIST)
        die();
    step(9, text("open(%s, O_NOFOLLOW)", folders_path),
         text("ls -d %s", folders_path));
    containers_fd = must(openat(home_fd, "containers", FOLDER | O_NOFOLLOW));
    check_owner(containers_fd, folders_path, 077);
    close(home_fd);

    find_path(containers_fd, folders_path, home);
}

/* Open this box's folder, which is called NAME as yet, and lock it: that tells
 * others that we live. */
static void hold_folder(const char *name) {
    step(9, text("open(%s/%s), fcntl()", home, name), NULL);
    folder_fd = must(openat(containers_fd, name, FOLDER | O_NOFOLLOW));
    must(lock_folder(folder_fd));
}

/* Make this box's folder, with its own layer in it and its mark, and then give
 * it its name.  Only one at a time is made: what a killed whalebox has left of
 * one is removed first.  The mark comes before all else, since a folder that
 * has none is not ours. */
static void make_folder(void) {
#if WITH_DETACH
    if (box.has_folder) {               /* a run before has made it */
        hold_folder(box.name);
        return;
    }

#endif
    step(9, "flock(containers)", NULL);
    must(flock(containers_fd, LOCK_EX));

    step(9, text("mkdir(%s/.new)", home), text("mkdir -p %s/.new/upper", home));
    must(remove_new_folder());
    must(mkdirat(containers_fd, ".new", 0755));
    hold_folder(".new");

    write_mark(folder_fd, 0, 0);
    step(9, "mkdir(upper, work)", NULL);
    must(mkdirat(folder_fd, "upper", 0755));    /* what the box writes */
    must(mkdirat(folder_fd, "work", 0755));     /* overlay's own workshop */

    step(9, text("renameat2(.new, %s, RENAME_NOREPLACE)", box.name),
         text("mv -n %s/.new %s/%s", home, home, box.name));
    int result = (int)syscall(SYS_renameat2, containers_fd, ".new",
                              containers_fd, box.name, RENAME_NOREPLACE);
    if (result < 0 && errno == EEXIST)
        refuse("choose another --name", "a box named %s is there", box.name);
    must(result);
    flock(containers_fd, LOCK_UN);
}

/* What the kernel has to stack layers.  One that lists neither may have overlay
 * as a module. */
static const char *usual_storage(void) {
    const char *known = read_file(AT_FDCWD, "/proc/filesystems");

    if (strstr(known, "\taufs\n") && !strstr(known, "\toverlay\n"))
        return "aufs";
    return "overlay";
}

/* What is to stack them: --storage, or the usual. */
static const char *wanted_storage(void) {
    return opt.storage ? opt.storage : usual_storage();
}

static int is_aufs(void) {
    return strcmp(storage, "aufs") == 0;
}

/* Set storage, to what is to stack the layers if it can. */
static void choose_storage(void) {
    storage = wanted_storage();
    if (strcmp(storage, "overlay") != 0 && strcmp(storage, "aufs") != 0)
        refuse("overlay or aufs", "--storage: not \"%s\"", storage);

    /* The folders of root's box are shown under its ids by their mounts, and of
     * these aufs knows nothing: it would write under ids that are nobody's. */
    if (is_aufs() && host_root && (box.flags & CLONE_NEWUSER)) {
        step(9, "mount(aufs)", NULL);
        refuse("--userns host, or --storage overlay",
               "aufs cannot have other ids in a box");
    }
}

/* Before the clone: the box's folder, with its own layer in it.  Boxes whose
 * whalebox was killed are removed first: one may have had the same name. */
static void make_layers(void) {
    choose_storage();
    open_containers();
    sweep_box(containers_fd, box.name);
    look_at_some(containers_fd, sweep_box);
    make_folder();

    /* Overlay wants upper and work below one mount.  Aufs hands out its branch
     * by an ioctl, and with it what is above it in its mount: upper alone. */
    const char *top = is_aufs() ? "/upper" : "";
    layers = open_folder(text("%s/%s%s", home, box.name, top), 0);
}

/* After the end: what the box wrote goes with it, and with that our lock. */
static void drop_layers(void) {
    if (folder_fd < 0)
        return;
#if WITH_DETACH
    if (box.is_kept && is_to_stay(folder_fd))
        return;
#endif
    remove_box(folder_fd, box.name, 60);
}

/* In the child: make the folder of the init layer that the box sees as /etc:
 * "init/etc", or where a link of that name in the rootfs leads to, for a folder
 * would cover the link.  Returns its path, or NULL if it is none in there. */
static const char *make_init_etc(void) {
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_IN_ROOT };
    char path[PATH_MAX] = "/tmp/lower/etc";

    step(9, "openat(lower), openat2(etc, RESOLVE_IN_ROOT)", NULL);
    int lower_fd = must(openat(AT_FDCWD, "lower", FOLDER));
    int etc_fd = open_as(&how, lower_fd, "etc");
    if (etc_fd < 0)
        require(errno == ENOENT || errno == ENOTDIR || errno == ELOOP, errno);
    if (etc_fd < 0 && is_there(lower_fd, "etc"))
        return NULL;
    if (etc_fd >= 0)
        find_path(etc_fd, "lower/etc", path);
    close(etc_fd);
    close(lower_fd);

    const char *etc = text("init%s", path + strlen("/tmp/lower"));
    for (size_t end = strlen("init"); etc[end]; ) {
        end += 1 + strcspn(etc + end + 1, "/");
        const char *part = text("%.*s", (int)end, etc);
        step(9, text("mkdir(%s)", part), "mkdir -p");
        must(mkdir(part, 0755));
    }
    return etc;
}

/* In the child: write VALUE to the file NAME in the folder ETC. */
static void write_init_file(const char *etc, const char *name,
                            const char *value) {
    const char *path = text("%s/%s", etc, name);

    step(9, text("write(%s)", path), NULL);
    must(write_file(AT_FDCWD, path, value, O_CREAT));
}

/* The /etc/hosts of a box that calls itself NAME.  With the host's network it
 * knows whom the host does. */
static const char *make_hosts(const char *name) {
    const char *known = "127.0.0.1\tlocalhost\n::1\tlocalhost";

#if WITH_NET
    if (opt.host_network)
        known = read_file(AT_FDCWD, "/etc/hosts");
#endif
    return text("%s\n127.0.1.1\t%s\n", known, name);
}

#if WITH_BRIDGE
static const char *make_resolvers(void);
#endif

/* In the child: files that differ from box to box, as the rootfs does not.  The
 * name is what set_hostname() made it. */
static void fill_init_layer(void) {
    char own[65];                       /* 64 is the longest there is */
    const char *etc = make_init_etc();

    if (!etc)
        return;
    step(9, "gethostname()", NULL);
    must(gethostname(own, sizeof(own)));

#if WITH_BRIDGE
    write_init_file(etc, "resolv.conf", make_resolvers());
#else
    write_init_file(etc, "resolv.conf",
                    read_file(AT_FDCWD, "/etc/resolv.conf"));
#endif
    write_init_file(etc, "hosts", make_hosts(own));
    write_init_file(etc, "hostname", text("%s\n", own));
}

#if WITH_IMAGES
static const char *image_layers_options(void);
#endif

/* The options of the mount that stacks the layers; "box" is the upper one for
 * aufs, and has it in it for overlay.  In a user namespace overlay keeps its
 * notes in user.* attributes; volatile spares it syncing what will be thrown
 * away. */
static const char *layers_options(void) {
#if WITH_IMAGES
    if (box.image)
        return image_layers_options();
#endif
    if (is_aufs())
        return "br=box=rw:init=ro+wh:lower=ro+wh,dirperm1";

    return text("lowerdir=init:lower,upperdir=box/upper,workdir=box/work%s%s",
                sync_option, box.flags & CLONE_NEWUSER ? ",userxattr" : "");
}

#if WITH_IMAGES
static void gather_layers(void);
static void mount_union(void);
#endif
#if WITH_VOLUMES
static void attach_or_sketch(void);     /* a root with mounts in it */
static void fill_root(void);
#endif

/* In the child: gather the layers on a small file system in memory, by plain
 * names, so that none with a ':' or ',' is taken for an option, and stack them.
 * "." is the new root from now. */
static void mount_layers(void) {
    static const char *const parts[] = { "init", "lower", "box", "merged" };
    const char *options = layers_options();

    /* Every host has a /tmp, and what we mount there only we see. */
    step(9, "mount(tmpfs, /tmp)", "mount -t tmpfs tmpfs /tmp; cd /tmp");
    must(mount("tmpfs", "/tmp", "tmpfs", 0, NULL));
    step(9, "chdir(/tmp), mkdir(init...)", NULL);
    must(chdir("/tmp"));
    for (size_t i = 0; i < LENGTH(parts); i++)
        must(mkdir(parts[i], 0755));

#if WITH_VOLUMES
    attach_or_sketch();                 /* if mounts are in it */
#else
    attach_folder(rootfs, "lower");
#endif
#if WITH_IMAGES
    gather_layers();                    /* if it is the folder of them all */
#endif
    fill_init_layer();

    /* The box's folder was found by its path: is it the one that we made? */
    const char *name = is_aufs() ? "upper" : ".";
    step(9, text("fstat, fstatat(%s)", layers->path), NULL);
    int is_ours = is_same_file(layers->fd, folder_fd, name);
    must(is_ours);
    require(is_ours, ESTALE);
    attach_folder(layers, "box");

    step(9, text("mount(%s, merged, \"%s\")", storage, options),
         text("mount -t %s -o %s %s merged", storage, options, storage));
    must(mount(storage, "merged", storage, MS_NODEV, options));
#if WITH_VOLUMES
    fill_root();
#endif
#if WITH_IMAGES
    mount_union();
#endif
    step(9, "chdir(merged)", NULL);
    must(chdir("merged"));
}
#endif /* WITH_LAYERS */

#if WITH_LOCKS
/* === Chapter 10: locks =====================================================
 *
 * Namespaces hide things; they forbid little.  Root in the box still has every
 * capability over what its namespaces own, may make any of some 370 system
 * calls, each a door to the kernel, and sees files in /proc and /sys that are
 * the whole machine's.  So, last of all: what is the machine's is covered or
 * made read-only, the capabilities that no program needs are dropped for good,
 * and calls that are for administrators are refused.  capabilities(7),
 * seccomp(2); the lists are docker's defaults.
 *
 *   a system call
 *     |- by another ABI's number?          refused: EPERM
 *     |- newer than our list, or clone3?   "there is none": ENOSYS
 *     |- one of refused[]?                 refused: EPERM
 *     |- clone, ioctl, socket?             it depends on an argument
 *     `- the kernel, which asks in its turn for a capability: 14 are left
 */
#include <stddef.h>              /* offsetof */
#include <linux/audit.h>         /* which ABI a call came by */
#include <linux/capability.h>    /* capset's structures */
#include <linux/filter.h>        /* programs for the filter */
#include <linux/seccomp.h>       /* filters for system calls */

/* In the kernel's order: a capability's number is its place here. */
static const char *const capabilities[] = {
    "chown", "dac_override", "dac_read_search", "fowner",       /* 0: files */
    "fsetid", "kill", "setgid", "setuid", "setpcap",            /* 4: ids */
    "linux_immutable", "net_bind_service", "net_broadcast",     /* 9 */
    "net_admin", "net_raw", "ipc_lock", "ipc_owner",            /* 12 */
    "sys_module", "sys_rawio", "sys_chroot", "sys_ptrace",      /* 16 */
    "sys_pacct", "sys_admin", "sys_boot", "sys_nice",           /* 20 */
    "sys_resource", "sys_time", "sys_tty_config", "mknod",      /* 24 */
    "lease", "audit_write", "audit_control", "setfcap",         /* 28 */
    "mac_override", "mac_admin", "syslog", "wake_alarm",        /* 32 */
    "block_suspend", "audit_read", "perfmon", "bpf",            /* 36 */
    "checkpoint_restore",                                       /* 40 */
};
#define ALL_CAPS ((1ULL << LENGTH(capabilities)) - 1)   /* a bit for each */
#define USUAL_CAPS 0xa80425fbULL        /* docker's fourteen */
#define CAP_BIT(cap) (1ULL << (cap))

/* Add the capability VALUE, with or without its "CAP_", or ALL of them, to the
 * set of the option O. */
static void add_capability(const struct option *o, const char *value) {
    const char *name = value;
    unsigned long long found = 0;

    if (strncasecmp(value, "cap_", 4) == 0)
        name += 4;
    if (strcasecmp(name, "all") == 0)
        found = ALL_CAPS;
    for (size_t i = 0; i < LENGTH(capabilities); i++)
        if (strcasecmp(name, capabilities[i]) == 0)
            found = CAP_BIT(i);
    if (!found)
        refuse_value(o, value);

    *(unsigned long long *)o->into |= found;
}

static const struct option lock_options[] = {
    { 0, "cap-add", "NAME", "keep this capability, too, or ALL",
      .set = add_capability, .into = &opt.added_caps },
    { 0, "cap-drop", "NAME", "drop this capability, too, or ALL",
      .set = add_capability, .into = &opt.dropped_caps },
    { 0 }
};
#include <sys/auxv.h>           /* what execve(2) tells a program */

static const struct hint lock_hints[] = {
    { "seccomp", EINVAL, .fix = "the kernel has no filters for system calls: "
      "CONFIG_SECCOMP_FILTER" },
    { "", EPERM, .fix = "only root may drop these, be it of a user namespace: "
      "this build leaves out chapter 5" },
    { 0 }
};

/* Nobody is to get more rights by running us.  Whoever writes our options
 * decides what we do with our rights, so a set-user-ID whalebox would make
 * everybody root.  AT_SECURE also tells of capabilities that the file gives.
 * getauxval(3). */
static void refuse_set_id(void) {
    if (getuid() == geteuid() && getgid() == getegid() &&
        getauxval(AT_SECURE) == 0)
        return;
    refuse("chmod u-s,g-s, and setcap -r",
           "whalebox must not be set-user-ID, nor have rights of its own");
}

#if WITH_MOUNT
/* --- The machine's files ----------------------------------------------- */

/* Files and folders that tell of the machine, or give orders to it. */
static const char *const covered[] = {
    "/proc/acpi", "/proc/scsi",                 /* orders to the hardware */
    "/proc/asound",                             /* the sound card */
    "/proc/interrupts",                         /* when keys are struck */
    "/proc/kcore",                              /* all of the memory */
    "/proc/keys",                               /* everybody's keyrings */
    "/proc/latency_stats", "/proc/sched_debug", /* who runs, and where */
    "/proc/timer_list", "/proc/timer_stats",    /* kernel addresses */
    "/sys/firmware", "/sys/devices/virtual/powercap",   /* power leaks keys */
};

/* The machine's settings: the box may look at them. */
static const char *const read_only[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
};

/* Cover PATH: a file with the device null, a folder with an empty one, which is
 * made for the first and shown again over the others. */
static void cover_path(const char *path) {
    static const char *empty;           /* the first that was covered so */
    struct stat st;

    step(10, text("stat(%s)", path), NULL);
    int found = stat(path, &st);
    if (found < 0 && (errno == ENOENT || errno == ENOTDIR))
        return;                         /* this kernel has no such thing */
    must(found);

    if (S_ISDIR(st.st_mode) && !empty) {
        step(10, text("mount(tmpfs over %s)", path),
             text("mount -t tmpfs -r tmpfs %s", path));
        must(mount("tmpfs", path, "tmpfs", SAFE | MS_RDONLY, NULL));
        empty = path;
        return;
    }

    const char *cover = S_ISDIR(st.st_mode) ? empty : "/dev/null";
    step(10, text("mount(%s over %s)", cover, path),
         text("mount --bind %s %s", cover, path));
    must(mount(cover, path, NULL, MS_BIND, NULL));
}

/* Cover how hot a processor is, if the folder NAME is one's: "cpu0". */
static int cover_heat(int dir_fd, const char *name) {
    (void)dir_fd;                       /* a path is what a step shows */
    if (strncmp(name, "cpu", 3) == 0 && name[3] >= '0' && name[3] <= '9')
        cover_path(text("/sys/devices/system/cpu/%s/thermal_throttle",
                        name));
    return 0;                           /* go on with the next */
}

/* Cover how hot each processor is, also of those that we may not run on. */
static void cover_processors(void) {
    step(10, "open(/sys/devices/system/cpu)", NULL);
    int cpus_fd = open("/sys/devices/system/cpu", FOLDER);
    if (cpus_fd < 0 && errno == ENOENT)
        return;
    must(cpus_fd);

    if (for_each(cpus_fd, 0, cover_heat) < 0) {
        step(10, "getdents64(/sys/devices/system/cpu)", NULL);
        die();
    }
    close(cpus_fd);
}

/* Let nobody in the box write to PATH, if this kernel has such a thing.  It is
 * bound to itself first: only a mount can be read-only, and what applies to a
 * mount in the box does not apply to the host's.  mount_setattr(2). */
static void make_read_only(const char *path) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };

    step(10, text("mount(%s, MS_BIND|MS_REC)", path),
         text("mount --rbind %s %s", path, path));
    int bound = mount(path, path, NULL, MS_BIND | MS_REC, NULL);
    if (bound < 0 && errno == ENOENT)
        return;
    must(bound);

    step(10, text("mount_setattr(%s, MOUNT_ATTR_RDONLY)", path),
         text("mount -o remount,bind,ro %s", path));
    must(syscall(SYS_mount_setattr, AT_FDCWD, path, AT_RECURSIVE, &attr,
                 sizeof(attr)));
}

/* Be sure that the device null is that: a writable setting of the kernel in its
 * place would be shown by every file that it covers. */
static void check_null(void) {
    struct stat st;

    step(10, "lstat(/dev/null)", NULL);
    must(lstat("/dev/null", &st));
    require(S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3), ENODEV);
}

/*
 * In the child: cover what is the machine's; make its settings read-only.  The
 * box has a /proc, a /sys and a /dev of its own by now, nobody's files are
 * mounted on them yet, and nobody else is in here: a path still leads to what
 * it names.
 */
static void cover_paths(void) {
    /* In a mount namespace that is the host's, so would the covers be. */
    if (!(box.flags & CLONE_NEWNS))
        return;

    check_null();
    for (size_t i = 0; i < LENGTH(covered); i++)
        cover_path(covered[i]);
    cover_processors();
    for (size_t i = 0; i < LENGTH(read_only); i++)
        make_read_only(read_only[i]);
}
#endif

/* --- The capabilities -------------------------------------------------- */

/*
 * In the child: keep KEPT and drop every other capability from all five sets:
 * bounding (what execve(2) can ever give), permitted, effective, inheritable
 * and ambient, the last two of which stay empty (CVE-2022-29162).  Then look:
 * a drop that did not happen is no box.
 */
static void drop_capabilities(unsigned long long kept) {
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct want[2] = { { 0 } };  /* low bits, high */
    struct __user_cap_data_struct have[2];
    unsigned long long bounding = 0;
    unsigned long cap = 0;

    /* A newer kernel may know more capabilities than our list has. */
    step(10, text("prctl(PR_CAPBSET_DROP), capset(0x%llx)", kept),
         "capsh --drop=...");
    while (cap < LENGTH(capabilities) || prctl(PR_CAPBSET_READ, cap) >= 0) {
        if (!(kept & CAP_BIT(cap)))
            must(prctl(PR_CAPBSET_DROP, cap));
        cap++;
    }

    /* Ask the kernel what it has made of that, for all that it knows. */
    while (cap > 0) {
        cap--;
        if (must(prctl(PR_CAPBSET_READ, cap)))
            bounding |= CAP_BIT(cap);
    }

    must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    want[0].effective = want[0].permitted = (__u32)bounding;
    want[1].effective = want[1].permitted = (__u32)(bounding >> 32);
    must(syscall(SYS_capset, &head, want));
    step(10, "capget()", NULL);
    must(syscall(SYS_capget, &head, have));

    require((bounding & ~kept) == 0, EPERM);
    require(memcmp(want, have, sizeof(want)) == 0, EPERM);
}

/* --- The system calls -------------------------------------------------- */

/* Refused: an administrator's work, or a door that stood open too often. */
static const int refused[] = {
    /* Mounts, the old way and the new; swap. */
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_open_tree, SYS_move_mount,
    SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr,
    SYS_swapon, SYS_swapoff,
    /* Namespaces, and what they hold. */
    SYS_unshare, SYS_setns, SYS_sethostname, SYS_setdomainname,
    /* The machine: its power, clock, consoles, logs and quotas. */
    SYS_reboot, SYS_kexec_load, SYS_kexec_file_load, SYS_settimeofday,
    SYS_clock_settime, SYS_vhangup, SYS_syslog, SYS_acct, SYS_quotactl,
    443 /* quotactl_fd */,
    /* Files, past every folder on the way to them. */
    SYS_nfsservctl, SYS_lookup_dcookie, SYS_fanotify_init,
    SYS_open_by_handle_at,
    /* The kernel: modules and programs for it, and its keyrings, which have no
     * namespace. */
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_bpf,
    SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
    SYS_io_uring_enter, SYS_io_uring_register, SYS_add_key, SYS_request_key,
    SYS_keyctl,
    /* Other processes, and which memory they are in. */
    SYS_kcmp, SYS_pidfd_getfd, SYS_process_madvise, SYS_mbind,
    SYS_set_mempolicy, SYS_get_mempolicy, SYS_migrate_pages, SYS_move_pages,
    450 /* set_mempolicy_home_node */,
#ifdef SYS_uselib
    /* The old ones, which arm64 never had. */
    SYS_uselib, SYS_ustat, SYS_sysfs, SYS__sysctl, SYS_iopl, SYS_ioperm,
    SYS_create_module, SYS_get_kernel_syms, SYS_query_module, SYS_getpmsg,
    SYS_putpmsg, SYS_afs_syscall, SYS_tuxcall, SYS_security, SYS_vserver,
#endif
};
enum { NEWEST = 450 };                  /* the last call that we know of */
enum { X32_BIT = 0x40000000 };          /* x32 adds it to each call's number */
enum { AUFS_CTL_WBR_FD = 0x40084102 };  /* no header of the kernel has it */
#ifdef __x86_64__
#define OUR_ABI AUDIT_ARCH_X86_64       /* the 64-bit way of calling */
#else
#define OUR_ABI AUDIT_ARCH_AARCH64
#endif

/*
 * The filter is a program for a small machine in the kernel, run at each call:
 * it loads a word of struct seccomp_data, compares, and returns a verdict.
 * Arguments are 64 bits, of which the kernel's ioctl and socket use the low 32
 * and so must we (CVE-2019-10063).  IF goes on if the TEST holds, and else
 * leaves out so many instructions as SKIP says.
 */
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, \
                             offsetof(struct seccomp_data, field))
#define IF(test, value, skip) \
    BPF_JUMP(BPF_JMP | (test) | BPF_K, (value), 0, (skip))
#define WHEN(test, value) IF(test, (value), 1)  /* the next verdict holds */
#define SAY(verdict) BPF_STMT(BPF_RET | BPF_K, (verdict))
#define NO SAY(SECCOMP_RET_ERRNO | EPERM)
#define NO_SUCH_CALL SAY(SECCOMP_RET_ERRNO | ENOSYS)

/* Add the tests for those refused calls whose number is LOW or more, and below
 * HIGH, to the filter at TO.  Any other number goes past them by the first or
 * the second jump.  Returns where the filter goes on. */
static struct sock_filter *add_refused(struct sock_filter *to, unsigned int low,
                                       unsigned int high) {
    struct sock_filter *next = to + 2;

    for (size_t i = 0; i < LENGTH(refused); i++) {
        unsigned int number = (unsigned int)refused[i];
        if (number < low || number >= high)
            continue;
        *next++ = (struct sock_filter)WHEN(BPF_JEQ, number);
        *next++ = (struct sock_filter)NO;
    }

    unsigned char count = (unsigned char)(next - to - 2);
    to[0] = (struct sock_filter)IF(BPF_JGE, low, (unsigned char)(count + 1));
    to[1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, high,
                                         count, 0);
    return next;
}

/*
 * In the child: have the kernel run the filter from now on, for this process
 * and all that come of it.  What is newer than our list "is not there", and
 * neither is clone3, whose flags lie in memory that a filter cannot read: for
 * ENOSYS libc falls back on older calls, for EPERM it gives up.  seccomp(2).
 */
static void filter_system_calls(void) {
    /* By another ABI, as by int 0x80, a number means another call. */
    static const struct sock_filter first[] = {
        LOAD(arch),
        IF(BPF_JEQ, OUR_ABI, 1), BPF_STMT(BPF_JMP | BPF_JA, 1), NO,
        LOAD(nr),
        WHEN(BPF_JGE, X32_BIT), NO,
        WHEN(BPF_JGT, NEWEST), NO_SUCH_CALL,
        WHEN(BPF_JEQ, SYS_clone3), NO_SUCH_CALL,
    };
    static const struct sock_filter last[] = {
        IF(BPF_JEQ, SYS_clone, 4), LOAD(args[0]), WHEN(BPF_JSET, CLONE_NEWNS |
            CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
            CLONE_NEWPID | CLONE_NEWNET), NO, LOAD(nr),
        IF(BPF_JEQ, SYS_ioctl, 8), LOAD(args[1]),
            WHEN(BPF_JEQ, TIOCSTI), NO,         /* types on the terminal */
            WHEN(BPF_JEQ, TIOCLINUX), NO,       /* pastes there */
            WHEN(BPF_JEQ, AUFS_CTL_WBR_FD), NO, /* hands out a branch */
            LOAD(nr),
        IF(BPF_JEQ, SYS_socket, 5), LOAD(args[0]),
            WHEN(BPF_JEQ, AF_ALG), NO,          /* the kernel's cryptography */
            WHEN(BPF_JEQ, AF_VSOCK), NO,        /* the hypervisor */
        SAY(SECCOMP_RET_ALLOW),
    };
    enum { PARTS = 8, NUMBERS = 64 };   /* so many numbers in each */
    _Static_assert(PARTS * NUMBERS > NEWEST, "each call is in a part");
    struct sock_filter code[LENGTH(first) + LENGTH(last) +
                            2 * (LENGTH(refused) + PARTS)];
    struct sock_fprog program = { LENGTH(code), code }; /* 4,096 at most */
    struct sock_filter *next = code + LENGTH(first);

    /* Each call goes through the filter, and once, when it is set, each number
     * that there is: so a number is compared with few others. */
    memcpy(code, first, sizeof(first));
    for (unsigned int part = 0; part < PARTS; part++)
        next = add_refused(next, part * NUMBERS, (part + 1) * NUMBERS);
    memcpy(next, last, sizeof(last));

    step(10, text("seccomp(SECCOMP_SET_MODE_FILTER, %zu tests)",
                  LENGTH(refused)), NULL);
    must(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
    step(10, "prctl(PR_GET_SECCOMP)", NULL);
    require(must(prctl(PR_GET_SECCOMP)) == SECCOMP_MODE_FILTER, EPERM);
}

/*
 * In the child, whose box is closed: lock it.  The order is forced.  The mounts
 * so far took CAP_SYS_ADMIN, so capabilities are dropped after them.  A filter
 * can then be set only by a process that can gain no more privilege, not even
 * by a set-user-ID program: no_new_privs.  And it refuses calls that the other
 * locks are made with, so it comes last.
 */
static void lock_box(void) {
    unsigned long long kept = USUAL_CAPS;

    /* Root of a user namespace makes no device by MKNOD, the host's root does:
     * any disk of the host. */
    if (!(box.flags & CLONE_NEWUSER))
        kept &= ~CAP_BIT(CAP_MKNOD);
    if (opt.added_caps == ALL_CAPS)
        kept = ALL_CAPS & ~opt.dropped_caps;
    else
        kept = (kept & ~opt.dropped_caps) | opt.added_caps;
    drop_capabilities(kept);

    step(10, "prctl(PR_SET_NO_NEW_PRIVS)", "setpriv --no-new-privs");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    filter_system_calls();
}

#endif /* WITH_LOCKS */

#if WITH_VOLUMES
/* === Chapter 11: volumes and environment ===================================
 *
 * A box forgets.  A volume is a folder of the host that is mounted in it, and
 * what is written there stays.  And what the command finds when it starts, its
 * variables, its folder, its user, is the box's own and not the host's.
 * environ(7), openat2(2), credentials(7).
 *
 *   parent   open_tree(SRC)                   a copy of its mount
 *            mount_setattr(MOUNT_ATTR_IDMAP)  the disk's ids are the box's
 *   child    pivot_root                       "/" is the box's
 *            openat2(DST, RESOLVE_IN_ROOT)    a descriptor, whatever the links
 *            move_mount                       the copy on the descriptor
 *
 * Nothing unmounts a volume.  It goes with the mount namespace, when the last
 * process of the box does, so there is never a moment at which the box's folder
 * is removed and a volume still in it.
 */
static char **own_argv, **own_environ;  /* what the kernel shows of us */

/* Set the variable in the string NAME=VALUE, which is of this ORIGIN.  One of
 * that name that is there already stays if its origin counts more.  One that
 * nobody asked for replaces none. */
static void set_variable(char *variable, enum origin origin) {
    size_t length = strcspn(variable, "=") + 1; /* with the '=' */
    size_t most = LENGTH(opt.variables) - 1;    /* the last stays NULL */
    size_t i = 0;

    while (opt.variables[i] &&
           strncmp(opt.variables[i], variable, length) != 0)
        i++;
    if (i == most)
        refuse("use fewer -e", "--env: more than %zu", most - 4);

    if (!opt.variables[i] ||
        (origin != USUAL && origin >= opt.origins[i])) {
        opt.variables[i] = variable;
        opt.origins[i] = origin;
    }
}

/* Set the variable in NAME=VALUE, or, for NAME alone, to the caller's value, if
 * the caller has one. */
static void take_variable(const char *variable, enum origin origin) {
    const char *ours = getenv(variable);

    if (strchr(variable, '='))
        set_variable(text("%s", variable), origin);
    else if (ours)
        set_variable(text("%s=%s", variable, ours), origin);
}

/* -e NAME=VALUE, or -e NAME. */
static void add_variable(const struct option *o, const char *value) {
    if (*value == '=' || *value == '\0')
        refuse_value(o, value);
    take_variable(value, GIVEN);
}

/* --env-file FILE: a variable a line, as -e has it, but -e counts more.  Empty
 * lines and those that begin with a '#' are skipped.  FILE may be a pipe, whose
 * writer is waited for. */
static void add_env_file(const struct option *o, const char *value) {
    step(11, text("open(%s)", value), NULL);
    int fd = must(open(value, O_RDONLY | O_CLOEXEC));
    step(11, text("read(%s)", value), NULL);
    char *rest = read_all(fd);
    require(rest != NULL, errno);

    /* A file of Windows' may have a mark at its start, and other line ends. */
    if (strncmp(rest, "\xef\xbb\xbf", 3) == 0)
        rest += 3;
    char *line;
    while ((line = strsep(&rest, "\n"))) {
        line += strspn(line, " \t");
        line[strcspn(line, "\r")] = '\0';
        if (*line == '\0' || *line == '#')
            continue;
        if (strcspn(line, "=") == 0 ||
            strcspn(line, " \t") < strcspn(line, "="))
            refuse(text("--%s %s  %s", o->name, o->value, o->help),
                   "--%s: %s: no name of a variable: \"%s\"", o->name, value,
                   line);
        take_variable(line, IN_FILE);
    }
}

/* The place for one more volume, which option O asks for. */
static struct volume *next_volume(const struct option *o) {
    size_t most = LENGTH(opt.volumes);

    if (opt.volume_count == most)
        refuse("use fewer", "--%s: more than %zu", o->name, most);
    return &opt.volumes[opt.volume_count++];
}

/* -v SOURCE:TARGET[:ro], cut at its colons, so no path with one in it can be
 * named.  The target is a path from the box's root. */
static void add_volume(const struct option *o, const char *value) {
    struct volume *v = next_volume(o);
    char *rest = text("%s", value);

    v->source = strsep(&rest, ":");
    v->target = strsep(&rest, ":");
    v->is_read_only = rest && strcmp(rest, "ro") == 0;
    if (!*v->source || !v->target || *v->target != '/')
        refuse_value(o, value);
    if (rest && !v->is_read_only && strcmp(rest, "rw") != 0)
        refuse_value(o, value);
}

/* One of the OPTIONS of a tmpfs, WORD, as docker has them.  Returns 0, or -1 if
 * it is none. */
static int set_tmpfs_option(struct volume *v, const char *word) {
    unsigned long long size;

    if (strncmp(word, "size=", 5) == 0 && parse_size(word + 5, &size) == 0)
        v->data = text("%s,size=%llu", v->data, size);
    else if (strncmp(word, "mode=", 5) == 0 && word[5] &&
             word[5 + strspn(word + 5, "01234567")] == '\0')
        v->data = text("%s,%.9s", v->data, word);
    else if (strcmp(word, "ro") == 0)
        v->flags |= MS_RDONLY;
    else if (strcmp(word, "exec") == 0)
        v->flags &= ~(unsigned long)MS_NOEXEC;
    else if (strcmp(word, "rw") != 0 && strcmp(word, "noexec") != 0 &&
             strcmp(word, "nosuid") != 0 && strcmp(word, "nodev") != 0)
        return -1;                      /* and these it is anyway */
    return 0;
}

/* --tmpfs PATH[:OPTION,...]: an empty folder in memory. */
static void add_tmpfs(const struct option *o, const char *value) {
    struct volume *v = next_volume(o);
    char *rest = text("%s", value);
    char *word;

    v->target = strsep(&rest, ":");
    v->flags = SAFE;
    v->data = "mode=1777";
    if (*v->target != '/')
        refuse_value(o, value);
    while ((word = strsep(&rest, ",")))
        if (set_tmpfs_option(v, word) < 0)
            refuse_value(o, value);
}

static const struct option volume_options[] = {
    { 'v', "volume", "SRC:DST[:ro]",
      "mount the host's SRC at DST, with no devices",
      .set = add_volume },
    { 0, "tmpfs", "DST[:size=SIZE]", "an empty folder in memory at DST",
      .set = add_tmpfs },
    { 'e', "env", "NAME[=VALUE]", "a variable; NAME alone: with your value",
      .set = add_variable },
    { 0, "env-file", "FILE", "variables from a file, a line each",
      .set = add_env_file },
    { 'w', "workdir", "DIR", "start in this folder of the box",
      .set = set_text, .into = &opt.workdir },
    { 'u', "user", "USER[:GROUP]", "who runs it: numbers, or names in the box",
      .set = set_text, .into = &opt.user },
    { 0, "read-only", NULL, "the box's root cannot be written",
      .set = set_flag, .into = &opt.read_only },
    { 0, "init", NULL, "a small init as PID 1, before the command",
      .set = set_flag, .into = &opt.init },
    { 0 }
};

static const char no_folder[] = "it, or what is above it, is a file";
static const char no_such_id[] = "no such id is mapped into the box: a user "
    "needs newuidmap, and a range in /etc/subuid and /etc/subgid";

static const struct hint volume_hints[] = {
    { "openat2", ELOOP, .fix = "a link of /proc leads out of the box: name a "
      "plain folder" },
    { "openat2", ENOENT, .fix = "there is no such folder in the box" },
    { "openat2", ENOTDIR, .fix = no_folder },
    { "openat2", EISDIR, .fix = "the source is a file: name one in it" },
    { "openat2", EBUSY, .fix = "a volume cannot be the root: use --rootfs" },
    { "openat2", EEXIST, .fix = "it is a symbolic link that leads nowhere" },
    { "fchdir", ENOTDIR, .fix = no_folder },
    { "mkdir", 0, .fix = "name a source that is there" },
    { "fchown", EINVAL, .fix = no_such_id },
    { "setgroups", EINVAL, .fix = no_such_id },
    { "setresgid", EINVAL, .fix = no_such_id },
    { "user", 0, .fix = "a number, or a name in the box's /etc/passwd (after "
      "a ':', in its /etc/group)" },
    { 0 }
};

/* --- Volumes ----------------------------------------------------------- */

/* Is PLACE the folder PATH, or something in it? */
static int is_within(const char *place, const char *path) {
    size_t length = strlen(path);

    if (strcmp(path, "/") == 0)
        return 1;
    return strncmp(place, path, length) == 0 &&
           (place[length] == '/' || place[length] == '\0');
}

/* The change ATTR cannot be made to the copy TREE, since one of the mounts in
 * it does not allow that.  All is changed or nothing, so each is tried alone,
 * to name the one that is in the way. */
static _Noreturn void die_of_mount(const struct tree *tree,
                                   const struct mount_attr *attr,
                                   const char *change) {
    int error = errno;
    const char *path = tree->path;
    char *rest = read_file(AT_FDCWD, "/proc/self/mountinfo");
    struct mounted mounted;

    while (next_mount(&rest, &mounted)) {
        if (!is_within(mounted.place, tree->path))
            continue;

        int fd = (int)syscall(SYS_open_tree, AT_FDCWD, mounted.place,
                              OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd >= 0 && syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, attr,
                               sizeof(*attr)) < 0)
            path = mounted.place;
        close(fd);
    }

    step(8, text("mount_setattr(%s, %s)", path, change), NULL);
    errno = error;
    die();
}

/* Before the clone: is the source of the volume V, of which root has a copy, a
 * device?  What its file system is then, devtmpfs, say, shows no other ids. */
static void note_device(const struct volume *v) {
    struct stat st;

    if (v->tree->fd < 0)
        return;
    step(11, text("fstat(%s)", v->source), NULL);
    must(fstat(v->tree->fd, &st));
    v->tree->is_device = S_ISCHR(st.st_mode) || S_ISBLK(st.st_mode);
}

/*
 * Before the clone: take the sources, to be idmapped with the other folders.  A
 * missing one becomes a folder, as docker has it, with the one above it there.
 * open_tree(2) copies a file's mount as well as a folder's.
 */
static void open_volumes(void) {
    for (size_t i = 0; i < opt.volume_count; i++) {
        struct volume *v = &opt.volumes[i];
        if (!v->source)
            continue;                   /* a tmpfs: see mount_tmpfs() */

        step(11, text("mkdir(%s)", v->source), text("mkdir %s", v->source));
        if (access(v->source, F_OK) < 0 && errno == ENOENT)
            must(mkdir(v->source, 0755));
        v->tree = open_folder(v->source, AT_RECURSIVE);
        note_device(v);
    }
}

/* In the child: open PATH as from the folder FROM_FD, where RESOLVE says what a
 * link may do: RESOLVE_IN_ROOT, lead anywhere in it, or RESOLVE_NO_SYMLINKS.
 * Not even a hostile rootfs leads out.  Links of /proc, which lead to where a
 * process is and not to a path, are refused.  Returns a descriptor, or -1 with
 * errno.  openat2(2). */
static int open_in_box(int from_fd, const char *path,
                       unsigned long long resolve) {
    struct open_how how = { .flags = O_PATH | O_CLOEXEC,
                            .resolve = resolve | RESOLVE_NO_MAGICLINKS };

    return open_as(&how, from_fd, path);
}

/* In the child: make NAME, a folder or an empty file, in the folder ABOVE_FD,
 * and open it.  Somebody else may have made it meanwhile, which is as good.
 * Returns a descriptor, or -1 with errno: EEXIST for a link that leads nowhere.
 */
static int make_name(int above_fd, const char *name, int is_folder) {
    int made;

    if (is_folder)
        made = mkdirat(above_fd, name, 0755);
    else
        made = mknodat(above_fd, name, S_IFREG | 0644, 0);
    int error = errno;

    int fd = open_in_box(above_fd, name, RESOLVE_NO_SYMLINKS);
    if (fd < 0 && made < 0)
        errno = error;                  /* why it was not made says more */
    return fd;
}

/*
 * In the child, whose folder is the box's root: a descriptor of PATH, from "/",
 * made if it is missing: folders down to the last name, and that a folder, too,
 * or an empty file to mount on.  Each name is made in the folder that the
 * descriptor is of, so that a link swapped in meanwhile changes nothing
 * (CVE-2021-30465).
 */
static int make_in_box(const char *path, int is_folder) {
    int above_fd = AT_FDCWD;            /* so far: "/" */

    for (const char *end = path; *end;) {
        /* PART of the path has one name more than before, NAME. */
        end += 1 + strcspn(end + 1, "/");
        const char *part = text("%.*s", (int)(end - path), path);
        const char *name = strrchr(part, '/') + 1;

        /* What is there may have been reached by links within the box, and so
         * PART is walked from the root.  What is not is made where we are. */
        step(11, text("openat2(%s, RESOLVE_IN_ROOT)", part), "mkdir -p");
        int fd = open_in_box(AT_FDCWD, part, RESOLVE_IN_ROOT);
        if (fd < 0 && errno == ENOENT)
            fd = make_name(above_fd, name, *end || is_folder);
        must(fd);

        close(above_fd);                /* which does nothing to AT_FDCWD */
        above_fd = fd;
    }
    return above_fd;
}

/* Is what FD is open on, PATH, a file of proc's or of sysfs's?  statfs(2). */
static int is_kernels(int fd, const char *path) {
    struct statfs fs;

    step(11, text("fstatfs(%s)", path), NULL);
    must(fstatfs(fd, &fs));
    return fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC;
}

/*
 * In the child: make the volume V what it is to be, before anybody can see it.
 * No device in it can be opened, and no set-user-ID program gives anything: who
 * has the volume, in another box or out there, may have made what is in it.  A
 * volume that is a device itself was asked for by name.  The host's settings,
 * which /proc and /sys are, can be looked at only.
 */
static void restrict_volume(const struct volume *v, const struct stat *source) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSUID };
    const char *options = "nosuid";     /* as mount(8) calls them */

    if (!S_ISCHR(source->st_mode) && !S_ISBLK(source->st_mode)) {
        attr.attr_set |= MOUNT_ATTR_NODEV;
        options = "nosuid,nodev";
    }
    if (v->is_read_only || is_kernels(v->tree->fd, v->source)) {
        attr.attr_set |= MOUNT_ATTR_RDONLY;
        options = text("%s,ro", options);
    }

    step(11, text("mount_setattr(%s, 0x%llx)", v->target, attr.attr_set),
         text("mount -o remount,bind,%s", options));
    must(syscall(SYS_mount_setattr, v->tree->fd, "", AT_EMPTY_PATH |
                 AT_RECURSIVE, &attr, sizeof(attr)));
}

/* In the child: be sure that the SOURCE of a volume can be mounted at TARGET,
 * which PLACE_FD is open on: a folder on a folder, anything else on a file.
 * On "/" nobody would see it, since a path begins below what is mounted there;
 * and in /proc and /sys it would undo the locks, which are mounts as well. */
static void check_place(int place_fd, const char *target,
                        const struct stat *source) {
    struct stat root, place;

    step(11, text("openat2(%s, RESOLVE_IN_ROOT), fstat()", target), NULL);
    must(stat("/", &root));
    must(fstat(place_fd, &place));
    if (S_ISDIR(place.st_mode))
        require(S_ISDIR(source->st_mode), EISDIR);
    else
        require(!S_ISDIR(source->st_mode), ENOTDIR);
    require(root.st_dev != place.st_dev || root.st_ino != place.st_ino, EBUSY);

    if (is_kernels(place_fd, target))
        refuse("choose another folder: /proc and /sys are the box's own",
               "--volume: nothing is mounted at %s", target);
}

/* In the child: mount an empty file system in memory, which counts as the
 * box's.  It is the box's own, root of which may do there what it likes, and it
 * goes with the box.  tmpfs(5). */
static void mount_tmpfs(const struct volume *v) {
    struct stat folder = { .st_mode = S_IFDIR };
    int place_fd = make_in_box(v->target, 1);

    check_place(place_fd, v->target, &folder);
    step(11, text("mount(tmpfs, %s, \"%s\")", v->target, v->data),
         text("mount -t tmpfs -o %s tmpfs %s", v->data, v->target));
    must(mount("tmpfs", text("/proc/self/fd/%d", place_fd), "tmpfs", v->flags,
               v->data));
    close(place_fd);
}

/* In the child: mount the volume V, whose source the parent has opened. */
static void mount_volume(const struct volume *v) {
    struct stat source;

    step(11, text("fstat(%s)", v->source), NULL);
    must(fstat(v->tree->fd, &source));
    int place_fd = make_in_box(v->target, S_ISDIR(source.st_mode));
    check_place(place_fd, v->target, &source);

    restrict_volume(v, &source);
    attach_tree(v->tree->fd, v->source, place_fd, v->target);
}

/* In the child: mount what -v and --tmpfs ask for.  One may be the place of the
 * next, so they are mounted as they were asked for, one after the other. */
static void mount_volumes(void) {
    for (size_t i = 0; i < opt.volume_count; i++)
        if (opt.volumes[i].source)
            mount_volume(&opt.volumes[i]);
        else
            mount_tmpfs(&opt.volumes[i]);
}

#if WITH_LAYERS
/* --- A root with mounts in it, for a user ---------------------------------
 *
 * Overlay takes no folder with mounts in it from whoever may not take these
 * away, as a user may not in "/", where something always is mounted.  So that
 * root is put together: the union is of a sketch of it, links and empty
 * folders; and each folder is filled by a union of its own.
 */

/* In the child: make in "lower" what NAME is in the folder DIR_FD: a link, or
 * an empty folder.  Returns 0, to go on. */
static int sketch_entry(int dir_fd, const char *name) {
    const char *copy = text("lower/%s", name);
    char target[PATH_MAX] = "";
    struct stat st;

    step(11, text("symlink, mkdir(%s)", copy), NULL);
    if (readlinkat(dir_fd, name, target, sizeof(target) - 1) > 0)
        must(symlink(target, copy));
    else if (fstatat(dir_fd, name, &st, 0) == 0 && S_ISDIR(st.st_mode))
        must(mkdir(copy, 0755));
    return 0;
}

/* In the child: fill the folder NAME of the union with that of the rootfs,
 * DIR_FD.  What is a mount itself stays out, as it does for root; one with a
 * mount further down is shown as it is, read-only, or, like /tmp, where all may
 * write, stays empty.  Returns 0, to go on. */
static int fill_folder(int dir_fd, const char *name) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    const char *from = text("whole/%s", name);
    const char *to = text("merged/%s", name);
    const char *upper = text("box/upper/%s", name);
    const char *work = text("box/works/%s", name);
    const char *init = strcmp(name, "etc") == 0 ? "init/etc:" : "";
    struct stat top, st;
    unsigned long flags = MS_NODEV;

    if (opt.read_only)
        flags |= MS_RDONLY;
    if (fstat(dir_fd, &top) < 0 ||
        fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISDIR(st.st_mode) || st.st_dev != top.st_dev)
        return 0;

    /* They are there if the box was started before. */
    mkdir(upper, 0755);
    chmod(upper, st.st_mode & 07777);   /* as the folder's will be */
    mkdir(work, 0755);
    const char *options = text("lowerdir=%s%s,upperdir=%s,workdir=%s%s,"
                               "userxattr", init, from, upper, work,
                               sync_option);
    step(11, text("mount(overlay, %s, \"%s\")", to, options), NULL);
    if (!strpbrk(name, ":,\\") &&
        mount("overlay", to, "overlay", flags, options) == 0)
        return 0;
    if (st.st_mode & S_ISVTX) {
        chmod(to, 01777);
        return 0;
    }

    int tree_fd = clone_tree(from, AT_RECURSIVE);
    step(8, text("mount_setattr(%s, MOUNT_ATTR_RDONLY)", from), NULL);
    must(syscall(SYS_mount_setattr, tree_fd, "", AT_EMPTY_PATH | AT_RECURSIVE,
                 &attr, sizeof(attr)));
    step(8, text("openat(%s)", to), NULL);
    attach_tree(tree_fd, from, must(openat(AT_FDCWD, to, O_PATH | O_CLOEXEC)),
                to);
    return 0;
}

/* In the child: call TASK for each entry of that root. */
static void for_each_in_root(int (*task)(int dir_fd, const char *name)) {
    step(11, "openat(whole)", NULL);
    int dir_fd = must(openat(AT_FDCWD, "whole", FOLDER));
    if (for_each(dir_fd, 1, task) < 0) {
        step(11, "getdents64(whole)", "ls whole");
        die();
    }
    close(dir_fd);
}

/* In the child, where the layers are gathered: attach the rootfs, or, if mounts
 * are in it, put its sketch in its place. */
static void attach_or_sketch(void) {
    if (!rootfs->has_mounts) {
        attach_folder(rootfs, "lower");
        return;
    }

    step(11, "mkdir(whole)", NULL);
    must(mkdir("whole", 0755));
    attach_folder(rootfs, "whole");
    for_each_in_root(sketch_entry);
}

/* In the child, the layers being stacked: fill in what the sketch left out. */
static void fill_root(void) {
    if (!rootfs->has_mounts)
        return;

    mkdir("box/works", 0755);           /* it is there after a start */
    for_each_in_root(fill_folder);
}
#endif

/* --- The box's users --------------------------------------------------- */

/* In FILE of the box, /etc/passwd or /etc/group: the field in COLUMN, from 0
 * on, of the line about WORD, a name or a number.  NULL if there is none. */
static char *find_field(const char *file, const char *word, int column) {
    char *rest = text("%s", read_file(AT_FDCWD, file));
    char *found = NULL;
    char *line;

    while ((line = strsep(&rest, "\n"))) {
        char *field[7];                 /* NULL after the last one */
        for (size_t i = 0; i < LENGTH(field); i++)
            field[i] = strsep(&line, ":");

        if (strcmp(field[0], word) == 0)
            return field[column];
        if (!found && field[2] && strcmp(field[2], word) == 0)
            found = field[column];      /* unless that is a name, too */
    }
    return found;
}

/* A number that WORD has in its line of FILE: its own, in COLUMN 2, or that of
 * its group, in 3.  A WORD that is a number is its own, and without a line has
 * group 0.  Does not return if there is none. */
static unsigned int find_id(const char *word, const char *file, int column) {
    unsigned long long id;
    char *field = NULL;

    /* The highest is none: it is -1, which says "leave it as it is". */
    int is_number = parse_number(word, 0, UINT_MAX - 1, &id) == 0;
    if (is_number && column == 2)
        return (unsigned int)id;

    step(11, text("user \"%s\" of %s", word, file), NULL);
    if (*word)
        field = find_field(file, word, column);
    if (is_number && !field)
        return 0;
    require(field && strlen(field) <= 10 &&     /* digits, as 4294967294 has */
            parse_number(field, 0, UINT_MAX - 1, &id) == 0, ENOENT);
    return (unsigned int)id;
}

enum { MOST_GROUPS = 256 };

/* The further groups of the user WORD: those in the box's /etc/group that have
 * its name among their members, NAME:x:ID:MEMBER,MEMBER.  Returns how many. */
static size_t find_groups(const char *word, gid_t into[MOST_GROUPS]) {
    const char *name = find_field("/etc/passwd", word, 0);
    char *rest = text("%s", read_file(AT_FDCWD, "/etc/group"));
    size_t count = 0;
    char *line;

    while (name && (line = strsep(&rest, "\n"))) {
        char *field[4];
        for (size_t i = 0; i < LENGTH(field); i++)
            field[i] = strsep(&line, ":");

        unsigned long long id;
        const char *members = text(",%s,", field[3] ? field[3] : "");
        if (!strstr(members, text(",%s,", name)) ||
            parse_number(field[2], 0, UINT_MAX - 1, &id) < 0)
            continue;
        if (count < MOST_GROUPS)
            into[count++] = (gid_t)id;
        else
            refuse("name one: -u USER:GROUP", "%s is in more than %d groups",
                   name, MOST_GROUPS);
    }
    return count;
}

/* The home that /etc/passwd in the box has for the user WHOM, a name or a
 * number, or "/". */
static const char *find_home(const char *whom) {
    const char *found = find_field("/etc/passwd", whom, 5);

    if (!found)
        return "/";
    return found;
}

/*
 * In the child: become the user of -u.  The box's root may keep capabilities
 * over such a change if it asks to, and must, since the box is not locked yet;
 * the command, a plain user's, loses them at execve(2).  capabilities(7).
 */
static void become_user(void) {
    char *group = text("%s", opt.user);
    char *name = strsep(&group, ":");
    unsigned int uid = find_id(name, "/etc/passwd", 2);
    unsigned int gid;
    gid_t further[MOST_GROUPS];
    size_t count = 0;

    /* As docker has it: who names a group has that one alone. */
    if (group) {
        gid = find_id(group, "/etc/group", 2);
    } else {
        gid = find_id(name, "/etc/passwd", 3);
        count = find_groups(name, further);
    }

    step(11, "prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)", NULL);
    unsigned long bits = (unsigned long)must(prctl(PR_GET_SECUREBITS));
    must(prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP));
#if WITH_TTY
    /* Or the user could not open it anew, as /dev/tty. */
    if (box.is_on_terminal) {
        step(11, text("fchown(0, %u)", uid), NULL);
        must(fchown(0, uid, (gid_t)-1));
    }
#endif

    /* A user's box with one id alone keeps the groups of the user out here. */
    if (!box.keeps_groups) {
        step(11, text("setgroups(%zu)", count), "setpriv --init-groups ...");
        must(syscall(SYS_setgroups, count, further));
    }
    step(11, text("setresgid(%u), setresuid(%u)", gid, uid),
         text("setpriv --reuid %u --regid %u ...", uid, gid));
    must(syscall(SYS_setresgid, gid, gid, gid));
    must(syscall(SYS_setresuid, uid, uid, uid));

    /* The new ids have undone these two.  And in the box a change of ids takes
     * capabilities, as it does elsewhere. */
    hide_process();
    die_with_parent();
    step(11, "prctl(PR_SET_SECUREBITS)", NULL);
    must(prctl(PR_SET_SECUREBITS, bits));
}

/* --- What the command finds -------------------------------------------- */

/* In the child: give the command an environment.  What -e said comes before
 * what we say; the host's, which may hold its secrets, is dropped. */
static void set_environment(void) {
    const char *user = opt.user ? opt.user : "root";
    const char *term = getenv("TERM");
    char hostname[65];                  /* 64 bytes at most, and '\0' */

    step(11, "gethostname()", "hostname");
    must(gethostname(hostname, sizeof(hostname)));
    user = text("%.*s", (int)strcspn(user, ":"), user); /* without :GROUP */

    set_variable(text("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                      "/usr/bin:/sbin:/bin"), USUAL);
    set_variable(text("HOME=%s", find_home(user)), USUAL);
    set_variable(text("HOSTNAME=%s", hostname), USUAL);
    set_variable(text("TERM=%s", term ? term : "dumb"), USUAL);
    environ = opt.variables;
}

/* In the child: go to the folder of -w.  One from "/" is made if it is missing,
 * as docker has it. */
static void enter_workdir(void) {
    int dir_fd;

    step(11, text("openat2(%s, RESOLVE_IN_ROOT)", opt.workdir), NULL);
    if (*opt.workdir == '/')
        dir_fd = make_in_box(opt.workdir, 1);
    else
        dir_fd = must(open_in_box(AT_FDCWD, opt.workdir, RESOLVE_IN_ROOT));

    step(11, text("fchdir(%s)", opt.workdir), text("cd %s", opt.workdir));
    must(fchdir(dir_fd));
    close(dir_fd);
}

/* In the child, whose root is the box's now: put in it what the command is to
 * find, and become the user that it is to be. */
static void furnish_box(void) {
    mount_volumes();                    /* first: a home may be one */
    set_environment();
    if (opt.workdir)
        enter_workdir();

    /* All is made now.  This is about the mount at "/" alone: /dev and the
     * volumes are mounts of their own, and stay as they are. */
    if (opt.read_only) {
        step(11, "mount(/, MS_REMOUNT|MS_RDONLY)",
             "mount -o remount,bind,ro /");
        must(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NODEV,
                   NULL));
    }

    /* Last: the user may do none of the above. */
    if (opt.user)
        become_user();
}

/* --- A small init ------------------------------------------------------ */

/* At the start: a copy of the command line, to be used in its place, so that
 * forget_caller() can overwrite the original. */
static char **copy_arguments(char **argv) {
    size_t count = 0;

    own_argv = argv;
    own_environ = environ;
    while (argv[count])
        count++;

    step(11, "strdup(argv)", NULL);
    char **copy = calloc(count + 1, sizeof(*copy));     /* NULL is the last */
    require(copy != NULL, ENOMEM);
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(argv[i]);
        require(copy[i] != NULL, ENOMEM);
    }
    return copy;
}

/*
 * In a process that others in the box can see while it is still whalebox's own
 * program: overwrite its command line and its environment, with the host's
 * paths and the values of -e.  Anybody may read /proc/N/cmdline: the kernel
 * takes it from the place where it put those words when the program started.
 */
static void forget_caller(void) {
    for (char **word = own_argv; *word; word++)
        memset(*word, 0, strlen(*word));
    for (char **word = own_environ; *word; word++)
        memset(*word, 0, strlen(*word));
}

#if WITH_TTY
/* In an init's child: lead a group of its own, in the foreground of the box's
 * terminal, if it has one.  What is sent to the group of PID 1 then reaches the
 * init alone, which passes it on: it comes once. */
static void lead_group(void) {
    setpgid(0, 0);
    if (box.has_terminal)
        tcsetpgrp(0, getpid());         /* SIGTTOU is held here */
}

/* In an init: pass a signal on to the group that COMMAND leads.  SIGTSTP comes
 * from a whalebox that is about to stop. */
static void pass_to_command(pid_t command, const siginfo_t *info) {
    int sig = info->si_signo;

    kill(-command, is_stop(sig) ? SIGSTOP : sig);
}
#else
/* In an init: pass a signal on to COMMAND.  The box is in the caller's group,
 * where what the terminal sends (SI_KERNEL) has reached the command as well,
 * but for SIGHUP, which goes to the leader of a session alone. */
static void pass_to_command(pid_t command, const siginfo_t *info) {
    int sig = info->si_signo;

    if (info->si_code != SI_KERNEL || sig == SIGHUP)
        kill(command, sig);
}
#endif

/* In an init: wait for all who have ended, and end if COMMAND is one of them,
 * with its status: the kernel ends whoever is left. */
static void reap(pid_t command) {
    pid_t ended;
    int status;

    while ((ended = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
        if (ended == command && !WIFSTOPPED(status))
            _exit(exit_status(status));
#if WITH_TTY
        /* ^Z on the box's terminal.  Nobody but us could continue it. */
        if (ended == command && WSTOPSIG(status) == SIGTSTP)
            kill(-command, SIGCONT);
#endif
    }
    if (ended < 0) {                    /* the command, at least, is there */
        step(11, "waitpid(-1)", NULL);
        die();
    }
}

/*
 * In the child, the box being locked: stay PID 1, as --init has it, and have a
 * child become the command.  An init passes signals on, which reach a command
 * that is not PID 1 even where it has no handler, and waits for whoever the
 * kernel makes its child.  It is whalebox's own program, still: not dumpable,
 * so nobody in the box may open its /proc/1/exe (CVE-2019-5736) or /proc/1/fd.
 */
static _Noreturn void become_init(void) {
    sigset_t all;
    siginfo_t info;                     /* who sent it */

    /* All of this before there is somebody in the box who could look. */
    forget_caller();
    hide_process();
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);       /* signals wait for us */

    step(11, "fork()", "tini");
    pid_t command = must(fork());
    if (command == 0) {                 /* number 2 of the box */
#if WITH_TTY
        lead_group();
#endif
        become_command();
    }
#if WITH_TTY
    setpgid(command, command);          /* whichever of the two comes first */
#endif

    /* What is open here is the host's, still. */
    step(11, "close_range(3)", NULL);
    must(syscall(SYS_close_range, 3U, ~0U, 0));
    for (;;) {
        int sig = sigwaitinfo(&all, &info);     /* sleeps */
        if (sig > 0 && sig != SIGCHLD)
            pass_to_command(command, &info);
        reap(command);
    }
}
#endif /* WITH_VOLUMES */

#if WITH_TTY
/* === Chapter 12: a session and a terminal of its own =======================
 *
 * A signal can be sent to a whole group of processes, and a terminal sends its
 * own to a group of its session.  Up to here the box is in the caller's group,
 * where `kill 0` reaches who started it.  From here on it is in a session of
 * its own: nothing in it can name a group out here.
 *
 * What is sent to us we send on, to the group of the box's first process.  And
 * since a session without a terminal has no job control, the box gets one with
 * -t, or where all three streams are our terminal and we are in its foreground.
 * Else its streams are the caller's.
 *
 * A pseudo-terminal is a pair: what is written to the master comes out of the
 * slave as if typed, and the other way round, with the kernel's line discipline
 * between them.  The box opens one of its own, and hands the master out; a
 * relay copies between that and the caller's terminal.
 *
 *   caller's session                       | box's session
 *   terminal <--> relay <------> master ---|--- slave <--> command
 *   (raw: every byte)                      | (echo, ^C, window size)
 *   signals ----> whalebox ----------------|--> the command's group
 *
 * The master is born in the box, since the pair is the box's, and is wanted
 * outside.  So the parent makes two sockets first:
 *
 *   parent    socketpair, fork --> relay: waits for a message
 *             clone3 -----------------------> child: setsid, opens the pair
 *   relay     master <----------------------- sends it, keeps the slave
 *             raw mode, copies until the parent hangs up the socket
 *
 * setsid(2), pty(7), termios(3), cmsg(3).
 */
#include <termios.h>             /* a terminal's modes */

enum { RELAY_FD = 3 };                  /* the relay's end of the socket */
enum { END_OF_INPUT = 4 };              /* ^D */
enum { WAY_OUT = 0x1d };                /* ^] */
static int handover_fds[2] = { -1, -1 };        /* sockets: the master's way */
static pid_t relay_pid;                 /* the process that copies, or 0 */
static int is_terminal;                 /* the caller's input is one */
static int had_terminal;                /* our session had one at the start */
static int is_hung_up;                  /* the box was told that it is to end */

/* What the relay knows of the caller's terminal, in memory that it shares with
 * us: if it is killed, or stopped, we put the terminal right. */
static struct terminal {
    int is_left;                        /* the way out was typed */
    int is_taken;                       /* it is raw, by our doing */
    struct termios found;               /* as it was before */
} *terminal;

static const struct option tty_options[] = {
    { 't', "tty", NULL, "a terminal of its own, wherever the streams go",
      .set = set_flag, .into = &opt.terminal },
    { 'i', "interactive", NULL, "nothing: in the foreground input is open",
      .set = set_flag, .into = &opt.interactive },
    { 0 }
};
static const struct hint tty_hints[] = {
    { "open(/dev/pts", 0, .fix = "the kernel allows no more terminals: see "
      "/proc/sys/kernel/pty/max" },
    { 0 }
};

/* A message with a descriptor, for a Unix socket: the kernel opens for the
 * receiver what the sender has open, but only along with some data, a byte. */
static union {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))]; /* for it and the descriptor */
} parcel = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
                       .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
static char filler;                     /* that byte */
static struct msghdr message = { .msg_iovlen = 1,
    .msg_iov = &(struct iovec){ &filler, 1 },
    .msg_control = &parcel, .msg_controllen = sizeof(parcel) };

/* --- In the box: its session ------------------------------------------- */

/* Have the terminal FD be as large as the caller's, if the caller has one. */
static void copy_window_size(int fd) {
    struct winsize size;                /* rows and columns */

    if (ioctl(0, TIOCGWINSZ, &size) == 0)
        ioctl(fd, TIOCSWINSZ, &size);   /* a SIGWINCH for its foreground */
}

/* In the child: have its terminal, if it has one of its own, as /dev/console,
 * too, where some look for one. */
static void mount_console(void) {
    if (!box.has_terminal)
        return;

    step(12, "ttyname(0)", "tty");
    const char *name = ttyname(0);
    require(name != NULL, ENOTTY);

    step(12, text("open(/dev/console), mount(%s, MS_BIND)", name),
         "mount --bind");
    int console_fd = must(open("/dev/console", O_CREAT | O_CLOEXEC, 0600));
    close(console_fd);
    must(mount(name, "/dev/console", NULL, MS_BIND, NULL));
}

/* In the child, whose root is the box's: open a terminal, make it that of this
 * session and of streams 0 to 2, and send the master to the relay. */
static void open_terminal(void) {
    step(12, "open(/dev/pts/ptmx), ioctl(TIOCSPTLCK), ioctl(TIOCGPTPEER)",
         "script");
    int master_fd = must(open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    must(unlockpt(master_fd));          /* ioctl(TIOCSPTLCK) */
    int slave_fd = must(ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    copy_window_size(slave_fd);         /* before the command looks */

    /* With the message the relay begins to copy.  Our master is closed by
     * execve(2); until then it does no harm. */
    step(12, "sendmsg(SCM_RIGHTS)", NULL);
    memcpy(CMSG_DATA(&parcel.head), &master_fd, sizeof(master_fd));
    must(sendmsg(handover_fds[1], &message, 0));

    step(12, "ioctl(TIOCSCTTY)", "setsid -c");
    must(ioctl(slave_fd, TIOCSCTTY, 0));

    /* With this the caller's streams, the last ways to it, are gone. */
    step(12, "dup2(slave, 0 to 2)", NULL);
    for (int stream = 0; stream <= 2; stream++)
        must(dup2(slave_fd, stream));
    close(slave_fd);
    box.is_on_terminal = 1;
}

/* In the child: leave the caller's session, and with it its terminal and its
 * group.  A child is never the leader of a group, to which the kernel would
 * refuse this.  setsid(2). */
static void begin_session(void) {
    step(12, "setsid()", "setsid");
    must(setsid());
    if (box.has_terminal)
        open_terminal();
}

/* --- The caller's terminal --------------------------------------------- */

/* Are we in the foreground of the terminal on descriptor 0?  One that is not of
 * our session (-1) knows no such thing, and we may do with it what we like. */
static int is_in_foreground(void) {
    pid_t group = tcgetpgrp(0);

    return group < 0 || group == getpgrp();
}

/* In the relay: as long as we are in its foreground, have the terminal raw, so
 * that ^C and the rest go to the box; returns whether we are.  While we are not
 * it is somebody else's, who may set it otherwise: then it is taken anew.  If a
 * shell takes it from us at this very moment, the kernel stops us, as it does
 * any job in the background, by SIGTTOU. */
static int take_terminal(void) {
    struct termios modes;
    sigset_t background = { 0 };

    if (!is_in_foreground() || tcgetattr(0, &modes) < 0)
        return 0;
    if (terminal->is_taken && !(modes.c_lflag & ISIG))
        return 1;                       /* it is raw, still */

    terminal->found = modes;
    terminal->is_taken = 1;
    cfmakeraw(&modes);

    sigaddset(&background, SIGTTOU);
    sigprocmask(SIG_UNBLOCK, &background, NULL);
    tcsetattr(0, TCSADRAIN, &modes);
    sigprocmask(SIG_BLOCK, &background, NULL);
    return 1;
}

/* In the relay, or in the parent while the relay is stopped or dead: put the
 * terminal right.  In the background only if it is as we left it, for a shell
 * may have made it its own. */
static void restore_terminal(void) {
    struct termios modes;

    if (!terminal || !terminal->is_taken || tcgetattr(0, &modes) < 0)
        return;

    terminal->is_taken = 0;
    if (is_in_foreground() || !(modes.c_lflag & ISIG))
        tcsetattr(0, TCSADRAIN, &terminal->found);      /* SIGTTOU is held */
}

/* --- The relay --------------------------------------------------------- */

/* Bytes on their way in one direction. */
struct flow {
    char bytes[4096];
    size_t waiting;                     /* so many were read, and not written */
};

/* Read what there is room for; returns as read(2). */
static ssize_t take_bytes(struct flow *flow, int fd) {
    ssize_t got = read(fd, flow->bytes + flow->waiting,
                       sizeof(flow->bytes) - flow->waiting);

    if (got > 0)
        flow->waiting += (size_t)got;
    return got;
}

/* Write what FD takes now.  Returns 0, or -1 if it never will take more. */
static int give_bytes(struct flow *flow, int fd) {
    ssize_t given = write(fd, flow->bytes, flow->waiting);

    if (given < 0)
        return errno == EAGAIN ? 0 : -1;

    flow->waiting -= (size_t)given;
    memmove(flow->bytes, flow->bytes + given, flow->waiting);
    return 0;
}

/* Is the third ^] within a second among these bytes?  It is the way out of a
 * box that listens to nothing.  The two before it go there, like all else. */
static int is_way_out(const char *typed, size_t length) {
    static int count;                   /* how many were typed in a row */
    static long long first;             /* when the first of them was, in ms */
    struct timespec clock;

    clock_gettime(CLOCK_MONOTONIC, &clock);
    long long now_ms = clock.tv_sec * 1000LL + clock.tv_nsec / 1000000;

    for (size_t i = 0; i < length; i++) {
        if (typed[i] != WAY_OUT) {
            count = 0;
            continue;
        }
        if (count == 0 || now_ms - first > 1000) {
            count = 0;
            first = now_ms;
        }
        count++;
        if (count == 3)
            return 1;
    }
    return 0;
}

/* What the relay copies between. */
struct relay {
    int input_fd;                       /* 0, or -1 when no more is to come */
    int master_fd;
    int slave_fd;                       /* one of our own: see open_slave() */
    int parent_fd;                      /* -1 when the parent has hung up */
    int signal_fd;
    int patience;                       /* ms until the next ^D, or -1: none */
    size_t rest;                        /* to read after the parent's end */
    struct flow typed, shown;           /* to the box, and from it */
};
enum { KEYS, SCREEN, MASTER, PARENT, SIGNALS, ENDS };   /* what it polls */
enum { LOOK_AGAIN = 200 };              /* ms */

/* As long as some slave is open the master is told nothing of an end.  The box
 * may close all of its own, and open one again: so we hold one as well.  When
 * the leader of its session ends, or calls vhangup(2), ours is cut off (EIO),
 * and we open the next. */
static void open_slave(struct relay *r) {
    if (r->slave_fd < 0)
        r->slave_fd = ioctl(r->master_fd, TIOCGPTPEER,
                            O_RDWR | O_NOCTTY | O_CLOEXEC);
}

/* Say what poll(2) is to wait for; -1 is not looked at.  Of a terminal that we
 * do not read now we still want to know when it is closed: POLLHUP, which is
 * always told. */
static void choose_ends(const struct relay *r, int is_ours,
                        struct pollfd ends[ENDS]) {
    int has_room = r->shown.waiting < sizeof(r->shown.bytes);
    int may_read = is_ours && r->typed.waiting < sizeof(r->typed.bytes);

    for (int i = 0; i < ENDS; i++)
        ends[i] = (struct pollfd){ .fd = -1 };

    if (may_read || is_terminal)
        ends[KEYS].fd = r->input_fd;
    if (may_read)
        ends[KEYS].events = POLLIN;
    if (r->shown.waiting > 0)
        ends[SCREEN] = (struct pollfd){ .fd = 1, .events = POLLOUT };

    if (r->slave_fd >= 0)
        ends[MASTER].fd = r->master_fd;
    if (has_room)
        ends[MASTER].events |= POLLIN;
    if (r->typed.waiting > 0)
        ends[MASTER].events |= POLLOUT;

    ends[PARENT].fd = r->parent_fd;     /* POLLHUP */
    ends[SIGNALS] = (struct pollfd){ .fd = r->signal_fd, .events = POLLIN };
}

/* Sleep until there is something to do, or it is time to see whether we are in
 * the foreground of the caller's terminal again, or can open a slave.  The end
 * of our input is ^D for the box, and again later for whoever reads next. */
static void wait_for_ends(struct relay *r, struct pollfd ends[ENDS]) {
    int is_ours = !is_terminal || take_terminal();
    int timeout = r->patience;

    if (!is_ours || r->slave_fd < 0)
        timeout = LOOK_AGAIN;
    choose_ends(r, is_ours, ends);
    int ready = poll(ends, ENDS, timeout);

    if (ready == 0 && r->patience > 0 && r->typed.waiting == 0) {
        r->typed.bytes[0] = END_OF_INPUT;
        r->typed.waiting = 1;
    }
}

/* Take what was typed.  On the way out we do not end ourselves: that would hang
 * up, and the box might end by this before the parent, woken up, kills it.  Of
 * a terminal poll(2) tells that it is closed; any other input has an end. */
static void take_keys(struct relay *r) {
    char *typed = r->typed.bytes + r->typed.waiting;
    ssize_t got = take_bytes(&r->typed, 0);

    if (is_terminal) {
        if (got > 0 && is_way_out(typed, (size_t)got)) {
            terminal->is_left = 1;
            kill(getppid(), SIGCHLD);
        }
    } else if (got == 0 || (got < 0 && errno != EAGAIN)) {
        r->input_fd = -1;
        r->patience = LOOK_AGAIN;
        *typed = END_OF_INPUT;          /* there was room to read */
        r->typed.waiting++;
    }
}

/* A signal is there: SIGWINCH, when the window has changed; SIGCONT, before
 * which it may have, and after which wait_for_ends() looks at the terminal. */
static void take_event(struct relay *r) {
    struct signalfd_siginfo event;

    if (read(r->signal_fd, &event, sizeof(event)) > 0)
        copy_window_size(r->master_fd);
}

/* Take what the box shows, if there is room for it.  Returns whether there may
 * be more: always until the parent has hung up, and then until all that the
 * pair still holds is taken and shown. */
static int take_shown(struct relay *r) {
    if (r->shown.waiting == sizeof(r->shown.bytes))
        return 1;

    ssize_t got = take_bytes(&r->shown, r->master_fd);
    if (got < 0 && errno != EAGAIN) {
        close(r->slave_fd);
        r->slave_fd = -1;               /* open_slave() opens the next */
    }
    if (r->parent_fd >= 0)
        return 1;
    if (got <= 0)
        return r->shown.waiting > 0;

    if ((size_t)got < r->rest)
        r->rest -= (size_t)got;
    return r->rest > 0;
}

/*
 * In the relay: copy until the terminal is closed, or nobody looks any more at
 * what it shows, or the parent has hung up, and then what the pair still holds,
 * a few KiB at most.  All waiting is done in wait_for_ends(): a box that does
 * not read cannot keep its own output from being shown.
 */
static void copy_both_ways(struct relay *r) {
    struct pollfd ends[ENDS];

    for (;;) {
        open_slave(r);
        wait_for_ends(r, ends);

        if (ends[SIGNALS].revents)
            take_event(r);
        if (is_terminal && (ends[KEYS].revents & POLLHUP))
            return;
        if (ends[KEYS].revents)
            take_keys(r);
        if (r->typed.waiting > 0)
            give_bytes(&r->typed, r->master_fd);        /* does not wait */
        if (ends[SCREEN].revents && give_bytes(&r->shown, 1) < 0)
            return;

        /* What the box wrote before its end is there when the parent hangs up,
         * so this comes first, and the read after it. */
        if (ends[PARENT].revents)
            r->parent_fd = -1;
        if (!take_shown(r))
            return;
    }
}

/* Sleep until the child sends the master.  Returns -1 if no child ever does. */
static int receive_master(void) {
    int master_fd;

    if (recvmsg(RELAY_FD, &message, MSG_CMSG_CLOEXEC) != 1 ||
        !CMSG_FIRSTHDR(&message))
        return -1;
    memcpy(&master_fd, CMSG_DATA(&parcel.head), sizeof(master_fd));
    return master_fd;
}

/* The relay: a process of its own, with our signals held. */
static _Noreturn void run_relay(void) {
    struct relay r = { .parent_fd = RELAY_FD, .slave_fd = -1, .patience = -1,
                       .rest = 1 << 16 };
    sigset_t heard = awaited;

    /* It keeps its streams and the socket, and neither another descriptor nor
     * our folder: it may outlive us, and nobody is to wait for it. */
    dup2(handover_fds[0], RELAY_FD);
    syscall(SYS_close_range, RELAY_FD + 1U, ~0U, 0);
    chdir("/");

    signal(SIGTTOU, SIG_DFL);           /* see take_terminal() */
    sigaddset(&heard, SIGTTOU);
    sigaddset(&heard, SIGCONT);
    sigprocmask(SIG_BLOCK, &heard, NULL);
    r.signal_fd = signalfd(-1, &heard, SFD_CLOEXEC);

    r.master_fd = receive_master();     /* sleeps */
    if (r.master_fd < 0)
        _exit(0);
    copy_window_size(r.master_fd);
    fcntl(r.master_fd, F_SETFL, O_NONBLOCK);    /* poll(2) waits */
#if WITH_DETACH
    if (opt.detach)
        r.input_fd = -1;                /* nobody types */
#endif

    copy_both_ways(&r);
    restore_terminal();
    _exit(0);
}

/* --- The parent -------------------------------------------------------- */

/* Does our session have a terminal, still?  tty(4). */
static int has_terminal(void) {
    int terminal_fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    close(terminal_fd);
    return terminal_fd >= 0;
}

/* Send SIG to the whole group of the box's first process, whose number nobody
 * else can have until we have waited for it; or, before its setsid(2), to that
 * process alone. */
static void signal_group(int sig) {
    if (kill(-box.pid, sig) < 0 && errno == ESRCH)
        kill(box.pid, sig);
}

/* The box's terminal is gone.  It may clean up, but has no choice: ten seconds
 * later comes SIGALRM. */
static void hang_up(void) {
    if (is_hung_up)
        return;

    is_hung_up = 1;
    signal_group(SIGHUP);
    signal_group(SIGCONT);              /* what is stopped takes no SIGHUP */
    alarm(10);                          /* seconds */
}

/* See what the relay has to say.  If it has ended, nobody is left who looks at
 * the box's terminal; and it may have been killed, before it could put right
 * the caller's. */
static void watch_relay(void) {
    if (terminal && terminal->is_left)
        signal_group(SIGKILL);

    if (relay_pid > 0 && waitpid(relay_pid, NULL, WNOHANG) == relay_pid) {
        relay_pid = 0;
        restore_terminal();
        hang_up();
    }
}

/* Stop the box, and then ourselves.  The shell above sees that, and sets the
 * terminal as it wants it: so the relay, which may hold it, is stopped before,
 * and the terminal put right.  After `fg` or `bg` all go on, and the relay sees
 * where we are.  An init has its command stop, and must not be stopped. */
static void stop_with_box(int sig) {
    int stop = SIGSTOP;
    siginfo_t info;                     /* waitid(2) wants it */

#if WITH_VOLUMES
    if (opt.init)
        stop = SIGTSTP;                 /* see pass_to_command() */
#endif
    signal_group(stop);
    if (relay_pid > 0) {
        kill(relay_pid, SIGSTOP);
        waitid(P_PID, (id_t)relay_pid, &info, WSTOPPED | WEXITED | WNOWAIT);
        restore_terminal();
    }

    stop_ourselves(sig);
    signal_group(SIGCONT);
    if (relay_pid > 0)
        kill(relay_pid, SIGCONT);
}

/* A signal is there.  What the terminal sends is for its foreground, which the
 * box is not in: so all is passed on, but for a change of the window where the
 * relay sees to it. */
static void pass_to_group(const siginfo_t *info) {
    int sig = info->si_signo;
    int is_for_relay = sig == SIGWINCH && info->si_code == SI_KERNEL &&
                    box.has_terminal;

    if (is_stop(sig))
        stop_with_box(sig);
    else if (sig == SIGHUP && had_terminal && !has_terminal())
        hang_up();
    else if (sig == SIGALRM && is_hung_up)
        signal_group(SIGKILL);
    else if (sig != SIGCHLD && !is_for_relay)
        signal_group(sig);

    watch_relay();
}

/* Before the clone: is the box to have a terminal of its own?  With -t, or if
 * each stream is our terminal, and we are in its foreground.  The kernel tells
 * which group is there only of the one that our session has. */
static void choose_terminal(void) {
    int is_ours = 1;

    for (int stream = 0; stream <= 2; stream++)
        if (tcgetpgrp(stream) != getpgrp())
            is_ours = 0;
#if WITH_DETACH
    if (opt.detach)
        is_ours = 0;                    /* nobody sits there */
#endif
    box.has_terminal = opt.terminal || is_ours;

    /* In the background a box would take from the terminal what is typed for
     * others: from another session, the kernel would not keep it from that. */
    if (!box.has_terminal && tcgetpgrp(0) > 0 && tcgetpgrp(0) != getpgrp()) {
        step(12, "open(/dev/null), dup2(0)", "</dev/null");
        int input_fd = must(open("/dev/null", O_RDONLY | O_CLOEXEC));
        must(dup2(input_fd, 0));
    }
    had_terminal = has_terminal();
}

/*
 * Before the clone: start the relay.  It is a process of its own, so that it
 * can set the terminal right even if whalebox is killed: then the socket is
 * hung up, and the relay comes to its end.
 */
static void start_relay(void) {
    take_signal = pass_to_group;
    choose_terminal();
    if (!box.has_terminal)
        return;

    step(12, "socketpair(), mmap(MAP_SHARED), fork(), tcsetattr(raw)",
         "stty raw -echo");
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, handover_fds));
    terminal = mmap(NULL, sizeof(*terminal), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(terminal != MAP_FAILED, errno);

    is_terminal = isatty(0);            /* or it is a pipe, say */
    relay_pid = must(fork());
    if (relay_pid == 0)
        run_relay();
    close(handover_fds[0]);             /* the relay's end */
}

/* After the end: hang up, and let the relay show what is left.  Who keeps the
 * slave open, as a daemon may, is not waited for.  The relay may be stopped, or
 * have been killed before it could put the terminal right. */
static void end_relay(void) {
    close(handover_fds[1]);
    if (relay_pid > 0) {
        kill(relay_pid, SIGCONT);
        waitpid(relay_pid, NULL, 0);
    }
    restore_terminal();
}
#endif /* WITH_TTY */

#if WITH_COMMANDS
/* --- Commands of whalebox's own ---------------------------------------------
 */

/* A command of whalebox's own. */
struct command {
    const char *name;           /* "stop" */
    const char *usage;          /* what follows it: "[-t SEC] NAME..." */
    const char *help;           /* what it does */
    int (*run)(int argc, char **argv);  /* as main(): returns the status */
    int has_run_options;        /* it takes some options of a run */
    int is_careful;             /* it prepares the process itself */
#if WITH_IMAGES || WITH_BRIDGE
    const char *word;           /* of several with one name: "ls"; or NULL */
    int (*act)(int argc, char **argv);  /* then: as main(), from WORD on */
#endif
};
static const struct command *our_command; /* what was asked for, or NULL */

/* It stands with the command line, near the end. */
PRINTF(1) static void print(const char *format, ...);
#endif

#if WITH_DETACH
/* === Chapter 13: living in the background ==================================
 *
 * With -d the caller goes on, and somebody else has to wait for the box: its
 * supervisor, a process in a session of its own, which no closed terminal ends.
 *
 *   whalebox -d            supervisor              box
 *     | fork ---------------> | clone3 -------------> |
 *     | <-- one byte -------- | <-- end of file ----- | execve
 *   prints the name           | <== what it prints == |
 *                             |  ==> log, log.1       |
 *                             |  ==> config           ends
 *
 * A box's folder keeps its layers, its log, and its record in the file config.
 * A record is a claim that was true when it was written.  Whether a supervisor
 * lives is told by its lock on the folder, which the kernel drops however it
 * dies; and whether a process is the one that is meant, by the moment at which
 * it started, for numbers are used again.  The commands, which look at that,
 * come near the end.  setsid(2), pidfd_open(2), proc(5).
 */
static char directory[PATH_MAX];        /* the caller's, for relative paths */
static const char *first_id;            /* of a box that is started again */
static long long created, started;      /* seconds since 1970 */
static int launcher_fd = -1;            /* a pipe: a byte when the box runs */
static int refusal_fds[2];              /* a pipe: a byte for a failure */
static int output_fds[2];               /* a pipe: what the box prints */
static int signal_fd;                   /* a signalfd, to poll for signals */
static int log_fd = -1;                 /* the file log */
static int turn_fd = -1;                /* a folder: it is ours to act on */
static int making_fd;                   /* the folder upper: it is being made */
static int supervisor_pidfd = -1;       /* who supervises: find_status() */
static int is_elsewhere;                /* its numbers are not ours: the same */
enum { MOST_RECORD = 16 << 20 };        /* bytes: no command line has as many */
static char no_record[2];
static char *found_record = no_record;  /* one that was read: lines, each ended
                                         * by a '\0', the last by two */
static char *draft;                     /* one to be written */
static size_t draft_length, draft_room; /* of it so far, and at most */
static const struct option detach_options[] = {
    { 'd', "detach", NULL, "run in the background, and print the name",
      .set = set_flag, .into = &opt.detach },
    { 0, "rm", NULL, "remove the box when it ends, named or not",
      .set = set_flag, .into = &opt.remove },
    { 0, "log-max", "SIZE", "keep the last SIZE it prints (10m; from 8k)",
      .set = set_size, .into = &opt.log_max },
    { 0 }
};
static int ps_main(int argc, char **argv);
static int logs_main(int argc, char **argv);
static int inspect_main(int argc, char **argv);
static int wait_main(int argc, char **argv);
static int kill_main(int argc, char **argv);
static int stop_main(int argc, char **argv);
static int start_main(int argc, char **argv);
static int rm_main(int argc, char **argv);
static const struct command detach_commands[] = {
    { "ps", "[-a] [-q]", "list boxes that run; -a: all; -q: names alone",
      .run = ps_main },
    { "logs", "[-f] [-n LINES] NAME",
      "what it printed, or the last LINES; -f: until it ends",
      .run = logs_main },
    { "inspect", "NAME [KEY]", "its record, or one value of it",
      .run = inspect_main },
    { "wait", "NAME...", "wait until it ends, and print its exit status",
      .run = wait_main },
    { "kill", "[-s SIGNAL] NAME...", "send its first process a signal (KILL)",
      .run = kill_main },
    { "stop", "[-t SEC] NAME...",
      "end it: TERM, and KILL after SEC seconds (10)",
      .run = stop_main },
    { "start", "NAME...", "run it again, with its files, with -d",
      .run = start_main },
    { "rm", "[-f] NAME...", "remove it and its files; -f: kill it first",
      .run = rm_main },
    { 0 }
};
static const struct hint detach_hints[] = {
    { "chdir", 0, .fix = "its paths begin in that folder: make it again" },
    { "getcwd", ENOENT, .fix = "the folder that you are in is gone: cd /" },
    { "write(", E2BIG, .fix = "a record has 16 MiB at most" },
    { 0 }
};

/* --- Tools of the chapters from 13 on: what is shown, and to whom -----------
 *
 * A name may be a stranger's, and so may the other end of a pipe.
 */

/* How many bytes the character has that FROM begins with.  0 if it is none, or
 * one that a terminal would obey.  utf-8(7). */
static size_t printable(const char *from) {
    /* The least that is worth so many bytes; what is below 0xa0 is control. */
    static const unsigned long least[] = { 0, 0x20, 0xa0, 0x800, 0x10000 };
    const unsigned char *byte = (const unsigned char *)from;
    unsigned long code = byte[0];
    size_t count = 1;

    /* The first byte says how many there are, and has the code's first bits. */
    if (code >= 0xf0)
        count = 4;
    else if (code >= 0xe0)
        count = 3;
    else if (code >= 0x80)
        count = 2;
    if (count > 1)
        code &= 0xffUL >> (count + 1);

    /* Each of the others has six bits. */
    for (size_t i = 1; i < count; i++) {
        if ((byte[i] & 0xc0) != 0x80)
            return 0;                   /* it ends too early */
        code = code << 6 | (byte[i] & 0x3f);
    }

    if ((count == 2 && byte[0] < 0xc0) || code < least[count] || code == 0x7f ||
        code > 0x10ffff)
        return 0;
    return count;
}

/* FROM, with whatever a terminal would obey as \xNN: a name may be a
 * stranger's, and a line in it forge one of ours.  The result lasts. */
static char *visible(const char *from) {
    char *result = malloc(4 * strlen(from) + 1);
    char *to = result;

    if (!result)
        _exit(125);                     /* no memory, not even to say so */

    while (*from) {
        size_t count = printable(from);
        if (count == 0) {
            to += sprintf(to, "\\x%02x", (unsigned char)*from);
            from++;
        }
        while (count-- > 0)
            *to++ = *from++;
    }
    *to = '\0';
    return result;
}

/* --- The record -------------------------------------------------------- */

/* The options that were given, in order; the last has no option. */
static struct given { const struct option *option; const char *value; }
    given[512];

/* Note that option O was given with VALUE: the record tells so. */
static void remember(const struct option *o, const char *value) {
    struct given *g = given;

    while (g->option)
        g++;
    if (g == &given[LENGTH(given) - 1]) /* the last one stays empty */
        refuse("use fewer", "too many options: --%s", o->name);
    *g = (struct given){ o, value };
}

/* SIZE bytes, which last as long as we do. */
static char *get_room(size_t size) {
    char *room = malloc(size);

    if (!room) {
        step(13, text("malloc(%zu)", size), NULL);
        die();
    }
    return room;
}

/* Add PIECE to the draft.  One that is full goes on as a larger one. */
static void add(const char *piece) {
    size_t length = strlen(piece);

    if (draft_length + length > draft_room) {
        draft_room = 2 * (draft_length + length) + 1024;
        char *larger = get_room(draft_room);
        if (draft)
            memcpy(larger, draft, draft_length);
        draft = larger;
    }
    while (*piece)
        draft[draft_length++] = *piece++;
}

/* WORD as the record has it, so that a value is one line and its words stay
 * apart: "\ ", "\\", "\n" for a new line, "\e" for an empty word. */
static const char *escape_word(const char *word) {
    if (*word == '\0')
        return "\\e";

    char *result = get_room(2 * strlen(word) + 1);      /* at most */
    char *to = result;
    for (; *word; word++) {
        char letter = *word;
        if (letter == '\n' || letter == ' ' || letter == '\\')
            *to++ = '\\';
        if (letter == '\n')
            letter = 'n';
        *to++ = letter;
    }
    *to = '\0';
    return result;
}

/* Add a line that says that KEY has this VALUE. */
static void add_line(const char *key, const char *value) {
    add(text("%s=%s\n", key, escape_word(value)));
}

/* Make what escape_word() wrote at FROM a string again, in its place: that is
 * never longer.  Returns the next word, or NULL. */
static char *take_word(char *from) {
    char *to = from;

    for (; *from && *from != ' '; from++) {
        if (*from != '\\' || !from[1]) {
            *to++ = *from;
            continue;
        }
        from++;                         /* past the backslash */
        if (*from == 'n')
            *to++ = '\n';
        else if (*from != 'e')
            *to++ = *from;
    }

    /* The string may end where the blank was: look at that first. */
    char *next = NULL;
    if (*from)
        next = from + 1;
    *to = '\0';
    return next;
}

/* Is the option O for one run alone?  --name has a line of its own in a record,
 * and what variables stand for is recorded in their place. */
static int is_passing(const struct option *o) {
    static const char *const passing[] = {
        "explain", "name", "env", "env-file", "interactive",
#if WITH_IMAGES
        "image",                        /* it has a line of its own, too */
#endif
    };

    for (size_t i = 0; i < LENGTH(passing); i++)
        if (strcmp(o->name, passing[i]) == 0)
            return 1;
    return 0;
}

#if WITH_BRIDGE
static const char *address_line(void);
#endif

/* Make the draft a record that tells how the box is: its STATUS, "running" or
 * "exited", and its EXIT_CODE, "" as long as it has none.  Then come the
 * options, by which it can be run again, and at last the command: who finds
 * that knows that the record is whole. */
static void draft_record(const char *status, const char *exit_code) {
    long long finished = 0;

    if (*exit_code)
        finished = time(NULL);
    draft_length = 0;
    add(text("id=%s\nname=%s\nstatus=%s\nexit_code=%s\n", box.id, box.name,
             status, exit_code));
    add(text("pid=%d\npid_start=%llu\nsupervisor_pid=%d\nboot_id=%s\n",
             box.pid, box.pid > 0 ? first_start : 0, getpid(), boot_id()));
    add(text("created=%lld\nstarted=%lld\nfinished=%lld\n", created, started,
             finished));
#if WITH_BRIDGE
    add(address_line());
#endif
    const char *image = rootfs->path;   /* a full path */
#if WITH_IMAGES
    if (box.image)
        image = box.image;
#endif
    add_line("image", image);
    add_line("directory", directory);   /* where relative ones begin */

    for (struct given *g = given; g->option; g++)
        if (!is_passing(g->option))
            add_line(g->option->name, g->value ? g->value : "yes");
#if WITH_VOLUMES
    for (char **variable = opt.variables; *variable; variable++)
        add_line("env", *variable);
#endif

    add("command=");
    for (char **word = box.argv; *word; word++) {
        add(escape_word(*word));
        add(word[1] ? " " : "\n");
    }
}

/* The file that is to be the next record: a descriptor. */
static int open_new_record(void) {
    step(13, text("open(%s/config.new)", box.name), NULL);
    return must(openat(folder_fd, "config.new", O_WRONLY | O_CREAT |
                       O_NOFOLLOW | O_CLOEXEC, 0600));
}

/* Write the box's record: see draft_record().  A new file takes the old one's
 * place, so whoever reads it finds one or the other, never half of one, even
 * after a crash: so a record that is to outlive us is on the disk before it has
 * its name. */
static void write_record(const char *status, const char *exit_code) {
    draft_record(status, exit_code);
    int fd = open_new_record();

    /* The file may be there already, and longer: see keep_room(). */
    step(13, text("write(%s/config, status=%s)", box.name, status), NULL);
    require(draft_length <= MOST_RECORD, E2BIG);
    ssize_t written = must(write(fd, draft, draft_length));
    require(written == (ssize_t)draft_length, ENOSPC);
    step(13, text("ftruncate, fsync(%s/config.new)", box.name), NULL);
    must(ftruncate(fd, (off_t)draft_length));
    if (box.is_kept)
        must(fsync(fd));
    close(fd);

    step(13, text("rename(%s/config.new)", box.name), NULL);
    must(renameat(folder_fd, "config.new", folder_fd, "config"));
}

/* Have room on the disk for the box's last record, which is a little longer
 * than the first.  The box itself may have filled the disk by its end; without
 * this it would be "dead" then, and nobody would know its exit status.
 * posix_fallocate(3) returns its error; old NFS has no such call. */
static void keep_room(void) {
    int fd = open_new_record();

    step(13, text("fallocate(%s/config.new)", box.name), NULL);
    int error = posix_fallocate(fd, 0, (off_t)draft_length + 64);
    require(error == 0 || error == EOPNOTSUPP, error);
    close(fd);
}

/* Is the box of the folder DIR_FD to stay when it ends?  The folder's sticky
 * bit tells: see keep_box().  If it cannot be told, nothing is removed. */
static int is_to_stay(int dir_fd) {
    struct stat st;

    return fstat(dir_fd, &st) < 0 || (st.st_mode & S_ISVTX);
}

/* Have the mark that was written to FD on the disk before a box that is to stay
 * goes on: without one the folder would be nobody's after a crash. */
static void sync_mark(int fd) {
    if (!box.is_kept)
        return;
    step(13, text("fsync(%s/box)", box.name), NULL);
    must(fsync(fd));
}

/* At exit(3), when all else is done: record how the box ended, and that nobody
 * is in it, if one was made, and is to stay. */
static void record_end(void) {
    if (folder_fd < 0 || !box.is_kept || !is_to_stay(folder_fd))
        return;
    write_record("exited", text("%d", exit_status(box.status)));

    /* With its first process all others of its PID namespace have ended.  Where
     * another one looks, as in another container, that tells it. */
    if (box.flags & CLONE_NEWPID)
        write_mark(folder_fd, 0, 0);
}

/* The value of KEY in the record that was read, or NULL. */
static char *value_of(const char *key) {
    size_t length = strlen(key);

    for (char *line = found_record; *line; line += strlen(line) + 1)
        if (strncmp(line, key, length) == 0 && line[length] == '=')
            return line + length + 1;
    return NULL;
}

/* Have the record be all of the file config in DIR_FD, the folder of the box
 * NAME.  What is no file that one may read is no record.  Whatever else keeps
 * us from reading it, a full table of files or a bad disk, says nothing of the
 * record: there may be nothing wrong with it, and nobody is to be told to
 * remove the box. */
static void load_record(int dir_fd, const char *name) {
    struct stat st;

    found_record = no_record;
    step(13, text("openat, fstat(%s/config)", name), NULL);
    int fd = openat(dir_fd, "config", O_RDONLY | O_NOFOLLOW | O_NONBLOCK |
                    O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENXIO || errno == ELOOP ||
                   errno == EACCES))
        return;
    must(fd);
    must(fstat(fd, &st));

    if (S_ISREG(st.st_mode) && st.st_size <= MOST_RECORD) {
        /* The last line is ended by two '\0'. */
        found_record = calloc((size_t)st.st_size + 2, 1);
        require(found_record != NULL, ENOMEM);
        step(13, text("read(%s/config)", name), NULL);
        must(read(fd, found_record, (size_t)st.st_size));
    }
    close(fd);
}

/* Make each line of the record a string.  Returns 0, or -1 if one of them was
 * cut off or has no '=', which set_recorded() counts on. */
static int split_record(void) {
    for (char *line = found_record; *line; line += strlen(line) + 1) {
        char *end = strchr(line, '\n');
        if (!end || !memchr(line, '=', (size_t)(end - line)))
            return -1;
        *end = '\0';
    }
    return 0;
}

/* Is the record, as split_record() leaves it, one that write_record() wrote for
 * the box NAME?  Since the command is written last, a record that has it has
 * all options. */
static int is_whole(const char *name) {
    static const struct { const char *key; unsigned long long most; } needed[] =
    {
        { "pid", INT_MAX }, { "supervisor_pid", INT_MAX },
        { "pid_start", LLONG_MAX }, { "created", LLONG_MAX },
        { "started", LLONG_MAX }, { "finished", LLONG_MAX },
        { "name", 0 }, { "id", 0 }, { "status", 0 },    /* 0: any text */
        { "exit_code", 0 }, { "boot_id", 0 }, { "image", 0 },
        { "directory", 0 }, { "command", 0 },
    };
    unsigned long long number;

    for (size_t i = 0; i < LENGTH(needed); i++) {
        const char *value = value_of(needed[i].key);
        if (!value)
            return 0;
        if (needed[i].most > 0 &&
            parse_number(value, 0, needed[i].most, &number) < 0)
            return 0;
    }
    return strcmp(value_of("name"), name) == 0 &&
           (strcmp(value_of("status"), "running") == 0 ||
            strcmp(value_of("status"), "exited") == 0);
}

/* Read the record of the box NAME, whose folder is DIR_FD.  Returns 0, or -1 if
 * it is not whole, or another's: then nothing of it is left, or a number in it
 * might be believed and that process killed. */
static int read_record(int dir_fd, const char *name) {
    load_record(dir_fd, name);
    if (split_record() == 0 && is_whole(name))
        return 0;

    found_record = no_record;
    return -1;
}

/* What we say from now on is in the log, if there is one. */
static void speak_in_log(void) {
    if (log_fd >= 0)
        told_fd = log_fd;
}

/* What the box prints cannot be read: say so in the log, where who misses it
 * will look, and let the box know, by EPIPE, that nobody reads. */
static void give_up_output(void) {
    speak_in_log();
    step(13, "read(output)", NULL);
    complain();
    close(output_fds[0]);
    output_fds[0] = -1;
}

/* Open the file log, to add to it.  Returns a descriptor, or -1 with errno. */
static int open_log(void) {
    return openat(folder_fd, "log", O_WRONLY | O_CREAT | O_APPEND |
                  O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* Write to the log what the box has printed; returns 0 or less when no more can
 * come.  Two files of half its size each: when one is full, the older is
 * dropped.  If the disk is full, a part is lost: the box is not to wait for it,
 * and a log that could not be opened is tried again. */
static ssize_t take_output(void) {
    char buffer[4096];                  /* half the smallest log */
    ssize_t got = read(output_fds[0], buffer, sizeof(buffer));

    if (got < 0)
        give_up_output();
    if (got <= 0)
        return got;

    if (lseek(log_fd, 0, SEEK_END) + got > (off_t)(opt.log_max / 2)) {
        renameat(folder_fd, "log", folder_fd, "log.1");
        close(log_fd);                  /* it is log.1 now */
        log_fd = -1;
    }
    if (log_fd < 0)
        log_fd = open_log();
    write(log_fd, buffer, (size_t)got);
    return got;
}

/* The box is to stay when it ends, and its record to tell how: the sticky bit
 * of its folder says so, to us and to whoever finds the folder. */
static void keep_box(void) {
    step(13, text("fchmod(%s, S_ISVTX)", box.name), "chmod +t");
    must(fchmod(folder_fd, S_ISVTX | 0755));
}

/* Send the launcher its byte.  Without it the launcher would take the box for
 * failed, and wait for our end: so it is to fail, and a new one to leave
 * nothing.  If somebody killed the launcher (EPIPE), the box runs on. */
static void say_it_runs(void) {
    ssize_t written = write(launcher_fd, "", 1);
    int error = errno;

    if (written == 1 || error == EPIPE)
        return;
    if (!box.has_folder)
        fchmod(folder_fd, 0755);        /* no longer to be kept */
    step(13, "write(ready)", NULL);
    require(written == 1, error);
}

/* Has the child become the command?  execve(2) closes its end of the pipe, and
 * then a read finds the end of file; a byte in it is a failure, which the child
 * has explained itself. */
static int has_become_command(void) {
    char byte;

    close(refusal_fd);                  /* only the child has this end now */
    refusal_fd = -1;
    ssize_t got = read(refusal_fds[0], &byte, 1);
    if (got < 0) {
        step(13, "read(refusals)", NULL);
        die();
    }
    return got == 0;
}

/* The child is let go: see whether it becomes the command, and tell the
 * launcher.  From then on nothing of the caller's is held: not its terminal,
 * nor its pipes, nor its folder. */
static void tell_launcher(void) {
    int is_running = has_become_command();

    /* What never ran is removed, and its output not waited for: somebody may
     * still have the pipe open. */
    if (is_running && box.is_kept)
        keep_box();
    if (!is_running)
        log_fd = -1;

    /* Let other commands have the box.  To close TURN_FD would undo the lock by
     * which we live: fcntl's go with any descriptor of the file. */
    flock(turn_fd, LOCK_UN);

    /* This is the last step that the caller can be told of: the launcher ends
     * as soon as it has its byte. */
    step(13, "dup2(/dev/null), chdir(/)", NULL);
    if (is_running)
        say_it_runs();
    close(launcher_fd);
    launcher_fd = -1;

    /* Streams 1 and 2 are the output pipe.  Once the box alone has that end,
     * the pipe ends with the box. */
    close(told_fd);                     /* the caller's standard error */
    told_fd = 2;
    must(dup2(0, 1));                   /* /dev/null */
    must(dup2(0, 2));
    must(chdir("/"));
}

/* Until there is a signal for sigwaitinfo(2) to take, keep the log. */
static void keep_log(void) {
    enum { PRINTED, SIGNALLED };        /* what is polled */
    struct pollfd from[] = {
        [PRINTED] = { .fd = output_fds[0], .events = POLLIN },
        [SIGNALLED] = { .fd = signal_fd, .events = POLLIN },
    };

    if (launcher_fd >= 0)               /* it has not been told yet */
        tell_launcher();
    while (!from[SIGNALLED].revents) {
        if (poll(from, LENGTH(from), -1) < 0)   /* sleeps */
            continue;                   /* it has not set revents */
        if (from[PRINTED].revents && take_output() <= 0)
            from[PRINTED].fd = -1;      /* nobody is left who could write */
    }
}

/* After the end: take what is still on its way.  Somebody who has the other end
 * open may never close it, so two seconds of silence are enough. */
static void end_output(void) {
    struct pollfd from = { .fd = output_fds[0], .events = POLLIN };
    int ready = 1;

    while (log_fd >= 0 && ready > 0 && from.fd >= 0) {
        ready = poll(&from, 1, 2000);   /* ms */
        if (ready > 0 && take_output() <= 0)
            from.fd = -1;
    }

    speak_in_log();
    if (ready < 0) {                    /* some of it may be lost */
        step(13, "poll(output)", NULL);
        complain();
    }
}

/* Before the clone: have a lock that goes on to the child.  The child loses it
 * when it becomes the command: until then the box is in the making, and nobody
 * else has any business in it. */
static void begin_making(void) {
    step(13, "open(upper), flock(upper)", NULL);
    making_fd = must(openat(folder_fd, "upper", FOLDER | O_NOFOLLOW));
    must(flock(making_fd, LOCK_EX));
}

/* The child is at the gate: write the box's first record, before it runs. */
static void begin_record(void) {
    close(making_fd);                   /* the child's alone */
    started = time(NULL);
    if (created == 0)                   /* this is the first time */
        created = started;
    write_record("running", "");
    if (box.is_kept)
        keep_room();

    /* With -d the log is opened, and tell_launcher() decides whether the box is
     * kept: one that never ran is not. */
    if (box.is_kept && !opt.detach)
        keep_box();
    if (opt.detach) {
        step(13, "open(log)", NULL);
        log_fd = must(open_log());
    }
}

/* In the supervisor: have one pipe as both of the box's outputs, which keeps
 * lines in order, and nothing as its input. */
static void redirect_streams(void) {
    step(13, "pipe2(output), dup2()", NULL);
    must(pipe2(output_fds, O_CLOEXEC));
    must(dup2(output_fds[1], 1));       /* the child inherits these two */
    must(dup2(output_fds[1], 2));
    close(output_fds[1]);

    step(13, "open(/dev/null), dup2()", NULL);
    int nothing_fd = must(open("/dev/null", O_RDWR | O_CLOEXEC));
    must(dup2(nothing_fd, 0));
}

/* In the supervisor, before it makes a box: leave the caller's session, whose
 * terminal would hang us up, but speak to its standard error until the box
 * runs. */
static void leave_caller(void) {
    step(13, "fcntl(F_DUPFD_CLOEXEC)", NULL);
    told_fd = must(fcntl(2, F_DUPFD_CLOEXEC, 3));
    step(13, "setsid()", "setsid");
    must(setsid());

    step(13, "pipe2(refusals)", NULL);
    must(pipe2(refusal_fds, O_CLOEXEC));        /* execve(2) closes it */
    refusal_fd = refusal_fds[1];        /* refuse() writes there */
    redirect_streams();

    /* The command stop sends SIGTERM, which the caller may have ignored: it is
     * to be passed on all the same. */
    signal(SIGTERM, SIG_DFL);
    hold_signals();
    step(13, "signalfd()", NULL);
    signal_fd = must(signalfd(-1, &awaited, SFD_CLOEXEC));
    until_signal = keep_log;            /* for await_signal() */
}

/* Before all else: what a box with a record needs, with -d or without. */
static void prepare_record(void) {
    int is_named = opt.detach || opt.name;

    box.is_kept = box.has_folder || (is_named && !opt.remove);
    if (first_id)
        box.id = first_id;
    if (box.is_kept)
        sync_option = "";

    /* The caller's folder may be gone.  That matters to a box which stays, and
     * is to be started from there. */
    step(13, "getcwd()", NULL);
    if (!getcwd(directory, sizeof(directory)) && box.is_kept)
        die();

    if (opt.log_max == 0)
        opt.log_max = 10 << 20;
    if (opt.log_max < 8192)             /* twice what take_output() takes */
        refuse("a log has 8k at least", "--log-max: %llu bytes", opt.log_max);

    signal(SIGXFSZ, SIG_IGN);           /* a write says EFBIG instead */
    step(13, "atexit(record_end)", NULL);
    must(atexit(record_end));
}

/* In the launcher, whose child is SUPERVISOR: wait until the box runs, print
 * its name, and end; or end as the supervisor did, which has said why, unless
 * it was killed. */
static _Noreturn void wait_until_it_runs(pid_t supervisor, int ready_fd) {
    char byte;
    int status;

    step(13, "read(ready)", NULL);
    int got = must(read(ready_fd, &byte, 1));
    if (got == 1) {
        print("%s\n", box.name);
        exit(0);                        /* the box is the supervisor's */
    }

    step(13, text("waitpid(%d)", supervisor), "wait");
    must(waitpid(supervisor, &status, 0));
    if (WIFSIGNALED(status))
        refuse("somebody has removed it meanwhile, or ended it: start it again",
               "%s was killed", box.name);
    exit(exit_status(status));
}

/* With -d one process becomes two.  The launcher only waits until the box runs.
 * The supervisor returns, to do what whalebox itself does in the foreground. */
static void fork_supervisor(void) {
    int ready_fds[2];                   /* a pipe: see launcher_fd */

    step(13, "pipe2(ready), fork()", "setsid whalebox ... &");
    must(pipe2(ready_fds, O_CLOEXEC));
    pid_t supervisor = must(fork());
    if (supervisor == 0) {
        close(ready_fds[0]);            /* the launcher's end */
        launcher_fd = ready_fds[1];
        leave_caller();
        return;
    }

    close(ready_fds[1]);                /* or its read would never end */
    wait_until_it_runs(supervisor, ready_fds[0]);
}
#endif /* WITH_DETACH */

#if WITH_EXEC
/* === Chapter 14: visiting ==================================================
 *
 * A namespace can be entered by a process that was not born in it, and a pidfd
 * names all those of a process at once.  The visitor is to have no more than
 * the box has: so it joins the cgroup first, then the namespaces, becomes the
 * box's root, and is locked as that was, before it becomes the command.
 *
 *   whalebox exec           usher                    visitor
 *     | clone3 (into the      |
 *     |   box's cgroup) ----> | setns(pidfd, all)
 *     |                       | clone3(CLONE_PARENT) --> | in all namespaces
 *     | <-- its number ------ | ends                     | locked, execve
 *     | waits for the visitor, its child                 | ends
 *
 * There have to be two, since a process never changes its own PID namespace,
 * only its children's.  Both are not dumpable: a box that is hostile sees the
 * visitor before it is locked, and may not trace it, nor open what is behind
 * its /proc/N/exe and fd (CVE-2019-5736, CVE-2016-9962).  setns(2), nsenter(1).
 */
#include <sys/sendfile.h>       /* to copy a file */

static int visited_pidfd = -1;          /* the box's PID 1: open_visited() */
static int handback_fds[2];             /* a pipe: the visitor's number */

static void move_in(void);
static int exec_main(int argc, char **argv);
static const struct command exec_commands[] = {
    { "exec", "NAME COMMAND [ARG...]", "one more command, with -e -i -t -u -w",
      .run = exec_main, .has_run_options = 1 },
    { 0 }
};
static const struct hint exec_hints[] = {
    { "setns", EPERM, .fix = "only who started a box, or root, may enter it" },
    { 0 }
};

/* In the usher: enter the box, and have a child, our parent's, that is born in
 * it.  CLONE_PARENT takes the exit signal of ours.  The box sees the visitor,
 * and not the usher, who has no number in it: so the usher becomes whom the
 * visitor is to be, and there is no moment at which a change of ids opens the
 * visitor to the box.
 */
static _Noreturn void enter_box(void) {
    struct clone_args args = { .flags = CLONE_PARENT };

    wait_at_gate();
    hide_process();
    die_with_parent();
    forget_caller();                    /* our child's command line is ours */

    step(14, text("setns(pidfd, 0x%lx)", box.flags), "nsenter --all");
    must(setns(visited_pidfd, (int)box.flags));    /* all at once, or none */
#if WITH_USER
    become_box_root();
#endif
    if (opt.user)
        become_user();
    hide_process();                     /* setns(2) may have undone that */

    step(14, "clone3(CLONE_PARENT)", NULL);
    pid_t visitor = must(syscall(SYS_clone3, &args, sizeof(args)));
    if (visitor > 0) {
        step(14, "write(handback)", NULL);
        must(write(handback_fds[1], &visitor, sizeof(visitor)));
        _exit(0);
    }

    /* Here is the visitor, at the gate in its turn. */
    wait_at_gate();
    hide_process();
    die_with_parent();
    begin_session();
    move_in();
    become_command();
}

/* In the place of pass_to_group(): any process in the box may stop a visitor,
 * and one that is stopped does not end by what is passed on.  So once it was
 * asked to end, it is killed as soon as it is stopped.  SIGCHLD tells. */
static void pass_to_visitor(const siginfo_t *info) {
    static int is_to_end;
    siginfo_t state = { 0 };
    int sig = info->si_signo;

    pass_to_group(info);
    if (sig == SIGINT || sig == SIGTERM || sig == SIGHUP || sig == SIGQUIT)
        is_to_end = 1;
    waitid(P_PID, (id_t)box.pid, &state, WSTOPPED | WNOHANG | WNOWAIT);
    if (is_to_end && state.si_pid == box.pid)
        kill(box.pid, SIGKILL);
}

/* Start the usher, and wait for the visitor.  Returns the status for main(). */
static int send_visitor(void) {
    struct clone_args args = { .exit_signal = SIGCHLD };
    pid_t visitor = 0;                  /* none yet */
#if WITH_CGROUP
    long long kills = count_kills();    /* before it */
#endif

#if WITH_CGROUP
    be_born_in_cgroup(&args);
#endif
    step(14, "pipe2(handback)", NULL);
    must(pipe2(handback_fds, O_CLOEXEC));
    box.pid = clone_child(&args, enter_box);
    close(handback_fds[1]);             /* or the read would never end */
    open_gate();
    open_gate();                        /* once more, for the visitor */

    step(14, "read(handback)", NULL);
    must(read(handback_fds[0], &visitor, sizeof(visitor)));
    step(14, text("waitpid(%d)", box.pid), "wait");
    must(waitpid(box.pid, &box.status, 0));     /* the usher */

    /* The visitor is our child: until we wait for it the number is its own,
     * even if it has ended.  Without one the usher has said why. */
    int result = failure;
    box.pid = visitor;
    if (visitor > 0) {
        take_signal = pass_to_visitor;
        wait_for_box();
        result = exit_status(box.status);
    }
    undo();                             /* the terminal is the caller's again */
#if WITH_CGROUP
    if (result == 128 + SIGKILL && count_kills() > kills)
        tell_out_of_memory();
#endif
    return result;
}

#if WITH_CGROUP
static int ends_with(const char *path, const char *end) {
    size_t length = strlen(path);
    size_t end_length = strlen(end);

    return length >= end_length &&
           strcmp(path + length - end_length, end) == 0;
}

/* Which folder of its file system the mount at TOP shows: one further down in a
 * container, say, and "" for the whole of it. */
static const char *mounted_folder(const char *top) {
    char *rest = read_file(AT_FDCWD, "/proc/self/mountinfo");
    char *found = NULL;
    struct mounted mounted;

    while (next_mount(&rest, &mounted))
        if (strcmp(mounted.place, top) == 0)
            found = mounted.folder;     /* the last one hides those before */
    if (!found || strcmp(found, "/") == 0)
        return "";
    return text("%s", unescape(found));
}

/* Open the folder PATH of the cgroup file system, from where we see that, as
 * the cgroup that the visitor is born in.  PID is to be a member of it. */
static void open_box_cgroup(const char *path, const char *pid) {
    step(7, "find cgroup v2", NULL);
    const char *top = find_cgroup2();
    require(top != NULL, ENODEV);
    const char *above = mounted_folder(top);
    require(is_within(path, above), ENODEV);
    path += strlen(above);

    step(7, text("open(%s%s)", top, path), NULL);
    box.cgroup = must(open(text("%s%s", top, path), FOLDER));
    const char *members = read_file(box.cgroup, "cgroup.procs") - 1;
    require(strstr(members, text("\n%s\n", pid)) != NULL, ESRCH);
}

/*
 * Open the cgroup in which the box's PID 1, whose number in the record is PID,
 * is, so that the visitor is born in that very one.  A box was born in a cgroup
 * named whalebox/NAME, or in its caller's, where no other could be made: then
 * it has none, and so has the visitor.  Anything else is refused: outside, the
 * visitor would have no limits, and would see the caller's cgroups.
 */
static void find_box_cgroup(const char *pid) {
    const char *file = text("/proc/%s/cgroup", pid);

    step(7, text("read(%s)", file), NULL);
    const char *path = read_cgroup(file);
    if (ends_with(path, text("/whalebox/%s", box.name)))
        open_box_cgroup(path, pid);
    else
        box.flags &= ~(unsigned long)CLONE_NEWCGROUP;
}
#endif

/* A new file in memory, which is a program to be run: a descriptor.  Linux 6.3
 * has a flag for that, and may insist on it; an older one refuses it. */
static int make_program(void) {
    const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    const unsigned int is_executable = 0x10U;   /* MFD_EXEC */

    step(14, "memfd_create(whalebox)", NULL);
    int fd = memfd_create("whalebox", flags | is_executable);
    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("whalebox", flags);
    return must(fd);
}

/* Go on as a copy of ourselves, in memory, that nobody can write.  The box may
 * have made /proc/self/exe of the command, by a link or after #!, and is shown
 * that program when it runs: held open, it could be written when it has ended
 * (CVE-2019-5736).  memfd_create(2), F_ADD_SEALS in fcntl(2). */
static void hide_program(void) {
    int self_fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    /* The copy has its seals.  Another file of a tmpfs has F_SEAL_SEAL at most,
     * and other files none. */
    if (fcntl(self_fd, F_GET_SEALS) > F_SEAL_SEAL)
        return;

    int copy_fd = make_program();
    step(14, "sendfile(/proc/self/exe)", NULL);
    while (must(sendfile(copy_fd, self_fd, NULL, 1 << 20)) > 0)
        ;                               /* to its end */

    step(14, "fcntl(F_ADD_SEALS), execveat()", NULL);
    must(fcntl(copy_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW |
               F_SEAL_SHRINK | F_SEAL_SEAL));
    must(syscall(SYS_execveat, copy_fd, "", own_argv, environ, AT_EMPTY_PATH));
}
#endif /* WITH_EXEC */

#if WITH_IMAGES || WITH_BRIDGE
/* The draft that add() has written, as a string. */
static const char *take_draft(void) {
    return text("%.*s", (int)draft_length, draft ? draft : "");
}
#endif

#if WITH_IMAGES
/* === Chapter 15: images ====================================================
 *
 * An image is a list of layers, and a few words on how it is run.  A layer is
 * the folder that a tar archive was unpacked in, over the layers below it.  It
 * is called by the sha256 of both, so that images share what they can.
 *
 *   layers/ID        a layer, which nobody writes to any more
 *   images/NAME      the image: its layers' IDs, lowest first, and how to run
 *   containers/BOX   its file "image" is a copy of that, for as long as it is
 *
 *     box/upper   what the box wrote; commit makes a layer of it
 *     init
 *     1           the image's layers, all of them by one mount of "layers", by
 *     0           names so short that the union's options can hold many
 *
 * An archive is a stranger's, and nothing in it is believed.  Its bytes are
 * read here, and written anew: names, links, owners and attributes that are
 * checked, and nothing else.  What unpacks it then is tar, in a box: the host's
 * root read-only, no network, users of its own, five capabilities.  Should it
 * be led astray after all, there is nothing but the new layer to write to.
 */

enum {
    MOST_LAYERS = 120,                  /* of an image; overlay takes 500 */
    ID_LENGTH = 64,                     /* hex digits of a sha256 */
};

struct layer {
    const char *id;
    unsigned long long size;            /* bytes of all its files */
    long long created;                  /* seconds since 1970 */
    const char *maker;                  /* the command that made it */
};

/* What the record of an image says.  What it does not say is NULL. */
struct image {
    const char *name;
    long long created;
    struct layer layers[MOST_LAYERS];   /* lowest first */
    size_t count;                       /* of these */
    char **entrypoint, **command;       /* words; NULL is the last */
    char *variables[256];               /* NAME=VALUE; NULL is the last */
    const char *workdir, *user, *stop_signal;
};

static int images_fd = -1;              /* the folder images, or -1 */
static int layers_fd = -1;              /* the folder layers, or -1 */
static char layers_path[PATH_MAX];
static struct image chosen;             /* what the box is made of */
static const char *missed;              /* no image has this name */
static const char *known_images;        /* a hint: those there are, or NULL */
static int unpacks;                     /* the box is for a new layer */
static int packs;                       /* it is to read one */
static int work_number;                 /* overlay has one for each mount */
static const char *removals;            /* what is to go from below: names */
static size_t removals_length;
static struct tree *store;              /* the folder layers, to be mounted */

static char **split_command(char *words);
static int find_signal(const char *word);
static void prepare_process(void);
static const struct option *need_option(const char *word);
static void drop_new_layer(void);
static int image_main(int argc, char **argv);
static int images_main(int argc, char **argv);
static int load_main(int argc, char **argv);
static int save_main(int argc, char **argv);
static int tag_main(int argc, char **argv);
static int rm_image_main(int argc, char **argv);
static int history_main(int argc, char **argv);
static int pull_main(int argc, char **argv);
static int commit_main(int argc, char **argv);

static int begins_with(const char *all, const char *start) {
    return strncmp(all, start, strlen(start)) == 0;
}

/* --entrypoint WORD, or "": none. */
static void set_entrypoint(const struct option *o, const char *value) {
    *(const char **)o->into = value;
}

/* The same as find_signal(), which knows no signal for real time: systemd's
 * images have SIGRTMIN+3, by the kernel's count 37. */
static int find_stop_signal(const char *word) {
    static const char first[] = "SIGRTMIN+";
    unsigned long long number;

    if (begins_with(word, first) &&
        parse_number(word + strlen(first), 0, 30, &number) == 0)
        return 34 + (int)number;
    return find_signal(word);
}

/* --stop-signal SIGNAL, by its name or number. */
static void set_stop_signal(const struct option *o, const char *value) {
    if (find_stop_signal(value) == 0)
        refuse_value(o, value);
    set_text(o, value);
}

static const struct option image_options[] = {
    { 0, "image", "NAME", "run it in this image, whatever the command",
      .set = set_text, .into = &opt.image },
    { 0, "entrypoint", "WORD", "the program, before the image's or your words",
      .set = set_entrypoint, .into = &opt.entrypoint },
    { 0, "stop-signal", "SIGNAL", "what stop sends it (the image's, or TERM)",
      .set = set_stop_signal, .into = &opt.stop_signal },
    { 0, "max-size", "SIZE", "refuse an image of more bytes (16g)",
      .set = set_size, .into = &opt.max_size },
    { 0 }
};
static const struct command image_commands[] = {
    { "image", "ls [-q]", "list images; -q: names alone",
      .run = image_main, .has_run_options = 1,
      .word = "ls", .act = images_main },
    { "image", "load FILE [NAME]", "make one of a tar archive; - is the input",
      .run = image_main, .has_run_options = 1,
      .word = "load", .act = load_main },
    { "image", "save NAME FILE", "write one as an OCI archive; - is the output",
      .run = image_main, .has_run_options = 1,
      .word = "save", .act = save_main },
    { "image", "tag NAME NEW", "give it another name, too",
      .run = image_main, .has_run_options = 1,
      .word = "tag", .act = tag_main },
    { "image", "rm NAME...", "remove it, with layers nobody else needs",
      .run = image_main, .has_run_options = 1,
      .word = "rm", .act = rm_image_main },
    { "image", "history NAME", "its layers: size in bytes, age, what made it",
      .run = image_main, .has_run_options = 1,
      .word = "history", .act = history_main },
    { "image", "pull REF [NAME]", "fetch one from a registry, by skopeo",
      .run = image_main, .has_run_options = 1,
      .word = "pull", .act = pull_main },
    { "images", "[-q]", "the same as image ls",
      .run = images_main, .has_run_options = 1 },
    { "commit", "NAME IMAGE", "make an image of a box: its own layer on top",
      .run = commit_main, .has_run_options = 1 },
    { 0 }
};
static const struct hint image_hints[] = {
    { "open(", ENOENT, .fix = "name a file that is there, or - for standard "
      "input" },
    { "read(archive", EISDIR, .fix = "make an archive of it: tar -C FOLDER -cf "
      "FILE ." },
    { "write(sha256sum)", EPIPE, .fix = "images need the program sha256sum, "
      "which is in Debian's package coreutils" },
    { "NOSYMFOLLOW", EINVAL, .fix = "commit and save take Linux 5.14" },
    { "", ENOSPC, .fix = "the disk of WHALEBOX_HOME is full: whalebox image rm "
      "NAME, or another folder" },
    { "", EDQUOT, .fix = "the disk of WHALEBOX_HOME is full for you" },
    { "open(new file", EOPNOTSUPP, .fix = "WHALEBOX_HOME is on a file system "
      "that has no O_TMPFILE: use ext4, xfs or btrfs" },
    { 0 }
};

/* Where an image was meant, and is not: the images that there are. */
TOOL const char *find_image_cause(int error) {
    int is_lookup = begins_with(now.call, "execv") ||
                    begins_with(now.call, "open(");

    if (error == ENOENT && missed && is_lookup)
        return text("and no image is called %s: %s", missed, known_images);
    return NULL;
}

/* --- Tools: the store, and records in it -----------------------------------
 */

/* Is WORD a sha256, as hex digits? */
static int is_id(const char *word) {
    return strspn(word, "0123456789abcdef") == ID_LENGTH &&
           word[ID_LENGTH] == '\0';
}

/* Is WORD a part of an image's name: NAME, or TAG? */
static int is_name_part(const char *word, size_t length) {
    size_t good = strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789"
                               "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-");

    return length > 0 && length <= 63 && good >= length &&
           !strchr("_.-", *word);
}

/* The image's name that WORD says, NAME or NAME:TAG; "latest" is what an image
 * without a tag has.  NULL if it cannot be one: it is to be the name of a file.
 */
static const char *image_name(const char *word) {
    size_t length = strcspn(word, ":");
    const char *tag = word + length;

    if (!is_name_part(word, length))
        return NULL;
    if (*tag && !is_name_part(tag + 1, strlen(tag + 1)))
        return NULL;
    if (strcmp(tag, ":latest") == 0)
        return text("%.*s", (int)length, word);
    return word;
}

/* Open the folder NAME of the store in HOME_FD, made if missing and MAKES. */
static int open_store_folder(int home_fd, const char *name, int makes) {
    step(15, text("mkdir(%s)", name), NULL);
    if (makes && mkdirat(home_fd, name, 0700) < 0 && errno != EEXIST)
        die();

    step(15, text("open(%s, O_NOFOLLOW)", name), NULL);
    int fd = openat(home_fd, name, FOLDER | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT && !makes)
        return -1;
    must(fd);
    check_owner(fd, name, 077);
    return fd;
}

/* Open the store's folders.  They are made if missing and MAKES; else there are
 * no images. */
static void open_store(int makes) {
    open_containers();
    step(15, text("open(%s/..)", home), NULL);
    int home_fd = must(openat(containers_fd, "..", FOLDER));

    images_fd = open_store_folder(home_fd, "images", makes);
    layers_fd = open_store_folder(home_fd, "layers", makes);
    close(home_fd);
    if (layers_fd >= 0)
        find_path(layers_fd, "layers", layers_path);
}

/* Close them, and give up the locks on them. */
static void close_store(void) {
    close_quietly(images_fd);
    close_quietly(layers_fd);
    images_fd = -1;
    layers_fd = -1;
}

/* Set the value of one KEY of an image's record.  Returns 0, or -1 if it makes
 * no sense. */
static int set_layer(struct image *image, char *words) {
    struct layer *layer = &image->layers[image->count];
    unsigned long long seconds;

    if (image->count == MOST_LAYERS)
        return -1;
    char *size = take_word(words);
    char *when = size ? take_word(size) : NULL;
    char *maker = when ? take_word(when) : NULL;
    if (!maker || !is_id(words) ||
        parse_number(size, 0, LLONG_MAX, &layer->size) < 0 ||
        parse_number(when, 0, LLONG_MAX, &seconds) < 0)
        return -1;
    take_word(maker);

    layer->id = words;
    layer->created = (long long)seconds;
    layer->maker = maker;
    image->count++;
    return 0;
}

static int set_image_key(struct image *image, const char *key, char *value) {
    size_t count = 0;

    if (strcmp(key, "layer") == 0)
        return set_layer(image, value);
    if (strcmp(key, "entrypoint") == 0)
        image->entrypoint = split_command(value);
    else if (strcmp(key, "command") == 0)
        image->command = split_command(value);
    else
        take_word(value);               /* the rest is one word */

    if (strcmp(key, "name") == 0)
        image->name = value;
    if (strcmp(key, "created") == 0)
        image->created = atoll(value);
    if (strcmp(key, "workdir") == 0)
        image->workdir = value;
    if (strcmp(key, "user") == 0)
        image->user = value;
    if (strcmp(key, "stop-signal") == 0)
        image->stop_signal = value;
    if (strcmp(key, "env") == 0) {
        while (image->variables[count])
            count++;
        if (count == LENGTH(image->variables) - 1)
            return -1;
        image->variables[count] = value;
    }
    return 0;
}

/* Read the record FILE in DIR_FD.  Returns 0, or -1 with errno: ENOENT if there
 * is none, EBADMSG if it makes no sense. */
static int read_image(int dir_fd, const char *file, struct image *image) {
    char *found = try_to_read(dir_fd, file);
    char *line;

    *image = (struct image){ .name = NULL };
    if (!found)
        return -1;
    char *rest = text("%s", found);     /* what is found in it lasts */
    while ((line = strsep(&rest, "\n"))) {
        char *key = strsep(&line, "=");
        if (line && set_image_key(image, key, line) < 0)
            break;
    }

    errno = EBADMSG;
    return line || !image->name || image->count == 0 ? -1 : 0;
}

/* Add a line to the draft whose value is these WORDS, if there are any. */
static void add_words(const char *key, char **words) {
    if (!words || !*words)
        return;
    add(text("%s=", key));
    for (; *words; words++)
        add(text("%s%s", escape_word(*words), words[1] ? " " : "\n"));
}

/* Write IMAGE's record as FILE in DIR_FD, whole or not at all: a new file takes
 * the name when it is on the disk. */
static void write_image(int dir_fd, const char *file,
                        const struct image *image) {
    draft_length = 0;
    add_line("name", image->name);
    add(text("created=%lld\n", image->created));
    for (size_t i = 0; i < image->count; i++) {
        const struct layer *l = &image->layers[i];
        add(text("layer=%s %llu %lld %s\n", l->id, l->size, l->created,
                 escape_word(l->maker)));
    }
    add_words("entrypoint", image->entrypoint);
    add_words("command", image->command);
    for (size_t i = 0; image->variables[i]; i++)
        add_line("env", image->variables[i]);
    if (image->workdir)
        add_line("workdir", image->workdir);
    if (image->user)
        add_line("user", image->user);
    if (image->stop_signal)
        add_line("stop-signal", image->stop_signal);

    if (draft_length > MOST_READ / 2)
        refuse("nothing of it was kept", "the record of %s would have more "
               "than %d KiB", image->name, MOST_READ >> 11);
    step(15, text("openat, write(%s)", file), NULL);
    int fd = must(openat(dir_fd, ".record", O_WRONLY | O_CREAT | O_TRUNC |
                         O_NOFOLLOW | O_CLOEXEC, 0600));
    must(write_all(fd, draft, draft_length));
    step(15, text("fsync, rename(%s)", file), NULL);
    if (dir_fd == images_fd || box.is_kept)
        must(fsync(fd));
    close(fd);
    must(renameat(dir_fd, ".record", dir_fd, file));
}

/* One image's name, to be listed in a hint. */
static int list_image_name(int dir_fd, const char *name) {
    (void)dir_fd;
    if (*name == '.')
        return 0;
    if (known_images)
        known_images = text("%s, %s", known_images, name);
    else
        known_images = text("there are: %s", name);
    return 0;
}

/* Say in known_images which there are. */
static void list_known_images(void) {
    known_images = NULL;
    if (images_fd >= 0)
        for_each(images_fd, 1, list_image_name);
}

/* Find the image called WORD.  Returns 0, or -1 if there is none. */
static int find_image(const char *word, struct image *image) {
    const char *name = image_name(word);

    if (!name || images_fd < 0)
        return -1;
    if (read_image(images_fd, name, image) == 0) {
        image->name = name;
        return 0;
    }
    if (errno == ENOENT)
        return -1;
    step(15, text("read(images/%s)", name), NULL);
    die();
}

/* There is no image WORD.  Which there are has been listed. */
static _Noreturn void refuse_unknown_image(const char *word) {
    refuse(known_images ? known_images : "whalebox image load FILE makes one",
           "there is no image %s", word);
}

/* Find the image called WORD; without one we leave. */
static void need_image(const char *word, struct image *image) {
    if (find_image(word, image) == 0)
        return;
    list_known_images();
    refuse_unknown_image(word);
}

/* --- A run of an image ------------------------------------------------- */

/* The value that the image has for an option that was not given: it is noted as
 * if it had been, for inspect, start and exec. */
static void set_default(const char *name, const char *value) {
    const struct option *o = need_option(name);

    o->set(o, value);
    remember(o, value);
}

/* The command of a box: FIRST, and then MORE words; each may be NULL. */
static char **join_words(char **first, char **more) {
    size_t count = 0, length = 0;

    while (first && first[length])
        length++;
    while (more && more[count])
        count++;
    step(15, "calloc(argv)", NULL);
    char **all = calloc(length + count + 1, sizeof(*all));
    require(all != NULL, ENOMEM);
    for (size_t i = 0; i < length; i++)
        all[i] = first[i];
    for (size_t i = 0; i < count; i++)
        all[length + i] = more[i];
    return all;
}

/* The words that are run, as docker has it: --entrypoint stands for the image's
 * entrypoint and command, and WORDS, if there are any, for its command. */
static char **choose_words(char **words) {
    char *own[] = { text("%s", opt.entrypoint ? opt.entrypoint : ""), NULL };
    char **entry = chosen.entrypoint;
    char **command = chosen.command;

    if (opt.entrypoint) {
        entry = *own[0] ? own : NULL;
        command = NULL;
    }
    if (words[0])
        command = words;
    words = join_words(entry, command);
    if (chosen.name && !words[0])
        refuse(text("whalebox run %s sh, say", chosen.name),
               "no command to run");
    return words;
}

/* The box is made of the layers of the image that was chosen. */
static void use_layers(void) {
    if (strcmp(wanted_storage(), "aufs") == 0)
        refuse("--storage overlay, if the kernel has it",
               "the marks in an image's layers are overlay's: aufs does not "
               "know them");
    box.image = chosen.name;
    opt.rootfs = layers_path;
}

/* Do WORDS, a part of the command line, stand right after "--"?  Before them is
 * our own name, at least. */
static int are_after_options(char **words) {
    const char *before = *(words - 1);

    return strcmp(before, "--") == 0;
}

/* After run: are WORDS an image and a command, or a command alone?  A path is a
 * command, and so is what follows "--".  Returns the words of the command. */
static char **choose_image(char **words) {
    const char *name = opt.image;
    int is_plain = words[0] && !strchr("/.", words[0][0]) &&
                   !are_after_options(words);

    if (name && opt.rootfs)
        refuse("give one of them", "--image, and --rootfs");
    if (!name && is_plain && !opt.rootfs)
        name = words[0];
    if (!name)
        return choose_words(words);

    prepare_process();                  /* before anything is opened */
    open_store(0);
    int is_image = find_image(name, &chosen) == 0;
    if (!is_image)
        list_known_images();
    if (!is_image && opt.image)
        refuse_unknown_image(name);
    close_store();

    if (!is_image) {
        if (known_images)
            missed = name;              /* somebody may have meant one */
        return choose_words(words);
    }
    if (!opt.image)
        words++;                        /* past its name */
    use_layers();
    for (char **variable = chosen.variables; *variable; variable++)
        set_variable(*variable, USUAL);
    if (chosen.workdir && !opt.workdir)
        set_default("--workdir", chosen.workdir);
    if (chosen.user && !opt.user)
        set_default("--user", chosen.user);
    if (chosen.stop_signal && !opt.stop_signal)
        set_default("--stop-signal", chosen.stop_signal);
    return choose_words(words);
}

/* The box in DIR_FD is started again: it has the layers that it had. */
static void recall_image(int dir_fd) {
    if (read_image(dir_fd, "image", &chosen) < 0) {
        step(15, "read(image)", NULL);
        require(errno == ENOENT, errno);
        return;                         /* it has a rootfs */
    }
    open_store(1);
    use_layers();
    close_store();
}

/* Before the clone: the box's folder gets its copy of the image's record, which
 * keeps the layers as long as the box is there.  Whoever removes an image takes
 * the same lock. */
static void hold_image(void) {
    if (unpacks)
        store = open_folder(layers_path, 0);
    if (!box.image || box.has_folder)
        return;

    open_store(1);
    step(15, "flock(images)", NULL);
    must(flock(images_fd, LOCK_SH));
    write_image(folder_fd, "image", &chosen);
    for (size_t i = 0; i < chosen.count; i++)
        if (!is_there(layers_fd, chosen.layers[i].id))
            refuse("try again", "image %s has just been removed", chosen.name);
    close_store();
}

/* In the child: short names for the image's layers, which "store" shows. */
static void name_layers(void) {
    for (size_t i = 0; i < chosen.count; i++) {
        const char *layer = text("store/%s", chosen.layers[i].id);
        step(15, text("symlink(%zu, %s)", i, layer), NULL);
        must(symlink(layer, text("%zu", i)));
    }
}

/* In the child, "lower" being the folder of all layers: have it as "store", and
 * in its place the highest layer with an /etc, which fill_init_layer() asks. */
static void gather_layers(void) {
    if (!box.image)
        return;

    step(15, "mkdir(store), mount(lower, store, MS_MOVE)", "mount --move");
    must(mkdir("store", 0755));
    must(mount("lower", "store", NULL, MS_MOVE, NULL));
    name_layers();

    for (size_t i = chosen.count; i-- > 0;) {
        const char *layer = text("%zu", i);
        if (!is_there(AT_FDCWD, text("%s/etc", layer)))
            continue;
        step(15, text("mount(%s, lower, MS_BIND)", layer), "mount --bind");
        must(mount(layer, "lower", NULL, MS_BIND, NULL));
        return;
    }
}

/* The names of lower folders, the highest first, as overlay wants it: FIRST,
 * and then the image's layers. */
static const char *lower_names(const char *first) {
    const char *names = first;

    for (size_t i = chosen.count; i-- > 0;)
        names = text("%s:%zu", names, i);
    return names;
}

/* The options of the union that the box has for its root.  Who has users of its
 * own can have notes in user.* only, and all boxes share these layers. */
static const char *image_layers_options(void) {
    return text("lowerdir=%s,upperdir=box/upper,workdir=box/work,userxattr%s",
                lower_names("init"), sync_option);
}

/* In the child that is to become a tool, in the folder of the union: no link of
 * a layer below may be on the way to what is to be removed. */
static void check_removals(void) {
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                            .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH };
    const char *name = removals;

    for (; name < removals + removals_length; name += strlen(name) + 1) {
        size_t length = strlen(name);
        while (name[length - 1] != '/')
            length--;                   /* what it is in; of "DIR/.": DIR */

        int fd = (int)syscall(SYS_openat2, AT_FDCWD,
                              text("%.*s.", (int)length, name), &how,
                              sizeof(how));
        if (fd < 0 && errno != ENOENT && errno != ENOTDIR)
            refuse("nothing of it was kept",
                   "archive: what it removes is behind a link: %s", name);
        close(fd);
    }
}

/* In the child that is to become a tool: no link in the folder that it packs
 * leads anywhere, for a box that goes on may put one in a folder's place, and
 * the host's files would be packed as its own.  Linux 5.14. */
static void stop_links(void) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_NOSYMFOLLOW };

    step(15, "NOSYMFOLLOW: mount_setattr(/layer)", NULL);
    must(syscall(SYS_mount_setattr, opt.volumes[0].tree->fd, "", AT_EMPTY_PATH,
                 &attr, sizeof(attr)));
}

/* In the child that is to become a tool: the union that it unpacks a layer in,
 * as /layer.  Its upper folder is the new layer, so it is overlay that writes
 * the whiteouts.  It wants a lower one even for the lowest layer: an empty
 * folder. */
static void mount_union(void) {
    if (packs)
        stop_links();
    if (!unpacks)
        return;

    step(15, "mkdir(store), mkdir(empty)", NULL);
    must(mkdir("store", 0755));
    must(mkdir("empty", 0755));
    attach_folder(store, "store");
    name_layers();

    const char *options = text("lowerdir=%s,upperdir=store/.new/upper,"
                               "workdir=store/.new/work%d,userxattr,volatile",
                               lower_names("empty"), work_number);
    int place_fd = open_target("merged/layer");
    step(9, text("mount(overlay, merged/layer, \"%s\")", options), NULL);
    must(mount("overlay", text("/proc/self/fd/%d", place_fd), "overlay",
               MS_NODEV | MS_NOSUID, options));
    close(place_fd);

    step(15, "chdir(merged/layer)", NULL);
    must(chdir("merged/layer"));
    check_removals();
    step(15, "chdir(/tmp)", NULL);
    must(chdir("/tmp"));
}

/* The signal that stop sends, as the record says, or 0: SIGTERM. */
static int recorded_stop_signal(void) {
    char *word = value_of("stop-signal");

    return word ? find_stop_signal(word) : 0;
}
#endif /* WITH_IMAGES */

#if WITH_BRIDGE
/* === Chapter 16: wires =====================================================
 *
 * Nothing leads out of a network namespace.  A pair of virtual interfaces is a
 * wire: what goes in at one end comes out at the other, and the ends may be in
 * two namespaces.  One becomes the box's eth0, the other is plugged into a
 * bridge, which is a switch.  There the host has an address, too, the gateway:
 * what is for others it forwards, and puts its own address in the box's place.
 *
 *   host                                          | box
 *   eth0, the way out: masquerade                 |
 *     |                                           |
 *   whalebox0, a bridge: 10.88.0.1, the gateway   |
 *     |- wb0123456789ab <----- a wire (veth) -----|--> eth0: 10.88.0.2
 *     `- wb...          <----- another box's      |    default by 10.88.0.1
 *
 * Links and addresses are asked of the kernel in messages, by netlink; rules
 * for packets by nft(8), in a table that has the name of the bridge.  A network
 * has a folder with three files: config says what it is, leases who has which
 * address and ports, and hosts is what its boxes find as /etc/hosts.
 *
 * A lease is the first thing that a box gets and the last that it gives back:
 * as long as there may be something of the box, it is in that file.  Rules and
 * hosts are written from the leases, and as a whole when some of them is to go.
 * So what a killed whalebox has left is found by its lease, and goes with it.
 * rtnetlink(7), veth(4), nft(8).
 */
#include <netinet/in.h>         /* struct sockaddr_in */
#include <sys/mman.h>           /* memfd_create */
#include <sys/uio.h>            /* struct iovec */
#include <sys/un.h>             /* struct sockaddr_un */
#include <linux/if_addr.h>
#include <linux/if_link.h>      /* attributes of links */
#include <linux/rtnetlink.h>    /* messages about links, addresses, routes */
#include <linux/veth.h>
#include <linux/netfilter.h>    /* where packets are looked at */
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

/* So many addresses, from FIRST on, have the first BITS bits in common. */
struct subnet { unsigned int first; int bits; };

/* A line of the file leases: ADDRESS BOX [HOSTNAME] [PORT...]. */
struct lease {
    unsigned int address;
    const char *box;                    /* its name */
    const char *hostname;               /* or NULL: it is the same */
    struct port *ports;
    size_t port_count;
};

/* A network, as its folder has it. */
struct network {
    const char *name;
    int fd;                             /* its folder */
    struct subnet subnet;               /* the gateway is its second address */
    const char *bridge;                 /* "whalebox0" */
    const char *firewall;               /* has its rules: "nft" or "iptables" */
    unsigned long long id;              /* of its bridge: see make_mac() */
    struct lease *leases;               /* in the order of their addresses */
    size_t count;
};
static struct network joined;           /* the one that the box is on */
static unsigned int own_address;        /* the box's there; 0: it has none */
static struct tree *hosts;              /* the network's file, to be mounted */
static int networks_fd = -1;            /* the folder of all networks */
static const char *networks_path;       /* the same */

static _Noreturn void refuse_usage(const char *why);
static int for_each_name(char **names, void (*act)(const char *name));
static int do_word(const struct command *rows, char **words);
static const struct option *find_option(const char *word);
static int network_main(int argc, char **argv);
static int create_network_main(int argc, char **argv);
static int networks_main(int argc, char **argv);
static int rm_network_main(int argc, char **argv);

/* --- Tools: what is asked for --------------------------------------------- */

/* An address, four numbers with points between them.  Returns 0, or -1. */
static int parse_address(const char *s, unsigned int *into) {
    char *rest = text("%s", s);
    unsigned long long number;

    *into = 0;
    for (int i = 0; i < 4; i++) {
        const char *word = strsep(&rest, ".");
        if (!word || parse_number(word, 0, 255, &number) < 0)
            return -1;
        *into = *into << 8 | (unsigned int)number;
    }
    return rest ? -1 : 0;
}

/* The same the other way round. */
static const char *spell_address(unsigned int address) {
    return text("%u.%u.%u.%u", address >> 24, address >> 16 & 255,
                address >> 8 & 255, address & 255);
}

/* [IP:]HOST:BOX[/PROTOCOL].  Returns 0, or -1. */
static int parse_port(const char *s, struct port *port) {
    char *protocol = text("%s", s);
    char *rest = strsep(&protocol, "/");
    const char *first = strsep(&rest, ":");
    const char *second = strsep(&rest, ":");

    *port = (struct port){ .protocol = "tcp" };
    if (protocol && strcmp(protocol, "udp") == 0)
        port->protocol = "udp";
    else if (protocol && strcmp(protocol, "tcp") != 0)
        return -1;

    if (rest) {                         /* there are three: the IP first */
        if (parse_address(first, &port->ip) < 0)
            return -1;
        first = second;
        second = rest;
    }
    if (!second || parse_number(first, 1, 65535, &port->host) < 0)
        return -1;
    return parse_number(second, 1, 65535, &port->box);
}

/* The same the other way round, with what stands BETWEEN the two ports. */
static const char *spell_port(const struct port *port, const char *between) {
    const char *ip = "";

    if (port->ip != 0)
        ip = text("%s:", spell_address(port->ip));
    return text("%s%llu%s%llu/%s", ip, port->host, between, port->box,
                port->protocol);
}

/* -p */
static void add_port(const struct option *o, const char *value) {
    if (opt.port_count == LENGTH(opt.ports))
        refuse("use fewer", "--%s: more than %zu", o->name, LENGTH(opt.ports));
    if (parse_port(value, &opt.ports[opt.port_count]) < 0)
        refuse_value(o, value);
    opt.port_count++;
}

/* --network: what chapter 6 knows, or the name of a network. */
static void choose_network(const struct option *o, const char *value) {
    struct option name = *o;

    opt.host_network = 0;
    name.into = &opt.network;
    set_name(&name, value);
    if (strcmp(value, "none") == 0 || strcmp(value, "host") == 0)
        set_network(o, value);
}

/* Is the box to be on the network NAME? */
static int is_network(const char *name) {
    return opt.network && strcmp(opt.network, name) == 0;
}

/* Is it to have a wire? */
static int is_wired(void) {
    return opt.network && !is_network("none") && !is_network("host");
}

/* In the child, first of all: it was born in its network, or makes it. */
static void start_network(void) {
    if (box.clone.flags & CLONE_NEWNET)
        bring_up_loopback();
    else
        make_network();
}

static const struct option bridge_options[] = {
    { 'p', "publish", "[IP:]H:C[/udp]",
      "have the host's port H be the box's port C",
      .set = add_port },
    { 0 }
};
static const struct command bridge_commands[] = {
    { "network", "create NAME", "make one, with --subnet CIDR or any",
      .run = network_main, .word = "create", .act = create_network_main },
    { "network", "ls", "list networks",
      .run = network_main, .word = "ls", .act = networks_main },
    { "network", "rm NAME...", "remove those that no box is on",
      .run = network_main, .word = "rm", .act = rm_network_main },
    { 0 }
};
static const struct hint bridge_hints[] = {
    { "netlink(RTM_NEWLINK", EOPNOTSUPP, .fix = "the kernel lacks bridges, or "
      "virtual pairs: modprobe -a bridge veth" },
    { "bind", EADDRINUSE, .fix = "a server has that port, or another box: see "
      "ss -lntup, and whalebox ps" },
    { "bind", EADDRNOTAVAIL, .fix = "it is no address of the host's: see "
      "ip addr" },
    { "nft", ENOENT, .fix = "install nftables again: it has the rules of boxes "
      "that run" },
    { "iptables", ENOENT, .fix = "install iptables again: it has the rules of "
      "boxes that run" },
    { "nft", 0, .fix = "the kernel may lack a part of it: modprobe -a "
      "nf_tables nft_chain_nat nft_masq nft_fib_ipv4" },
    { "iptables", 0, .fix = "the kernel may lack a part of it: modprobe -a "
      "iptable_nat iptable_raw xt_MASQUERADE xt_addrtype" },
    { "write(/proc/sys/net", EROFS, .fix = "/proc/sys is read-only, as in "
      "docker: run the outer container with --privileged" },
    { 0 }
};

/* --- Tools: messages to the kernel -----------------------------------------
 *
 * A message is a header, a structure that says what it is about, and
 * attributes: a length, a type and a value each, which may hold others again.
 */

/* The one that is put together. */
static union {
    struct nlmsghdr head;
    char bytes[1024];                   /* ours are far shorter */
} request;

/* Add SIZE bytes, and zeros up to a multiple of four. */
static void add_bytes(const void *bytes, size_t size) {
    memcpy(request.bytes + request.head.nlmsg_len, bytes, size);
    request.head.nlmsg_len += NLMSG_ALIGN((__u32)size);
}

/* Begin a request of the TYPE, about the SIZE bytes at WHAT. */
static void begin_request(int type, int flags, const void *what, size_t size) {
    memset(&request, 0, sizeof(request));
    request.head.nlmsg_len = NLMSG_HDRLEN;
    request.head.nlmsg_type = (__u16)type;
    request.head.nlmsg_flags = (__u16)(NLM_F_REQUEST | NLM_F_ACK | flags);
    add_bytes(what, size);
}

/* Add an attribute. */
static void add_attribute(int type, const void *value, size_t size) {
    struct rtattr head = { .rta_type = (unsigned short)type,
                           .rta_len = (unsigned short)RTA_LENGTH(size) };

    add_bytes(&head, sizeof(head));
    add_bytes(value, size);
}

static void add_text(int type, const char *value) {
    add_attribute(type, value, strlen(value) + 1);
}

static void add_number(int type, unsigned int value) {
    add_attribute(type, &value, sizeof(value));
}

/* Begin an attribute that holds what is added until end_nest(), which is given
 * what this returns. */
static unsigned int begin_nest(int type) {
    unsigned int at = request.head.nlmsg_len;

    add_attribute(type, "", 0);
    return at;
}

static void end_nest(unsigned int at) {
    struct rtattr *nest = (struct rtattr *)(request.bytes + at);

    nest->rta_len = (unsigned short)(request.head.nlmsg_len - at);
}

/* The attribute of the TYPE among those in the SIZE bytes from FIRST on, or
 * NULL. */
static const struct rtattr *find_attribute(const void *first, long size,
                                           int type) {
    const struct rtattr *a = first;

    for (; RTA_OK(a, size); a = RTA_NEXT(a, size))
        if ((a->rta_type & NLA_TYPE_MASK) == type)
            return a;
    return NULL;
}

/* What an answer says: 0 that all went well, or -1 with errno.  Then the step
 * gets what the kernel has to say of it in words, if it has any. */
static int take_verdict(const struct nlmsghdr *answer) {
    const struct nlmsgerr *verdict = NLMSG_DATA(answer);
    const struct rtattr *words = NULL;
    long rest = (long)answer->nlmsg_len - NLMSG_HDRLEN - (long)sizeof(*verdict);

    if (verdict->error == 0)
        return 0;
    if (answer->nlmsg_flags & NLM_F_ACK_TLVS)
        words = find_attribute(verdict + 1, rest, NLMSGERR_ATTR_MSG);
    if (words)
        now.call = text("%s: \"%s\"", now.call, (char *)RTA_DATA(words));
    errno = -verdict->error;
    return -1;
}

/* Take all answers, and call EACH, unless it is NULL, for those that tell of
 * something.  The last one says how it went. */
static int take_answers(int fd, void (*each)(const struct nlmsghdr *)) {
    static _Alignas(struct nlmsghdr) char answers[32768];

    for (;;) {
        ssize_t length = recv(fd, answers, sizeof(answers), 0);
        if (length < 0)
            return -1;

        const struct nlmsghdr *answer = (const struct nlmsghdr *)answers;
        if (!NLMSG_OK(answer, length)) {
            errno = EPROTO;
            return -1;
        }
        for (; NLMSG_OK(answer, length); answer = NLMSG_NEXT(answer, length)) {
            if (answer->nlmsg_type == NLMSG_ERROR)
                return take_verdict(answer);
            if (answer->nlmsg_type == NLMSG_DONE)
                return 0;               /* all of a list was told */
            if (each)
                each(answer);
        }
    }
}

/* A socket to the PROTOCOL's side of the kernel, for one conversation.  Returns
 * it, or -1 with errno.  netlink(7). */
static int call_kernel(int protocol) {
    int one = 1;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);

    if (fd < 0)
        return -1;

    /* With these an error comes with words, and without our own message. */
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
    return fd;
}

/* Ask for what the request says.  Returns 0, or -1 with errno. */
static int ask_kernel(int protocol, void (*each)(const struct nlmsghdr *)) {
    int fd = call_kernel(protocol);
    int result = -1;

    if (fd >= 0 && write(fd, &request, request.head.nlmsg_len) >= 0)
        result = take_answers(fd, each);
    close_quietly(fd);
    return result;
}

/* --- Links and addresses ----------------------------------------------- */

/* The number of the link NAME, by which some messages call it. */
static unsigned int find_index(const char *name) {
    step(16, text("if_nametoindex(%s)", name), text("ip link show %s", name));
    unsigned int index = if_nametoindex(name);
    require(index > 0, errno);
    return index;
}

/* Have the bridge NAME made, with MAC as its address in the Ethernet: one of
 * its own would change with each wire, and the boxes' caches be wrong.  Returns
 * 0, or -1 if something is called so. */
static int add_bridge(const char *name, const unsigned char mac[6]) {
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC };

    begin_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
    add_text(IFLA_IFNAME, name);
    add_attribute(IFLA_ADDRESS, mac, 6);
    unsigned int info = begin_nest(IFLA_LINKINFO);
    add_text(IFLA_INFO_KIND, "bridge");
    end_nest(info);

    step(16, text("netlink(RTM_NEWLINK, %s)", name),
         text("ip link add %s type bridge", name));
    int result = ask_kernel(NETLINK_ROUTE, NULL);
    require(result == 0 || errno == EEXIST, errno);
    return result;
}

/* Have a wire made: the end NAME is plugged into the bridge, and the other is
 * called eth0, in the network namespace of the process PID.  Returns 0, or -1
 * if that has ended. */
static int add_wire(const char *name, const char *bridge, pid_t pid,
                    const unsigned char mac[6]) {
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC };
    unsigned int master = find_index(bridge);

    begin_request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof(link));
    add_text(IFLA_IFNAME, name);
    add_number(IFLA_MASTER, master);
    unsigned int info = begin_nest(IFLA_LINKINFO);
    add_text(IFLA_INFO_KIND, "veth");
    unsigned int data = begin_nest(IFLA_INFO_DATA);
    unsigned int peer = begin_nest(VETH_INFO_PEER);
    add_bytes(&link, sizeof(link));
    add_text(IFLA_IFNAME, "eth0");
    add_attribute(IFLA_ADDRESS, mac, 6);
    add_number(IFLA_NET_NS_PID, (unsigned int)pid);
    end_nest(peer);
    end_nest(data);
    end_nest(info);

    step(16, text("netlink(RTM_NEWLINK, %s, eth0)", name),
         text("ip link add %s master %s type veth peer eth0 netns %d", name,
              bridge, pid));
    int result = ask_kernel(NETLINK_ROUTE, NULL);
    require(result == 0 || errno == ESRCH, errno);
    return result;
}

/* Have the link NAME removed, and with one end of a wire the other. */
static int remove_link(const char *name) {
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC };

    begin_request(RTM_DELLINK, 0, &link, sizeof(link));
    add_text(IFLA_IFNAME, name);
    step(16, text("netlink(RTM_DELLINK, %s)", name),
         text("ip link del %s", name));
    if (ask_kernel(NETLINK_ROUTE, NULL) < 0 && errno != ENODEV)
        return -1;
    return 0;
}

/* Set the link NAME up. */
static void set_up(const char *name) {
    struct ifinfomsg link = { .ifi_family = AF_UNSPEC, .ifi_flags = IFF_UP,
                              .ifi_change = IFF_UP };

    begin_request(RTM_NEWLINK, 0, &link, sizeof(link));
    add_text(IFLA_IFNAME, name);
    step(16, text("netlink(RTM_NEWLINK, %s, IFF_UP)", name),
         text("ip link set %s up", name));
    must(ask_kernel(NETLINK_ROUTE, NULL));
}

/* Have the bridge send a frame back by the wire NAME that it came by: a box may
 * call a port that is its own. */
static void set_hairpin(const char *name) {
    struct ifinfomsg link = { .ifi_family = AF_BRIDGE,
                              .ifi_index = (int)find_index(name) };
    unsigned char on = 1;

    begin_request(RTM_SETLINK, 0, &link, sizeof(link));
    unsigned int port = begin_nest(IFLA_PROTINFO | NLA_F_NESTED);
    add_attribute(IFLA_BRPORT_MODE, &on, sizeof(on));
    end_nest(port);
    step(16, text("netlink(RTM_SETLINK, %s, IFLA_BRPORT_MODE)", name),
         text("bridge link set dev %s hairpin on", name));
    must(ask_kernel(NETLINK_ROUTE, NULL));
}

/* The last address of a subnet, which means all of them. */
static unsigned int last_address(struct subnet s) {
    return s.first | (unsigned int)(0xffffffffULL >> s.bits);
}

/* Give the link NAME an ADDRESS of the subnet, unless it has it already. */
static void add_address(const char *name, unsigned int address,
                        struct subnet subnet) {
    struct ifaddrmsg what = { .ifa_family = AF_INET,
        .ifa_prefixlen = (unsigned char)subnet.bits,
        .ifa_index = find_index(name) };

    begin_request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &what, sizeof(what));
    add_number(IFA_LOCAL, htonl(address));
    add_number(IFA_ADDRESS, htonl(address));
    add_number(IFA_BROADCAST, htonl(last_address(subnet)));
    step(16, text("netlink(RTM_NEWADDR, %s)", name),
         text("ip addr add %s/%d dev %s", spell_address(address), subnet.bits,
              name));
    if (ask_kernel(NETLINK_ROUTE, NULL) < 0 && errno != EEXIST)
        die();
}

/* What is for nobody here goes to the GATEWAY. */
static void add_default_route(unsigned int gateway) {
    struct rtmsg what = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN,
                          .rtm_protocol = RTPROT_STATIC,
                          .rtm_type = RTN_UNICAST };

    begin_request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &what, sizeof(what));
    add_number(RTA_GATEWAY, htonl(gateway));
    step(16, "netlink(RTM_NEWROUTE, default)",
         text("ip route add default via %s", spell_address(gateway)));
    must(ask_kernel(NETLINK_ROUTE, NULL));
}

/* --- Subnets ----------------------------------------------------------- */

/* ADDRESS/BITS, whose address is the first of the subnet.  At least a gateway
 * and a box have room in it.  Returns 0, or -1. */
static int parse_subnet(const char *s, struct subnet *into) {
    char *bits = text("%s", s);
    const char *address = strsep(&bits, "/");
    unsigned long long number;

    if (!bits || parse_number(bits, 8, 30, &number) < 0 ||
        parse_address(address, &into->first) < 0)
        return -1;
    if (into->first >> 24 == 0 || into->first >> 28 >= 14)
        return -1;                      /* nobody's; a group's, or reserved */
    into->bits = (int)number;
    return into->first & (0xffffffffU >> number) ? -1 : 0;
}

static const char *spell_subnet(struct subnet s) {
    return text("%s/%d", spell_address(s.first), s.bits);
}

static int overlap(struct subnet a, struct subnet b) {
    return a.first <= last_address(b) && b.first <= last_address(a);
}

static struct subnet sought;            /* is it free? */
static const char *own_bridge;          /* whose routes are no obstacle */
static const char *obstacle;            /* what overlaps it, or NULL */
static int obstacle_bits;               /* of its subnet */

/* A route of the host's: is it for some of the addresses SOUGHT?  The default
 * route, for all there are, is for those that no other is for. */
static void look_at_route(const struct nlmsghdr *answer) {
    const struct rtmsg *route = NLMSG_DATA(answer);
    long size = (long)answer->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*route));
    const struct rtattr *to = find_attribute(RTM_RTA(route), size, RTA_DST);
    const struct rtattr *by = find_attribute(RTM_RTA(route), size, RTA_OIF);
    char name[IF_NAMESIZE] = "none";
    unsigned int address, index;

    if (!to || route->rtm_dst_len == 0 || (route->rtm_type != RTN_UNICAST &&
                                           route->rtm_type != RTN_LOCAL))
        return;
    memcpy(&address, RTA_DATA(to), sizeof(address));
    struct subnet routed = { ntohl(address), route->rtm_dst_len };
    if (by) {
        memcpy(&index, RTA_DATA(by), sizeof(index));
        if_indextoname(index, name);
    }
    if (!overlap(routed, sought) || strcmp(name, own_bridge) == 0)
        return;
    if (obstacle && obstacle_bits <= routed.bits)
        return;                         /* the widest says most */
    obstacle = text("the route %s of %s", spell_subnet(routed), name);
    obstacle_bits = routed.bits;
}

/* What keeps us from using the subnet S behind the bridge BRIDGE: a route, or
 * NULL. */
static const char *find_obstacle(struct subnet s, const char *bridge) {
    struct rtmsg what = { .rtm_family = AF_INET };

    sought = s;
    own_bridge = bridge;
    obstacle = NULL;
    begin_request(RTM_GETROUTE, NLM_F_DUMP, &what, sizeof(what));
    step(16, "netlink(RTM_GETROUTE)", "ip route");
    must(ask_kernel(NETLINK_ROUTE, look_at_route));
    return obstacle;
}

/* --- Tools: a network's folder -------------------------------------------- */

/* Open the folder of all networks, made if missing, and let nobody else change
 * what is in it. */
static void open_networks(void) {
    if (containers_fd < 0)
        open_containers();
    networks_path = text("%.*s/networks", (int)(strrchr(home, '/') - home),
                         home);

    step(16, text("mkdir, open, flock(%s)", networks_path), NULL);
    if (mkdirat(containers_fd, "../networks", 0700) < 0 && errno != EEXIST)
        die();
    networks_fd = must(openat(containers_fd, "../networks",
                              FOLDER | O_NOFOLLOW));
    must(flock(networks_fd, LOCK_EX));
}

/* Have ALL be what is in the file NAME of the network: a new file takes the old
 * one's place, so that no half of one is ever read; and if it LASTS longer than
 * the boxes, not even after a crash.  Returns 0, or -1 with errno. */
static int replace_file(const struct network *n, const char *name,
                        const char *all, int lasts) {
    const char *new = text("%s.new", name);

    step(16, text("open, write, fsync, rename(%s/%s/%s)", networks_path,
                  n->name, new), NULL);
    int fd = openat(n->fd, new, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW |
                    O_CLOEXEC, 0644);
    if (fd < 0)
        return -1;
    int result = write_all(fd, all, strlen(all));
    if (result == 0 && lasts)
        result = fsync(fd);
    close_quietly(fd);
    if (result < 0)
        return -1;
    return renameat(n->fd, new, n->fd, name);
}

/* Write the network's config.  Returns 0, or -1 with errno. */
static int save_network(const struct network *n) {
    const char *all = text("subnet=%s\nbridge=%s\nid=%llu\nfirewall=%s\n",
                           spell_subnet(n->subnet), n->bridge, n->id,
                           n->firewall);

    return replace_file(n, "config", all, 1);
}

/* Has iptables(8) the network's rules, and not nft(8)? */
static int has_iptables(const struct network *n) {
    return strcmp(n->firewall, "iptables") == 0;
}

/* Read the config of the network, whose folder is open.  Returns 0, or -1 with
 * errno: ENOENT if it was not made to its end, EBADMSG if it makes no sense. */
static int load_network(struct network *n) {
    step(16, text("read(%s/%s/config)", networks_path, n->name), NULL);
    char *rest = try_to_read(n->fd, "config");
    char *line;
    int known = 0;                      /* so many of the three are good */

    if (!rest)
        return -1;
    n->firewall = "nft";                /* unless another is named */
    while ((line = strsep(&rest, "\n"))) {
        const char *key = strsep(&line, "=");
        if (line && strcmp(key, "subnet") == 0)
            known += parse_subnet(line, &n->subnet) == 0;
        if (line && strcmp(key, "id") == 0)
            known += parse_number(line, 0, UINT_MAX, &n->id) == 0;
        if (line && strcmp(key, "bridge") == 0) {
            n->bridge = text("%.15s", line);
            known++;
        }
        if (line && strcmp(key, "firewall") == 0 &&
            strcmp(line, "iptables") == 0)
            n->firewall = "iptables";
    }
    errno = EBADMSG;
    return known == 3 ? 0 : -1;
}

static size_t count_letter(const char *s, char letter) {
    size_t count = 0;

    for (; *s; s++)
        count += *s == letter;
    return count;
}

/* Read a LINE of the leases.  Returns 0, or -1 with errno. */
static int parse_lease(char *line, struct lease *l) {
    size_t most = count_letter(line, ':');      /* each port has one, or two */
    const char *address = strsep(&line, " ");
    char *word;

    errno = EBADMSG;                    /* unless all of it makes sense */
    *l = (struct lease){ .box = strsep(&line, " ") };
    if (!l->box || parse_address(address, &l->address) < 0)
        return -1;

    l->ports = (struct port *)get_room((most + 1) * sizeof(*l->ports));
    while ((word = strsep(&line, " "))) {
        if (!strchr(word, ':'))
            l->hostname = word;
        else if (parse_port(word, &l->ports[l->port_count++]) < 0)
            return -1;
    }
    return 0;
}

/* Read the leases of the network.  Returns 0, or -1 with errno. */
static int load_leases(struct network *n) {
    char *line;

    step(16, text("read(%s/%s/leases)", networks_path, n->name), NULL);
    char *all = try_to_read(n->fd, "leases");
    if (!all && errno != ENOENT)
        return -1;
    char *rest = text("%s", all ? all : "");

    /* There is room for the one that take_address() adds, and the rest of a
     * file that does not end with a new line. */
    size_t room = count_letter(rest, '\n') + 2;
    n->leases = (struct lease *)get_room(room * sizeof(*n->leases));
    n->count = 0;
    while ((line = strsep(&rest, "\n"))) {
        if (*line == '\0')
            continue;                   /* after the last one */
        if (parse_lease(line, &n->leases[n->count]) < 0)
            return -1;
        n->count++;
    }
    return 0;
}

/* Write the leases.  Returns 0, or -1 with errno. */
static int save_leases(const struct network *n) {
    draft_length = 0;
    for (const struct lease *l = n->leases; l < n->leases + n->count; l++) {
        add(text("%s %s", spell_address(l->address), l->box));
        if (l->hostname)
            add(text(" %s", l->hostname));
        for (size_t i = 0; i < l->port_count; i++)
            add(text(" %s", spell_port(&l->ports[i], ":")));
        add("\n");
    }
    return replace_file(n, "leases", take_draft(), 0);
}

enum { MOST_NETWORKS = 4096 };
static char *networks[MOST_NETWORKS];   /* their names, in order */
static size_t network_count;

/* Take the network NAME into that list.  Returns 0, to go on. */
static int note_network(int dir_fd, const char *name) {
    size_t at = network_count;

    (void)dir_fd;                       /* it is networks_fd */
    if (network_count == MOST_NETWORKS)
        return 0;
    for (; at > 0 && strcmp(networks[at - 1], name) > 0; at--)
        networks[at] = networks[at - 1];
    networks[at] = text("%s", name);
    network_count++;
    return 0;
}

/* Make that list.  Returns 0, or -1 with errno. */
static int list_names(void) {
    network_count = 0;
    step(16, text("getdents64(%s)", networks_path),
         text("ls %s", networks_path));
    return for_each(networks_fd, 0, note_network);
}

/* Open the network NAME.  Returns 0, or -1 with errno: ENOENT if there is none.
 */
static int open_network(struct network *n, const char *name) {
    n->name = name;
    step(16, text("open(%s/%s)", networks_path, name), NULL);
    n->fd = openat(networks_fd, name, FOLDER | O_NOFOLLOW);
    if (n->fd < 0)
        return -1;
    if (load_network(n) == 0 && load_leases(n) == 0)
        return 0;
    close_quietly(n->fd);
    return -1;
}

/* The same; one that is there and cannot be read is an error.  Returns whether
 * it is there. */
static int find_named(struct network *n, const char *name) {
    if (open_network(n, name) == 0)
        return 1;
    if (errno == ENOENT)
        return 0;
    if (errno == EBADMSG)
        refuse(text("look at it, and then: rm -r %s/%s", networks_path, name),
               "the files of network %s are corrupt", name);
    die();
}

/* --- Tools: the host's programs ------------------------------------------- */

/* A file in memory, with INPUT in it, to be read.  Returns a descriptor, or -1
 * with errno. */
static int make_input(const char *input) {
    int fd = memfd_create("input", MFD_CLOEXEC);

    if (fd >= 0 && write_all(fd, input, strlen(input)) == 0 &&
        lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    close_quietly(fd);
    return -1;
}

/* The step has failed, and the program has said why in FD: add that to the
 * step, the first line of it, or the last. */
static void quote_program(int fd, int is_last) {
    char said[1024];

    ssize_t length = pread(fd, said, sizeof(said) - 1, 0);
    if (length <= 0)
        return;
    said[length] = '\0';
    char *rest = said;
    char *line = strsep(&rest, "\n");
    while (is_last && rest && *rest)
        line = strsep(&rest, "\n");
    now.call = text("%s: \"%s\"", now.call, line);
}

/* A program of the host's that has been started, and not been waited for. */
struct helper {
    pid_t pid;                  /* 0 if there is none */
    int said_fd;                /* what it says goes there */
};

/* Start the program of ARGV, found along PATH, with IN_FD as its input and what
 * it says going to OUT_FD.  It ends with us, so that nothing goes on which
 * others believe to be over, and not by what a terminal sends us.  Returns its
 * number, or -1 with errno. */
static pid_t start_program(char **argv, int in_fd, int out_fd) {
    sigset_t none = { 0 };
    pid_t helper = vfork();

    if (helper == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setsid();
        signal(SIGPIPE, SIG_DFL);
        sigprocmask(SIG_SETMASK, &none, NULL);
        dup2(in_fd, 0);
        dup2(out_fd, 1);
        dup2(out_fd, 2);
        execvp(argv[0], argv);
        _exit(127);
    }
    return helper;
}

/* Begin a program, as the helper H, with this INPUT, which is whole from the
 * start.  Returns 0, or -1 with errno. */
static int begin_program(struct helper *h, char **argv, const char *input) {
    int in_fd = make_input(input);
    int out_fd = make_input("");

    *h = (struct helper){ .pid = -1, .said_fd = out_fd };
    if (in_fd >= 0 && out_fd >= 0)
        h->pid = start_program(argv, in_fd, out_fd);
    close_quietly(in_fd);
    if (h->pid > 0)
        return 0;
    close_quietly(out_fd);
    h->pid = 0;
    return -1;
}

/* Wait for the end of the helper H, if there is one; what it said on failing is
 * added to the step.  Returns 0, or -1 with errno. */
static int finish_program(struct helper *h) {
    int status = -1;

    if (h->pid == 0)
        return 0;

    /* As long as it goes on, what it does cannot be undone: no signal keeps us
     * from waiting. */
    int tries = 0;
    while (waitpid(h->pid, &status, 0) < 0)
        if (errno != EINTR && ++tries == 3)
            break;
    h->pid = 0;
    if (status > 0) {
        errno = EOPNOTSUPP;             /* whatever its own reason is */
        if (WEXITSTATUS(status) == 127)
            errno = ENOENT;             /* it was not there to be run */
        quote_program(h->said_fd, 0);
    }
    close_quietly(h->said_fd);
    return status == 0 ? 0 : -1;
}

/* Run a program to its end, with this INPUT.  Returns 0, or -1 with errno. */
static int run_program(char **argv, const char *input) {
    struct helper h;

    if (begin_program(&h, argv, input) < 0)
        return -1;
    return finish_program(&h);
}

/* --- Rules for packets ------------------------------------------------- */

/* Call RULE for each port that is published in the network, with the address AT
 * of its box.  If the host's address is one of the loopback's it is published
 * to the host itself alone: the chain for what comes from there IS_LOCAL. */
static void for_each_port(const struct network *n, int is_local,
                          void (*rule)(const struct port *port,
                                       const char *at, const char *chain),
                          const char *chain) {
    for (const struct lease *l = n->leases; l < n->leases + n->count; l++) {
        const char *at = spell_address(l->address);
        for (size_t i = 0; i < l->port_count; i++)
            if (is_local || l->ports[i].ip >> 24 != 127)
                rule(&l->ports[i], at, chain);
    }
}

/* A rule for a port.  CHAIN is "add rule" and which, or blank in a chain that
 * has been begun. */
static void add_nft_port(const struct port *port, const char *at,
                         const char *chain) {
    const char *to = "fib daddr type local";    /* any address of the host's */

    if (port->ip != 0)
        to = text("ip daddr %s", spell_address(port->ip));
    add(text("%s %s %s dport %llu dnat to %s:%llu\n", chain, to,
             port->protocol, port->host, at, port->box));
}

static void add_nft_chain(const char *name, const char *type, const char *hook,
                          int priority) {
    add(text(" chain %s {\n  type %s hook %s priority %d\n", name, type, hook,
             priority));
}

/* Ask about the table of the network, in a message of the TYPE. */
static void begin_table_request(const struct network *n, int type) {
    struct nfgenmsg what = { .nfgen_family = NFPROTO_IPV4 };

    begin_request(NFNL_SUBSYS_NFTABLES << 8 | type, 0, &what, sizeof(what));
    add_text(NFTA_TABLE_NAME, n->bridge);
}

/* Has the network its table of nft's?  A program takes longer to start than a
 * box, so the kernel is asked first. */
static int has_table(const struct network *n) {
    begin_table_request(n, NFT_MSG_GETTABLE);
    step(16, text("netlink(NFT_MSG_GETTABLE, %s)", n->bridge),
         text("nft list table ip %s", n->bridge));
    return ask_kernel(NETLINK_NETFILTER, NULL) == 0;
}

/*
 * The network's rules, for nft(8).  The table takes the place of one that is
 * there, in one step; but without one none is deleted, since nft ends only when
 * the kernel has put away what it deleted, and that takes longer than the rest.
 *
 *   raw          a box is not to reach what listens on 127.0.0.1 of the host,
 *                to which open_loopback() opens a way (CVE-2020-8558); what
 *                goes from box to box need not be kept in mind
 *   prerouting,  what comes for a published port, from elsewhere or from the
 *   output       host itself, gets the box's address
 *   postrouting  what a box sends out has the host's address; and so has what
 *                comes back to this bridge by a published port, or the answer
 *                would take a shorter way, from an address nobody has asked
 *   forward      from elsewhere only what was published, and answers
 *   input        nor may boxes of other networks reach our gateway
 */
static const char *write_nft(const struct network *n) {
    const char *bridge = n->bridge;
    const char *subnet = spell_subnet(n->subnet);

    draft_length = 0;
    if (has_table(n))
        add(text("delete table ip %s\n", bridge));
    add(text("table ip %s {\n", bridge));
    add_nft_chain("raw", "filter", "prerouting", -300);
    add(text("  iifname \"%s\" ip daddr 127.0.0.0/8 drop\n", bridge));
    add(text("  iifname \"%s\" ip daddr %s ip daddr != %s notrack\n }\n",
             bridge, subnet, spell_address(n->subnet.first + 1)));

    add_nft_chain("prerouting", "nat", "prerouting", -100);
    for_each_port(n, 0, add_nft_port, "");
    add(" }\n");
    add_nft_chain("output", "nat", "output", -100);
    for_each_port(n, 1, add_nft_port, "");
    add(" }\n");

    add_nft_chain("postrouting", "nat", "postrouting", 100);
    add(text("  ip saddr %s oifname != \"%s\" masquerade\n", subnet, bridge));
    add(text("  ip saddr { 127.0.0.0/8, %s } oifname \"%s\" ct status dnat "
             "masquerade\n }\n", subnet, bridge));

    add_nft_chain("forward", "filter", "forward", 0);
    add(text("  oifname != \"%s\" accept\n  iifname \"%s\" accept\n", bridge,
             bridge));
    add("  ct state established,related accept\n  ct status dnat accept\n"
        "  drop\n }\n");

    add_nft_chain("input", "filter", "input", 0);
    add(text("  iifname != \"%s\" iifname \"whalebox*\" ip daddr %s drop\n"
             " }\n}\n", bridge, subnet));
    return take_draft();
}

/* Where iptables(8) has the chains of a network: BRIDGE-NAME, to which a rule
 * at the end of HOOK leads. */
static const struct jump { const char *table, *hook, *name; } jumps[] = {
    { "raw", "PREROUTING", "raw" }, { "nat", "PREROUTING", "pre" },
    { "nat", "OUTPUT", "out" }, { "nat", "POSTROUTING", "post" },
    { "filter", "FORWARD", "fwd" }, { "filter", "INPUT", "in" },
};

/* Change that rule: CHANGE is -C, to see if it is there, -A or -D.  Returns 0,
 * or -1. */
static int change_jump(const struct network *n, const struct jump *j,
                       char *change) {
    char *chain = text("%s-%s", n->bridge, j->name);
    char *table = text("%s", j->table);
    char *hook = text("%s", j->hook);
    char *argv[] = { "iptables", "-w", "-t", table, change, hook, "-j", chain,
                     NULL };

    step(16, text("iptables(%s %s)", change, chain),
         text("iptables -t %s %s %s -j %s", table, change, hook, chain));
    return run_program(argv, "");
}

/* Begin the chain of iptables(8) that is called so, empty. */
static const char *begin_iptables_chain(const struct network *n,
                                        const char *name) {
    const char *chain = text("%s-%s", n->bridge, name);

    add(text(":%s - [0:0]\n", chain));
    return chain;
}

static void add_iptables_port(const struct port *port, const char *at,
                              const char *chain) {
    const char *to = "-m addrtype --dst-type LOCAL";

    if (port->ip != 0)
        to = text("-d %s", spell_address(port->ip));
    add(text("-A %s %s -p %s --dport %llu -j DNAT --to-destination %s:%llu\n",
             chain, to, port->protocol, port->host, at, port->box));
}

/* The same rules for iptables-restore(8).  Here they stand in tables that are
 * everybody's, behind what others have there.  So what may pass is accepted,
 * and not left to a policy. */
static const char *write_iptables(const struct network *n) {
    const char *bridge = n->bridge;
    const char *subnet = spell_subnet(n->subnet);

    draft_length = 0;
    add("*raw\n");
    const char *raw = begin_iptables_chain(n, "raw");
    add(text("-A %s -i %s -d 127.0.0.0/8 -j DROP\nCOMMIT\n*nat\n", raw,
             bridge));

    const char *pre = begin_iptables_chain(n, "pre");
    const char *out = begin_iptables_chain(n, "out");
    const char *post = begin_iptables_chain(n, "post");
    for_each_port(n, 0, add_iptables_port, pre);
    for_each_port(n, 1, add_iptables_port, out);
    add(text("-A %s -s %s ! -o %s -j MASQUERADE\n", post, subnet, bridge));
    add(text("-A %s -s 127.0.0.0/8,%s -o %s -m conntrack --ctstate DNAT "
             "-j MASQUERADE\nCOMMIT\n*filter\n", post, subnet, bridge));

    const char *fwd = begin_iptables_chain(n, "fwd");
    const char *in = begin_iptables_chain(n, "in");
    add(text("-A %s -i %s -o %s -j ACCEPT\n", fwd, bridge, bridge));
    add(text("-A %s -i %s ! -o whalebox+ -j ACCEPT\n", fwd, bridge));
    add(text("-A %s ! -o %s -j RETURN\n", fwd, bridge));
    add(text("-A %s -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT\n"
             "-A %s -j DROP\n", fwd, fwd));
    add(text("-A %s -i %s -j RETURN\n-A %s -i whalebox+ -d %s -j DROP\n"
             "COMMIT\n", in, bridge, in, subnet));
    return take_draft();
}

/* Which program is to write rules: the first of the two that is there, or NULL,
 * which is an error before the box runs. */
static const char *find_firewall(void) {
    if (find_program("nft"))
        return "nft";
    if (find_program("iptables") && find_program("iptables-restore"))
        return "iptables";
    return NULL;
}

static _Noreturn void refuse_firewall(void) {
    now.chapter = 16;
    refuse("install nftables; it is looked for along PATH",
           "neither nft nor iptables is there");
}

/* No box is on the network as yet: which program is to have its rules?  That is
 * written down before there are any.  For the same program has to remove them,
 * and by then PATH may be another, or something be installed. */
static void choose_firewall(struct network *n) {
    const char *found = find_firewall();

    if (!found)
        refuse_firewall();
    if (strcmp(n->firewall, found) == 0)
        return;
    n->firewall = found;
    must(save_network(n));
}

/* Remove the network's table.  Changes of rules stand between two messages, of
 * which the first says where they begin, and the second that they are to be
 * made.  The socket stays open until we end: to close it is to wait for the
 * kernel to put the rules away, which it does while we go on.  Returns 0, also
 * if there is no table, or -1 with errno. */
static int remove_table(const struct network *n) {
    struct bound {
        struct nlmsghdr head;
        struct nfgenmsg what;
    } bounds[2];
    struct iovec parts[3] = { { &bounds[0], sizeof(bounds[0]) }, { NULL, 0 },
                              { &bounds[1], sizeof(bounds[1]) } };

    memset(bounds, 0, sizeof(bounds));
    for (int i = 0; i < 2; i++) {
        struct bound *b = &bounds[i];
        b->head.nlmsg_len = sizeof(*b);
        b->head.nlmsg_flags = NLM_F_REQUEST;
        b->head.nlmsg_type = i == 0 ? NFNL_MSG_BATCH_BEGIN : NFNL_MSG_BATCH_END;
        b->what.res_id = htons(NFNL_SUBSYS_NFTABLES);
    }
    begin_table_request(n, NFT_MSG_DELTABLE);
    parts[1] = (struct iovec){ &request, request.head.nlmsg_len };

    step(16, text("netlink(NFT_MSG_DELTABLE, %s)", n->bridge),
         text("nft delete table ip %s", n->bridge));
    int fd = call_kernel(NETLINK_NETFILTER);
    if (fd < 0 || writev(fd, parts, 3) < 0)
        return -1;
    if (take_answers(fd, NULL) < 0 && errno != ENOENT)
        return -1;
    return 0;
}

/* Remove the network's chains of iptables(8), and the rules that lead there.
 * Returns 0, or -1 with errno. */
static int remove_chains(const struct network *n) {
    char *argv[] = { "iptables-restore", "-w", "--noflush", NULL };

    draft_length = 0;
    for (size_t i = 0; i < LENGTH(jumps); i++) {
        const struct jump *j = &jumps[i];
        while (change_jump(n, j, "-D") == 0)
            ;                           /* there may be more than one */
        add(text("*%s\n:%s-%s - [0:0]\n-X %s-%s\nCOMMIT\n", j->table, n->bridge,
                 j->name, n->bridge, j->name));
    }
    step(16, "iptables-restore()", "iptables -X ...");
    return run_program(argv, take_draft());
}

/* Remove the network's rules.  Returns 0, or -1 with errno. */
static int remove_rules(const struct network *n) {
    return has_iptables(n) ? remove_chains(n) : remove_table(n);
}

static struct helper rule_writer;       /* nft(8), as long as it works */

/* Write the network's rules with iptables(8).  Returns 0, or -1 with errno. */
static int write_chains(const struct network *n) {
    char *argv[] = { "iptables-restore", "-w", "--noflush", NULL };

    step(16, text("iptables-restore(%s)", n->bridge),
         text("iptables-restore --noflush, and iptables-save"));
    if (run_program(argv, write_iptables(n)) < 0)
        return -1;
    for (size_t i = 0; i < LENGTH(jumps); i++)
        if (change_jump(n, &jumps[i], "-C") < 0 &&
            change_jump(n, &jumps[i], "-A") < 0)
            return -1;
    return 0;
}

/* Have nft(8) begin with these RULES of the network's.  It takes as long as it
 * takes to make a box, and can be at work meanwhile.  Returns 0, or -1 with
 * errno. */
static int begin_nft(const struct network *n, const char *rules) {
    char *argv[] = { "nft", "-f", "-", NULL };

    step(16, text("nft(-f, table ip %s)", n->bridge),
         text("nft -f -, and nft list table ip %s", n->bridge));
    return begin_program(&rule_writer, argv, rules);
}

/* Begin to write the network's rules anew, from its leases.  Returns 0, or -1
 * with errno. */
static int begin_rules(const struct network *n) {
    if (has_iptables(n))
        return write_chains(n);
    return begin_nft(n, write_nft(n));
}

/* The network has its rules of nft's, and one more box, with the lease L: begin
 * to add those for its ports.  Returns 0, or -1 with errno. */
static int begin_ports(const struct network *n, struct lease *l) {
    struct network with_one = *n;

    with_one.leases = l;
    with_one.count = 1;
    draft_length = 0;
    for_each_port(&with_one, 0, add_nft_port,
                  text("add rule ip %s prerouting", n->bridge));
    for_each_port(&with_one, 1, add_nft_port,
                  text("add rule ip %s output", n->bridge));
    return begin_nft(n, take_draft());
}

/* Wait until these rules are written.  Returns 0, or -1 with errno. */
static int finish_rules(const struct network *n) {
    if (rule_writer.pid == 0)
        return 0;
    step(16, text("nft(-f, table ip %s)", n->bridge), "wait");
    return finish_program(&rule_writer);
}

/* Both.  Returns 0, or -1 with errno. */
static int write_rules(const struct network *n) {
    return begin_rules(n) < 0 ? -1 : finish_rules(n);
}

/* --- Tools: what is in the way of packets --------------------------------- */

static struct dropper {
    unsigned char family;
    const char *table, *chain;          /* NULL: there is none */
} dropper;
static int is_answered;                 /* a rule there is about our bridges */

/* The number in an attribute of netfilter's, which are in the order that is
 * usual on a network, or -1 without one. */
static long number_in(const struct rtattr *a) {
    unsigned int number;

    if (!a || RTA_PAYLOAD(a) != sizeof(number))
        return -1;
    memcpy(&number, RTA_DATA(a), sizeof(number));
    return (long)ntohl(number);
}

/* A chain of the host's: does it drop what no rule in it speaks of, of all that
 * is forwarded? */
static void look_at_chain(const struct nlmsghdr *answer) {
    const struct nfgenmsg *what = NLMSG_DATA(answer);
    const void *first = what + 1;       /* its size needs no filling up */
    long size = (long)answer->nlmsg_len - (long)NLMSG_LENGTH(sizeof(*what));
    const struct rtattr *table = find_attribute(first, size, NFTA_CHAIN_TABLE);
    const struct rtattr *name = find_attribute(first, size, NFTA_CHAIN_NAME);
    const struct rtattr *hook = find_attribute(first, size, NFTA_CHAIN_HOOK);
    const struct rtattr *policy = find_attribute(first, size,
                                                 NFTA_CHAIN_POLICY);

    int is_ip = what->nfgen_family == NFPROTO_IPV4 ||
                what->nfgen_family == NFPROTO_INET;
    if (!is_ip || !table || !name || !hook || number_in(policy) != NF_DROP)
        return;
    hook = find_attribute(RTA_DATA(hook), (long)RTA_PAYLOAD(hook),
                          NFTA_HOOK_HOOKNUM);
    if (number_in(hook) == NF_INET_FORWARD)
        dropper = (struct dropper){ what->nfgen_family,
            text("%s", (char *)RTA_DATA(table)),
            text("%s", (char *)RTA_DATA(name)) };
}

/* A rule of that table: is an interface named in it that begins as ours do? */
static void look_at_rule(const struct nlmsghdr *answer) {
    const char *from = (const char *)answer;
    const char *end = from + answer->nlmsg_len - strlen("whalebox");

    for (; from < end; from++)
        if (memcmp(from, "whalebox", strlen("whalebox")) == 0)
            is_answered = 1;
}

/* Is there a chain that drops what is forwarded, so that no table of ours can
 * let it pass?  If its table has rules about our bridges somebody has seen to
 * that.  What iptables(8) of the old kind has is not seen here. */
static int is_forward_dropped(void) {
    struct nfgenmsg what = { .nfgen_family = NFPROTO_UNSPEC };

    dropper = (struct dropper){ 0, NULL, NULL };
    begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP,
                  &what, sizeof(what));
    step(16, "netlink(NFT_MSG_GETCHAIN)", "nft list chains");
    if (ask_kernel(NETLINK_NETFILTER, look_at_chain) < 0 || !dropper.chain)
        return 0;

    is_answered = 0;
    what.nfgen_family = dropper.family;
    begin_request(NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETRULE, NLM_F_DUMP,
                  &what, sizeof(what));
    add_text(NFTA_RULE_TABLE, dropper.table);
    step(16, "netlink(NFT_MSG_GETRULE)", "nft list table");
    must(ask_kernel(NETLINK_NETFILTER, look_at_rule));
    return !is_answered;
}

static const char let_pass[] = "iptables -I FORWARD -i whalebox+ -j ACCEPT; "
    "iptables -I FORWARD -o whalebox+ -j ACCEPT";

/* What drops that, and how to say that what is ours may pass. */
static const char *describe_dropper(void) {
    return text("the host's firewall drops what is forwarded: chain %s of "
                "table %s has policy drop", dropper.chain, dropper.table);
}

static const char *fix_dropper(void) {
    const char *family = dropper.family == NFPROTO_INET ? "inet" : "ip";
    const char *place = text("%s %s %s", family, dropper.table, dropper.chain);

    if (strcmp(dropper.chain, "FORWARD") == 0)
        return let_pass;
    return text("nft 'insert rule %s iifname \"whalebox*\" accept; insert rule "
                "%s oifname \"whalebox*\" accept'", place, place);
}

/* Write a SETTING of the host's stack, which is below /proc/sys/net. */
static void write_host_setting(const char *setting, const char *value) {
    const char *path = text("/proc/sys/net/%s", setting);

    step(16, text("write(%s, \"%s\")", path, value),
         text("echo %s > %s", value, path));
    must(write_file(AT_FDCWD, path, value, 0));
}

/* Have the link NAME, or all of them, speak IPv4 alone, which is what our rules
 * are about.  A kernel that is without IPv6 has no such setting. */
static void leave_out_ipv6(const char *name) {
    const char *setting = text("ipv6/conf/%s/disable_ipv6", name);

    if (is_there(AT_FDCWD, text("/proc/sys/net/%s", setting)))
        write_host_setting(setting, "1");
}

/* Before the clone: have the host forward what is for others, which is nobody's
 * default, and is for the whole host: others may need it when we are gone, so
 * it stays.  Nothing of this is of use if a firewall drops it. */
static void allow_forwarding(const struct network *n) {
    static const char file[] = "/proc/sys/net/ipv4/ip_forward";

    if (!has_iptables(n) && is_forward_dropped())
        refuse(fix_dropper(), "%s", describe_dropper());

    if (!has_text(file, "\n0\n"))
        return;
    write_host_setting("ipv4/ip_forward", "1");
    tell("whalebox: chapter 16: net.ipv4.ip_forward is 1 from now on, for the "
         "whole host");
}

/* --- A network that is up ---------------------------------------------- */

/* 02 is the first byte of an address that was given by hand, not by a factory.
 * A box's comes from its address: who had that before is in the memory of its
 * neighbours, for a minute or so, and is answered for. */
static void make_mac(unsigned char mac[6], unsigned char kind,
                     unsigned int rest) {
    mac[0] = 0x02;
    mac[1] = kind;                      /* 0x57, 'W', a box; 0x58 a bridge */
    mac[2] = (unsigned char)(rest >> 24);
    mac[3] = (unsigned char)(rest >> 16);
    mac[4] = (unsigned char)(rest >> 8);
    mac[5] = (unsigned char)rest;
}

/* Whose is the link NAME?  Another home has networks of its own, and may have
 * taken that name. */
enum holder { FREE, OURS, OTHERS };
static enum holder find_holder(const char *name, const unsigned char mac[6]) {
    struct ifreq link = { .ifr_flags = 0 };

    step(16, "socket(AF_INET)", NULL);
    int fd = must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    step(16, text("ioctl(%s, SIOCGIFHWADDR)", name),
         text("ip link show %s", name));
    strcpy(link.ifr_name, name);
    int result = ioctl(fd, SIOCGIFHWADDR, &link);
    require(result == 0 || errno == ENODEV, errno);
    close(fd);
    if (result < 0)
        return FREE;
    return memcmp(link.ifr_hwaddr.sa_data, mac, 6) == 0 ? OURS : OTHERS;
}

/* Make the network's bridge, unless it is there.  Its name is written down
 * before it is made, so that it is found if we are killed. */
static void make_bridge(struct network *n) {
    unsigned char mac[6];

    make_mac(mac, 0x58, (unsigned int)n->id);
    for (int i = -1; i < 4096; i++) {
        const char *name = i < 0 ? n->bridge : text("whalebox%d", i);
        enum holder holder = find_holder(name, mac);
        if (holder == OTHERS)
            continue;

        if (strcmp(name, n->bridge) != 0) {
            n->bridge = name;
            must(save_network(n));
        }
        if (holder == OURS || add_bridge(name, mac) == 0)
            return;
    }
    refuse("ip link shows them", "all names of bridges are taken");
}

/* Have the network's bridge be there, with the gateway's address, and up. */
static void raise_bridge(struct network *n) {
    make_bridge(n);

    const char *found = find_obstacle(n->subnet, n->bridge);
    if (found)
        refuse(text("whalebox network rm %s, and make it anew", n->name),
               "%s of network %s overlaps %s", spell_subnet(n->subnet), n->name,
               found);
    leave_out_ipv6(n->bridge);
    add_address(n->bridge, n->subnet.first + 1, n->subnet);
    set_up(n->bridge);
}

/* The host has 127.0.0.1 on a link of its own, and sends from there by no
 * other, unless it is allowed: to have its published ports on 127.0.0.1, too.
 * The rules that keep boxes from going that way are there before one runs. */
static void open_loopback(const struct network *n) {
    write_host_setting(text("ipv4/conf/%s/route_localnet", n->bridge), "1");
}

/* Write the file hosts, which is mounted in the boxes: in place, as they would
 * not see a new one.  Returns 0, or -1 with errno. */
static int write_hosts(const struct network *n) {
    draft_length = 0;
    add("127.0.0.1\tlocalhost\n");
    for (const struct lease *l = n->leases; l < n->leases + n->count; l++) {
        add(text("%s\t%s", spell_address(l->address), l->box));
        if (l->hostname)
            add(text(" %s", l->hostname));
        add("\n");
    }

    step(16, text("open, write(%s/%s/hosts)", networks_path, n->name), NULL);
    int fd = openat(n->fd, "hosts", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                    0644);
    if (fd < 0)
        return -1;
    int result = write_all(fd, draft, draft_length);
    if (result == 0)
        result = ftruncate(fd, (off_t)draft_length);
    close_quietly(fd);
    return result;
}

/* Has the box of the lease L ended?  It is called GONE, or nobody has the lock
 * on its folder, nor lives in it. */
static int is_over(const struct lease *l, const char *gone) {
    int pidfd = -1;

    if (strcmp(l->box, gone) == 0)
        return 1;
    int fd = openat(containers_fd, l->box, FOLDER | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT;
    int result = is_abandoned(fd) && find_resident(fd, &pidfd) == NOBODY;
    close(pidfd);
    close(fd);
    return result;
}

/* Take away what the LEFT leases do not speak of: first what may lead packets
 * to a box, and with the last one the bridge.  HAD_PORTS: of those that went
 * some had.  Returns 0, or -1 with errno. */
static int take_down(struct network *n, int had_ports) {
    if (n->count == 0 && (remove_rules(n) < 0 || remove_link(n->bridge) < 0))
        return -1;
    if (n->count > 0 && had_ports && write_rules(n) < 0)
        return -1;
    if (write_hosts(n) < 0)
        return -1;
    return save_leases(n);
}

/* Try once to give back the lease of the box GONE, and those of all who have
 * ended.  Returns 0, or -1 with errno. */
static int try_to_give_back(struct network *n, const char *gone) {
    size_t left = 0;
    int had_ports = 0;

    step(16, text("flock(%s)", networks_path), NULL);
    if (flock(networks_fd, LOCK_EX) < 0 || load_leases(n) < 0)
        return -1;

    for (size_t i = 0; i < n->count; i++) {
        struct lease *l = &n->leases[i];
        if (!is_over(l, gone))
            n->leases[left++] = *l;
        else if (l->port_count > 0)
            had_ports = 1;
    }
    if (left == n->count)
        return 0;
    n->count = left;
    return take_down(n, had_ports);
}

/* The same.  What fails is tried again, since it may have failed by chance.  If
 * it fails for good, the leases on the disk stay as they were, and their
 * addresses must not be given away: the rules may still lead there. */
static int give_back(struct network *n, const char *gone) {
    for (int tries = 0; tries < 3; tries++)
        if (try_to_give_back(n, gone) == 0)
            return 0;
    return -1;
}

/* The same where nothing hangs on it: a later run tries. */
static void give_back_or_say(struct network *n, const char *gone) {
    if (give_back(n, gone) < 0)
        complain();
}

/* The box NAME has ended, and there was nobody to clean up after it. */
static void drop_dead_wire(const char *name) {
    if (!is_there(containers_fd, "../networks"))
        return;

    int held_fd = networks_fd;
    if (held_fd < 0)
        open_networks();
    if (list_names() < 0)
        complain();
    for (size_t i = 0; i < network_count; i++) {
        struct network n;
        if (open_network(&n, networks[i]) < 0)
            continue;                   /* whoever uses it is told why */
        give_back_or_say(&n, name);
        close(n.fd);
    }
    if (held_fd < 0) {
        close(networks_fd);             /* and with that the lock is gone */
        networks_fd = -1;
    }
}

/* --- A box's lease and its wire ---------------------------------------- */

/* Find an address for the box, the first that nobody has: neither the subnet's
 * own, nor the gateway's, nor the last, which means all.  Returns its lease, in
 * its place in the list. */
static struct lease *take_address(struct network *n) {
    unsigned int address = n->subnet.first + 2;
    size_t at = 0;

    while (at < n->count && n->leases[at].address <= address) {
        if (n->leases[at].address == address)
            address++;
        at++;
    }
    if (address >= last_address(n->subnet))
        refuse("whalebox ps, or a network with a larger --subnet",
               "network %s has no address left: all %u of %s are in use",
               n->name, last_address(n->subnet) - n->subnet.first - 2,
               spell_subnet(n->subnet));

    memmove(&n->leases[at + 1], &n->leases[at],
            (n->count - at) * sizeof(*n->leases));
    n->leases[at] = (struct lease){ .address = address, .box = box.name,
                                    .ports = opt.ports,
                                    .port_count = opt.port_count };
#if WITH_UTS
    if (opt.hostname && strcmp(opt.hostname, box.name) != 0)
        n->leases[at].hostname = opt.hostname;
#endif
    n->count++;
    own_address = address;
    return &n->leases[at];
}

/* Hold the host's side of each port that is published.  Packets for it go to
 * the box before any server could have them; and no server can take the port,
 * nor is it taken from one without a word.  The sockets last as long as we do.
 */
static void hold_ports(void) {
    for (size_t i = 0; i < opt.port_count; i++) {
        const struct port *port = &opt.ports[i];
        int is_udp = strcmp(port->protocol, "udp") == 0;
        struct sockaddr_in host = { .sin_family = AF_INET };

        host.sin_addr.s_addr = htonl(port->ip);         /* 0 is INADDR_ANY */
        host.sin_port = htons((unsigned short)port->host);
        step(16, text("socket(%s)", port->protocol), NULL);
        int fd = must(socket(AF_INET, (is_udp ? SOCK_DGRAM : SOCK_STREAM) |
                             SOCK_CLOEXEC, 0));
        step(16, text("bind(%s:%llu/%s)", spell_address(port->ip), port->host,
                      port->protocol), NULL);
        must(bind(fd, (struct sockaddr *)&host, sizeof(host)));
    }
}

/* Another network of ours that overlaps S, or NULL. */
static const char *find_other_network(struct subnet s) {
    for (size_t i = 0; i < network_count; i++) {
        struct network n;
        if (open_network(&n, networks[i]) < 0)
            continue;
        close(n.fd);
        if (overlap(n.subnet, s))
            return text("network %s, %s", n.name, spell_subnet(n.subnet));
    }
    return NULL;
}

/* Choose a subnet for a network: the one that was asked for, or the first that
 * nothing stands in the way of. */
static void choose_subnet(struct network *n, const char *asked) {
    const char *found;

    must(list_names());
    if (asked) {
        if (parse_subnet(asked, &n->subnet) < 0)
            refuse("the first address and how many bits: 10.9.8.0/24, from /8 "
                   "to /30", "--subnet: not \"%s\"", asked);
        found = find_other_network(n->subnet);
        if (!found)
            found = find_obstacle(n->subnet, "");
        if (found)
            refuse("choose another --subnet", "%s overlaps %s", asked, found);
        return;
    }

    for (unsigned int i = 88; i < 256; i++) {
        n->subnet = (struct subnet){ 10U << 24 | i << 16, 16 };
        if (!find_other_network(n->subnet) && !find_obstacle(n->subnet, ""))
            return;
    }
    refuse("name one: whalebox network create NAME --subnet CIDR",
           "no subnet from 10.88.0.0/16 to 10.255.0.0/16 is free");
}

/* Make the network NAME. */
static void create_network(struct network *n, const char *name,
                           const char *subnet) {
    unsigned int id;

    n->name = name;
    n->bridge = "whalebox0";            /* or the next that nobody has */
    n->firewall = "nft";                /* until a box comes */
    step(16, "getrandom()", NULL);
    must(getentropy(&id, sizeof(id)));
    n->id = id;
    choose_subnet(n, subnet);
    if (network_count == MOST_NETWORKS)
        refuse("whalebox network ls, and rm", "there are %zu networks",
               network_count);

    /* Without a config it is none, so this may have been tried before. */
    step(16, text("mkdir, open(%s/%s)", networks_path, name), NULL);
    if (mkdirat(networks_fd, name, 0700) < 0 && errno != EEXIST)
        die();
    n->fd = must(openat(networks_fd, name, FOLDER | O_NOFOLLOW));
    must(load_leases(n));
    must(write_hosts(n));
    must(save_network(n));
}

/* --- Tools: an ordinary user's wire ----------------------------------------
 *
 * A user may not touch the host's links.  But a program of the user's can have
 * an end of a wire in the box, take the packets that come out of it apart, and
 * do with sockets of its own, as any program may, what they ask for.
 */
static pid_t carrier_pid;               /* that program, or 0 */
static int carrier_fd = -1;             /* what it says */

/* Which program it is to be, or NULL. */
static const char *find_carrier(void) {
    if (is_network("pasta"))
        return "pasta";
    if (is_network("slirp"))
        return "slirp4netns";
    return NULL;
}

/* Before the clone: is it there? */
static void need_carrier(const char *program) {
    if (host_root)
        refuse("--network bridge", "--network %s is for users", opt.network);
    if (!find_program(program))
        refuse(text("install it; on Debian it is in the package %s",
                    strcmp(program, "pasta") == 0 ? "passt" : program),
               "there is no program %s", program);
    if (access("/dev/net/tun", R_OK | W_OK) < 0)
        refuse("as root: modprobe tun, and chmod 666 /dev/net/tun",
               "%s needs /dev/net/tun: %s", program, strerror(errno));
}

/* Connect to slirp4netns(1), which makes its socket when eth0 is there already:
 * within 10 seconds.  Returns 0, or -1 with errno. */
static int call_slirp(int fd, const struct sockaddr_un *at) {
    int tries = 1000;                   /* of 10 ms */

    while (connect(fd, (const struct sockaddr *)at, sizeof(*at)) < 0) {
        tries--;
        if (tries == 0 || (errno != ENOENT && errno != ECONNREFUSED))
            return -1;
        poll(NULL, 0, 10);
    }
    return 0;
}

/* slirp4netns listens at a socket in the box's folder: ask it there for the
 * port.  slirp4netns(1). */
static void ask_slirp(const struct port *port) {
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    char answer[256] = "";

    snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/slirp",
             folder_fd);
    const char *question = text("{\"execute\": \"add_hostfwd\", \"arguments\": "
        "{\"proto\": \"%s\", \"host_addr\": \"%s\", \"host_port\": %llu, "
        "\"guest_port\": %llu}}", port->protocol, spell_address(port->ip),
        port->host, port->box);

    step(16, "socket(AF_UNIX)", NULL);
    int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    step(16, "connect, write, shutdown, read(slirp)", NULL);
    must(call_slirp(fd, &at));
    must(write_all(fd, question, strlen(question)));
    must(shutdown(fd, SHUT_WR));
    must(read(fd, answer, sizeof(answer) - 1));
    close(fd);
    if (strstr(answer, "\"error\""))
        refuse("another server may have it: see ss -lntup",
               "slirp4netns cannot have port %llu: %s", port->host, answer);
}

/* Add to the COUNT words of ARGV, for pasta(1), an OPTION for each port of the
 * PROTOCOL: [IP/]HOST:BOX, or "none".  Returns how many words there are. */
static size_t add_pasta_ports(char **argv, size_t count, char *option,
                              const char *protocol) {
    size_t before = count;

    for (size_t i = 0; i < opt.port_count; i++) {
        const struct port *port = &opt.ports[i];
        const char *ip = "";

        if (strcmp(port->protocol, protocol) != 0)
            continue;
        if (port->ip != 0)
            ip = text("%s/", spell_address(port->ip));
        argv[count++] = option;
        argv[count++] = text("%s%llu:%llu", ip, port->host, port->box);
    }
    if (count == before) {
        argv[count++] = option;
        argv[count++] = "none";
    }
    return count;
}

/* Wait until the carrier has made a way out of the box, which a route shows, or
 * has ended. */
static void wait_for_carrier(const char *program) {
    const char *routes = text("/proc/%d/net/route", box.pid);
    int tries = 1000;                   /* of 10 ms */

    while (tries > 0 && !has_text(routes, "\neth0\t00000000\t")) {
        if (waitpid(carrier_pid, NULL, WNOHANG) == carrier_pid) {
            carrier_pid = 0;
            break;
        }
        poll(NULL, 0, 10);
        tries--;
    }
    step(16, text("%s(%d)", program, box.pid), NULL);
    if (tries == 0 || carrier_pid == 0) {
        quote_program(carrier_fd, 1);
        errno = EOPNOTSUPP;
        die();
    }
}

/* Start the carrier of ARGV, and wait until the box can be reached by it. */
static void run_carrier(char **argv) {
    step(16, text("memfd_create, vfork(%s)", argv[0]),
         text("%s ... %d", argv[0], box.pid));
    carrier_fd = must(make_input(""));
    carrier_pid = must(start_program(argv, carrier_fd, carrier_fd));
    wait_for_carrier(argv[0]);
}

/* pasta(1) is told the ports on its command line; the box has no way to those
 * of the host (-T, -U, --no-map-gw). */
static void start_pasta(void) {
    char *argv[16 + 2 * LENGTH(opt.ports)] = { "pasta", "--config-net",
        "--foreground", "--quiet", "-4", "--no-map-gw", "-I", "eth0",
        "-T", "none", "-U", "none" };
    size_t count = 12;

    count = add_pasta_ports(argv, count, "-t", "tcp");
    count = add_pasta_ports(argv, count, "-u", "udp");
    argv[count] = text("%d", box.pid);
    run_carrier(argv);
}

/* slirp4netns(1) is asked for the ports when it runs, at a socket in the folder
 * of the box. */
static void start_slirp(void) {
    char *argv[] = { "slirp4netns", "--configure", "--disable-host-loopback",
        "--api-socket", text("/proc/%d/fd/%d/slirp", getpid(), folder_fd),
        text("%d", box.pid), "eth0", NULL };

    unlinkat(folder_fd, "slirp", 0);    /* of an earlier life */
    run_carrier(argv);
    for (size_t i = 0; i < opt.port_count; i++)
        ask_slirp(&opt.ports[i]);
}

/* The child is at the gate: have the carrier, if there is one, enter its
 * namespace. */
static void start_carrier(void) {
    if (is_network("pasta"))
        start_pasta();
    if (is_network("slirp"))
        start_slirp();
}

/* Before the clone: a place for the box on its network, with all that has to be
 * there before there is a box.  The networks stay locked as long as rules are
 * written, which may be until plug_wire(). */
static void join_network(void) {
    if (!host_root)
        refuse("its bridge is the host's, and so are its rules and ports; a "
               "user has --network none, host, pasta or slirp",
               "--network %s takes root", opt.network);

    hold_ports();
    open_networks();
    if (!find_named(&joined, opt.network)) {
        if (!is_network("bridge"))
            refuse(text("whalebox network create %s", opt.network),
                   "there is no network named %s", opt.network);
        create_network(&joined, "bridge", NULL);
    }
    must(give_back(&joined, box.name)); /* a former run's, who was killed */
    if (joined.count == 0)
        choose_firewall(&joined);

    struct lease *lease = take_address(&joined);
    must(save_leases(&joined));
    allow_forwarding(&joined);
    raise_bridge(&joined);
    if (has_iptables(&joined) || !has_table(&joined))
        must(begin_rules(&joined));
    else if (opt.port_count > 0)
        must(begin_ports(&joined, lease));
    must(write_hosts(&joined));
    if (rule_writer.pid == 0)
        flock(networks_fd, LOCK_UN);
    hosts = open_folder(text("%s/%s/hosts", networks_path, joined.name),
                        AT_RECURSIVE);
}

/* Before the clone.  The box is born in its network namespace, and does not
 * make it itself: we have to know when it is there. */
static void lay_wire(void) {
    if (opt.port_count > 0 && !opt.network) {
        if (!host_root)
            refuse("--network pasta, or slirp, does without",
                   "--publish takes root");
        opt.network = "bridge";
        remember(find_option("--network"), "bridge");
    }
    if (box.has_folder)
        drop_dead_wire(box.name);       /* it may have been on another */
    if (!is_wired()) {
        if (opt.port_count > 0)
            refuse("leave out --network, or name one",
                   "--publish: with --network %s there is no wire",
                   opt.network);
        return;
    }

    const char *carrier = find_carrier();
    if (carrier)
        need_carrier(carrier);
    else
        join_network();
    box.clone.flags |= CLONE_NEWNET;
}

/* The child is at the gate: a wire from its namespace to the bridge, and it is
 * not let through before the rules are there.  What has the wire's name is of
 * an earlier life of this box, and about to vanish. */
static void plug_wire(void) {
    unsigned char mac[6];

    start_carrier();
    if (own_address == 0)
        return;

    const char *name = text("wb%s", box.id);
    make_mac(mac, 0x57, own_address);
    must(remove_link(name));
    if (add_wire(name, joined.bridge, box.pid, mac) < 0)
        return;                         /* waiting for the child tells why */
    leave_out_ipv6(name);
    if (opt.port_count > 0)
        set_hairpin(name);
    set_up(name);
    must(finish_rules(&joined));
    flock(networks_fd, LOCK_UN);
    if (opt.port_count > 0)
        open_loopback(&joined);
}

/* After the end: give back what the box had.  Its end of the wire goes with its
 * namespace, and with that ours. */
static void cut_wire(void) {
    if (carrier_pid > 0) {
        kill(carrier_pid, SIGKILL);
        waitpid(carrier_pid, NULL, 0);
        carrier_pid = 0;
    }
    if (own_address == 0)
        return;

    finish_rules(&joined);              /* if there was no time to */
    give_back_or_say(&joined, box.name);
    flock(networks_fd, LOCK_UN);
    own_address = 0;
}

/* In the child: what it does at its end of the wire. */
static void set_up_wire(void) {
    if (!is_wired())
        return;
    leave_out_ipv6("all");
    if (own_address == 0)               /* somebody else has done the rest */
        return;

    add_address("eth0", own_address, joined.subnet);
    set_up("eth0");
    add_default_route(joined.subnet.first + 1);
}

/* In the child, whose root is the box's: mount the names of its network. */
static void mount_hosts(void) {
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY |
        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

    if (!hosts)
        return;
    step(16, "mount_setattr(hosts)", "mount -o remount,bind,ro");
    must(syscall(SYS_mount_setattr, hosts->fd, "", AT_EMPTY_PATH, &attr,
                 sizeof(attr)));
    attach_tree(hosts->fd, hosts->path, make_in_box("/etc/hosts", 0),
                "/etc/hosts");
}

/* Add to the draft those lines of FILE, a resolv.conf, that are of use in a
 * box.  There 127.0.0.1 is the box itself, and IPv6 is off.  Returns how many
 * name servers these are. */
static int add_resolvers(const char *file) {
    char *rest = text("%s", read_file(AT_FDCWD, file));
    char *line;
    int count = 0;

    draft_length = 0;
    while ((line = strsep(&rest, "\n"))) {
        int is_server = strncmp(line, "nameserver", 10) == 0;
        if (is_server) {
            const char *address = line + 10;
            address += strspn(address, " \t");
            if (strncmp(address, "127.", 4) == 0 || strchr(address, ':'))
                continue;
        }
        count += is_server;
        if (*line)
            add(text("%s\n", line));
    }
    return count;
}

/* In the child: what /etc/resolv.conf is to be, as resolv.conf(5) has it.
 * systemd's resolver listens on 127.0.0.53, and tells elsewhere whom it asks
 * itself. */
static const char *make_resolvers(void) {
    const char *ours = text("%s", read_file(AT_FDCWD, "/etc/resolv.conf"));

    if (is_network("slirp"))
        return "nameserver 10.0.2.3\n"; /* slirp4netns itself */
    if (!is_wired() || add_resolvers("/etc/resolv.conf") > 0)
        return is_wired() ? take_draft() : ours;
    if (add_resolvers("/run/systemd/resolve/resolv.conf") > 0)
        return take_draft();
    if (strstr(ours, "nameserver")) {
        tell("whalebox: chapter 16: the host's name server is out of the box's "
             "reach");
        tell("  hint: name another: -v FILE:/etc/resolv.conf");
    }
    add_resolvers("/etc/resolv.conf");
    return take_draft();
}

/* --- Tools: what is told of networks -------------------------------------- */

/* The line of the record that tells the box's address, if it has one now. */
static const char *address_line(void) {
    if (own_address == 0)
        return "";
    return text("address=%s\n", spell_address(own_address));
}

/* For ps: the ports of the box whose record was read. */
static const char *describe_ports(void) {
    const char *ports = "";

    for (char *line = found_record; *line; line += strlen(line) + 1) {
        struct port port;
        if (strncmp(line, "publish=", 8) != 0 ||
            parse_port(line + 8, &port) < 0)
            continue;
        ports = text("%s%s%s", ports, *ports ? "," : "",
                     spell_port(&port, "->"));
    }
    return ports;
}

/* whalebox network ls */
static int networks_main(int argc, char **argv) {
    if (argc > 1)
        refuse_usage(text("ls: not \"%s\"", argv[1]));
    open_networks();
    must(list_names());
    print("%-16s %-18s %-12s %s\n", "NAME", "SUBNET", "BRIDGE", "BOXES");
    for (size_t i = 0; i < network_count; i++) {
        struct network n;
        if (!find_named(&n, networks[i]))
            continue;
        give_back_or_say(&n, "");
        print("%-16s %-18s %-12s %zu\n", n.name, spell_subnet(n.subnet),
              n.count > 0 ? n.bridge : "-", n.count);
        close(n.fd);
    }
    return 0;
}

/* whalebox network rm NAME */
static void remove_network(const char *name) {
    struct network n;
    const char *boxes = "";

    open_networks();
    if (*name == '.' || strchr(name, '/') || !find_named(&n, name))
        refuse("see whalebox network ls", "there is no network named %s", name);
    must(give_back(&n, ""));
    for (size_t i = 0; i < n.count; i++)
        boxes = text("%s %s", boxes, n.leases[i].box);
    if (n.count > 0)
        refuse(text("whalebox rm -f%s", boxes), "network %s is in use:%s", name,
               boxes);

    /* Without a config it is none. */
    step(16, text("unlinkat(%s/%s)", networks_path, name),
         text("rm -r %s/%s", networks_path, name));
    must(unlinkat(n.fd, "config", 0));
    static const char *const files[] = { "leases", "hosts", "config.new",
                                         "leases.new" };
    for (size_t i = 0; i < LENGTH(files); i++)
        unlinkat(n.fd, files[i], 0);
    must(unlinkat(networks_fd, name, AT_REMOVEDIR));
}

static int rm_network_main(int argc, char **argv) {
    (void)argc;
    return for_each_name(argv + 1, remove_network);
}

/* There is no option WORD of network create: say what to type instead, for what
 * is likely to be the name, the last of the words. */
static _Noreturn void refuse_network_option(const char *word, char **argv) {
    const char *name = "NAME";

    while (*++argv)
        if (**argv != '-')
            name = *argv;
    refuse(text("whalebox network create %s, with --subnet CIDR or any", name),
           "network create: there is no option %s", word);
}

/* whalebox network create NAME [--subnet CIDR] */
static int create_network_main(int argc, char **argv) {
    (void)argc;
    static const char *const reserved[] = { "none", "host", "bridge", "default",
                                            "pasta", "slirp" };
    const char *name = NULL, *subnet = NULL;
    struct network n;

    for (char **words = argv + 1; *words; words++) {
        if (strncmp(*words, "--subnet=", 9) == 0)
            subnet = *words + 9;
        else if (strcmp(*words, "--subnet") == 0 && words[1])
            subnet = *++words;
        else if (strcmp(*words, "--subnet") == 0)
            refuse_usage("create: --subnet needs a value");
        else if (**words == '-')
            refuse_network_option(*words, argv);
        else if (name)
            refuse_usage(text("create: not \"%s\"", *words));
        else
            name = *words;
    }
    if (!name)
        refuse_usage("create: no name");
    choose_network(find_option("--network"), name);     /* is it good? */
    for (size_t i = 0; i < LENGTH(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            refuse("choose another name",
                   "--network %s has a meaning of its own", name);

    open_networks();
    if (find_named(&n, name))
        refuse("choose another name", "a network named %s is there", name);
    create_network(&n, name, subnet);
    print("%s\n", name);
    return 0;
}

/* whalebox network WORD */
static int network_main(int argc, char **argv) {
    (void)argc;
    if (!host_root)
        refuse("a user's boxes have --network none, host, pasta or slirp",
               "network takes root");
    return do_word(bridge_commands, argv + 1);
}
#endif /* WITH_BRIDGE */

/* === The box being closed, in order ========================================
 *
 * The order is not the chapters': each step needs what those after it take
 * away.
 */

#if WITH_LOCKS || WITH_VOLUMES
/* The last steps of a process before it becomes a command in the box. */
static void move_in(void) {
#if WITH_BRIDGE
    mount_hosts();              /* its neighbours' names */
#endif
#if WITH_VOLUMES
    furnish_box();              /* what the command will find */
#endif
#if WITH_LOCKS
    lock_box();                 /* what it forbids, the steps above did */
#endif
#if WITH_VOLUMES
    if (opt.init)
        become_init();          /* and its child the command */
#endif
}
#endif

static _Noreturn void child(void) {
#if WITH_BRIDGE
    start_network();            /* its own, and with a wire its parent's, too */
#elif WITH_NET
    make_network();             /* while the parent does its part */
#endif
#if WITH_GATE
    start_child();              /* wait at the gate, be the box's root */
#endif
#if WITH_BRIDGE
    set_up_wire();              /* which the parent has laid meanwhile */
#endif
    die_with_parent();
#if WITH_CGROUP
    enter_cgroup_namespace();   /* its cgroup is the top of the tree */
#endif
#if WITH_UTS
    set_hostname();             /* in its UTS namespace */
#endif
#if WITH_MOUNT
    make_mounts_private();      /* before any other mount */
#if WITH_ROOT

    /* Mounts are made on the new root while the old one can be reached. */
    copy_folders();             /* while their paths lead to them */
#if WITH_LAYERS
    mount_layers();             /* "." is the union, and the new root */
#else
    attach_rootfs();            /* "." is the rootfs, and the new root */
#endif
    mount_root_proc();
    mount_sys();
    mount_dev();                /* with devices of the old root */
    pivot_to_rootfs();          /* the host is gone */
#else
    mount_proc("/proc");
#endif
#endif
#if WITH_NET
    open_stack();               /* by its own /proc, with the ids it has now */
#endif
#if WITH_MOUNT && WITH_LOCKS
    cover_paths();              /* before a volume can take their place */
#endif
#if WITH_TTY
    begin_session();            /* on a terminal of the box's own devpts */
    mount_console();            /* which is /dev/console, too */
#endif
#if WITH_LOCKS || WITH_VOLUMES
    move_in();                  /* what it finds and, last, the locks */
#endif
    become_command();
}

/* === The parent's side of a run ========================================= */

#if WITH_DOCTOR
static const struct command doctor_commands[2]; /* see the doctor, below */
#endif
static const struct chapter chapters[LAST_CHAPTER + 1] = {
    [0] = { .options = process_options, .hints = process_hints },
#if WITH_UTS
    [1] = { .flag = CLONE_NEWUTS, .options = uts_options },
#endif
#if WITH_IPC
    [2] = { .flag = CLONE_NEWIPC },
#endif
#if WITH_PID
    [3] = { .flag = CLONE_NEWPID },
#endif
#if WITH_MOUNT
    [4] = { .flag = CLONE_NEWNS, .hints = mount_hints },
#endif
#if WITH_USER
    [5] = { .flag = CLONE_NEWUSER, .is_shared = &opt.host_users,
            .before = choose_ids, .at_gate = write_maps,
            .options = user_options, .hints = user_hints },
#endif
#if WITH_NET
    [6] = { .flag = CLONE_NEWNET, .is_shared = &opt.host_network,
            .before = postpone_network, .options = net_options,
            .hints = net_hints },
#endif
#if WITH_CGROUP
    [7] = { .flag = CLONE_NEWCGROUP, .before = make_cgroup,
            .after = drop_cgroup, .options = limit_options,
            .hints = limit_hints },
#endif
#if WITH_ROOT
    [8] = { .before = prepare_root, .at_gate = idmap_folders,
            .options = root_options, .hints = root_hints },
#endif
#if WITH_LAYERS
    [9] = { .before = make_layers, .at_gate = name_resident,
            .after = drop_layers, .options = layer_options,
            .hints = layer_hints },
#endif
#if WITH_LOCKS
    [10] = { .options = lock_options, .hints = lock_hints,
#if WITH_DOCTOR
             .commands = doctor_commands,
#endif
    },
#endif
#if WITH_VOLUMES
    [11] = { .before = open_volumes, .options = volume_options,
             .hints = volume_hints },
#endif
#if WITH_TTY
    [12] = { .before = start_relay, .after = end_relay,
             .options = tty_options, .hints = tty_hints },
#endif
#if WITH_DETACH
    [13] = { .before = begin_making, .at_gate = begin_record,
             .after = end_output, .options = detach_options,
             .commands = detach_commands, .hints = detach_hints },
#endif
#if WITH_EXEC
    [14] = { .commands = exec_commands, .hints = exec_hints },
#endif
#if WITH_IMAGES
    [15] = { .before = hold_image, .after = drop_new_layer,
             .options = image_options, .commands = image_commands,
             .hints = image_hints },
#endif
#if WITH_BRIDGE
    [16] = { .before = lay_wire, .at_gate = plug_wire, .after = cut_wire,
             .options = bridge_options, .commands = bridge_commands,
             .hints = bridge_hints },
#endif
};

#if WITH_NAMESPACES
/* The namespaces that the box is to have of its own: CLONE_NEW* flags. */
static unsigned long own_namespaces(void) {
    unsigned long flags = 0;

    for (size_t n = 0; n < LENGTH(chapters); n++)
        flags |= chapters[n].flag;
#if WITH_USER || WITH_NET

    /* But for those that are the host's, as an option asks for. */
    for (size_t n = 0; n < LENGTH(chapters); n++)
        if (chapters[n].is_shared && *chapters[n].is_shared)
            flags &= ~chapters[n].flag;
#endif
    return flags;
}
#endif

/* Make this process a sound place to start from, whatever the caller left. */
static void prepare_process(void) {
#if WITH_TOOLS
    open_streams();             /* the standard ones, if one was closed */
#endif
#if WITH_ROOT
    refuse_folders();           /* as streams, they lead out of the box */
    need_descriptors();
#endif
    close_files();              /* the caller's, but for the streams */
#if WITH_TOOLS
    find_host_root();
#endif
#if WITH_ROOT
    umask(022);                 /* the caller's is for its own files */
#endif

    /* Had the caller ignored it, so would we, and nothing would tell us that
     * the child has ended. */
    signal(SIGCHLD, SIG_DFL);
#if WITH_TTY
    signal(SIGALRM, SIG_DFL);   /* nor that a time is over */
#endif
}

/* Take away what was made, the last thing first, on every way out: the box
 * before all else, since nothing is removed that somebody may still use. */
static void undo(void) {
    if (box.pid > 0) {
        kill(box.pid, SIGKILL);
        waitpid(box.pid, NULL, 0);
        box.pid = 0;
    }
#if WITH_AFTER

    /* Each chapter is asked once, and takes only what is there.  If one of them
     * fails for good we are called again, and go on with the next. */
    static size_t left = LENGTH(chapters);
    while (left > 0) {
        left--;
        if (chapters[left].after)
            chapters[left].after();
    }
#endif
}

/* Run the command ARGV in a box.  Returns the exit status for main(). */
static int run_box(char **argv) {
    hold_signals();
    box.argv = argv;
#if WITH_NAMESPACES
    box.clone.flags = own_namespaces();
#endif
#if WITH_TOOLS
    box.flags = box.clone.flags;
#endif
#if WITH_NAME
    name_box();
#endif
#if WITH_DETACH
    prepare_record();
    if (opt.detach)
        fork_supervisor();              /* another process comes back */
#endif
#if WITH_TOOLS

    /* Every chapter prepares what the box needs.  Each may refuse, and undo()
     * follows. */
    for (size_t n = 0; n < LENGTH(chapters); n++)
        if (chapters[n].before)
            chapters[n].before();
#endif
#if WITH_USER
    answer_as_box();
#endif
    box.pid = clone_child(&box.clone, child);
#if WITH_USER
    answer_as_root();
#endif

#if WITH_GATE
    /* The child waits at the gate: what needs it, and has to be there before it
     * goes on, is done now. */
    for (size_t n = 0; n < LENGTH(chapters); n++)
        if (chapters[n].at_gate)
            chapters[n].at_gate();
    open_gate();
#endif

    wait_for_box();
    undo();
    return exit_status(box.status);
}

#if WITH_DETACH
/* === The commands ==========================================================
 *
 * What one does with boxes that are there.  Each command looks for the box's
 * supervisor, reads the record, and knows from both how the box is; those that
 * change it take turns.  Their lines of --help stand in their chapters.
 */
static const struct option *need_option(const char *word);

/* The supervisor of the box in DIR_FD, who has a lock on it: a pidfd, or -1.
 * It may end while we look and another get its number, so look twice.  One that
 * is not in our PID namespace has no number here. */
static int open_supervisor(int dir_fd) {
    struct flock lock = { .l_type = F_WRLCK };
    struct flock again = { .l_type = F_WRLCK };

    step(13, "fcntl(F_GETLK), pidfd_open()", NULL);
    must(fcntl(dir_fd, F_GETLK, &lock));        /* who would be in our way? */
    if (lock.l_type == F_UNLCK)         /* nobody has one */
        return -1;
    if (lock.l_pid == 0)                /* nobody whom we see */
        return -1;

    int pidfd = (int)syscall(SYS_pidfd_open, lock.l_pid, 0);
    require(pidfd >= 0 || errno == ESRCH, errno);

    must(fcntl(dir_fd, F_GETLK, &again));
    if (again.l_type != F_UNLCK && again.l_pid == lock.l_pid) {
        require(pidfd >= 0, ESRCH);
        return pidfd;
    }
    close(pidfd);
    return -1;                          /* it has just ended */
}

/* PID 1 of the box whose record was read: a pidfd, or -1 if it is gone.  It is
 * held first and looked at then, so that its number cannot become another's in
 * between.  Where /proc hides when it started (hidepid), a supervisor that
 * lives says enough: it is its child, not waited for as long as it runs. */
static int open_box_process(void) {
    int pid = atoi(value_of("pid"));
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    unsigned long long start = start_time(pid);

    if (pidfd >= 0 && strcmp(boot_id(), value_of("boot_id")) == 0) {
        if (start == (unsigned long long)atoll(value_of("pid_start")))
            return pidfd;
        if (start == 0 && supervisor_pidfd >= 0 && !ends(supervisor_pidfd, 0))
            return pidfd;
        if (start == 0 && !ends(pidfd, 0))
            refuse("mount -o remount,hidepid=0 /proc, or do it as root",
                   "/proc hides process %d: it may be that of %s", pid,
                   value_of("name"));
    }
    close(pidfd);
    return -1;
}

/* Has the folder DIR_FD of the box NAME a mark?  Sets is_elsewhere.  One that
 * cannot be read says nothing of the box, so we leave then. */
static int has_mark(int dir_fd, const char *name) {
    struct mark mark;

    step(13, text("read(%s/box)", name), NULL);
    if (read_mark(dir_fd, &mark) < 0) {
        require(errno == ENOENT, errno);
        return 0;
    }
    is_elsewhere = mark.pid_namespace != 0 &&
                   mark.pid_namespace != pid_namespace();
    return 1;
}

/* How a box is; and how the commands call that. */
enum status { NO_BOX, RUNNING, EXITED, DEAD, CORRUPT };
static const char *const statuses[] = { "", "running", "exited", "dead",
                                        "corrupt" };

/* The status of the folder NAME, which has no good record.  With a bad one, or
 * if it was to stay (IS_KEPT), it is a box, and corrupt.  Otherwise it is no
 * box yet, or no more. */
static enum status status_without_record(int dir_fd, const char *name,
                                         int is_kept) {
    if (is_there(dir_fd, "config"))
        return CORRUPT;
    if (is_kept && has_mark(dir_fd, name))
        return CORRUPT;
    return NO_BOX;
}

/* The status of the box NAME, whose folder is DIR_FD.  It is dead if its record
 * says that it runs, and it has no supervisor.  Sets supervisor_pidfd and
 * is_elsewhere, and reads the record.  This only looks: a box that outlives its
 * dead supervisor, as a change of user lets it, is ended by the command that
 * acts on it.  A folder that has a record and no mark is not ours to act on. */
static enum status find_status(int dir_fd, const char *name) {
    struct stat st;

    step(13, text("fstat(%s)", name), NULL);
    must(fstat(dir_fd, &st));
    int is_kept = (st.st_mode & S_ISVTX) != 0;  /* see keep_box() */

    /* The supervisor first, since the last that it does is to write the record:
     * if it is gone, what we read then is the last word. */
    close(supervisor_pidfd);            /* of the box before */
    supervisor_pidfd = open_supervisor(dir_fd);
    if (read_record(dir_fd, name) < 0 || !has_mark(dir_fd, name)) {
        found_record = no_record;       /* nobody is to be signalled by it */
        return status_without_record(dir_fd, name, is_kept);
    }

    if (strcmp(value_of("status"), "exited") == 0)
        return EXITED;
    if (supervisor_pidfd >= 0 || (is_elsewhere && !is_abandoned(dir_fd)))
        return RUNNING;
    if (is_kept)
        return DEAD;
    return NO_BOX;                      /* a later run sweeps it */
}

/* The command was called in a wrong way: say WHY, and how it is called. */
static _Noreturn void refuse_usage(const char *why) {
    refuse(text("whalebox %s %s  %s", our_command->name, our_command->usage,
                our_command->help), "%s: %s", our_command->name, why);
}

#if WITH_IMAGES || WITH_BRIDGE
/* Do what the word after a command's name, the first of WORDS, asks for.  Each
 * has one of ROWS, as in --help, and what does it there; "list" and "remove"
 * are two by other names.  Returns the status for main(). */
static int do_word(const struct command *rows, char **words) {
    const char *word = *words;
    const char *usages = "";
    int count = 0;

    while (words[count])
        count++;
    if (word && strcmp(word, "list") == 0)
        word = "ls";
    if (word && strcmp(word, "remove") == 0)
        word = "rm";

    for (const struct command *c = rows; c->word; c++) {
        if (word && strcmp(word, c->word) == 0) {
            our_command = c;
            return c->act(count, words);
        }
        usages = text("%s%s %s", usages, *usages ? "," : rows->name, c->usage);
    }
    if (!word)
        refuse(usages, "%s: there is no word after it", rows->name);
    refuse(usages, "%s: there is no command %s", rows->name, word);
}
#endif

/* Refuse the options of a run that were given, but for those that are ALLOWED,
 * each between blanks, and --explain. */
static void refuse_options(const char *allowed) {
    for (struct given *g = given; g->option; g++) {
        const char *name = g->option->name;

        if (!strstr(allowed, text(" %s ", name)) &&
            strcmp(name, "explain") != 0)
            refuse_usage(text("not with --%s", name));
    }
}

/* The next one of a command's LETTERS, as getopt(3) has them, or -1. */
static int next_letter(int argc, char **argv, const char *letters) {
    const char *word = argv[optind];    /* the next one */

    /* getopt(3) would take the second '-' for a letter. */
    if (word && strncmp(word, "--", 2) == 0 && word[2] != '\0')
        refuse_usage(text("there is no option %s", word));

    opterr = 0;                         /* getopt() is not to say it, we do */
    int letter = getopt(argc, argv, letters);
    if (letter == '?')
        refuse_usage(text("there is no option -%c", optopt));
    if (letter == ':')
        refuse_usage(text("-%c needs a value", optopt));
    return letter;
}

/* In a helper: call ACT for NAME, and print the name if it does not refuse. */
static _Noreturn void act_on(const char *name, void (*act)(const char *name)) {
    /* Whoever ends the command has ended this, too. */
    step(13, "prctl(PR_SET_PDEATHSIG)", NULL);
    must(prctl(PR_SET_PDEATHSIG, SIGKILL));

    act(name);
    print("%s\n", visible(name));
    exit(0);
}

/* Call ACT for each of NAMES, one after the other, in a process each, so that
 * no failure keeps it from the next.  Returns the status for main(). */
static int for_each_name(char **names, void (*act)(const char *name)) {
    int result = 0;
    int status;

    if (!*names)
        refuse_usage("no name");
    for (; *names; names++) {
        step(13, "fork()", NULL);
        pid_t helper = must(fork());
        if (helper == 0)
            act_on(*names, act);

        step(13, text("waitpid(%d)", helper), "wait");
        must(waitpid(helper, &status, 0));
        if (status != 0)
            result = failure;
    }
    return result;
}

/* There is no box of this name. */
static _Noreturn void refuse_name(const char *name) {
    const char *fix = "see whalebox ps -a";

    if (*name == '-')
        fix = "options come before names";
    refuse(fix, "there is no box named %s", name);
}

/* The folder of the box NAME: a descriptor.  OPERATION is 0, or LOCK_EX: then
 * commands on the box take turns, and the one before us may have removed it. */
static int open_box(const char *name, int operation) {
    struct stat st;

    open_containers();                  /* sets containers_fd */
    if (*name == '\0' || *name == '.' || strchr(name, '/'))
        refuse_name(name);              /* no box can be called so */

    step(13, text("open(%s)", name), NULL);
    int dir_fd = openat(containers_fd, name, FOLDER | O_NOFOLLOW);
    if (dir_fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP ||
                       errno == ENAMETOOLONG))
        refuse_name(name);
    must(dir_fd);

    if (operation) {
        step(13, text("flock(%s)", name), NULL);
        turn_fd = dir_fd;
        must(flock(turn_fd, operation));
    }

    step(13, text("fstat(%s)", name), NULL);
    must(fstat(dir_fd, &st));
    if (st.st_nlink == 0)               /* it has been removed */
        refuse_name(name);
    return dir_fd;
}

/* How the box NAME is; one whose record is corrupt is refused, as nothing of
 * that is believed, and so is one that is being made, or removed. */
static enum status need_status(int dir_fd, const char *name) {
    enum status status = find_status(dir_fd, name);

    if (status == NO_BOX)
        refuse_name(name);
    if (status == CORRUPT)
        refuse(text("remove it: whalebox rm -f %s", name),
               "the record of %s is corrupt", name);
    return status;
}

/* Refuse to act on the box NAME, which is as STATUS says, if it runs and its
 * processes have their numbers in another PID namespace, as when two containers
 * share a home. */
static void need_here(const char *name, enum status status) {
    if (is_elsewhere && status == RUNNING)
        refuse("do it where that was started",
               "%s runs in another PID namespace", name);
}

/* Refuse to act on the box NAME, since somebody may live in it. */
static _Noreturn void refuse_unknown(const char *name) {
    refuse(text("do it where that was started, or, if all there has ended: "
                "rm -r %s/%s", home, name),
           "it cannot be told from here whether somebody lives in %s", name);
}

/* Ask the box to end, through its supervisor, which passes the signal on, or,
 * if that is dead, itself; after SECONDS kill it; and if its supervisor still
 * does not end, that. */
static void end_box(int seconds) {
    int process_fd = -1;
    if (*found_record)
        process_fd = open_box_process();
    int asked_fd = process_fd;
    if (supervisor_pidfd >= 0)
        asked_fd = supervisor_pidfd;

#if WITH_IMAGES
    /* An image may want another signal, which a supervisor may not pass on. */
    int wanted = recorded_stop_signal();
    if (wanted && process_fd >= 0) {
        step(15, text("pidfd_send_signal(%d)", wanted),
             text("kill -%d", wanted));
        send_signal(process_fd, wanted);
        send_signal(process_fd, SIGCONT);
        if (ends(asked_fd, seconds))
            return;
        seconds = 0;
    }
#endif
    step(13, "pidfd_send_signal(SIGTERM)", "kill");
    send_signal(asked_fd, SIGTERM);
    send_signal(asked_fd, SIGCONT);     /* after a ^Z it would not take it */
    if (ends(asked_fd, seconds))
        return;

    step(13, "pidfd_send_signal(SIGKILL)", "kill -KILL");
    send_signal(process_fd, SIGKILL);
    int patience = 10;                  /* s */
    if (process_fd < 0)
        patience = 0;                   /* nothing was killed */
    if (!ends(asked_fd, patience))
        send_signal(asked_fd, SIGKILL); /* the kernel kills its box */
    require(ends(asked_fd, 10), ETIMEDOUT);
}

static unsigned long long stop_seconds = 10;    /* before it is killed */

/* whalebox stop: the box may clean up, which takes time, but has no choice.  We
 * hold its processes, not their numbers, and so need not keep others from
 * acting on the box while we wait. */
static void stop_box(const char *name) {
    int dir_fd = open_box(name, LOCK_EX);
    enum status status = need_status(dir_fd, name);
    int resident_pidfd;

    need_here(name, status);
    if (status == DEAD && find_resident(dir_fd, &resident_pidfd) == UNKNOWN)
        refuse_unknown(name);
    if (supervisor_pidfd >= 0 || status == DEAD) {
        flock(turn_fd, LOCK_UN);
        end_box((int)stop_seconds);
    }
}

static int stop_main(int argc, char **argv) {
    while (next_letter(argc, argv, "+:t:") != -1)
        if (parse_number(optarg, 0, 86400, &stop_seconds) < 0)
            refuse_usage(text("-t: not \"%s\"", optarg));
    return for_each_name(argv + optind, stop_box);
}

static _Noreturn void refuse_stopped(const char *name) {
    refuse(text("whalebox start %s", name), "%s is not running", name);
}

/* The number of the signal that WORD names, as in 15, TERM or SIGTERM, or 0.
 * signal(7). */
static int find_signal(const char *word) {
    static const char *const names[] = {
        [SIGHUP] = "HUP", [SIGINT] = "INT", [SIGQUIT] = "QUIT",
        [SIGILL] = "ILL", [SIGTRAP] = "TRAP", [SIGABRT] = "ABRT",
        [SIGBUS] = "BUS", [SIGFPE] = "FPE", [SIGKILL] = "KILL",
        [SIGUSR1] = "USR1", [SIGSEGV] = "SEGV", [SIGUSR2] = "USR2",
        [SIGPIPE] = "PIPE", [SIGALRM] = "ALRM", [SIGTERM] = "TERM",
        [SIGCHLD] = "CHLD", [SIGCONT] = "CONT", [SIGSTOP] = "STOP",
        [SIGTSTP] = "TSTP", [SIGTTIN] = "TTIN", [SIGTTOU] = "TTOU",
        [SIGURG] = "URG", [SIGXCPU] = "XCPU", [SIGXFSZ] = "XFSZ",
        [SIGPROF] = "PROF", [SIGWINCH] = "WINCH", [SIGIO] = "IO",
        [SIGPWR] = "PWR", [SIGSYS] = "SYS",
    };
    unsigned long long number;

    if (parse_number(word, 1, NSIG - 1, &number) == 0)
        return (int)number;
    if (strncasecmp(word, "SIG", 3) == 0)
        word += 3;
    for (size_t i = 1; i < LENGTH(names); i++)
        if (names[i] && strcasecmp(names[i], word) == 0)
            return (int)i;
    return 0;
}

static int sent_signal = SIGKILL;       /* kill -s */

/* whalebox kill: send a signal to the box's first process, and to that alone.
 * It need not end by it, but for SIGKILL: then its end is waited for, and what
 * its supervisor has to do then, so that it can be removed at once. */
static void kill_box(const char *name) {
    int dir_fd = open_box(name, LOCK_EX);
    enum status status = need_status(dir_fd, name);
    int process_fd = -1;

    need_here(name, status);
    if (status == RUNNING)
        process_fd = open_box_process();
    if (process_fd < 0)
        refuse_stopped(name);

    step(13, text("pidfd_send_signal(%d)", sent_signal),
         text("kill -%d", sent_signal));
    must(syscall(SYS_pidfd_send_signal, process_fd, sent_signal, NULL, 0));
    if (sent_signal != SIGKILL)
        return;
    flock(turn_fd, LOCK_UN);
    require(ends(process_fd, 10), ETIMEDOUT);
    ends(supervisor_pidfd, 10);         /* one that is stopped does not */
}

static int kill_main(int argc, char **argv) {
    while (next_letter(argc, argv, "+:s:") != -1) {
        sent_signal = find_signal(optarg);
        if (sent_signal == 0)
            refuse_usage(text("-s: not \"%s\"", optarg));
    }
    return for_each_name(argv + optind, kill_box);
}

/* whalebox wait: print the exit status of the box NAME when it has one.  This
 * only looks, and does not return, since no name is to be printed. */
static _Noreturn void wait_for_end(const char *name) {
    int dir_fd = open_box(name, 0);
    enum status status = need_status(dir_fd, name);

    need_here(name, status);
    while (supervisor_pidfd >= 0 && status == RUNNING) {
        while (!ends(supervisor_pidfd, 3600))
            ;
        status = find_status(dir_fd, name);
    }

    if (status == NO_BOX)
        refuse("without --rm it stays, with its exit status",
               "%s was removed when it ended", name);
    if (status != EXITED)
        refuse("its supervisor was killed, who would have noted it",
               "%s is %s: nobody knows how it ended", name, statuses[status]);
    print("%s\n", value_of("exit_code"));
    exit(0);
}

static int wait_main(int argc, char **argv) {
    next_letter(argc, argv, "+:");      /* it has none, and refuses any */
    return for_each_name(argv + optind, wait_for_end);
}

static int is_forced;                   /* rm -f */

/* Refuse to remove a box that runs, unless by force, and what is no box.  One
 * without a supervisor may be about to end, and has two seconds. */
static void refuse_to_remove(int dir_fd, const char *name, int has_exited) {
    int resident_pidfd;

    if (supervisor_pidfd >= 0 && !has_exited && !is_forced)
        refuse(text("whalebox stop %s, or rm -f", name), "%s is running", name);
    if (supervisor_pidfd < 0 && !is_forced &&
        find_resident(dir_fd, &resident_pidfd) == SOMEBODY &&
        !ends(resident_pidfd, 2))
        refuse(text("whalebox stop %s", name),
               "%s has lost its supervisor, and lives on", name);
    if (!has_mark(dir_fd, name))
        refuse(text("look at it, and if it is to go: rm -r %s/%s", home, name),
               "%s was not made by whalebox: its mark, the file box, is not "
               "there", name);
}

/* See to it that nobody lives in the folder DIR_FD of the box NAME, which has
 * no whalebox any more. */
static void empty_folder(int dir_fd, const char *name) {
    step(13, "pidfd_send_signal(SIGKILL)", "kill -KILL");
    if (!end_resident(dir_fd))
        refuse_unknown(name);
}

/* Remove the folder DIR_FD of the box NAME, in which nobody may live.  The
 * moment from which the box is no more is when it loses the sticky bit: if we
 * are killed then, a later run's sweep goes on. */
static void remove_folder_of(int dir_fd, const char *name) {
    empty_folder(dir_fd, name);

    step(13, text("fchmod(%s, ~S_ISVTX), unlinkat(config)", name), NULL);
    must(fchmod(dir_fd, 0755));
    unlinkat(dir_fd, "config", 0);      /* a folder of that name goes below */
    if (remove_box(dir_fd, name, 60) < 0)
        exit(failure);
}

/* whalebox rm: end the box, and remove it. */
static void remove_one(const char *name) {
    struct stat st;
    int dir_fd = open_box(name, LOCK_EX);
    enum status status = find_status(dir_fd, name);
    int has_exited = status == EXITED;

    need_here(name, status);
    refuse_to_remove(dir_fd, name, has_exited);

    /* A supervisor that has recorded the end is about to end by itself. */
    if (supervisor_pidfd >= 0 && !(has_exited && ends(supervisor_pidfd, 10)))
        end_box(0);

    step(13, text("fstat(%s)", name), NULL);
    must(fstat(dir_fd, &st));
    if (st.st_nlink > 0)                /* else its supervisor has removed it */
        remove_folder_of(dir_fd, name);

    /* A supervisor that was killed has left a cgroup, too.  Other boxes that
     * were left so are removed on this occasion. */
#if WITH_CGROUP
    drop_dead_cgroup(name);
#endif
#if WITH_BRIDGE
    drop_dead_wire(name);
#endif
    for_each(containers_fd, 0, sweep_box);
}

static int rm_main(int argc, char **argv) {
    while (next_letter(argc, argv, "+:f") != -1)
        is_forced = 1;
    return for_each_name(argv + optind, remove_one);
}

/* Set the options that are in the record: they stand between the folder in
 * which their paths begin and the command.  One that this build has not is
 * refused. */
static void set_recorded(void) {
    char *line = value_of("directory");

    while (line) {
        line += strlen(line) + 1;       /* the next one */
        if (*line == '\0' || strncmp(line, "command=", 8) == 0)
            return;

        const struct option *o = need_option(text("--%s", line));
        char *value = NULL;
        if (o->value) {                 /* a copy: the record stays as it is */
            value = text("%s", strchr(line, '=') + 1);
            take_word(value);
        }
        o->set(o, value);
        remember(o, value);
    }
}

/* The WORDS of a command, as the record has them, as an argv that NULL ends.
 * Each but the last takes a blank at least: a record that somebody has changed
 * may have words that are empty. */
static char **split_command(char *words) {
    size_t count = 0;

    step(13, "calloc(argv)", NULL);
    char **argv = calloc(strlen(words) + 2, sizeof(*argv));
    if (!argv)
        die();

    while (words) {
        argv[count++] = words;
        words = take_word(words);
    }
    return argv;
}

/* Run the box NAME, whose record was read, as that says, in the background.
 * Does not return; the launcher prints the name. */
static _Noreturn void run_again(const char *name) {
    set_recorded();
    opt.name = name;
    opt.detach = 1;                     /* whatever it was */
    box.has_folder = 1;
    first_id = value_of("id");
    created = atoll(value_of("created"));

    /* Find all values first: take_word() shortens them, and then the lines of
     * the record cannot be told apart any more. */
    char *image = value_of("image");
    char *from = value_of("directory");
    char *words = value_of("command");
    take_word(image);
    take_word(from);
    opt.rootfs = image;
#if WITH_IMAGES
    recall_image(turn_fd);
#endif

    step(13, text("chdir(%s)", from), NULL);
    must(chdir(from));                  /* relative paths begin there */
    char **argv = split_command(words);
    exit(run_box(argv));
}

/* whalebox start: run a box again, unless it is running. */
static void start_box(const char *name) {
    int dir_fd = open_box(name, LOCK_EX);

    if (need_status(dir_fd, name) == RUNNING)
        return;

    /* Its supervisor, if there is one, is about to end.  If there is none, a
     * resident of the box may have outlived it. */
    if (!ends(supervisor_pidfd, 10))
        refuse("try again", "%s has not ended yet", name);
    empty_folder(dir_fd, name);
    run_again(name);
}

static int start_main(int argc, char **argv) {
    next_letter(argc, argv, "+:");      /* it has none, and refuses any */
    return for_each_name(argv + optind, start_box);
}

/* How long ago that was, in a unit of which there are two or more. */
static const char *age(long long since) {
    long long seconds = time(NULL) - since;

    if (seconds < 120)
        return text("%llds", seconds);
    if (seconds < 7200)
        return text("%lldm", seconds / 60);
    if (seconds < 172800)
        return text("%lldh", seconds / 3600);
    return text("%lldd", seconds / 86400);
}

static int is_all, is_quiet;            /* ps -a, ps -q */

/* Print the line of the box NAME, which is as STATUS says.  All but "corrupt"
 * have a record. */
static void print_box(const char *name, enum status status) {
    if (is_quiet) {
        print("%s\n", visible(name));
        return;
    }
    if (status == CORRUPT) {
        print("%-16s -        corrupt\n", visible(name));
        return;
    }

    const char *pid = "-";
    const char *state = statuses[status];
    if (status == RUNNING && !is_elsewhere)
        pid = value_of("pid");
    if (status == EXITED)
        state = text("exited (%s)", value_of("exit_code"));
    const char *line = text("%-16s %-8s %-12s %-5s %-30s", visible(name), pid,
                            state, age(atoll(value_of("created"))),
                            visible(text("%.60s", value_of("command"))));
#if WITH_BRIDGE
    line = text("%s %-20s", line, status == RUNNING ? describe_ports() : "");
#endif
    print("%s %s\n", line, visible(value_of("image")));
}

/* Print the line of the box NAME, if there is such a box, and it was asked for.
 * Returns 0: for_each() is to go on. */
static int list_box(int parent_fd, const char *name) {
    step(13, text("open(%s/%s)", home, name), NULL);
    int dir_fd = openat(parent_fd, name, FOLDER | O_NOFOLLOW);

    /* It may have gone meanwhile, or be no folder: both are no box. */
    if (dir_fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return 0;
    must(dir_fd);

    enum status status = find_status(dir_fd, name);
    close(dir_fd);
    if (status == RUNNING || (status != NO_BOX && is_all))
        print_box(name, status);
    return 0;
}

/* whalebox ps: in the order that the folder has them. */
static int ps_main(int argc, char **argv) {
    int letter;

    while ((letter = next_letter(argc, argv, "+:aq")) != -1) {
        if (letter == 'a')
            is_all = 1;
        else
            is_quiet = 1;
    }
    if (argv[optind])
        refuse_usage("it takes no names");

    open_containers();
    const char *line = text("%-16s %-8s %-12s %-5s %-30s", "NAME", "PID",
                            "STATUS", "AGE", "COMMAND");
#if WITH_BRIDGE
    line = text("%s %-20s", line, "PORTS");
#endif
    if (!is_quiet)
        print("%s IMAGE\n", line);
    if (for_each(containers_fd, 0, list_box) < 0) {
        step(13, text("getdents64(%s)", home), NULL);
        die();
    }
    return 0;
}

/* The one name that a command takes, as the first of MOST operands. */
static const char *need_name(char **argv, int most) {
    int count = 0;

    while (argv[optind + count])
        count++;
    if (count == 0)
        refuse_usage("no name");
    if (count > most)
        refuse_usage("too many names");
    return argv[optind];
}

/* Print the VALUE of KEY, as it was before escape_word(); but the words
 * of a command stay as they are in the record, or nobody could tell them apart.
 * A terminal is not shown what it would obey; a program gets all. */
static void print_value(const char *key, char *value) {
    if (strcmp(key, "command") != 0)
        take_word(value);
    if (isatty(1))
        print("%s\n", visible(value));
    else
        print("%s\n", value);
}

/* whalebox inspect: print the record of the box NAME, or the values of KEY in
 * it. */
static int inspect_main(int argc, char **argv) {
    next_letter(argc, argv, "+:");      /* it has none, and refuses any */
    const char *name = need_name(argv, 2);
    const char *key = argv[optind + 1];
    int dir_fd = open_box(name, 0);
    enum status status = need_status(dir_fd, name);
    int has_printed = 0;
    char *next;

    for (char *line = found_record; *line; line = next) {
        next = line + strlen(line) + 1; /* before the line is changed */
        if (strncmp(line, "status=", 7) == 0)
            line = text("status=%s", statuses[status]); /* as it is now */

        if (!key) {
            print("%s\n", visible(line));
            has_printed = 1;
            continue;
        }
        size_t length = strlen(key);
        if (strncmp(line, key, length) == 0 && line[length] == '=') {
            print_value(key, line + length + 1);
            has_printed = 1;
        }
    }
    if (!has_printed)                   /* no line began so */
        refuse(text("see whalebox inspect %s", name), "it has no key %s", key);
    return 0;
}

enum { ALL_LINES = INT_MAX };           /* no log has as many */
static unsigned long long lines_to_skip;        /* logs -n: see skip_lines() */

/* Print the rest of the file FD, but for lines that are to be skipped. */
static void print_rest(int fd) {
    char buffer[4096];
    ssize_t got;

    step(13, "write(standard output)", NULL);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0) {
        char *from = buffer;
        char *end = buffer + got;
        for (; lines_to_skip > 0 && from < end; from++)
            lines_to_skip -= *from == '\n';
        must(write_all(1, from, (size_t)(end - from)));
    }
    if (got < 0) {
        step(13, "read(log)", NULL);
        die();
    }
}

/* Have print_rest() skip all but the last LINES of what is now in the file FD
 * and in the one after it, NEXT_FD, or -1. */
static void skip_lines(int fd, int next_fd, unsigned long long lines) {
    const int files[] = { fd, next_fd };
    unsigned long long count = 0;
    char buffer[4096];
    char last = '\n';

    for (size_t i = 0; i < LENGTH(files) && files[i] >= 0; i++) {
        ssize_t got;
        off_t at = 0;

        step(13, "pread(log)", NULL);
        while ((got = must(pread(files[i], buffer, sizeof(buffer), at))) > 0) {
            for (ssize_t n = 0; n < got; n++)
                count += buffer[n] == '\n';
            last = buffer[got - 1];
            at += got;
        }
    }

    if (last != '\n')                   /* half a line is one, too */
        count++;
    if (count > lines)
        lines_to_skip = count - lines;
}

/* Are these two open files, or none (-1), the same file? */
static int is_same_open(int one_fd, int other_fd) {
    struct stat one, other;

    if (one_fd < 0 || other_fd < 0)
        return 0;
    step(13, "fstat(log)", NULL);
    must(fstat(one_fd, &one));
    must(fstat(other_fd, &other));
    return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* The file NAME in the folder DIR_FD, to be read: a descriptor, or -1 if there
 * is none just now. */
static int open_log_file(int dir_fd, const char *name) {
    step(13, text("open(%s)", name), "tail");
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    require(fd >= 0 || errno == ENOENT, errno);
    return fd;
}

/* The file of the log that comes after FD, or the first if FD is -1: a
 * descriptor, or -1 if none comes yet.  The newer is opened first: if the files
 * change their names between our two looks, we find it as the older. */
static int open_next_log(int dir_fd, int fd) {
    int newer_fd = open_log_file(dir_fd, "log");
    int older_fd = open_log_file(dir_fd, "log.1");

    if (is_same_open(fd, newer_fd)) {
        close(older_fd);
        close(newer_fd);
        return -1;
    }

    /* If FD is neither of them it was dropped, and then the older is next. */
    if (older_fd < 0 || is_same_open(fd, older_fd)) {
        close(older_fd);
        return newer_fd;
    }
    close(newer_fd);
    return older_fd;
}

/* Print the log: the older file, the newer, and with -f what comes until the
 * box has ended.  It never waits for us: we read what is written.  Meanwhile
 * the newer may become the older, or even be dropped. */
static void print_log(const char *name, int is_followed,
                      unsigned long long lines) {
    int dir_fd = open_box(name, 0);
    int fd = open_next_log(dir_fd, -1);

    if (fd < 0)
        refuse(text("whalebox start %s runs it in the background", name),
               "%s has no log: what it printed went to its caller", name);
    if (lines < ALL_LINES)
        skip_lines(fd, open_next_log(dir_fd, fd), lines);
    for (;;) {
        /* Looked for before the read: if there is no supervisor now, nothing is
         * written after that; and to a file that has a next one, neither. */
        close(supervisor_pidfd);
        int has_ended = is_abandoned(dir_fd);
        supervisor_pidfd = open_supervisor(dir_fd);
        int next_fd = open_next_log(dir_fd, fd);
        print_rest(fd);

        if (next_fd >= 0) {
            close(fd);
            fd = next_fd;
        } else if (is_followed && !has_ended) {
            struct pollfd end = { .fd = supervisor_pidfd, .events = POLLIN };
            poll(&end, 1, 100);         /* ms */
        } else {
            return;
        }
    }
}

static int logs_main(int argc, char **argv) {
    unsigned long long lines = ALL_LINES;
    int is_followed = 0;
    int letter;

    while ((letter = next_letter(argc, argv, "+:fn:")) != -1) {
        if (letter == 'f')
            is_followed = 1;
        else if (parse_number(optarg, 0, ALL_LINES - 1, &lines) < 0)
            refuse_usage(text("-n: not \"%s\"", optarg));
    }
    const char *name = need_name(argv, 1);
    print_log(name, is_followed, lines);
    return 0;
}
#endif /* WITH_DETACH */

#if WITH_EXEC
static char **parse_options(char **argv);

/* The box NAME, whose folder is DIR_FD, may still be in the making: whoever
 * makes it has a lock on its layer until then.  See begin_making(). */
static void wait_until_made(int dir_fd, const char *name) {
    step(14, text("open(%s/upper), flock()", name), NULL);
    int upper_fd = openat(dir_fd, "upper", FOLDER | O_NOFOLLOW);
    if (upper_fd < 0 && errno == ENOENT)
        return;                         /* there is no such box */
    must(upper_fd);
    must(flock(upper_fd, LOCK_SH));
    close(upper_fd);
}

/* Whom the visitor enters: PID 1 of the box, whose number is PID, or, for a
 * user whose box has an init, that one's child, since who may not look into our
 * program may not enter it either.  Returns a pidfd, or -1 if it is gone. */
static int open_visited(const char *pid) {
    if (!opt.init || host_root)
        return open_box_process();

    const char *file = text("/proc/%s/task/%s/children", pid, pid);
    if (access(file, R_OK) < 0 && open_box_process() >= 0)
        refuse("mount -o remount,hidepid=0 /proc, or do it as root",
               "/proc hides the init of %s, and so whom to visit",
               value_of("name"));
    int child_pid = atoi(read_file(AT_FDCWD, file));
    step(14, text("pidfd_open(%d)", child_pid), NULL);
    int pidfd = must(syscall(SYS_pidfd_open, child_pid, 0));

    /* If it has ended meanwhile, that was another's number. */
    require(atoi(read_file(AT_FDCWD, file)) == child_pid, ESRCH);
    return pidfd;
}

/* OPT is what the box was asked for.  Make it what the visitor is to be: what
 * was ASKED for it, and else what the box is, in the four ways that are not in
 * the namespaces.  The box has its volumes, and its init, already. */
static void take_asked(const struct options *asked) {
    struct options theirs = opt;

    opt = *asked;
    for (char **variable = theirs.variables; *variable; variable++)
        set_variable(*variable, USUAL); /* what we were asked for stays */
    if (!opt.workdir)
        opt.workdir = theirs.workdir;
    if (!opt.user)
        opt.user = theirs.user;
#if WITH_LOCKS
    opt.added_caps = theirs.added_caps;
    opt.dropped_caps = theirs.dropped_caps;
#endif
}

/* May the visitor change its groups?  As PID 1 of the box, whose number is PID.
 * user_namespaces(7). */
static void note_groups(const char *pid) {
    const char *file = text("/proc/%s/setgroups", pid);

    step(5, text("read(%s)", file), NULL);
    const char *word = try_to_read(AT_FDCWD, file);
    require(word != NULL, errno);
    box.keeps_groups = strncmp(word, "deny", 4) == 0;
}

/* Run the command ARGV in the box NAME.  Its record says what it is like.  Its
 * limits hold already.  Returns the status for main(). */
static int visit_box(const char *name, char **argv) {
    struct options asked = opt;
    int dir_fd = open_box(name, 0);

    wait_until_made(dir_fd, name);
    enum status status = need_status(dir_fd, name);
    need_here(name, status);
    if (status != RUNNING)
        refuse_stopped(name);
    opt = (struct options){ .explain = asked.explain };
    set_recorded();

    visited_pidfd = open_visited(value_of("pid"));
    if (visited_pidfd < 0)                 /* it has just ended */
        refuse_stopped(name);
    box.name = name;
    box.argv = argv;
    box.flags = own_namespaces();
    note_groups(value_of("pid"));
#if WITH_CGROUP
    find_box_cgroup(value_of("pid"));   /* it may take a flag away */
#endif

    take_asked(&asked);
    open_pipes();
    start_relay();                      /* -t */
    return send_visitor();
}

/* whalebox exec: run a command in a box that is running.  Our program is hidden
 * first, since that starts it anew. */
static int exec_main(int argc, char **argv) {
    (void)argc;
    hide_program();

    char **words = parse_options(argv + 1);
    hold_signals();                     /* the visitor's are passed on */
    refuse_options(" env env-file workdir user tty interactive ");
    if (!words[0])
        refuse_usage("no name");
    if (!words[1])
        refuse_usage("there is no command to run");
    return visit_box(words[0], words + 1);
}
#endif /* WITH_EXEC */

#if WITH_IMAGES
/* --- Images: the commands --------------------------------------------------
 *
 * What changes the store takes turns by a lock on the folder "layers", which is
 * held as long as we, or one of our tools, have that open.  Nothing is there
 * under its own name before it is whole: an archive is a file that has no name,
 * a layer is made as layers/.new, a record is written as .record.  So whoever
 * is killed leaves only what the next one removes.
 */
#include <tar.h>                 /* REGTYPE: a file, DIRTYPE: a folder ... */
#include <sys/resource.h>        /* RLIMIT_FSIZE */
#include <sys/utsname.h>         /* which machine this is */

static char **parse_options(char **argv);

enum {
    BLOCK = 512,                        /* bytes: an archive is made of these */
    MOST_HEADER = 1 << 17,              /* bytes: of a member's long header */
    MOST_JSON = 4 << 20,                /* bytes of a document */
    MOST_MEMBERS = 4096,                /* that an image's archive has */
    MOST_NAMES = 64 << 20,              /* bytes of a list of them */
    MOST_MAKER = 1000,                  /* bytes of what made a layer */
    FILE_COST = 4096,                   /* bytes: what a file counts besides */
    HIGHEST_ID = 65535,                 /* of a user or group in a box */
};

static int is_changing;                 /* layers/.new is ours */
static pid_t tool_pid;                  /* a box with a tool in it, or 0 */
static int tool_fd = -1;                /* a pipe: what it writes */
static int tool_packs;                  /* that is a folder of ours */
static int errors_fd = -1;              /* a file: what it says is wrong */
static volatile sig_atomic_t interrupted;       /* a signal asks us to end */
static unsigned long long bytes_left;   /* of what --max-size allows */
static unsigned long long devices_left_out;     /* of all layers */
static unsigned long long others_of_image;      /* files that are not root's */

static void note_interrupt(int sig) {
    interrupted = sig;
}

/* Leave if we were asked to end: what is half made is taken away. */
static void heed_interrupt(void) {
    if (interrupted)
        refuse(NULL, "interrupted by signal %d", (int)interrupted);
}

/* Tell on a terminal, a second after the first call and then each quarter of
 * one, how many BYTES of WHAT are done; when they are all done, wipe that. */
static void show_progress(const char *what, unsigned long long bytes,
                          int is_over) {
    static long long next;              /* ms: when it is due */
    static int is_shown;

    struct timespec time = read_clock(CLOCK_MONOTONIC);
    long long clock = time.tv_sec * 1000LL + time.tv_nsec / 1000000;
    if (next == 0)
        next = clock + 1000;
    if (is_over && is_shown)
        put(2, "\r\033[K");
    if (is_over)
        is_shown = 0;
    if (is_over || clock < next || !isatty(2))
        return;

    put(2, text("\r%s: %llu MiB ", what, bytes >> 20));
    is_shown = 1;
    next = clock + 250;
}

/* --- Tools: files without a name, and sums --------------------------------
 */

/* A new file in the store that has no name: it is gone when we are.  open(2),
 * O_TMPFILE. */
static int make_file(void) {
    step(15, "open(new file, O_TMPFILE)", "mktemp");
    return must(openat(layers_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
}

/* Have what reads FD, a file of ours, begin at its beginning. */
static void wind_back(int fd) {
    step(15, "lseek(archive)", NULL);
    must(lseek(fd, 0, SEEK_SET));
}

/* Write LENGTH bytes to FD, a file of ours. */
static void write_bytes(int fd, const char *bytes, size_t length) {
    step(15, "write(archive)", NULL);
    must(write_all(fd, bytes, length));
}

/* Read LENGTH bytes of the file FD from AT on, all of them. */
static void read_at(int fd, char *into, size_t length, off_t at) {
    while (length > 0) {
        step(15, "pread(archive)", NULL);
        ssize_t got = must(pread(fd, into, length, at));
        require(got > 0, EIO);
        into += got;
        at += got;
        length -= (size_t)got;
    }
}

/* Copy LENGTH bytes of the file FROM_FD, from AT on, to what TO_FD has. */
static void copy_bytes(int from_fd, off_t at, unsigned long long length,
                       int to_fd) {
    static char buffer[1 << 16];

    while (length > 0) {
        size_t part = sizeof(buffer);
        if (part > length)
            part = (size_t)length;
        heed_interrupt();
        read_at(from_fd, buffer, part, at);
        write_bytes(to_fd, buffer, part);
        at += (off_t)part;
        length -= part;
    }
}

/* A sha256sum(1) that is fed. */
struct sum { pid_t pid; int to_fd, from_fd; };

static struct sum begin_sum(void) {
    static char name[] = "sha256sum";
    static char *argv[] = { name, NULL };
    int to[2], from[2];

    step(15, "pipe2(sha256sum), fork()", NULL);
    must(pipe2(to, O_CLOEXEC));
    must(pipe2(from, O_CLOEXEC));
    pid_t pid = must(fork());
    if (pid == 0) {
        dup2(to[0], 0);
        dup2(from[1], 1);
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);       /* we say it */
        execvp(name, argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    return (struct sum){ pid, to[1], from[0] };
}

static void feed_sum(const struct sum *sum, const char *bytes, size_t length) {
    step(15, "write(sha256sum)", "sha256sum");
    must(write_all(sum->to_fd, bytes, length));
}

/* All has been fed: the sum, as hex digits. */
static const char *end_sum(struct sum *sum) {
    char digits[ID_LENGTH + 1] = "";
    size_t length = 0;

    close(sum->to_fd);
    while (length < ID_LENGTH) {
        step(15, "read(sha256sum)", NULL);
        ssize_t got = must(read(sum->from_fd, digits + length,
                                ID_LENGTH - length));
        if (got == 0)
            break;
        length += (size_t)got;
    }
    close(sum->from_fd);
    step(15, "waitpid(sha256sum)", NULL);
    must(waitpid(sum->pid, NULL, 0));
    if (!is_id(digits))
        refuse("it is in Debian's package coreutils",
               "images need sha256sum, which gave no sum");
    return text("%s", digits);
}

/* The sum of LENGTH bytes of the file FD, from AT on. */
static const char *sum_of(int fd, off_t at, unsigned long long length) {
    static char buffer[1 << 16];
    struct sum sum = begin_sum();

    while (length > 0) {
        size_t part = length < sizeof(buffer) ? (size_t)length : sizeof(buffer);
        heed_interrupt();
        read_at(fd, buffer, part, at);
        feed_sum(&sum, buffer, part);
        at += (off_t)part;
        length -= part;
    }
    return end_sum(&sum);
}

static const char *sum_of_text(const char *all) {
    struct sum sum = begin_sum();

    feed_sum(&sum, all, strlen(all));
    return end_sum(&sum);
}

/* --- A tool in a box --------------------------------------------------- */

/* The capabilities that it takes to give files to others: no more. */
#if WITH_LOCKS
#define TOOL_CAPS (CAP_BIT(CAP_CHOWN) | CAP_BIT(CAP_DAC_OVERRIDE) | \
                   CAP_BIT(CAP_FOWNER) | CAP_BIT(CAP_FSETID) | \
                   CAP_BIT(CAP_SETFCAP))
#endif

/* Refuse to go on without the program NAME of the host's. */
static void need_program(const char *name) {
    if (!find_program(name))
        refuse(text("apt install %s, say", name),
               "images need the program %s, and there is none in PATH", name);
}

/* In a copy of whalebox that PARENT made: end when that ends, however it ends,
 * even if it has ended already. */
static void end_with(pid_t parent) {
    step(15, "prctl(PR_SET_PDEATHSIG, SIGTERM)", NULL);
    must(prctl(PR_SET_PDEATHSIG, SIGTERM));
    if (getppid() != parent)
        _exit(failure);
}

/* In the same: close what PARENT has open, but for the streams and the folder
 * "layers".  With that goes the lock on it, which is held until nobody has it
 * open any more: so the next one who changes the store waits not only for us,
 * but for a tool that may outlive us.  close_range(2). */
static void keep_turn(void) {
    step(15, text("close_range(3, ~0), but for %d", layers_fd), NULL);
    if (layers_fd > 3)
        must(syscall(SYS_close_range, 3U, (unsigned int)layers_fd - 1, 0));
    must(syscall(SYS_close_range, (unsigned int)layers_fd + 1, ~0U, 0));
}

/* In a copy of whalebox that PARENT made: run the tool ARGV in a box.  The
 * host's files are its root, to be looked at; the FOLDER, if there is one, is
 * its /layer, to be looked at, too.  Where it unpacks, mount_union() makes
 * that. */
static _Noreturn void run_tool(char **argv, const char *folder, pid_t parent) {
    struct options ours = opt;

    is_changing = 0;                    /* what is half made is not ours */
    tool_pid = 0;
    end_with(parent);
    keep_turn();

    opt = (struct options){ .explain = ours.explain, .rootfs = "/",
                            .read_only = 1, .init = 1 };
#if WITH_USER
    opt.host_users = ours.host_users;
#endif
#if WITH_LOCKS
    opt.dropped_caps = ALL_CAPS;
    opt.added_caps = TOOL_CAPS;
#endif
    if (folder) {
        opt.volumes[0] = (struct volume){ .source = folder, .is_read_only = 1,
                                          .target = "/layer" };
        opt.volume_count = 1;
        packs = 1;
    }
    if (folder || unpacks)
        opt.workdir = "/layer";
    exit(run_box(argv));
}

/* Start the tool ARGV in a box, with IN_FD as its input and OUT_FD as its
 * output; -1 is nothing.  Signals reach it through the box. */
static void start_tool(char **argv, int in_fd, int out_fd, const char *folder) {
    sigset_t all, before;
    pid_t parent = getpid();
    int null_fd = -1;

    if (errors_fd < 0)
        errors_fd = make_file();
    step(15, "ftruncate(errors)", NULL);
    must(ftruncate(errors_fd, 0));
    if (in_fd < 0) {
        step(15, "open(/dev/null)", NULL);
        null_fd = must(open("/dev/null", O_RDONLY | O_CLOEXEC));
        in_fd = null_fd;
    }

    step(15, text("sigprocmask, fork(), in a box: %s", argv[0]), NULL);
    sigfillset(&all);
    must(sigprocmask(SIG_SETMASK, &all, &before));
    tool_pid = must(fork());
    if (tool_pid == 0) {
        dup2(in_fd, 0);
        dup2(out_fd < 0 ? errors_fd : out_fd, 1);
        dup2(errors_fd, 2);
        lseek(errors_fd, 0, SEEK_SET);
        run_tool(argv, folder, parent);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    close_quietly(null_fd);
}

/* The tool NAME did not do its work, and ended with this STATUS: say why, in
 * its own words, or in ours if there was no box for it. */
static _Noreturn void refuse_tool(const char *name, int status) {
    static char said[4096];
    static const char ours[] = "whalebox: ";
    static const char mark[] = "  hint: ";
    const char *fix = NULL;

    ssize_t length = pread(errors_fd, said, sizeof(said) - 1, 0);
    said[length < 0 ? 0 : length] = '\0';
    char *rest = said + strspn(said, "\n");
    char *line = strsep(&rest, "\n");
    if (begins_with(line, ours))
        line += strlen(ours);
    if (rest && begins_with(rest, mark))
        fix = strsep(&rest, "\n") + strlen(mark);
    if (*line == '\0')
        line = text("%s ended with %d", name, exit_status(status));
    refuse(fix, "%s", line);
}

/* Wait for the tool NAME to end.  Returns how it did, as waitpid(2) has it. */
static int wait_for_tool(const char *name) {
    int status, result;

    do {
        heed_interrupt();
        step(15, text("waitpid(%s)", name), NULL);
        result = waitpid(tool_pid, &status, 0);
    } while (result < 0 && errno == EINTR);
    must(result);
    tool_pid = 0;
    return status;
}

/* The same; a tool that failed is the end of us, too. */
static void end_tool(const char *name) {
    int status = wait_for_tool(name);

    if (status != 0)
        refuse_tool(name, status);
}

/* The same from a pipe: start a tool whose output we read, and end it. */
static int open_tool(char **argv, int in_fd, const char *folder) {
    int pipe_fds[2];

    step(15, "pipe2(tool)", NULL);
    must(pipe2(pipe_fds, O_CLOEXEC));
    start_tool(argv, in_fd, pipe_fds[1], folder);
    close(pipe_fds[1]);
    tool_packs = folder != NULL;
    tool_fd = pipe_fds[0];
    return tool_fd;
}

static void close_tool(const char *name) {
    close(tool_fd);
    tool_fd = -1;
    end_tool(name);
}

/* --- Tools: an archive, read and written anew -----------------------------
 */

/* What a member of an archive begins with: ustar, in tar(5).  A text may fill
 * its field, without a '\0'; a number is octal digits. */
struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8];
    char type;
    char link[100], magic[6], version[2], user[32], group[32];
    char major[8], minor[8];            /* of a device */
    char prefix[155];                   /* of a long name: "PREFIX/NAME" */
    char unused[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is a block");

/* Types that are not in <tar.h>. */
enum {
    LONG_NAME = 'L', LONG_LINK = 'K', HAS_HOLES = 'S',          /* GNU tar's */
    RECORDS = 'x',                      /* POSIX's: of the next member */
    RECORDS_OF_ALL = 'g',               /* of all that follow: for notes */
};
#define MOST_OCTAL 077777777777         /* that a header's size can be */

/* The number in a header's FIELD. */
#define NUMBER(field) header_number((field), sizeof(field))

/* A member of an archive, as its headers have it. */
static struct entry {
    char name[PATH_MAX];                /* from the layer's root on: "a/b" */
    char link[PATH_MAX];                /* what it is a link to */
    char type;                          /* as in the header: REGTYPE ... */
    unsigned int mode;
    unsigned long long uid, gid, size;  /* bytes that follow the header */
    unsigned long long device;          /* both of its numbers: 0 is 0/0 */
    char mtime[40];                     /* seconds, with a fraction or none */
    char attributes[MOST_HEADER];       /* records of a long header */
    size_t attributes_length;
    int is_opaque;                      /* a folder that hides what is below */
    int is_sparse;                      /* its holes are left out */
} entry;

/* A regular member of the archive that was read: where its bytes are now. */
struct member {
    const char *name;
    off_t at;
    unsigned long long size;
    char type;
    const struct member *next;          /* one that came before it */
};

/* What has become of an archive. */
struct sifted {
    int fd;                             /* the file that was written */
    off_t length;                       /* of it so far */
    int removed_fd, emptied_fd, placed_fd;      /* lists of names, each with its
                                         * '\0': whiteouts, folders to be
                                         * emptied, and all but folders */
    unsigned long long size;            /* bytes of all its files */
    unsigned long long entries;
    unsigned long long devices;         /* how many were left out */
    unsigned long long others;          /* that are not root's */
    const struct member *members;       /* the last one first */
    size_t member_count, most_members;  /* of these */
    const char *sum;                    /* of the layer's archive */
};

enum sieve { UNPACK, PACK_LAYER, PACK_BOX };

static char zeros[2 * BLOCK];           /* the end of an archive */
static int read_fd;                     /* the archive that is read */
static unsigned long long read_so_far;
static struct sum *fed;                 /* by what is read, or written */
static int feeds_output;

static _Noreturn void refuse_archive(const char *why) {
    refuse("nothing of it was kept", "archive: %s", why);
}

/* Read LENGTH bytes of the archive: fewer only at its end. */
static size_t read_archive(char *into, size_t length) {
    size_t total = 0;

    while (total < length) {
        heed_interrupt();
        step(15, "read(archive)", NULL);
        ssize_t got = read(read_fd, into + total, length - total);
        if (got < 0 && errno == EINTR)
            continue;
        must(got);
        if (got == 0)
            break;
        total += (size_t)got;
    }

    read_so_far += total;
    if (read_so_far > opt.max_size)
        refuse_archive(text("more than %llu bytes (--max-size)", opt.max_size));
    if (fed && !feeds_output)
        feed_sum(fed, into, total);
    show_progress("read", read_so_far, 0);
    return total;
}

static void need_archive(char *into, size_t length) {
    if (read_archive(into, length) == length)
        return;
    if (tool_packs && tool_fd >= 0)
        close_tool("tar");              /* which says why it failed */
    refuse_archive("it ends too early");
}

/* The number in a header's FIELD: octal digits, or, with the first bit set, the
 * bytes themselves.  One below 0, or too large, is refused. */
static unsigned long long header_number(const char *field, size_t length) {
    unsigned long long number = 0;
    size_t i = 0;

    if (field[0] & 0x80) {
        number = field[0] & 0x7f;
        for (i = 1; i < length && number <= LLONG_MAX >> 8; i++)
            number = number << 8 | (unsigned char)field[i];
        if (i < length || number > LLONG_MAX)
            refuse_archive("a number in it is negative, or too large");
        return number;
    }

    while (i < length && field[i] == ' ')
        i++;
    for (; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        number = number << 3 | (unsigned long long)(field[i] - '0');
    if (i < length && field[i] != ' ' && field[i] != '\0')
        refuse_archive("not a tar archive");
    return number;
}

/* The sum of a header's bytes: those of the sum itself count as blanks. */
static unsigned long long sum_of_header(const struct header *h) {
    struct header blank = *h;
    const unsigned char *bytes = (const unsigned char *)&blank;
    unsigned long long sum = 0;

    memset(blank.sum, ' ', sizeof(blank.sum));
    for (size_t i = 0; i < sizeof(blank); i++)
        sum += bytes[i];
    return sum;
}

/* Copy a text of at most LENGTH bytes, which may have no '\0', to INTO, which
 * has room for PATH_MAX bytes. */
static void set_name_of_member(char *into, const char *from, size_t length) {
    length = strnlen(from, length);
    if (length >= PATH_MAX)
        refuse_archive("a name of more than 4095 bytes");
    memcpy(into, from, length);
    into[length] = '\0';
}

/* Is KEY, of LENGTH bytes, an attribute that may be in a layer?  Those of
 * overlay are its own notes, and would show files that are not in the layer;
 * the others that are not for users are the kernel's. */
static int is_allowed_attribute(const char *key, size_t length) {
    static const char caps[] = "security.capability";
    static const char users[] = "user.", notes[] = "user.overlay.";

    if (length == strlen(caps) && begins_with(key, caps))
        return 1;
    return length > strlen(users) && begins_with(key, users) &&
           !begins_with(key, notes);
}

/* Is TIME seconds, "-12" or "12.345", as a long header has them? */
static int is_time(const char *time) {
    if (*time == '-')
        time++;
    size_t whole = strspn(time, "0123456789");
    time += whole;
    if (*time == '.')
        time += 1 + strspn(time + 1, "0123456789");
    return whole > 0 && whole <= 18 && *time == '\0';
}

/* Note what RECORD, of LENGTH bytes, says: its KEY has this VALUE, which ends
 * with a '\n'. */
static void set_long_record(const char *record, size_t length, const char *key,
                            const char *value) {
    static const char attribute[] = "SCHILY.xattr.";
    static const char opaque[] = "SCHILY.xattr.user.overlay.opaque=y\n";
    size_t rest = (size_t)(record + length - 1 - value);
    char number[40];

    snprintf(number, sizeof(number), "%.*s", (int)rest, value);
    if (begins_with(key, "path="))
        set_name_of_member(entry.name, value, rest);
    else if (begins_with(key, "linkpath="))
        set_name_of_member(entry.link, value, rest);
    else if (begins_with(key, "GNU.sparse."))
        entry.is_sparse = 1;
    else if (begins_with(key, "mtime=") && is_time(number))
        strcpy(entry.mtime, number);
    else if (begins_with(key, opaque))
        entry.is_opaque = 1;

    unsigned long long *into = NULL;
    if (begins_with(key, "size="))
        into = &entry.size;
    if (begins_with(key, "uid="))
        into = &entry.uid;
    if (begins_with(key, "gid="))
        into = &entry.gid;
    if (into && parse_number(number, 0, LLONG_MAX, into) < 0)
        refuse_archive("a number in it is negative, or too large");

    size_t name = strlen(attribute);
    if (begins_with(key, attribute) &&
        is_allowed_attribute(key + name, (size_t)(value - 1 - key) - name)) {
        memcpy(entry.attributes + entry.attributes_length, record, length);
        entry.attributes_length += length;
    }
}

/* Take the long header ALL, of LENGTH bytes: records, "LENGTH KEY=VALUE\n". */
static void set_long_header(const char *all, size_t length) {
    while (length > 0) {
        const char *space = memchr(all, ' ', length);
        unsigned long long own = 0;
        char digits[8] = "";

        if (space && space - all < 8)
            memcpy(digits, all, (size_t)(space - all));
        if (parse_number(digits, 5, length, &own) < 0 || all[own - 1] != '\n')
            refuse_archive("a long header in it makes no sense");
        const char *key = space + 1;
        const char *end = all + own;
        const char *equals = key < end ? memchr(key, '=', (size_t)(end - key))
                                       : NULL;
        if (!equals || equals == key)
            refuse_archive("a long header in it makes no sense");

        set_long_record(all, (size_t)own, key, equals + 1);
        all += own;
        length -= (size_t)own;
    }
}

/* Read what a member has of SIZE bytes, and the rest of its last block. */
static char *read_whole(unsigned long long size) {
    static char data[MOST_HEADER + BLOCK];

    if (size > MOST_HEADER)
        refuse_archive("a header in it has more than 128 KiB");
    size_t padded = ((size_t)size + BLOCK - 1) / BLOCK * BLOCK;
    need_archive(data, padded);
    data[size] = '\0';                  /* in the padding, or after it */
    return data;
}

/* Set the entry from a plain header, but for what longer ones before it said:
 * those came for it, and count more. */
static void set_plain_header(const struct header *h, const char *long_name,
                             const char *long_link) {
    char name[sizeof(h->prefix) + 1 + sizeof(h->name) + 1];     /* '/', '\0' */

    if (memcmp(h->magic, TMAGIC, TMAGLEN) == 0 && *h->prefix)
        snprintf(name, sizeof(name), "%.155s/%.100s", h->prefix, h->name);
    else
        snprintf(name, sizeof(name), "%.100s", h->name);
    strcpy(entry.name, *long_name ? long_name : name);
    if (*long_link)
        strcpy(entry.link, long_link);
    else
        set_name_of_member(entry.link, h->link, sizeof(h->link));

    entry.type = h->type;
    if (entry.type == AREGTYPE)
        entry.type = REGTYPE;
    entry.mode = (unsigned int)NUMBER(h->mode) & 07777;
    entry.uid = NUMBER(h->uid);
    entry.gid = NUMBER(h->gid);
    entry.size = NUMBER(h->size);
    entry.device = 0;
    if (entry.type == CHRTYPE || entry.type == BLKTYPE)
        entry.device = NUMBER(h->major) << 32 | NUMBER(h->minor);
    strcpy(entry.mtime, "0");
    if (!(h->mtime[0] & 0x80))          /* not before 1970 */
        snprintf(entry.mtime, sizeof(entry.mtime), "%llu", NUMBER(h->mtime));
}

/* Read the archive up to the bytes of its next member, and set the entry.
 * Returns 0 at the end of the archive, which is a block of zeros. */
static int read_entry(void) {
    static char long_name[PATH_MAX], long_link[PATH_MAX];
    static char records[MOST_HEADER];
    struct header h;
    size_t length = 0;                  /* of the records */

    *long_name = '\0';
    *long_link = '\0';
    for (;;) {
        need_archive((char *)&h, sizeof(h));
        if (memcmp(&h, zeros, sizeof(h)) == 0) {
            if (length > 0 || *long_name || *long_link)
                refuse_archive("it ends too early");
            return 0;
        }
        if (NUMBER(h.sum) != sum_of_header(&h))
            refuse_archive("not a tar archive");

        unsigned long long size = NUMBER(h.size);
        if ((h.type == LONG_NAME || h.type == LONG_LINK) && size < 2)
            refuse_archive("a long header in it makes no sense");
        if (h.type == LONG_NAME) {
            set_name_of_member(long_name, read_whole(size), (size_t)size);
        } else if (h.type == LONG_LINK) {
            set_name_of_member(long_link, read_whole(size), (size_t)size);
        } else if (h.type == RECORDS) {
            memcpy(records, read_whole(size), (size_t)size);
            length = (size_t)size;
        } else if (h.type == RECORDS_OF_ALL) {
            read_whole(size);
        } else {
            break;
        }
    }

    set_plain_header(&h, long_name, long_link);
    entry.attributes_length = 0;
    entry.is_opaque = 0;
    entry.is_sparse = entry.type == HAS_HOLES;
    set_long_header(records, length);
    return 1;
}

/* Write the number VALUE to a header's FIELD, as octal digits and a '\0'. */
static void set_octal(char *field, size_t length, unsigned long long value) {
    for (field[--length] = '\0'; length-- > 0; value >>= 3)
        field[length] = (char)('0' + (value & 7));
}

/* Write BYTES to the archive that is made. */
static void emit(struct sifted *to, const char *bytes, size_t length) {
    if (fed && feeds_output)
        feed_sum(fed, bytes, length);
    write_bytes(to->fd, bytes, length);
    to->length += (off_t)length;
}

/* Write zeros up to the end of a block. */
static void emit_padding(struct sifted *to, unsigned long long size) {
    emit(to, zeros, (size_t)((BLOCK - size % BLOCK) % BLOCK));
}

/* Write a header for a member of this TYPE. */
static void emit_header(struct sifted *to, const char *name, const char *link,
                        char type, const struct entry *e,
                        unsigned long long size) {
    struct header h = { .type = type, .magic = TMAGIC };
    unsigned long long seconds = 0;
    char whole[40];

    snprintf(whole, sizeof(whole), "%.*s", (int)strcspn(e->mtime, "."),
             e->mtime);
    parse_number(whole, 0, MOST_OCTAL, &seconds);
    memcpy(h.name, name, strnlen(name, sizeof(h.name)));
    memcpy(h.link, link, strnlen(link, sizeof(h.link)));
    memcpy(h.version, TVERSION, TVERSLEN);
    set_octal(h.mode, sizeof(h.mode), e->mode);
    set_octal(h.uid, sizeof(h.uid), e->uid);
    set_octal(h.gid, sizeof(h.gid), e->gid);
    set_octal(h.size, sizeof(h.size), size);
    set_octal(h.mtime, sizeof(h.mtime), seconds);
    set_octal(h.major, sizeof(h.major), 0);     /* never any device */
    set_octal(h.minor, sizeof(h.minor), 0);
    set_octal(h.sum, sizeof(h.sum) - 1, sum_of_header(&h));
    h.sum[sizeof(h.sum) - 1] = ' ';
    emit(to, (const char *)&h, sizeof(h));
}

/* A record of a long header, at INTO: its length counts itself.  Returns that.
 */
static size_t put_record(char *into, const char *key, const char *value) {
    size_t length = strlen(key) + strlen(value) + 3;    /* ' ', '=', '\n' */
    size_t digits = 1;

    for (size_t rest = length + digits; rest >= 10; rest /= 10)
        digits++;
    if (snprintf(NULL, 0, "%zu", length + digits) > (int)digits)
        digits++;
    return (size_t)sprintf(into, "%zu %s=%s\n", length + digits, key, value);
}

/* Write a member's headers, all of our own making: a long one for what the
 * plain one has no room for. */
static void emit_entry(struct sifted *to, const struct entry *e) {
    static char records[MOST_HEADER + 3 * PATH_MAX];
    size_t length = 0;

    if (strlen(e->name) > 100)
        length += put_record(records + length, "path", e->name);
    if (strlen(e->link) > 100)
        length += put_record(records + length, "linkpath", e->link);
    if (e->size > MOST_OCTAL)
        length += put_record(records + length, "size", text("%llu", e->size));
    if (strpbrk(e->mtime, ".-") || strlen(e->mtime) > 10)
        length += put_record(records + length, "mtime", e->mtime);
    memcpy(records + length, e->attributes, e->attributes_length);
    length += e->attributes_length;

    if (length > 0) {
        emit_header(to, "././@PaxHeader", "", RECORDS, e, length);
        emit(to, records, length);
        emit_padding(to, length);
    }
    emit_header(to, e->name, e->link, e->type, e,
                e->size > MOST_OCTAL ? 0 : e->size);
}

/* --- What is let through ----------------------------------------------- */

/* Make NAME, of a member or a link, what it says without "." and doubled '/'.
 * One from the root, or with "..", could lead out of the layer. */
static void need_name_inside(char *name) {
    char *to = name;

    if (*name == '/')
        refuse_archive(text("absolute name: %s", name));
    for (const char *part = name; *part; part += strspn(part, "/")) {
        size_t length = strcspn(part, "/");
        if (length == 2 && strncmp(part, "..", 2) == 0)
            refuse_archive(text("name leads out: %s", name));
        part += length;
    }

    for (const char *from = name; *from;) {
        size_t length = strcspn(from, "/");
        if (length > 0 && !(length == 1 && *from == '.')) {
            if (to > name)
                *to++ = '/';
            memmove(to, from, length);
            to += length;
        }
        from += length + strspn(from + length, "/");
    }
    *to = '\0';
}

/* Where the last part of NAME begins: for its reader, and for who changes it,
 * as strrchr(3). */
static char *last_part(const char *name) {
    char *slash = strrchr(name, '/');

    return slash ? slash + 1 : (char *)name;
}

/* Count the entry against --max-size. */
static void count_entry(struct sifted *to) {
    unsigned long long cost = entry.size + FILE_COST;

    if (entry.size > opt.max_size || cost > bytes_left)
        refuse_archive(text("more than %llu bytes (--max-size)", opt.max_size));
    bytes_left -= cost;
    to->entries++;
    if (entry.uid != 0 || entry.gid != 0)
        to->others++;
}

/* Pass on the bytes of a member, or only past them where it is not to be
 * WRITTEN. */
static void pass_bytes(struct sifted *to, int is_written) {
    static char buffer[1 << 16];
    unsigned long long left = (entry.size + BLOCK - 1) / BLOCK * BLOCK;

    while (left > 0) {
        size_t part = sizeof(buffer);
        if (part > left)
            part = (size_t)left;
        need_archive(buffer, part);
        if (is_written)
            emit(to, buffer, part);
        left -= part;
    }
}

/* Add to the list LIST_FD the path of NAME in the layer, and MORE. */
static void list_name(int list_fd, const char *name, const char *more) {
    static char line[PATH_MAX + 8];
    int length = snprintf(line, sizeof(line), "./%s%s", name, more);

    write_bytes(list_fd, line, (size_t)length + 1);     /* with its '\0' */
}

static char last_folder[PATH_MAX + 1];  /* of the archive, and a '/' */

/* An archive says that something of the layers below is gone by an empty file
 * named ".wh.NAME", and by ".wh..wh..opq" that all is that is in this folder.
 * Returns whether the entry is one. */
static int take_whiteout(struct sifted *to) {
    char *base = last_part(entry.name);
    const char *above = strstr(entry.name, "/.wh.");

    if ((above && above + 1 < base) ||
        (begins_with(entry.name, ".wh.") && base > entry.name))
        refuse_archive(text("a folder named .wh.: %s", entry.name));
    if (!begins_with(base, ".wh."))
        return 0;

    const char *gone = base + 4;
    if (*gone == '\0' || strcmp(gone, ".") == 0 || strcmp(gone, "..") == 0)
        refuse_archive(text("a whiteout of nothing: %s", entry.name));
    if (strcmp(gone, ".wh..opq") == 0) {
        /* A folder that the archive has, too, is made anew.  Another stays, and
         * is emptied. */
        *base = '\0';
        int is_placed = base > entry.name &&
                        strcmp(entry.name, last_folder) == 0;
        if (is_placed) {
            base[-1] = '\0';
            list_name(to->removed_fd, entry.name, "");
        } else {
            list_name(to->emptied_fd, entry.name, ".");
        }
    } else if (!begins_with(gone, ".wh.")) { /* a note of aufs's */
        memmove(base, gone, strlen(gone) + 1);
        list_name(to->removed_fd, entry.name, "");
    }
    return 1;
}

/* The names of devices that were left out, for a member may be a link to one:
 * a hash table, of lists. */
static const struct ghost {
    const char *name;
    unsigned long long device;          /* its number, as an entry has it */
    const struct ghost *next;
} *ghosts[1024];

static size_t ghosts_size;              /* bytes of all layers', or so */

static const struct ghost **find_ghosts(const char *name) {
    unsigned int number = 0;

    for (; *name; name++)
        number = number * 31 + (unsigned char)*name;
    return &ghosts[number % LENGTH(ghosts)];
}

/* Is the entry a device, or a link to one?  Then a link has its number. */
static int is_device(void) {
    if (entry.type == CHRTYPE || entry.type == BLKTYPE) {
        const struct ghost **list = find_ghosts(entry.name);
        ghosts_size += strlen(entry.name) + 64;
        if (ghosts_size > MOST_NAMES)
            refuse_archive("too many devices");
        struct ghost *ghost = (struct ghost *)get_room(sizeof(*ghost));
        *ghost = (struct ghost){ text("%s", entry.name), entry.device, *list };
        *list = ghost;
        return 1;
    }

    const struct ghost *g = NULL;
    if (entry.type == LNKTYPE)
        g = *find_ghosts(entry.link);
    while (g && strcmp(g->name, entry.link) != 0)
        g = g->next;
    if (g)
        entry.device = g->device;
    return g != NULL;
}

/* Note a member, where its bytes are going to be, for need_member(). */
static void note_member(struct sifted *to) {
    if (to->member_count == to->most_members)
        return;
    struct member *m = (struct member *)get_room(sizeof(*m));
    *m = (struct member){ text("%s", entry.name), to->length, entry.size,
                          entry.type, to->members };
    to->members = m;
    to->member_count++;
}

/* Make the entry one that may be unpacked, or refuse it. */
static void check_entry(void) {
    static char whole[PATH_MAX];

    strcpy(whole, entry.name);
    if (entry.type == CONTTYPE)
        entry.type = REGTYPE;
    if (entry.type == REGTYPE && entry.name[0] &&
        entry.name[strlen(entry.name) - 1] == '/')
        entry.type = DIRTYPE;           /* as in the oldest archives */
    if (entry.is_sparse)
        refuse_archive(text("%s has holes: pack it without --sparse", whole));
    if (entry.type < REGTYPE || entry.type > FIFOTYPE)
        refuse_archive(text("a member of type '%c': %s", entry.type, whole));
    if (entry.type != REGTYPE)
        entry.size = 0;                 /* as tar has it */
    if (entry.uid > HIGHEST_ID || entry.gid > HIGHEST_ID)
        refuse_archive(text("id %llu of %s is above %d",
                            entry.uid > HIGHEST_ID ? entry.uid : entry.gid,
                            whole, HIGHEST_ID));

    need_name_inside(entry.name);
    if (entry.name[0] == '\0' && entry.type != DIRTYPE)
        refuse_archive("a member without a name");
    if (entry.type == LNKTYPE)
        need_name_inside(entry.link);
    else if (entry.type != SYMTYPE)
        entry.link[0] = '\0';
}

/* An entry of an archive that is to be unpacked. */
static void sift_for_unpacking(struct sifted *to) {
    if (take_whiteout(to)) {
        pass_bytes(to, 0);
        return;
    }
    if (is_device()) {
        to->devices++;
        return;
    }

    to->size += entry.size;
    if (entry.name[0] == '\0')
        strcpy(entry.name, "./");
    if (entry.type == DIRTYPE)
        snprintf(last_folder, sizeof(last_folder), "%s/", entry.name);
    else
        list_name(to->placed_fd, entry.name, "");
    emit_entry(to, &entry);
    note_member(to);
    pass_bytes(to, 1);
}

/* Write the whiteout of NAME, in the folder of the entry, which is LENGTH bytes
 * of its name. */
static void emit_whiteout(struct sifted *to, size_t length, const char *name) {
    static struct entry mark;

    if (length + strlen(name) + 5 > PATH_MAX)
        refuse_archive("a name of more than 4095 bytes");
    sprintf(mark.name, "%.*s.wh.%s", (int)length, entry.name, name);
    mark.type = REGTYPE;
    mark.mode = 0644;
    strcpy(mark.mtime, "0");
    emit_entry(to, &mark);
}

/* What a box has of its own is not in a layer. */
static int is_of_init_layer(const char *name) {
    return strcmp(name, "etc/hosts") == 0 ||
           strcmp(name, "etc/hostname") == 0 ||
           strcmp(name, "etc/resolv.conf") == 0;
}

/* An entry of what tar made of a layer: overlay's whiteouts are devices 0/0
 * there, and opaque folders have its note. */
static void sift_packed(struct sifted *to, enum sieve how) {
    char *base = last_part(entry.name);

    if (how == PACK_BOX && is_of_init_layer(entry.name)) {
        pass_bytes(to, 0);
        return;
    }
    if (begins_with(base, ".wh."))
        refuse("an archive could not tell it from a whiteout",
               "archive: a file named %s", base);
    if (is_device()) {
        if (entry.device == 0)
            emit_whiteout(to, (size_t)(base - entry.name), base);
        else
            to->devices++;
        return;
    }

    to->size += entry.size;
    int is_root = entry.name[0] == '\0';
    if (is_root)
        strcpy(entry.name, "./");
    emit_entry(to, &entry);
    pass_bytes(to, 1);
    if (entry.is_opaque && !is_root) {
        strcat(entry.name, "/");
        emit_whiteout(to, strlen(entry.name), ".wh..opq");
    }
}

/* Read the archive FROM_FD, and write a new one of what is let through.  Its
 * first MOST_MEMBERS members are noted. */
static struct sifted sift(int from_fd, enum sieve how, size_t most_members) {
    struct sifted to = { .fd = make_file(), .most_members = most_members };
    struct sum sum = begin_sum();
    char rest[BLOCK];

    to.removed_fd = how == UNPACK ? make_file() : -1;
    to.emptied_fd = how == UNPACK ? make_file() : -1;
    to.placed_fd = how == UNPACK ? make_file() : -1;
    memset(ghosts, 0, sizeof(ghosts));
    *last_folder = '\0';
    read_fd = from_fd;
    read_so_far = 0;
    fed = &sum;
    feeds_output = how != UNPACK;

    while (read_entry()) {
        check_entry();
        count_entry(&to);
        if (how == UNPACK)
            sift_for_unpacking(&to);
        else
            sift_packed(&to, how);
    }
    while (read_archive(rest, sizeof(rest)) > 0)
        ;                               /* it counts, and is not looked at */
    emit(&to, zeros, sizeof(zeros));
    show_progress("", 0, 1);

    fed = NULL;
    to.sum = end_sum(&sum);
    wind_back(to.fd);
    return to;
}

/* --- Layers ------------------------------------------------------------ */

static const char *moved_from, *moved_to;       /* for move_layer() */

/* In a helper: root of a user namespace that is mapped as a tool's box is. */
static _Noreturn void move_as_box_root(void) {
    start_child();
    die_with_parent();
    _exit(renameat(layers_fd, moved_from, layers_fd, moved_to) < 0);
}

/* Rename the folder of a layer.  To move a folder is to write its "..", so one
 * that is an id's of a user's range only root of a user namespace with that
 * range can move: a helper becomes that.  Returns 0, or -1 with errno. */
static int move_layer(const char *from, const char *to) {
    struct clone_args args = { .flags = CLONE_NEWUSER,
                               .exit_signal = SIGCHLD };
    pid_t box_pid = box.pid;
    int status = -1;                    /* if even waiting fails */

    if (renameat(layers_fd, from, layers_fd, to) == 0)
        return 0;
    if (errno != EACCES || host_root || !(box.flags & CLONE_NEWUSER))
        return -1;

    moved_from = from;
    moved_to = to;
    box.pid = clone_child(&args, move_as_box_root);
#if WITH_USER
    write_maps();
#endif
    open_gate();
    waitpid(box.pid, &status, 0);
    close(lifeline_fds[1]);
    box.pid = box_pid;

    step(15, text("rename(%s, %s), as the box's root", from, to), NULL);
    errno = EACCES;
    return status == 0 ? 0 : -1;
}

/* Remove layers/.new, and what is in it, the box's root's files with it.
 * Returns 0, or -1 with errno. */
static int remove_new_layer(void) {
    int fd = openat(layers_fd, ".new", FOLDER | O_NOFOLLOW);
    int seconds = 600;                  /* a layer may be large */

    if (fd < 0)
        return errno == ENOENT ? 0 : -1;
    int result = clear_folder(fd, seconds);
    if (result < 0 && !host_root && (box.flags & CLONE_NEWUSER))
        result = clear_by_helper(fd, seconds);
    close_quietly(fd);
    if (result < 0)
        return -1;
    return unlinkat(layers_fd, ".new", AT_REMOVEDIR);
}

/* Open the store that is to be changed, with the bounds that hold there. */
static void open_to_change(void) {
    static const int heeded[] = { SIGINT, SIGTERM, SIGHUP };
    struct sigaction action = { .sa_handler = note_interrupt };
    struct sigaction old;

    signal(SIGPIPE, SIG_IGN);           /* a write says EPIPE instead */
    for (size_t i = 0; i < LENGTH(heeded); i++)
        if (sigaction(heeded[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(heeded[i], &action, NULL);

    open_store(1);
    if (opt.max_size == 0)
        opt.max_size = 16ULL << 30;
    bytes_left = opt.max_size;
}

/* Begin to change the store: it is our turn, and what one who was killed has
 * left is removed. */
static void begin_change(void) {
    if (layers_fd < 0)
        open_to_change();
    step(15, "flock(layers)", NULL);
    must(flock(layers_fd, LOCK_EX));
    is_changing = 1;
    step(15, "unlinkat(layers/.new)", "rm -rf .new");
    must(remove_new_layer());
#if WITH_USER
    choose_ids();                       /* which a tool's box has, too */
#endif
}

/* Has a user's box one id alone? */
static int has_one_id(void) {
#if WITH_USER
    return (box.flags & CLONE_NEWUSER) && uids.range.count == 0;
#else
    return 0;
#endif
}

/* Run the tool ARGV over the union of the layers so far and the new one, with
 * IN_FD as its input. */
static void run_on_layer(char **argv, int in_fd) {
    work_number++;
    step(15, "mkdir(layers/.new/work)", NULL);
    must(mkdirat(layers_fd, text(".new/work%d", work_number), 0755));
    wind_back(in_fd);
    unpacks = 1;
    start_tool(argv, in_fd, -1, NULL);
    unpacks = 0;
    end_tool(argv[0]);
}

/* Run the tool ARGV on what is to go from the layers below: its input is the
 * list LIST_FD, and nothing on that may be behind a link. */
static void remove_below(char **argv, int list_fd) {
    step(15, "lseek(list)", NULL);
    off_t length = must(lseek(list_fd, 0, SEEK_END));
    if (length == 0)
        return;
    if (length > MOST_NAMES)
        refuse_archive("too many whiteouts");

    step(15, "mmap(list)", NULL);
    void *names = mmap(NULL, (size_t)length, PROT_READ, MAP_PRIVATE, list_fd,
                       0);
    require(names != MAP_FAILED, errno);
    removals = names;
    removals_length = (size_t)length;
    run_on_layer(argv, list_fd);
    removals_length = 0;
    munmap(names, (size_t)length);
}

/* Remove what the layer has whiteouts for, and empty folders, "DIR/.". */
static void apply_whiteouts(const struct sifted *s) {
    static char xargs[] = "xargs", zero[] = "-0", sh[] = "sh", run[] = "-c",
        rm[] = "rm", all[] = "-rf", end[] = "--";
    static char script[] = "for name; do [ ! -d \"$name\" ] || "
        "find \"$name\" -mindepth 1 -delete || exit 255; done";
    static char *removes[] = { xargs, zero, rm, all, end, NULL };
    static char *empties[] = { xargs, zero, sh, run, script, sh, NULL };

    remove_below(removes, s->removed_fd);
    remove_below(empties, s->emptied_fd);
}

/* Remove folders of layers below in whose place the layer has something else,
 * which tar would not do: names that are on both lists. */
static void remove_folders_below(const struct sifted *s) {
    static char sh[] = "sh", run[] = "-c";
    static char script[] = "{ find . -type d -print0; cat; } | sort -z | "
        "uniq -zd | xargs -0r rm -rf --";
    static char *argv[] = { sh, run, script, NULL };

    run_on_layer(argv, s->placed_fd);
}

/* Unpack what was sifted as the layer ID, over the layers so far. */
static void unpack_layer(const struct sifted *s, const char *id) {
    static char tar[] = "tar", extract[] = "--extract", file[] = "--file=-",
        numeric[] = "--numeric-owner", modes[] = "--preserve-permissions",
        times[] = "--delay-directory-restore",
        owner[] = "--same-owner", no_owner[] = "--no-same-owner",
        xattrs[] = "--xattrs", users[] = "--xattrs-include=user.*",
        caps[] = "--xattrs-include=security.capability",
        notes[] = "--xattrs-exclude=user.overlay.*";
    char *owners = has_one_id() ? no_owner : owner;
    char *argv[] = { tar, extract, file, numeric, modes, owners, times, xattrs,
                     users, caps, notes, NULL };

    step(15, "mkdir(layers/.new)", "mkdir -p .new/upper");
    must(mkdirat(layers_fd, ".new", 0700));
    must(mkdirat(layers_fd, ".new/upper", 0755));
    apply_whiteouts(s);
    if (chosen.count > 0)
        remove_folders_below(s);
    run_on_layer(argv, s->fd);

    /* It gets its name when it is on the disk. */
    step(15, "syncfs(layers)", "sync -f");
    must(syscall(SYS_syncfs, layers_fd));
    step(15, text("rename(.new/upper, %s)", id), NULL);
    must(move_layer(".new/upper", id));
    step(15, "unlinkat(layers/.new)", NULL);
    must(remove_new_layer());
}

/* Add what was sifted to the image, as its highest layer, which MAKER made.
 * The layer's ID is a sum of its archive's, and of the ID below: over other
 * layers the same archive may make another folder. */
static void add_layer(struct sifted *s, long long when, const char *maker) {
    const char *id = s->sum;
    struct stat st;

    if (chosen.count == MOST_LAYERS)
        refuse("save it, and load its files as one layer: tar -c in a box",
               "the image has %d layers, and no room for more", MOST_LAYERS);
    if (chosen.count > 0)
        id = sum_of_text(text("sha256:%s sha256:%s",
                              chosen.layers[chosen.count - 1].id, s->sum));
    step(15, text("fstatat(%s)", id), NULL);
    int result = fstatat(layers_fd, id, &st, AT_SYMLINK_NOFOLLOW);
    require(result == 0 || errno == ENOENT, errno);
    if (result < 0)
        unpack_layer(s, id);
    chosen.layers[chosen.count++] =
        (struct layer){ id, s->size, when, maker };

    devices_left_out += s->devices;
    others_of_image += s->others;
    close(s->fd);
    close(s->removed_fd);
    close(s->emptied_fd);
    close(s->placed_fd);
}

/* Add to the draft the record NAME in the folder DIR_FD, if there is one. */
static int add_record(int dir_fd, const char *name) {
    char *found = try_to_read(dir_fd, name);

    if (found) {
        add(found);
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR)
        return 0;
    return -1;
}

static int add_record_of_box(int dir_fd, const char *name) {
    return add_record(dir_fd, text("%s/image", name));
}

static const char *needed_layers;       /* records, for drop_unneeded() */

/* Remove the layer NAME if no record has it. */
static int drop_unneeded(int dir_fd, const char *name) {
    if (!is_id(name) || strstr(needed_layers, name))
        return 0;

    if (mkdirat(dir_fd, ".new", 0700) < 0 ||
        move_layer(name, ".new/upper") < 0)
        return -1;
    return remove_new_layer();
}

/* Remove layers that no image has, and no box.  A box that begins meanwhile
 * waits for us: see hold_image().  Returns 0, or -1 with errno. */
static int drop_unneeded_layers(void) {
    draft_length = 0;
    if (flock(images_fd, LOCK_EX) < 0 ||
        for_each(images_fd, 1, add_record) < 0 ||
        for_each(containers_fd, 0, add_record_of_box) < 0)
        return -1;
    needed_layers = take_draft();
    int result = for_each(layers_fd, 0, drop_unneeded);
    flock(images_fd, LOCK_UN);
    return result;
}

/* End the change. */
static void end_change(void) {
    step(15, "flock(images), unlinkat(layers)", NULL);
    must(drop_unneeded_layers());
    is_changing = 0;
}

/* On every way out: end the tool, and take away what is half made, with the
 * layers of an image that has not become one. */
static void drop_new_layer(void) {
    close(tool_fd);
    if (tool_pid > 0) {
        kill(tool_pid, SIGTERM);
        waitpid(tool_pid, NULL, 0);
    }
    tool_pid = 0;
    if (!is_changing)
        return;

    step(15, "unlinkat(layers/.new)", "rm -rf .new");
    unlinkat(images_fd, ".record", 0);
    if (remove_new_layer() < 0 || drop_unneeded_layers() < 0)
        complain();
}

/* Say what of the files in the archives could not be kept. */
static void tell_losses(void) {
    if (devices_left_out > 0)
        tell(text("whalebox: %llu devices were left out", devices_left_out));
    if (others_of_image == 0 || !has_one_id())
        return;
    tell(text("whalebox: %llu files of other owners are root's now",
              others_of_image));
    tell("  hint: more owners take newuidmap, and a range of yours in "
         "/etc/subuid and /etc/subgid");
}

/* The image is whole: give it its NAME, in the place of another, and print it.
 */
static void name_image(const char *name) {
    tell_losses();
    chosen.name = name;
    step(15, "flock(images)", NULL);
    must(flock(images_fd, LOCK_EX));
    write_image(images_fd, name, &chosen);
    flock(images_fd, LOCK_UN);
    end_change();
    print("%s\n", name);
}

/* The image's name that WORD says, or we leave. */
static const char *need_image_name(const char *word) {
    const char *name = image_name(word);

    if (!name)
        refuse("letters, digits, then _ . - too: NAME, or NAME:TAG",
               "no name for an image: \"%s\"", word);
    return name;
}

/* --- Tools: JSON ----------------------------------------------------------
 *
 * A document is looked through once, to its end, and refused if it makes no
 * sense.  What follows can then count on that.  RFC 8259.
 */
enum { MOST_NESTED = 32 };              /* lists in lists */

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

/* Past the string that AT begins, with its quotes, or NULL. */
static const char *skip_string(const char *at) {
    if (*at != '"')
        return NULL;
    for (at++; *at != '"'; at++) {
        if ((unsigned char)*at < ' ')
            return NULL;                /* its end, too */
        if (*at != '\\')
            continue;
        at++;
        if (*at == '\0' || !strchr("\"\\/bfnrtu", *at))
            return NULL;
        if (*at == 'u' && strspn(at + 1, "0123456789abcdefABCDEF") < 4)
            return NULL;
    }
    return at + 1;
}

/* Past the value that AT begins, or NULL if it makes no sense.  DEPTH lists may
 * be in it, one in the other. */
static const char *skip_value(const char *at, int depth) {
    static const char *const words[] = { "true", "false", "null" };
    char open = *at, close = open == '{' ? '}' : ']';

    if (open == '"')
        return skip_string(at);
    if (open != '{' && open != '[') {
        for (size_t i = 0; i < LENGTH(words); i++)
            if (begins_with(at, words[i]))
                return at + strlen(words[i]);
        size_t length = strspn(at, "+-.0123456789eE");
        return length > 0 ? at + length : NULL;
    }

    if (depth == 0)
        return NULL;
    at = skip_space(at + 1);
    if (*at == close)
        return at + 1;
    for (;; at = skip_space(at + 1)) {
        if (open == '{') {
            at = skip_string(at);
            at = at ? skip_space(at) : NULL;
            if (!at || *at != ':')
                return NULL;
            at = skip_space(at + 1);
        }
        at = skip_value(at, depth - 1);
        at = at ? skip_space(at) : NULL;
        if (!at || (*at != ',' && *at != close))
            return NULL;
        if (*at == close)
            return at + 1;
    }
}

/* Is ALL one value, and nothing else? */
static int is_json(const char *all) {
    const char *end = skip_value(skip_space(all), MOST_NESTED);

    return end && *skip_space(end) == '\0';
}

/* The four hex digits that FROM begins with. */
static unsigned long hex_number(const char *from) {
    unsigned long number = 0;

    for (int i = 0; i < 4; i++) {
        unsigned int digit = (unsigned int)from[i] | 0x20;      /* small */
        number = number << 4 | (digit >= 'a' ? digit - 'a' + 10 : digit & 15);
    }
    return number;
}

/* Write the character CODE to TO as UTF-8, and return where it ends. */
static char *put_character(char *to, unsigned long code) {
    if (code < 0x80) {
        *to++ = (char)code;
        return to;
    }
    if (code < 0x800) {
        *to++ = (char)(0xc0 | code >> 6);
    } else {
        if (code < 0x10000) {
            *to++ = (char)(0xe0 | code >> 12);
        } else {
            *to++ = (char)(0xf0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3f));
        }
        *to++ = (char)(0x80 | (code >> 6 & 0x3f));
    }
    *to++ = (char)(0x80 | (code & 0x3f));
    return to;
}

/* The string that VALUE is, or NULL if it is none, or has a '\0' in it. */
static char *string_of(const char *value) {
    static const char letters[] = "bfnrt", meant[] = "\b\f\n\r\t";

    if (!value || *value != '"')
        return NULL;
    size_t length = (size_t)(skip_string(value) - value);
    char *result = get_room(length);    /* it only becomes shorter */
    char *to = result;

    for (const char *at = value + 1; *at != '"'; at++) {
        if (*at != '\\') {
            *to++ = *at;
            continue;
        }
        at++;
        const char *letter = strchr(letters, *at);
        if (letter)
            *to++ = meant[letter - letters];
        else if (*at != 'u')
            *to++ = *at;
        if (*at != 'u')
            continue;

        /* What is above 0xffff comes as a pair. */
        unsigned long code = hex_number(at + 1);
        at += 4;
        if (code >= 0xd800 && code < 0xdc00 && at[1] == '\\' && at[2] == 'u') {
            code = 0x10000 + ((code & 0x3ff) << 10) +
                   (hex_number(at + 3) & 0x3ff);
            at += 6;
        }
        if (code == 0)
            return NULL;
        to = put_character(to, code);
    }
    *to = '\0';
    return result;
}

/* What LIST begins with, or NULL: a value, or in an object the key of one. */
static const char *first_in(const char *list) {
    const char *first = skip_space(list + 1);

    return *first == ']' || *first == '}' ? NULL : first;
}

/* What follows VALUE in its list, or NULL: the next value, or its key. */
static const char *after_value(const char *value) {
    const char *next = skip_space(skip_value(value, MOST_NESTED));

    return *next == ',' ? skip_space(next + 1) : NULL;
}

/* The value of KEY in OBJECT, or NULL if there is none.  A key that is spelt by
 * escapes is none of ours. */
static const char *value_in_object(const char *object, const char *key) {
    size_t length = strlen(key);

    if (!object || *object != '{')
        return NULL;
    const char *at = first_in(object);
    while (at) {
        const char *end = skip_string(at);
        const char *value = skip_space(skip_space(end) + 1);    /* past ':' */
        if ((size_t)(end - at) == length + 2 &&
            memcmp(at + 1, key, length) == 0)
            return value;
        at = after_value(value);
    }
    return NULL;
}

/* The element of LIST after VALUE, or the first if that is NULL.  NULL at the
 * end.  A list may be long: who goes through it goes from one to the next. */
static const char *next_element(const char *list, const char *value) {
    if (!list || *list != '[')
        return NULL;
    return value ? after_value(value) : first_in(list);
}

/* Element NUMBER of LIST, from 0 on, or NULL if there is none. */
static const char *element_of(const char *list, size_t number) {
    const char *value = next_element(list, NULL);

    while (value && number-- > 0)
        value = next_element(list, value);
    return value;
}

static size_t count_elements(const char *list) {
    size_t count = 0;

    for (const char *v = next_element(list, NULL); v; v = next_element(list, v))
        count++;
    return count;
}

/* The string that OBJECT has for KEY, or NULL. */
static char *string_in(const char *object, const char *key) {
    return string_of(value_in_object(object, key));
}

/* --- Tools: load ----------------------------------------------------------
 */
static struct sifted outer;             /* the archive that layers are in */

/* The member NAME of the archive, or NULL. */
static const struct member *find_member(const char *name) {
    const struct member *m = outer.members;

    while (m && strcmp(m->name, name) != 0)
        m = m->next;
    return m;
}

/* The same; it has to be there, and a file.  A name that leads out of the
 * archive is just none of its names. */
static const struct member *need_member(const char *name) {
    const struct member *m = name ? find_member(name) : NULL;

    if (!m)
        refuse_archive(text("%s is missing", name ? name : "a file's name"));
    if (m->type != REGTYPE)
        refuse_archive(text("%s is no file", name));
    return m;
}

/* The document that is in the member M. */
static const char *read_json(const struct member *m) {
    if (m->size > MOST_JSON)
        refuse_archive(text("%s has more than 4 MiB", m->name));
    char *all = get_room((size_t)m->size + 1);
    read_at(outer.fd, all, (size_t)m->size, m->at);
    all[m->size] = '\0';
    if (strlen(all) != m->size || !is_json(all))
        refuse_archive(text("%s is not JSON", m->name));
    return skip_space(all);
}

/* The 64 digits of a DIGEST, "sha256:...", or we leave. */
static const char *need_digest(const char *digest) {
    static const char kind[] = "sha256:";

    if (!digest || !begins_with(digest, kind) ||
        !is_id(digest + strlen(kind)))
        refuse_archive(text("no digest of sha256: \"%s\"",
                            digest ? digest : ""));
    return digest + strlen(kind);
}

/* The blob that DESCRIPTOR names by its digest: it is what it should be. */
static const struct member *need_blob(const char *descriptor) {
    const char *id = need_digest(string_in(descriptor, "digest"));
    const struct member *m = find_member(text("blobs/sha256/%s", id));

    if (!m || m->type != REGTYPE)
        refuse_archive(text("blob sha256:%s is missing", id));
    const char *sum = sum_of(outer.fd, m->at, m->size);
    if (strcmp(sum, id) != 0)
        refuse_archive(text("blob sha256:%s: digest is sha256:%s", id, sum));
    return m;
}

/* What this machine is called in images.  uname(2). */
static const char *own_architecture(void) {
    static struct utsname names;        /* it stays as it is */

    uname(&names);
    if (strcmp(names.machine, "x86_64") == 0)
        return "amd64";
    if (strcmp(names.machine, "aarch64") == 0)
        return "arm64";
    return names.machine;
}

/* Is an image for OS and ARCHITECTURE one for this machine?  What is not said
 * is no obstacle. */
static int is_for_us(const char *os, const char *architecture) {
    return (!os || strcmp(os, "linux") == 0) &&
           (!architecture || strcmp(architecture, own_architecture()) == 0);
}

/* Refuse an image that is not for this machine. */
static void check_platform(const char *platform) {
    const char *os = string_in(platform, "os");
    const char *architecture = string_in(platform, "architecture");

    if (!is_for_us(os, architecture))
        refuse_archive(text("it is for %s/%s, and this machine is linux/%s",
                            os ? os : "linux",
                            architecture ? architecture : "any",
                            own_architecture()));
}

/* The words of the list of strings that OBJECT has for KEY, or NULL. */
static char **words_in(const char *object, const char *key) {
    const char *list = value_in_object(object, key);
    const char *value = NULL;
    size_t count = count_elements(list);

    if (!list || *list != '[')
        return NULL;
    char **words = (char **)get_room((count + 1) * sizeof(*words));
    for (size_t i = 0; i < count; i++) {
        value = next_element(list, value);
        words[i] = string_of(value);
        if (!words[i])
            refuse_archive(text("%s: not a list of words", key));
    }
    words[count] = NULL;
    return words;
}

/* What OBJECT has for KEY, a time as "2026-11-27T13:30:00Z", as seconds since
 * 1970; 0 if it makes no sense.  Fractions and time zones do not count.
 * timegm(3). */
static long long seconds_in(const char *object, const char *key) {
    char *found = string_in(object, key);
    unsigned long long number[6];

    for (size_t i = 0; i < LENGTH(number); i++) {
        const char *digits = strsep(&found, "-T:Z.+");
        if (!digits || parse_number(digits, 0, 9999, &number[i]) < 0)
            return 0;
    }

    struct tm t = { .tm_year = (int)number[0] - 1900,
                    .tm_mon = (int)number[1] - 1, .tm_mday = (int)number[2],
                    .tm_hour = (int)number[3], .tm_min = (int)number[4],
                    .tm_sec = (int)number[5] };
    long long seconds = timegm(&t);
    return seconds > 0 ? seconds : 0;
}

/* Note how the image is run, as its CONFIG says. */
static void take_config(const char *config) {
    char **variables = words_in(config, "Env");
    size_t most = LENGTH(chosen.variables) - 1;

    for (size_t i = 0; variables && variables[i]; i++) {
        if (i == most - 8)              /* as many may be added to a box */
            refuse_archive("too many variables");
        if (strcspn(variables[i], "=") == 0 || !strchr(variables[i], '='))
            refuse_archive(text("no variable: %s", variables[i]));
        chosen.variables[i] = variables[i];
    }

    chosen.entrypoint = words_in(config, "Entrypoint");
    chosen.command = words_in(config, "Cmd");
    chosen.workdir = string_in(config, "WorkingDir");
    chosen.user = string_in(config, "User");
    chosen.stop_signal = string_in(config, "StopSignal");
    if (chosen.workdir && !*chosen.workdir)
        chosen.workdir = NULL;
    if (chosen.workdir && *chosen.workdir != '/')
        chosen.workdir = text("/%s", chosen.workdir);
    if (chosen.user && !*chosen.user)
        chosen.user = NULL;
    if (chosen.stop_signal && !*chosen.stop_signal)
        chosen.stop_signal = NULL;
    if (chosen.stop_signal && find_stop_signal(chosen.stop_signal) == 0)
        refuse_archive(text("no signal: %s", chosen.stop_signal));
}

/* What the history in DOCUMENT says of layer NUMBER, from 0 on: entries that
 * made no layer do not count.  NULL if it says nothing. */
static const char *find_history(const char *document, size_t number) {
    const char *list = value_in_object(document, "history");
    const char *past = next_element(list, NULL);

    for (; past; past = next_element(list, past)) {
        const char *empty = value_in_object(past, "empty_layer");
        if (empty && *empty == 't')     /* true */
            continue;
        if (number-- == 0)
            break;
    }
    return past;
}

/* The file FD, unpacked if it is compressed: a descriptor to be read from.  Its
 * first bytes tell.  *TOOL is what unpacks it, or NULL. */
static int open_plain(int fd, const char **tool) {
    static const struct { const char *magic; size_t length; char *name; }
    kinds[] = {
        { "\x1f\x8b", 2, "gzip" }, { "\x28\xb5\x2f\xfd", 4, "zstd" },
        { "BZh", 3, NULL }, { "\xfd" "7zXZ", 5, NULL },
    };
    static char decompress[] = "-dc";
    char head[8] = "";

    *tool = NULL;
    step(15, "pread(archive)", "file");
    must(pread(fd, head, sizeof(head), 0));
    wind_back(fd);
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        if (memcmp(head, kinds[i].magic, kinds[i].length) != 0)
            continue;
        if (!kinds[i].name)
            refuse_archive("it is compressed, and not by gzip or zstd");
        char *argv[] = { kinds[i].name, decompress, NULL };
        need_program(argv[0]);
        *tool = argv[0];
        return open_tool(argv, fd, NULL);
    }
    return fd;
}

/* Sift the archive in the file FD, and close that. */
static struct sifted sift_file(int fd, size_t most_members) {
    const char *tool;
    int plain_fd = open_plain(fd, &tool);
    struct sifted result = sift(plain_fd, UNPACK, most_members);

    if (tool)
        close_tool(tool);
    close(fd);
    return result;
}

/* Add the layer that is in member M, number chosen.count, as DOCUMENT, the
 * image's configuration, has it. */
static void load_layer(const struct member *m, const char *document) {
    const char *sums = value_in_object(value_in_object(document, "rootfs"),
                                       "diff_ids");
    const char *sum = string_of(element_of(sums, chosen.count));
    const char *past = find_history(document, chosen.count);
    const char *maker = string_in(past, "created_by");
    int fd = make_file();

    copy_bytes(outer.fd, m->at, m->size, fd);
    struct sifted layer = sift_file(fd, 0);
    if (strcmp(layer.sum, need_digest(sum)) != 0)
        refuse_archive(text("layer %zu: its content is sha256:%s, and not %s",
                            chosen.count, layer.sum, sum));
    add_layer(&layer, seconds_in(past, "created"),
              text("%.*s", MOST_MAKER, maker ? maker : ""));
}

/* Begin an image of COUNT layers whose configuration is DOCUMENT. */
static void begin_image(const char *document, size_t count) {
    const char *sums = value_in_object(value_in_object(document, "rootfs"),
                                       "diff_ids");

    check_platform(document);
    if (count > MOST_LAYERS)
        refuse_archive(text("more than %d layers", MOST_LAYERS));
    if (count == 0 || !element_of(sums, count - 1) || element_of(sums, count))
        refuse_archive("as many layers as digests of layers: not here");
    take_config(value_in_object(document, "config"));
    chosen.created = seconds_in(document, "created");
}

/* In the index DOCUMENT, the descriptor of the image for this machine. */
static const char *choose_manifest(const char *document) {
    const char *list = value_in_object(document, "manifests");
    const char *first = next_element(list, NULL);

    if (!first)
        refuse_archive("there is no image in it");
    for (const char *v = first; v; v = next_element(list, v)) {
        const char *platform = value_in_object(v, "platform");
        if (is_for_us(string_in(platform, "os"),
                      string_in(platform, "architecture")))
            return v;
    }
    check_platform(value_in_object(first, "platform"));
    return first;
}

/* Load an image as the OCI has it: index.json leads to a manifest, perhaps by
 * further indexes, and that to the configuration and the layers, each of them a
 * blob that is called by its digest.  Returns the name that it has, or NULL. */
static const char *load_oci(void) {
    const char *document = read_json(need_member("index.json"));
    const char *notes = NULL;

    for (int depth = 0; !value_in_object(document, "layers"); depth++) {
        if (depth == 4)
            refuse_archive("an index in an index, and so on");
        const char *descriptor = choose_manifest(document);
        if (!notes)
            notes = value_in_object(descriptor, "annotations");
        document = read_json(need_blob(descriptor));
    }

    const char *list = value_in_object(document, "layers");
    const char *config = value_in_object(document, "config");
    const char *settings = read_json(need_blob(config));
    begin_image(settings, count_elements(list));
    for (const char *v = next_element(list, NULL); v; v = next_element(list, v))
        load_layer(need_blob(v), settings);

    const char *name = string_in(notes, "io.containerd.image.name");
    if (!name)
        name = string_in(notes, "org.opencontainers.image.ref.name");
    return name;
}

/* Load an image as `docker save` writes it: manifest.json names files. */
static const char *load_docker(void) {
    const char *list = read_json(need_member("manifest.json"));
    const char *first = element_of(list, 0);
    char **files = words_in(first, "Layers");
    char **names = words_in(first, "RepoTags");

    if (element_of(list, 1))
        refuse_archive("there are several images in it");
    const struct member *config = need_member(string_in(first, "Config"));
    const char *settings = read_json(config);
    size_t count = 0;
    while (files && files[count])
        count++;
    begin_image(settings, count);
    for (size_t i = 0; i < count; i++)
        load_layer(need_member(files[i]), settings);
    return names ? names[0] : NULL;
}

/* A name for what was loaded from FILE: the file's, without its ending. */
static const char *name_of_file(const char *file) {
    static const char *const endings[] = {
        ".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"
    };
    const char *name = last_part(file);

    for (size_t i = 0; i < LENGTH(endings); i++) {
        size_t length = strlen(name), end = strlen(endings[i]);
        if (length > end && strcmp(name + length - end, endings[i]) == 0) {
            name = text("%.*s", (int)(length - end), name);
            break;
        }
    }
    if (!image_name(name))
        refuse_usage("give the image a NAME");
    return image_name(name);
}

/* The archive FILE, or standard input, as a file of ours. */
static int copy_input(const char *file) {
    static char buffer[1 << 16];
    int from_fd = 0, to_fd = make_file();
    unsigned long long total = 0;
    ssize_t got;

    if (strcmp(file, "-") != 0) {
        step(15, text("open(%s)", file), NULL);
        from_fd = must(open(file, O_RDONLY | O_CLOEXEC));
    }
    do {
        heed_interrupt();
        step(15, "read(archive)", NULL);
        got = read(from_fd, buffer, sizeof(buffer));
        if (got < 0 && errno == EINTR)
            continue;
        must(got);
        write_bytes(to_fd, buffer, (size_t)got);
        total += (size_t)got;
        if (total > opt.max_size)
            refuse_archive(text("more than %llu bytes (--max-size)",
                                opt.max_size));
        show_progress("copied", total, 0);
    } while (got != 0);
    if (from_fd != 0)
        close(from_fd);
    return to_fd;
}

/* Make an image of the archive in FD, a file of ours that was FILE: it is of an
 * image, or of files alone. */
static void load_archive(int fd, const char *file, const char *name) {
    const char *found = NULL;

    need_program("tar");
    outer = sift_file(fd, MOST_MEMBERS);
    chosen = (struct image){ .created = time(NULL) };
    if (outer.entries == 0)
        refuse_archive("there is nothing in it");

    bytes_left = opt.max_size;
    if (find_member("oci-layout") && find_member("index.json"))
        found = load_oci();
    else if (find_member("manifest.json"))
        found = load_docker();
    else
        add_layer(&outer, chosen.created, text("image load %s", file));

    if (!name)
        name = found ? need_image_name(last_part(found)) : name_of_file(file);
    name_image(name);
}

/* --- Tools: save, and commit ----------------------------------------------
 */

/* Pack the FOLDER of a layer, each folder's files right after it, as a reader
 * may want them: '/' is sorted before all other bytes.  In a box that goes on,
 * files may change, or go before they are read: tar is told so by one
 * argument more, and may then end with 1, and find(1) fail.  Any other program
 * of the pipe that fails ends the shell. */
static struct sifted pack(const char *folder, enum sieve how) {
    static char sh[] = "sh", run[] = "-c", goes_on[] = "--ignore-failed-read";
    static char script[] =
        "(find . -print0 || [ $# -gt 0 ] || kill $$) | "
        "(tr '/\\001' '\\001/' || kill $$) | (sort -z || kill $$) | "
        "(tr '/\\001' '\\001/' || kill $$) | tar --create --file=- "
        "--format=posix --numeric-owner --xattrs '--xattrs-include=user.*' "
        "--xattrs-include=security.capability --no-recursion --null "
        "--verbatim-files-from --files-from=- \"$@\"; [ $? -le $# ]";
    char *more = how == PACK_BOX ? goes_on : NULL;
    char *argv[] = { sh, run, script, sh, more, NULL };

    need_program("tar");
    int fd = open_tool(argv, -1, folder);
    struct sifted result = sift(fd, how, 0);
    close_tool("tar");
    devices_left_out += result.devices;
    return result;
}

/* TEXT as JSON has it, in quotes. */
static const char *quoted(const char *text_of) {
    char *result = get_room(6 * strlen(text_of) + 3);   /* \u001b is 6 */
    char *to = result;

    *to++ = '"';
    for (; *text_of; text_of++) {
        unsigned char c = (unsigned char)*text_of;
        if (c == '"' || c == '\\')
            to += sprintf(to, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            to += sprintf(to, "\\u%04x", c);
        else
            *to++ = (char)c;
    }
    *to++ = '"';
    *to = '\0';
    return result;
}

/* The time that is SECONDS after 1970 begins, as JSON has it.  gmtime_r(3). */
static const char *quoted_time(long long seconds) {
    time_t when = (time_t)seconds;
    struct tm t = { 0 };

    gmtime_r(&when, &t);
    return text("\"%04d-%02d-%02dT%02d:%02d:%02dZ\"", t.tm_year + 1900,
                t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec);
}

/* Add to the draft KEY and the list of WORDS, if there are any. */
static void add_json_words(const char *key, char **words) {
    if (!words || !*words)
        return;
    add(text(",\"%s\":[", key));
    for (; *words; words++)
        add(text("%s%s", quoted(*words), words[1] ? "," : "]"));
}

static void add_json_word(const char *key, const char *word) {
    if (word)
        add(text(",\"%s\":%s", key, quoted(word)));
}

/* The image's configuration, with the SUMS of its layers' archives. */
static const char *make_config(const struct sifted *sums) {
    draft_length = 0;
    add(text("{\"created\":%s,\"architecture\":\"%s\",\"os\":\"linux\","
             "\"config\":{\"Labels\":{}", quoted_time(chosen.created),
             own_architecture()));
    add_json_words("Entrypoint", chosen.entrypoint);
    add_json_words("Cmd", chosen.command);
    add_json_words("Env", chosen.variables);
    add_json_word("WorkingDir", chosen.workdir);
    add_json_word("User", chosen.user);
    add_json_word("StopSignal", chosen.stop_signal);

    add("},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[");
    for (size_t i = 0; i < chosen.count; i++)
        add(text("%s\"sha256:%s\"", i ? "," : "", sums[i].sum));
    add("]},\"history\":[");
    for (size_t i = 0; i < chosen.count; i++)
        add(text("%s{\"created\":%s,\"created_by\":%s}", i ? "," : "",
                 quoted_time(chosen.layers[i].created),
                 quoted(chosen.layers[i].maker)));
    add("]}");
    return take_draft();
}

#define OCI "application/vnd.oci.image."

/* Who finds what, where: OCI's descriptor of a blob. */
static const char *descriptor(const char *type, const char *sum,
                              unsigned long long size) {
    return text("{\"mediaType\":\"" OCI "%s\",\"digest\":\"sha256:%s\","
                "\"size\":%llu", type, sum, size);
}

static const char *make_manifest(const char *config,
                                 const struct sifted *packed) {
    draft_length = 0;
    add(text("{\"schemaVersion\":2,\"mediaType\":\"" OCI "manifest.v1+json\","
             "\"config\":%s},\"layers\":[",
             descriptor("config.v1+json", sum_of_text(config),
                        strlen(config))));
    for (size_t i = 0; i < chosen.count; i++)
        add(text("%s%s}", i ? "," : "",
                 descriptor("layer.v1.tar", packed[i].sum,
                            (unsigned long long)packed[i].length)));
    add("]}");
    return take_draft();
}

/* Write a member NAME to the archive TO, of which SIZE bytes follow. */
static void emit_member(struct sifted *to, const char *name,
                        unsigned long long size) {
    static struct entry member;

    member = (struct entry){ .type = REGTYPE, .mode = 0644, .size = size,
                             .mtime = "0" };
    strcpy(member.name, name);
    emit_entry(to, &member);
}

static void emit_text(struct sifted *to, const char *name, const char *all) {
    emit_member(to, name, strlen(all));
    emit(to, all, strlen(all));
    emit_padding(to, strlen(all));
}

/* Write the whole archive of the image NAME to TO. */
static void emit_image(struct sifted *to, const char *name) {
    static struct sifted packed[MOST_LAYERS];

    for (size_t i = 0; i < chosen.count; i++)
        packed[i] = pack(text("%s/%s", layers_path, chosen.layers[i].id),
                         PACK_LAYER);
    const char *config = make_config(packed);
    const char *manifest = make_manifest(config, packed);
    const char *index = text("{\"schemaVersion\":2,\"mediaType\":\"" OCI
        "index.v1+json\",\"manifests\":[%s,\"annotations\":"
        "{\"org.opencontainers.image.ref.name\":%s}}]}",
        descriptor("manifest.v1+json", sum_of_text(manifest),
                   strlen(manifest)), quoted(name));

    emit_text(to, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}");
    emit_text(to, "index.json", index);
    emit_text(to, text("blobs/sha256/%s", sum_of_text(manifest)), manifest);
    emit_text(to, text("blobs/sha256/%s", sum_of_text(config)), config);
    for (size_t i = 0; i < chosen.count; i++) {
        const struct sifted *l = &packed[i];
        size_t same = 0;
        while (strcmp(packed[same].sum, l->sum) != 0)
            same++;
        if (same < i)
            continue;                   /* it is in there already */
        emit_member(to, text("blobs/sha256/%s", l->sum),
                    (unsigned long long)l->length);
        copy_bytes(l->fd, 0, (unsigned long long)l->length, to->fd);
        emit_padding(to, (unsigned long long)l->length);
    }
    emit(to, zeros, sizeof(zeros));
}

/* The file that is to be FILE, or standard output.  Where it can be, it has no
 * name before it is whole.  A box may have written secrets, so it is for its
 * owner alone. */
static int open_output(const char *file) {
    struct stat st;

    if (strcmp(file, "-") == 0)
        return 1;
    if (stat(file, &st) == 0 && !S_ISREG(st.st_mode)) {
        step(15, text("open(%s)", file), NULL);
        return must(open(file, O_WRONLY | O_CLOEXEC));
    }
    const char *slash = strrchr(file, '/');
    const char *folder = slash ? text("%.*s/", (int)(slash - file), file) : ".";
    step(15, text("open(%s, O_TMPFILE)", folder), NULL);
    return must(open(folder, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
}

/* What FD holds is whole: it is called FILE now.  It can only take another's
 * name after it has had one of its own, which nothing else may have. */
static void name_output(int fd, const char *file) {
    const char *link_path = text("/proc/self/fd/%d", fd);
    const char *new_name = text("%s.%d.new", file, getpid());
    struct stat st;

    step(15, text("fstat(%s)", file), NULL);
    must(fstat(fd, &st));
    if (fd == 1 || st.st_nlink > 0)
        return;
    step(15, text("linkat(%s), rename()", new_name), NULL);
    must(linkat(AT_FDCWD, link_path, AT_FDCWD, new_name, AT_SYMLINK_FOLLOW));
    int result = rename(new_name, file);
    int error = errno;
    if (result < 0)
        unlink(new_name);
    require(result == 0, error);
}

static void save_image(const char *word, const char *file) {
    struct sifted to = { 0 };

    need_image(word, &chosen);
    if (strcmp(file, "-") == 0 && isatty(1))
        refuse_usage("an archive is nothing for a terminal");
    to.fd = open_output(file);
    emit_image(&to, chosen.name);
    name_output(to.fd, file);
    tell_losses();
    is_changing = 0;
}

#if WITH_CGROUP
/* In a helper: wait until nobody holds the other end of the pipe HOLD_FD any
 * more, however that came, and let the box go on. */
static _Noreturn void thaw_box(int cgroup_fd, int hold_fd) {
    int result = -1;
    char byte;

    setsid();                           /* no ^C comes here */
    while (read(hold_fd, &byte, 1) < 0 && errno == EINTR)
        ;
    for (int tries = 0; result < 0 && tries < 3; tries++)
        result = write_file(cgroup_fd, "cgroup.freeze", "0", 0);
    if (result < 0) {
        step(15, "write(cgroup.freeze, 0)", "echo 0 >cgroup.freeze");
        complain();
    }
    _exit(result < 0);
}

/* Let the box NAME stand still while it is packed, if it has a cgroup: whoever
 * ends this ends that, since a helper waits for it.  Returns the pipe whose
 * closing does it, or -1.  cgroup.freeze. */
static int freeze_box(const char *name) {
    int hold_fds[2];

    open_boxes();
    if (boxes_fd < 0)
        return -1;
    flock(boxes_fd, LOCK_UN);           /* others make boxes meanwhile */
    int cgroup_fd = openat(boxes_fd, name, FOLDER | O_NOFOLLOW);
    if (cgroup_fd < 0 || !is_there(cgroup_fd, "cgroup.freeze")) {
        close_quietly(cgroup_fd);
        return -1;
    }

    step(15, "pipe2(hold), fork()", NULL);
    must(pipe2(hold_fds, O_CLOEXEC));
    pid_t helper = must(fork());
    if (helper == 0) {
        close(hold_fds[1]);
        thaw_box(cgroup_fd, hold_fds[0]);
    }
    close(hold_fds[0]);
    step(15, "write(cgroup.freeze)", "echo 1 >cgroup.freeze");
    must(write_file(cgroup_fd, "cgroup.freeze", "1", 0));

    /* The kernel stops one process after the other: some seconds at most. */
    for (int tries = 0; tries < 500; tries++) {
        if (strstr(read_file(cgroup_fd, "cgroup.events"), "frozen 1"))
            break;
        usleep(10000);                  /* microseconds */
    }
    close(cgroup_fd);
    return hold_fds[1];
}
#endif

/* whalebox commit: the box's own layer becomes the image's highest. */
static void commit_box(const char *box_name, const char *name) {
    int dir_fd = open_box(box_name, LOCK_EX);

    need_status(dir_fd, box_name);
    const char *command = "";
    char **word = split_command(text("%s", value_of("command")));
    for (; *word; word++)
        command = text("%s%s%s", command, *command ? " " : "", *word);
    if (read_image(dir_fd, "image", &chosen) < 0)
        refuse("make an image of that first: tar -C DIR -c . | whalebox image "
               "load - NAME", "%s was made of a folder, and not of an image",
               box_name);

#if WITH_CGROUP
    int hold_fd = freeze_box(box_name);
#endif
    struct sifted packed = pack(text("%s/%s/upper", home, box_name), PACK_BOX);
#if WITH_CGROUP
    close(hold_fd);
#endif
    flock(dir_fd, LOCK_UN);             /* others may act on the box again */

    /* It is unpacked as any other: so it is what its sum says. */
    bytes_left = opt.max_size;
    struct sifted layer = sift_file(packed.fd, 0);
    long long when = time(NULL);
    add_layer(&layer, when, text("%.*s", MOST_MAKER, command));
    chosen.created = when;
    name_image(name);
}

/* --- Tools: the commands --------------------------------------------------
 */

static void print_image_row(const char *name) {
    static struct image image;
    unsigned long long size = 0;

    if (is_quiet) {
        print("%s\n", name);
        return;
    }
    if (find_image(name, &image) < 0)   /* it has just been removed */
        return;
    for (size_t i = 0; i < image.count; i++)
        size += image.layers[i].size;
    print("%-24s %6zu %12llu  %s\n", name, image.count, size,
          age(image.created));
}

static int list_image(int dir_fd, const char *name) {
    (void)dir_fd;
    if (*name != '.')
        print_image_row(name);
    return 0;
}

static int list_images(void) {
    open_store(0);
    if (!is_quiet)
        print("%-24s %6s %12s  %s\n", "NAME", "LAYERS", "SIZE", "AGE");
    if (images_fd >= 0 && for_each(images_fd, 1, list_image) < 0) {
        step(15, "getdents64(images)", NULL);
        die();
    }
    return 0;
}

static void print_history(const char *word) {
    open_store(0);
    need_image(word, &chosen);
    print("%-12s %12s  %-5s %s\n", "LAYER", "SIZE", "AGE", "MADE BY");
    for (size_t i = chosen.count; i-- > 0;) {
        const struct layer *l = &chosen.layers[i];
        print("%.12s %12llu  %-5s %s\n", l->id, l->size,
              l->created ? age(l->created) : "-",
              visible(text("%.60s", l->maker)));
    }
}

static const char *asked_image;         /* for refuse_if_in_use() */

/* Does the box NAME need the image that is to be removed? */
static int refuse_if_in_use(int dir_fd, const char *name) {
    static struct image image;

    if (read_image(dir_fd, text("%s/image", name), &image) == 0 &&
        strcmp(image.name, asked_image) == 0)
        refuse(text("whalebox rm %s", name), "image %s is in use by the box %s",
               asked_image, name);
    return 0;
}

static void remove_image(const char *word) {
    begin_change();
    need_image(word, &chosen);
    asked_image = chosen.name;
    for_each(containers_fd, 0, sweep_box);
    step(15, "flock(images)", NULL);
    must(flock(images_fd, LOCK_EX));
    for_each(containers_fd, 0, refuse_if_in_use);
    step(15, text("unlinkat(images/%s)", asked_image), NULL);
    must(unlinkat(images_fd, asked_image, 0));
    flock(images_fd, LOCK_UN);
    end_change();
}

/* Does the registry of REF answer on this machine alone?  Then it may do so in
 * the clear. */
static int is_loopback(const char *ref) {
    return begins_with(ref, "localhost:") || begins_with(ref, "127.0.0.1:") ||
           begins_with(ref, "[::1]:");
}

/* In a copy of whalebox that PARENT made: fetch REF to FILE, with what is
 * needed on the way in the same folder.  No file may have more bytes than the
 * image.  The lock on the store goes with skopeo, as with a tool. */
static _Noreturn void fetch(const char *ref, const char *file, pid_t parent) {
    static char env[] = "env", tool[] = "skopeo", copy[] = "copy",
        quiet[] = "--quiet", plain[] = "--src-tls-verify=false";
    unsigned long long most[2] = { opt.max_size, opt.max_size };
    char *argv[] = { env, text("TMPDIR=%s/.new", layers_path), tool, copy,
                     quiet, text("docker://%s", ref),
                     text("oci-archive:%s", file),
                     is_loopback(ref) ? plain : NULL, NULL };

    end_with(parent);
    step(15, "prlimit64(FSIZE), dup2(), fcntl(FD_CLOEXEC)", "ulimit -f");
    must(syscall(SYS_prlimit64, 0, RLIMIT_FSIZE, most, NULL));
    must(dup2(2, 1));                   /* our output is for the name */
    must(fcntl(layers_fd, F_SETFD, 0)); /* not to be closed by execve(2) */
    execvp(env, argv);
    _exit(127);
}

/* Have skopeo fetch REF as an archive, and load that. */
static void pull_image(const char *ref, const char *name) {
    const char *file = text("%s/.new/archive", layers_path);
    pid_t parent = getpid();

    need_program("skopeo");
    if (!name)
        name = need_image_name(last_part(ref));
    step(15, "mkdir(layers/.new)", NULL);
    must(mkdirat(layers_fd, ".new", 0700));

    step(15, "fork()", text("skopeo copy docker://%s oci-archive:%s", ref,
                            file));
    tool_pid = must(fork());
    if (tool_pid == 0)
        fetch(ref, file, parent);
    if (wait_for_tool("skopeo") != 0)
        refuse("its own words stand above", "skopeo could not fetch %s", ref);

    /* Once it is open, the file needs no name. */
    step(15, text("open(%s)", file), NULL);
    int fd = must(open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    step(15, "unlinkat(layers/.new)", NULL);
    must(remove_new_layer());
    load_archive(fd, ref, name);
}

/* The operands of a command, at least LEAST and at most MOST, after its
 * options. */
static char **need_operands(char **words, size_t least, size_t most) {
    size_t count = 0;

    words = parse_options(words);
    refuse_options(" max-size userns storage ");
    while (words[count])
        count++;
    if (count < least)
        refuse_usage("there is a word missing");
    if (count > most)
        refuse_usage("too many words");
    return words;
}

static int images_main(int argc, char **argv) {
    while (next_letter(argc, argv, "+:q") != -1)
        is_quiet = 1;
    refuse_options("");
    if (argv[optind])
        refuse_usage("it takes no names");
    return list_images();
}

static int load_main(int argc, char **argv) {
    (void)argc;
    char **words = need_operands(argv + 1, 1, 2);
    const char *name = NULL;

    if (words[1])
        name = need_image_name(words[1]);

    /* Not our turn yet: who writes the input may wait for its own. */
    open_to_change();
    int fd = copy_input(words[0]);
    begin_change();
    load_archive(fd, words[0], name);
    return 0;
}

static int pull_main(int argc, char **argv) {
    (void)argc;
    char **words = need_operands(argv + 1, 1, 2);
    const char *name = NULL;

    if (words[1])
        name = need_image_name(words[1]);
    begin_change();
    pull_image(words[0], name);
    return 0;
}

static int save_main(int argc, char **argv) {
    (void)argc;
    char **words = need_operands(argv + 1, 2, 2);

    begin_change();
    save_image(words[0], words[1]);
    return 0;
}

/* One more record, of the same layers. */
static int tag_main(int argc, char **argv) {
    (void)argc;
    char **words = need_operands(argv + 1, 2, 2);
    const char *name = need_image_name(words[1]);

    begin_change();
    need_image(words[0], &chosen);
    name_image(name);
    return 0;
}

static int rm_image_main(int argc, char **argv) {
    (void)argc;
    return for_each_name(need_operands(argv + 1, 1, INT_MAX), remove_image);
}

static int history_main(int argc, char **argv) {
    (void)argc;
    print_history(need_operands(argv + 1, 1, 1)[0]);
    return 0;
}

/* whalebox image WORD */
static int image_main(int argc, char **argv) {
    (void)argc;
    return do_word(image_commands, argv + 1);
}

static int commit_main(int argc, char **argv) {
    (void)argc;
    char **words = need_operands(argv + 1, 2, 2);
    const char *name = need_image_name(words[1]);

    begin_change();
    commit_box(words[0], name);
    return 0;
}
#endif /* WITH_IMAGES */

#if WITH_DOCTOR
/* === The doctor ============================================================
 *
 * A step may fail for what it was asked to do, or because the host is not as
 * it should be.  The first kind of fix stands in the chapter whose step it is;
 * the second kind stands here, since any step may be the first to meet it.  An
 * error asks for both, and so does the command `doctor`, which makes a box to
 * see what fails: the knowledge is the same, and there is one copy of it.
 */
#define SYSCTL "/proc/sys/kernel/"
#define APPARMOR "AppArmor forbids it to user namespaces: sudo, or sysctl -w " \
    "kernel.apparmor_restrict_unprivileged_userns=0", \
    SYSCTL "apparmor_restrict_unprivileged_userns", "\n1\n"
#define READ_ONLY_CGROUPS EROFS, .fix = "cgroupfs is read-only, as in " \
    "docker: run the outer container with --privileged, or without limits"

/* What can be wrong with a host, whichever step it is that meets it first. */
static const struct hint causes[] = {
    { "clone3", EPERM, "sudo, or sysctl -w kernel.unprivileged_userns_clone=1",
      SYSCTL "unprivileged_userns_clone", "\n0\n" },    /* Debian 10 */
    { "", EACCES, APPARMOR },           /* Ubuntu, from 24.04 on */
    { "", EPERM, APPARMOR },
    { "clone3", ENOSYS, .fix = "whalebox needs Linux 5.12; in docker, run the "
      "outer container with --security-opt seccomp=unconfined" },
    { "clone3", EINVAL, .fix = "this kernel lacks a kind of namespace: see "
      "ls /proc/self/ns, and namespaces(7)" },
    { "clone3", EAGAIN, .fix = "too many processes: see ulimit -u, and, for "
      "exec, the box's --pids-limit" },
    { "open_tree", EPERM, .fix = "root, but not of mounts: in docker, run the "
      "outer container with --privileged" },
    { "open_tree", EINVAL, .fix = "something is mounted in it, and only root "
      "may leave that out: unmount it, or copy the folder" },
    { "mount(/,", EPERM, .fix = "mounting takes root or a user namespace; in "
      "docker, run the outer container with --privileged" },
    { "mkdir(/sys", READ_ONLY_CGROUPS },
    { "find cgroup v2", READ_ONLY_CGROUPS },
    { "read(/proc/self", 0, .fix = "/proc is not that of these processes, as "
      "when a mount of it leaked out: mount -t proc proc /proc" },
    { "readlink(/proc/self)", 0, .fix = "/proc is not that of these processes, "
      "as after unshare --pid: that has --mount-proc" },
    { "mount(/,", EINVAL, .fix = "the root is no mount, as in a chroot: leave "
      "that, and name its folder by --rootfs" },
    { "mount(tmpfs, /tmp)", ENOENT, .fix = "the host has no folder /tmp: mkdir "
      "-m 1777 /tmp" },
    { "open_tree(/dev/", ENOENT, .fix = "the host lacks this device: mknod -m "
      "666 /dev/..., of null c 1 3, zero c 1 5, full c 1 7, random c 1 8, "
      "urandom c 1 9, tty c 5 0" },
    { 0 }
};

/* What runs the program FILE: the interpreter after a script's "#!", or the
 * loader, whose path stands near the start of a dynamic program (PT_INTERP). */
static const char *find_interpreter(const char *file) {
    char *head = try_to_read(AT_FDCWD, file);

    if (!head)
        return "its loader";
    if (strncmp(head, "#!", 2) == 0) {
        const char *name = strtok(head + 2, " \n");
        return name ? name : "nothing";
    }
    for (char *at = head; at < head + 4096; at++)
        if (strncmp(at, "/lib", 4) == 0)
            return at;
    return "its loader";
}

/* Why the program FILE, which is there, is not found. */
static const char *describe_interpreter(const char *file) {
    const char *name = find_interpreter(file);

    if (strchr(name, '\r'))
        return text("its lines end in a carriage return, and %s is not there: "
                    "sed -i 's/\\r$//' %s", name, file);
    return text("the file is there; what runs it is not: %s", name);
}

/* Is our root no mount, or another than that of the first process that we see,
 * if we may look at that?  chroot(2). */
static int is_chroot(void) {
    struct stat ours, first;

    if (!has_text("/proc/self/mounts", " / "))
        return 1;
    return stat("/", &ours) == 0 && stat("/proc/1/root", &first) == 0 &&
           (ours.st_dev != first.st_dev || ours.st_ino != first.st_ino);
}

/* In the process whose step has failed with ERROR: the fix, if the doctor knows
 * it, or NULL. */
TOOL const char *find_host_cause(int error) {
    const struct hint *h = causes;

    /* A name alone was looked up along PATH. */
    if (box.argv && error == ENOENT && strncmp(now.call, "execv", 5) == 0) {
        const char *file = box.argv[0];
        if (!strchr(file, '/'))
            file = find_program(file);
        if (file && access(file, F_OK) == 0)
            return describe_interpreter(file);
    }
    if (error == EPERM && strncmp(now.call, "clone3", 6) == 0 && is_chroot())
        return "in a chroot there are no user namespaces: leave it, and name "
               "its folder by --rootfs";

#if WITH_IMAGES
    const char *image_fix = find_image_cause(error);
    if (image_fix)
        return image_fix;
#endif

    while (h->call && !is_about(h, error))
        h++;
    return h->fix;                      /* the last has none */
}

/* What the helper, and the child that it makes, tell the doctor: they share
 * this memory.  NULL unless the doctor looks. */
static struct finding {
    int seen[LAST_CHAPTER + 1];         /* the child took a step of it */
    int failed;                         /* the chapter, or -1 */
    char why[4 * PATH_MAX];             /* what it says, with the hint */
} *finding;

/* Have such memory, with nothing in it yet but that nothing has failed. */
static void share_finding(void) {
    step(0, "mmap(MAP_SHARED)", NULL);
    finding = mmap(NULL, sizeof(*finding), PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(finding != MAP_FAILED, errno);
    finding->failed = -1;
}

/* In any process, from step(): the child has come as far as CHAPTER. */
static void note_step(int chapter) {
    if (finding && strcmp(who, "child") == 0)
        finding->seen[chapter] = 1;
}

/* In any process, from refuse().  The first failure counts: the child says more
 * of it than the parent. */
static void note_failure(const char *why, const char *fix) {
    if (!finding || finding->failed >= 0)
        return;

    finding->failed = now.chapter;
#if WITH_DETACH
    why = visible(why);
#endif
    if (fix)
        why = text("%s\n            hint: %s", why, fix);
    snprintf(finding->why, sizeof(finding->why), "%s", why);
}

/* In a helper, a copy of the doctor: take every step there is, but those of the
 * chapters that are OFF, up to an execve that fails, "/" being no program.
 * Limits are asked for, since without them no controller would be tried. */
static _Noreturn void try_a_box(const int *off) {
    static char root[] = "/";
    static char *argv[] = { root, NULL };

    (void)off;                          /* unused where none can be off */
    opt.name = NULL;                    /* nothing is to stay */
    opt.explain = 0;
#if WITH_DETACH
    opt.detach = 0;
#endif
#if WITH_USER
    opt.host_users |= off[5];
#endif
#if WITH_NET
    opt.host_network |= off[6];
#endif
#if WITH_CGROUP
    if (!off[7]) {
        opt.memory = 64 << 20;
        opt.pids = 64;
        opt.cpuset = "0";
    }
#endif

    /* The doctor says what is wrong, so nothing is said here. */
    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    prepare_process();
    exit(run_box(argv));
}

/* Try a box, and see how far it gets.  Returns the chapter that failed, or -1
 * if it was the execve that is to fail.  The helper may die of what it does;
 * the doctor does not. */
static int examine(const int *off) {
    int status;

    memset(finding, 0, sizeof(*finding));
    finding->failed = -1;
    step(0, "clone3()", "fork");        /* fork(2) by its other name */
    pid_t helper = must(fork());
    if (helper == 0)
        try_a_box(off);
    step(0, text("waitpid(%d)", helper), "wait");
    must(waitpid(helper, &status, 0));

    const char *last = "chapter 0: execve(/)";
    if (finding->failed == 0 && strncmp(finding->why, last, strlen(last)) == 0)
        return -1;

    /* All namespaces are made by one call.  If it fails, it is for the users: a
     * user may not have them, and with them all the others. */
    if (strstr(finding->why, "clone3") && own_namespaces() & CLONE_NEWUSER &&
        !off[5])
        return 5;
    return finding->failed;
}

/* Can the others do without chapter N?  Without a namespace of their own for
 * mounts, their steps would be taken on the host's; and without users, by a
 * nobody. */
static int can_be_off(int n) {
    if (n == 5 && geteuid() != 0)
        return 0;
    return chapters[n].flag != 0 && chapters[n].flag != CLONE_NEWNS;
}

/* printf of what is found, below the line of its chapter. */
PRINTF(1) TOOL void print_fact(const char *format, ...) {
    va_list args;

    va_start(args, format);
    const char *fact = vtext(format, args);
    va_end(args);
#if WITH_DETACH
    fact = visible(fact);
#endif
    print("            %s\n", fact);
}

#if WITH_USER
/* The ids that root's boxes would have are somebody's: say so. */
static void print_rival(const struct ids *kind) {
    if (!kind->rival)
        return;
    print_fact("%s", describe_rival(kind));
    print_fact("hint: %s", fix_rival(kind));
}

/* A range that nobody has, for who was granted none, or what others have, too.
 */
static void print_free(const struct ids *kind) {
    struct ids other = *kind;

    choose_free_range(&other);
    print_fact("hint: nobody has these: usermod %s %llu-%llu %s", kind->option,
               other.range.start, other.range.start + WHOLE_RANGE - 1,
               own_name);
}

/* Were our ids granted to somebody else as well? */
static void print_sharer(struct ids *kind) {
    struct range theirs;
    const char *name = find_owner(&kind->grants, &kind->range, &theirs);

    if (!name)
        return;
    print_fact("\"%s\" was granted some of these ids, too", name);
    print_free(kind);
}

/* Is the program NAME there, which writes a user's map, and can it do that?  It
 * has to be set-user-ID, or to have a capability, an attribute of its file. */
static void print_map_tool(const char *name) {
    const char *file = find_program(name);
    struct stat st;

    if (!file)
        print_fact("there is no %s, which a range takes", name);
    else if (stat(file, &st) == 0 && !(st.st_mode & S_ISUID) &&
             syscall(SYS_getxattr, file, "security.capability", NULL, 0) < 0)
        print_fact("%s is not set-user-ID root: chmod u+s", file);
}

/* Which ids a user's box has, and why not more. */
static void print_ids_of_user(void) {
    struct ids granted[] = { uids, gids };

    choose_granted_range(&granted[0], getuid());
    choose_granted_range(&granted[1], getgid());
    if (uids.range.count > 0)
        print_fact("id 0 of a box is %u here, and 1 to %llu are %llu to %llu",
                   getuid(), uids.range.count, uids.range.start,
                   uids.range.start + uids.range.count - 1);
    else
        print_fact("a box has one id, 0, which is %u here", getuid());

    for (size_t i = 0; i < LENGTH(granted); i++) {
        if (granted[i].range.count > 0) {
            print_sharer(&granted[i]);
            print_map_tool(i == 0 ? "newuidmap" : "newgidmap");
        } else {
            print_fact("%s grants no more", granted[i].grants.file);
            print_free(&granted[i]);
        }
    }
}

static void print_ids(void) {
    find_host_root();
    find_ids();
    if (!host_root) {
        print_ids_of_user();
        return;
    }

    print_fact("ids 0 to %llu of a box are %llu to %llu here",
               uids.range.count - 1, uids.range.start,
               uids.range.start + uids.range.count - 1);
    print_rival(&uids);
    print_rival(&gids);
}
#endif

#if WITH_CGROUP
/* Which cgroups the host has: in /proc/self/cgroup the line of v2 begins with
 * 0, and those of v1 with other numbers. */
static void print_cgroups(void) {
    const char *layout = "alone";
    char *rest = text("%s", read_file(AT_FDCWD, "/proc/self/cgroup"));
    char *line;

    while ((line = strsep(&rest, "\n")))
        if (*line && strncmp(line, "0:", 2) != 0)
            layout = "beside v1 (hybrid)";

    const char *top = find_cgroup2();
    if (!top) {
        print_fact("cgroup v2 is not mounted");
        return;
    }
    const char *file = text("%s/cgroup.controllers", top);
    const char *controllers = read_file(AT_FDCWD, file);
    size_t length = strcspn(controllers, "\n");
    if (length > 0)
        print_fact("cgroup v2 %s, at %s, with %.*s", layout, top, (int)length,
                   controllers);
    else
        print_fact("cgroup v2 %s, at %s, with no controllers", layout, top);
}
#endif

#if WITH_IMAGES
/* Which programs handle archives here, and which packages have the others. */
static void print_image_tools(void) {
    static const char *const tools[][2] = {
        { "tar", "tar" }, { "gzip", "gzip" }, { "zstd", "zstd" },
        { "sha256sum", "coreutils" }, { "skopeo", "skopeo" },
    };
    const char *missing = "", *found = "";

    for (size_t i = 0; i < LENGTH(tools); i++)
        if (find_program(tools[i][0]))
            found = text("%s %s", found, tools[i][0]);
        else
            missing = text("%s %s", missing, tools[i][1]);
    print_fact("for archives there is%s", *found ? found : " nothing");
    if (*missing)
        print_fact("hint: apt install%s", missing);
}
#endif

#if WITH_BRIDGE
/* In a helper, a copy of the doctor: lay a wire in a network namespace that
 * nobody else is in, with a bridge and its rules. */
static _Noreturn void try_a_wire(void) {
    static const unsigned char mac[6] = { 2 };
    struct network n = { .name = "doctor", .bridge = "whalebox0",
                         .subnet = { 10U << 24 | 88 << 16, 16 } };

    dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
    n.firewall = find_firewall();
    if (!n.firewall)
        refuse_firewall();
    if (is_forward_dropped())
        refuse(fix_dropper(), "%s", describe_dropper());

    step(16, "unshare(CLONE_NEWNET)", "unshare --net");
    must(unshare(CLONE_NEWNET));
    add_bridge(n.bridge, mac);
    add_address(n.bridge, n.subnet.first + 1, n.subnet);
    set_up(n.bridge);
    add_wire("wbdoctor", n.bridge, getpid(), mac);
    must(write_rules(&n));
    _exit(0);
}

/* Can root's boxes have wires?  Returns why not, or NULL. */
static const char *examine_wires(void) {
    struct finding *boxes = finding;
    const char *why = NULL;
    int status;

    if (geteuid() != 0)
        return NULL;
    share_finding();
    step(0, "clone3()", "fork");
    pid_t helper = must(fork());
    if (helper == 0)
        try_a_wire();
    step(0, text("waitpid(%d)", helper), "wait");
    must(waitpid(helper, &status, 0));
    if (finding->failed >= 0)
        why = text("%s", finding->why);
    finding = boxes;
    return why;
}

/* What a box's wire is made with. */
static void print_wires(void) {
    const char *firewall = find_firewall();

    if (geteuid() == 0 && firewall) {
        print_fact("rules are written by %s", firewall);
    } else if (geteuid() != 0) {
        print_fact("a bridge takes root");
        print_fact("for --network pasta there is %s pasta, for slirp %s "
                   "slirp4netns", find_program("pasta") ? "a" : "no",
                   find_program("slirp4netns") ? "a" : "no");
    }
}
#endif

/* What is found for chapter N, whether it works or not. */
static void print_facts(size_t n) {
    (void)n;                            /* a build may have none of them */
#if WITH_USER
    if (n == 5)
        print_ids();
#endif
#if WITH_CGROUP
    if (n == 7)
        print_cgroups();
#endif
#if WITH_LAYERS
    if (n == 9)
        print_fact("storage is %s, in %s", wanted_storage(), home_path());
#endif
#if WITH_IMAGES
    if (n == 15)
        print_image_tools();
#endif
#if WITH_BRIDGE
    if (n == 16)
        print_wires();
#endif
}

/* Print a line for each chapter that this build has.  WHY it failed: NULL for
 * one that did not.  FAILED is the one that ended the last try, or -1. */
static void print_findings(const char *const *why, int failed) {
    for (size_t n = 0; n < LENGTH(chapters); n++) {
        const struct chapter *c = &chapters[n];
        if (n > 0 && !c->flag && !c->options && !c->commands)
            continue;                   /* this build has it not */

        const char *state = "works";
        if (why[n])
            state = why[n];
        else if (failed >= 0 && !finding->seen[n])
            state = "not tried: fix that first";
        print("chapter %2zu: %s\n", n, state);
        if (!why[0])                    /* /proc is what it should be */
            print_facts(n);
    }
}

/*
 * whalebox doctor: check the host by making a box and looking how far that
 * gets. What fails is the very step, with the very hint, that a run fails
 * with.  A chapter that the others can do without is left out then, and the
 * rest tried again.  Returns 0 if every chapter works.
 */
static int doctor_main(int argc, char **argv) {
    const char *why[LENGTH(chapters)] = { NULL };       /* NULL: all is well */
    int off[LENGTH(chapters)] = { 0 };
    int is_sick = 0;
    int failed;

    if (argc > 1)
        refuse("whalebox doctor", "doctor takes no %s", argv[1]);
    share_finding();
    while ((failed = examine(off)) >= 0) {
        is_sick = 1;
        why[failed] = text("%s", finding->why);
        if (off[failed] || !can_be_off(failed))
            break;                      /* it was off already, or cannot be */
        off[failed] = 1;
    }
#if WITH_BRIDGE
    why[16] = examine_wires();
    if (why[16])
        is_sick = 1;
#endif
    print_findings(why, failed);
    return is_sick;
}

TOOL const struct command doctor_commands[2] = {
    { "doctor", "", "check what works here, and why not",
      .run = doctor_main, .has_run_options = 1, .is_careful = 1 },
};
#endif /* WITH_DOCTOR */

/* === The command line ===================================================== */

/* printf to standard output, which may be closed, or full. */
PRINTF(1) static void print(const char *format, ...) {
    va_list args;

    va_start(args, format);
    int result = put(1, vtext(format, args));
    va_end(args);
    if (result < 0) {
        int error = errno;              /* the step may be told, and set it */
        step(0, "write(standard output)", NULL);
        errno = error;
        die();
    }
}

/* One line of --help: what is typed, and what for. */
static void print_row(const char *typed, const char *help) {
    print("  %-23s  %s\n", typed, help);
}

/* The option O, with its value, as in "    --name NAME". */
static const char *spell_option(const struct option *o) {
    const char *letter = "    ";
    const char *value = "";

    if (o->letter)
        letter = text("-%c, ", o->letter);
    if (o->value)
        value = text(" %s", o->value);
    return text("%s--%s%s", letter, o->name, value);
}

/* --help: the options of every chapter that this build has. */
static void set_help(const struct option *option, const char *value) {
    (void)option;
    (void)value;
    print("Usage: whalebox [OPTIONS] /COMMAND [ARG...]\n"
          "or:    whalebox run [OPTIONS] COMMAND [ARG...]\n");
#if WITH_IMAGES
    print("or:    whalebox run [OPTIONS] IMAGE [COMMAND [ARG...]]\n");
#endif
    print("Run COMMAND in a box, with a view of the system of its own.\n"
          "After run, a COMMAND with no '/' is looked up in the box.\n\n");

    for (size_t n = 0; n < LENGTH(chapters); n++) {
        const struct option *o = chapters[n].options;
        if (o)
            print("Chapter %zu:\n", n);
        for (; o && o->name; o++)
            print_row(spell_option(o), o->help);
#if WITH_COMMANDS
        const struct command *c = chapters[n].commands;
        if (c && !chapters[n].options)
            print("Chapter %zu:\n", n);
        for (; c && c->name; c++)
            print_row(text("%s %s", c->name, c->usage), c->help);
#endif
    }

#if WITH_LAYERS
    print("\nWHALEBOX_HOME names the folder where boxes are kept.");
#endif
    print("\nExit status: the command's own; 128+N when signal N ended it; "
          "127 not found;\n"
          "126 found but not executable; 125 whalebox failed.\n");
    exit(0);
}

/* --version */
static void set_version(const struct option *o, const char *value) {
    (void)o;
    (void)value;
    print("whalebox 0.1\n");
    exit(0);
}

#if WITH_LEFT_OUT
/* Options and commands by chapter, known even when the chapter is left out. */
static const char *const chapter_words[] = {
    [1] = "--name --hostname",
    [5] = "--userns",
    [6] = "--network",
    [7] = "-m --memory --cpus --cpu-shares --cpuset-cpus --pids-limit",
    [8] = "--rootfs",
    [9] = "--storage",
    [10] = "--cap-add --cap-drop doctor",
    [11] = ("-v --volume --tmpfs -e --env --env-file -w --workdir -u --user "
            "--read-only --init"),
    [12] = "-t --tty -i --interactive",
    [13] = ("-d --detach --rm --log-max ps logs inspect wait "
            "kill stop start rm container"),
    [14] = "exec",
    [15] = "--image --entrypoint --stop-signal --max-size image images commit",
    [16] = "-p --publish network",
};

/* Refuse WORD, an option or a command, if it belongs to a chapter that this
 * build leaves out. */
static void refuse_left_out(const char *word) {
    if (word[0] == '-' && word[1] != '-')
        word = text("%.2s", word);      /* what is joined to it may be good */
    const char *key = text(" %.*s ", (int)strcspn(word, "="), word);

    for (size_t n = 0; n < LENGTH(chapter_words); n++) {
        int is_built = n < LENGTH(chapters) && chapters[n].options;
#if WITH_COMMANDS
        is_built = is_built || (n < LENGTH(chapters) && chapters[n].commands);
#endif
        if (chapter_words[n] && !is_built &&
            strstr(text(" %s ", chapter_words[n]), key))
            refuse("make builds whalebox with every chapter", "%s belongs to "
                   "chapter %zu, which this build leaves out", word, n);
    }
}
#endif

#if WITH_FOREIGN
/* What other tools have, and whalebox by another name, or not at all. */
static const struct { const char *words, *fix; } foreign_words[] = {
    { "-c --cpu-share -cpushare -cpu-share", "--cpu-shares N" },
    { "--cpu-quota --cpu-period --cpu-count", "--cpus N" },
    { "-cpuset --cpuset", "--cpuset-cpus LIST" },
    { "-mem --mem", "--memory SIZE, or -m SIZE" },
    { "--memory-swap --memory-swappiness", "--memory SIZE, of which nothing is "
      "moved to swap" },
    { "--shm-size", "--tmpfs /dev/shm:size=SIZE" },
    { "--net -net", "--network none, host, bridge or NAME" },
    { "--link --add-host --network-alias", "boxes of one --network NAME have "
      "each other's names in /etc/hosts" },
    { "--dns --dns-search", "--volume FILE:/etc/resolv.conf:ro" },
    { "port", "whalebox ps, which has a column PORTS" },
    { "-P --publish-all --expose --port", "--publish HOST:BOX" },
    { "--mount --volumes-from volume", "--volume SRC:DST[:ro], or --tmpfs DST"
      },
    { "--device", "--volume /dev/NAME:/dev/NAME" },
    { "--privileged", "--cap-add NAME adds one right; --userns host makes root "
      "the host's" },
    { "--stop-timeout", "whalebox stop -t SEC NAME" },
    { "--group-add", "--user USER, whose groups are in the box's /etc/group" },
    { "--restart", "have systemd run it in the foreground, with Restart=" },
#if WITH_IMAGES
    { "build", "whalebox run, and then whalebox commit NAME IMAGE" },
    { "load import", "whalebox image load FILE" },
    { "save export", "whalebox image save NAME FILE" },
    { "pull --pull", "whalebox image pull REF" },
    { "push", "whalebox image save NAME FILE, and skopeo copy" },
    { "tag", "whalebox image tag NAME NEW" },
    { "history", "whalebox image history NAME" },
    { "rmi", "whalebox image rm NAME" },
    { "login logout", "skopeo login or logout: image pull is skopeo's work" },
#else
    { "--pull build pull push tag save load import export history login rmi",
      "images come with chapter 15; until then --rootfs DIR" },
#endif
    { "attach", "whalebox logs -f NAME, or whalebox exec -t NAME /bin/sh" },
    { "create", "whalebox run makes a box and runs it" },
    { "rename", "whalebox run --name NAME, when the box is made" },
    { "pause", "whalebox kill -s STOP NAME, for its first process" },
    { "unpause", "whalebox kill -s CONT NAME" },
    { "top", "whalebox exec NAME ps; or, for the program, whalebox run top" },
    { "stats", "whalebox exec NAME cat /sys/fs/cgroup/memory.current" },
    { "cp", "--volume SRC:DST, or whalebox exec NAME cat FILE >COPY" },
    { "diff", "what it wrote is in WHALEBOX_HOME/containers/NAME/upper" },
    { "prune system", "whalebox ps -aq | xargs whalebox rm, which leaves those "
      "that run" },
    { "restart", "whalebox stop NAME, and then whalebox start NAME" },
    { "ls list", "whalebox ps; or, for the program, whalebox run ls" },
    { "remove delete", "whalebox rm NAME" },
    { "info", "whalebox doctor" },
    { "version", "whalebox --version" },
    { "help", "whalebox --help" },
};

/* What other tools' KEY, " -c " or " build ", is here; or NULL. */
static const char *find_foreign(const char *key) {
    for (size_t i = 0; i < LENGTH(foreign_words); i++)
        if (strstr(text(" %s ", foreign_words[i].words), key))
            return foreign_words[i].fix;
    return NULL;
}

/* Refuse WORD, an option or a command, if another tool has what is called so,
 * or by its letter, as in -p80. */
static void refuse_foreign(const char *word) {
    const char *kind = *word == '-' ? "option" : "command";
    const char *fix = find_foreign(text(" %.*s ", (int)strcspn(word, "="),
                                        word));

    if (!fix && *word == '-')
        fix = find_foreign(text(" %.2s ", word));
    if (fix)
        refuse(fix, "there is no %s %s", kind, word);
}
#endif

/* Does WORD call the option O?  It is long, "--NAME" or "--NAME=VALUE", or its
 * letter, "-n", to which a value may be joined. */
static int is_option(const struct option *o, const char *word) {
    size_t length = strcspn(word, "=");

    if (word[1] != '-')
        return o->letter && word[1] == o->letter;
    return strlen(o->name) == length - 2 &&
           strncmp(word + 2, o->name, length - 2) == 0;
}

/* The option that WORD calls, or NULL. */
static const struct option *find_option(const char *word) {
    for (size_t n = 0; n < LENGTH(chapters); n++)
        for (const struct option *o = chapters[n].options; o && o->name; o++)
            if (is_option(o, word))
                return o;
    return NULL;
}

/* The option that WORD calls; if there is none, it is refused. */
static const struct option *need_option(const char *word) {
    const struct option *o = find_option(word);

    /* Somebody wrote "-name" for "--name". */
    if (word[1] != '-' && find_option(text("-%s", word)))
        refuse(text("-%s", word), "there is no option %s", word);
    if (o)
        return o;

#if WITH_FOREIGN
    refuse_foreign(word);
#endif
#if WITH_LEFT_OUT
    refuse_left_out(word);
#endif
#if WITH_DETACH
    if (our_command)
        refuse_usage(text("there is no option %s", word));
#endif
    refuse("see --help; the program's own options follow it",
           "there is no option %s", word);
}

/* The option O was given, as WORD, in a wrong way: say WHY, and how it is to
 * be. */
static _Noreturn void refuse_option(const struct option *o, const char *word,
                                    const char *why) {
    const char *spelt = spell_option(o) + 4;    /* past the letter */

    refuse(text("%s  %s", spelt, o->help), "%s: %s", word, why);
}

/* What follows the option in its own WORD, as in "--NAME=VALUE", "-n=VALUE" and
 * "-nVALUE", or NULL. */
static const char *value_in(const char *word) {
    const char *equals = strchr(word, '=');

    if (word[1] != '-' && word[2] != '\0' && word[2] != '=')
        return word + 2;
    return equals ? equals + 1 : NULL;
}

/* Set the options that ARGV begins with, and return what follows them: an
 * option of the command's own stands after it, and is left alone. */
static char **parse_options(char **argv) {
    while (*argv && argv[0][0] == '-' && argv[0][1] != '\0') {
        const char *word = *argv++;
        if (strcmp(word, "--") == 0)    /* no more options */
            break;

        const struct option *o = need_option(word);
        const char *value = value_in(word);
        if (o->value && !value && *argv)
            value = *argv++;            /* the next word */
#if WITH_TTY || WITH_DETACH

        /* Letters may be joined: "-it" is "-i", and then "-t". */
        if (!o->value && value == word + 2) {
            *--argv = text("-%s", value);
            value = NULL;
        }
#endif

        if (o->value && !value)
            refuse_option(o, word, "it needs a value");
        if (!o->value && value)
            refuse_option(o, word, "it takes no value");
        o->set(o, value);
#if WITH_DETACH
        remember(o, value);
#endif
    }
    return argv;
}

#if WITH_COMMANDS
/* The command of whalebox's own that is called WORD, or NULL. */
static const struct command *find_command(const char *word) {
    for (size_t n = 0; n < LENGTH(chapters); n++)
        for (const struct command *c = chapters[n].commands; c && c->name; c++)
            if (strcmp(c->name, word) == 0)
                return c;
    return NULL;
}

/* Run the command of whalebox's own that WORDS begin with, as main(): COUNT of
 * them, with its name.  Returns the exit status. */
static int run_command(int count, char **words) {
    /* A command that removes a box may need a helper that has users of its own,
     * as the box had. */
    box.flags = own_namespaces();
    if (!our_command->is_careful)
        prepare_process();              /* before it holds anything */
#if WITH_DETACH
    if (!our_command->has_run_options) {
        refuse_options("");
        signal(SIGPIPE, SIG_DFL);       /* a closed pipe is no error */
    }
#endif
    return our_command->run(count, words);
}
#endif

#if WITH_DETACH
/* Other tools let "container" stand before a command, and have boxes listed by
 * "ls", and removed by "remove", there.  Returns WORDS as they are without it.
 */
static char **drop_container(char **words) {
    static char ps[] = "ps", rm[] = "rm";

    if (!words[0] || strcmp(words[0], "container") != 0)
        return words;
    words++;
    if (!words[0] || strchr(words[0], '/'))
        refuse("whalebox container ls, say, which is whalebox ps",
               "container: there is no command");
    if (strcmp(words[0], "ls") == 0 || strcmp(words[0], "list") == 0)
        words[0] = ps;
    if (strcmp(words[0], "remove") == 0)
        words[0] = rm;
    return words;
}
#endif

/* Refuse WORD, which is to be a program, unless it is a path. */
static void refuse_name_alone(const char *word) {
    if (strchr(word, '/'))
        return;
#if WITH_FOREIGN
    refuse_foreign(word);
#endif
#if WITH_LEFT_OUT
    refuse_left_out(word);
#endif
    refuse(text("a program is named by its path, as in /bin/sh, or looked up "
                "in the box by whalebox run %s", word),
           "there is no command %s", word);
}

/* What is asked for: options, and then a program, by its path in the box.
 * After the word run, which other tools have, come options once more, and a
 * program whose name alone will do: execvp(3) looks it up in the box. */
int main(int argc, char **argv) {
#if WITH_LOCKS
    refuse_set_id();
#endif
#if WITH_VOLUMES
    argv = copy_arguments(argv);        /* the original can be wiped */
#endif
    /* The options stand behind our own name. */
    char **words = parse_options(argv + (argc > 0));
#if WITH_DETACH
    words = drop_container(words);
#endif
    int is_run = words[0] && strcmp(words[0], "run") == 0;
    if (is_run)
        words = parse_options(words + 1);
#if WITH_IMAGES
    if (is_run)
        words = choose_image(words);    /* the first may be an image */
#endif
    if (!words[0] || words[0][0] == '\0')
        refuse("whalebox run sh, say; see --help", "no command to run");

#if WITH_COMMANDS
    if (!is_run)
        our_command = find_command(words[0]);
    if (our_command)                    /* or a command of whalebox's own */
        return run_command(argc - (int)(words - argv), words);
#endif
    if (!is_run)
        refuse_name_alone(words[0]);
#if WITH_IMAGES
    if (!is_run)
        words = choose_image(words);
#endif
    prepare_process();
    return run_box(words);
}
