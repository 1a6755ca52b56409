/*
 * strike list FILE COMMAND...
 *     runs the command, and writes to FILE each system call of it and of the
 *     processes that come of it, as "PROCESS CALL COUNT": "1 openat 3" is the
 *     third openat of the second process.
 * strike PROCESS CALL COUNT FAULT COMMAND...
 *     runs it, and there that call fails with the error FAULT, without having
 *     been made (close(2) is made, too), or, if FAULT is KILL, the process is
 *     killed.
 *
 * Processes are numbered as they come, from 0.  One that becomes another program
 * is left alone from then on, but for the first; and so is the child of a
 * vfork(2).  The status is that of the first process; what outlives that is
 * still looked at, by a process that holds nothing of the caller's.
 *
 * strace(1) counts in each process, too, but cannot have a call fail in one
 * process alone.  ptrace(2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <linux/elf.h>
#include <linux/ptrace.h>

#define CALL(name) { #name, SYS_##name }
#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
enum { MOST_CALLS = 512 };              /* system calls have lower numbers */

static const struct { const char *name; int number; } calls[] = {
    CALL(read), CALL(write), CALL(writev), CALL(readv), CALL(openat),
    CALL(close), CALL(close_range), CALL(fstat), CALL(newfstatat), CALL(lseek),
    CALL(mmap), CALL(munmap), CALL(mprotect), CALL(brk), CALL(ioctl),
    CALL(fcntl), CALL(flock), CALL(fsync), CALL(ftruncate), CALL(fallocate),
    CALL(getdents64), CALL(getcwd), CALL(chdir), CALL(fchdir), CALL(fchmod),
    CALL(fchmodat), CALL(mkdirat), CALL(unlinkat), CALL(symlinkat),
    CALL(renameat), CALL(readlinkat), CALL(faccessat), CALL(umask),
    CALL(pipe2), CALL(dup), CALL(dup3), CALL(ppoll), CALL(sendfile),
    CALL(signalfd4), CALL(memfd_create), CALL(getrandom), CALL(uname),
    CALL(clone), CALL(clone3), CALL(wait4), CALL(setsid), CALL(setns),
    CALL(unshare), CALL(kill), CALL(tgkill), CALL(prctl), CALL(capget),
    CALL(capset), CALL(seccomp), CALL(setresuid), CALL(setresgid),
    CALL(setgroups), CALL(sethostname), CALL(rt_sigaction), CALL(setpgid),
    CALL(rt_sigprocmask), CALL(rt_sigtimedwait), CALL(pidfd_open), CALL(statx),
    CALL(pidfd_send_signal), CALL(mount), CALL(umount2), CALL(pivot_root),
    CALL(open_tree), CALL(move_mount), CALL(mount_setattr), CALL(openat2),
    CALL(pread64), CALL(pwrite64), CALL(statfs), CALL(fstatfs),
    CALL(renameat2), CALL(utimensat), CALL(clock_gettime), CALL(fchown),
    CALL(socketpair), CALL(sendmsg), CALL(recvmsg), CALL(waitid),
    CALL(socket), CALL(setrlimit), CALL(prlimit64), CALL(madvise),
    CALL(execve), CALL(execveat), CALL(exit_group), CALL(rt_sigreturn),
    CALL(set_tid_address), CALL(restart_syscall), CALL(gettid), CALL(getpid),
    CALL(getppid), CALL(getuid), CALL(geteuid), CALL(getgid), CALL(getegid),
    CALL(getpgid), CALL(setfsuid), CALL(setfsgid), CALL(nanosleep),
#ifdef __x86_64__
    CALL(open), CALL(stat), CALL(lstat), CALL(access), CALL(mkdir),
    CALL(rmdir), CALL(unlink), CALL(rename), CALL(symlink), CALL(readlink),
    CALL(chmod), CALL(pipe), CALL(dup2), CALL(poll), CALL(fork), CALL(vfork),
    CALL(arch_prctl), CALL(getpgrp),
#endif
};
static const struct { const char *name; int number; } errors[] = {
    { "EPERM", EPERM }, { "EIO", EIO }, { "EINTR", EINTR }, { "ENOMEM", ENOMEM },
    { "ECHILD", ECHILD }, { "EINVAL", EINVAL }, { "EMFILE", EMFILE },
    { "ENOSPC", ENOSPC }, { "EAGAIN", EAGAIN }, { "KILL", 0 },
};

static struct process {
    pid_t pid;
    int counts[MOST_CALLS];             /* of each call */
    int struck;                         /* its call fails when it returns */
} processes[64];
static int process_count;
static pid_t early[64];                 /* stopped before we heard of them */
static FILE *list;                      /* where to, or NULL: */
static int process, call, count, fault; /* where to strike, and how */
static int done;                        /* it has been */

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(124);
}

static const char *name_of(unsigned long number) {
    static char unknown[32];
    for (size_t i = 0; i < LENGTH(calls); i++)
        if ((unsigned long)calls[i].number == number)
            return calls[i].name;
    snprintf(unknown, sizeof(unknown), "#%lu", number);
    return unknown;
}

static int number_of(const char *name) {
    for (size_t i = 0; i < LENGTH(calls); i++)
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    if (*name != '#')
        fail(name);
    return atoi(name + 1);
}

static int error_of(const char *name) {
    for (size_t i = 0; i < LENGTH(errors); i++)
        if (strcmp(errors[i].name, name) == 0)
            return errors[i].number;
    fail(name);
}

/* Have the call that is about to be made not be made. */
static void skip_call(pid_t pid) {
#ifdef __x86_64__
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax),
           -1L);
#else
    int none = -1;
    struct iovec io = { &none, sizeof(none) };
    ptrace(PTRACE_SETREGSET, pid, NT_ARM_SYSTEM_CALL, &io);
#endif
}

/* Have the call that has just returned return RESULT. */
static void set_result(pid_t pid, long result) {
#ifdef __x86_64__
    ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax),
           result);
#else
    struct user_regs_struct regs;
    struct iovec io = { &regs, sizeof(regs) };
    ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io);
    regs.regs[0] = (unsigned long long)result;
    ptrace(PTRACE_SETREGSET, pid, NT_PRSTATUS, &io);
#endif
}

/* When the strike is over there is nothing to look at any more. */
static void go_on(pid_t pid, int sig) {
    ptrace(done ? PTRACE_CONT : PTRACE_SYSCALL, pid, 0, (long)sig);
}

static struct process *find_process(pid_t pid) {
    for (int i = 0; i < process_count; i++)
        if (processes[i].pid == pid)
            return &processes[i];
    return NULL;
}

static int take_early(pid_t pid) {
    for (size_t i = 0; i < LENGTH(early); i++)
        if (early[i] == pid) {
            early[i] = 0;
            return 1;
        }
    return 0;
}

/* Process PID has stopped, and is not known yet: its parent's event comes. */
static void keep_early(pid_t pid) {
    for (size_t i = 0; i < LENGTH(early); i++)
        if (early[i] == 0) {
            early[i] = pid;
            return;
        }
}

/* A process has a child.  That of a vfork(2), which becomes another program
 * soon, and could not be set-user-ID under our eyes, is let go. */
static void add_child(pid_t child, int by_vfork) {
    int is_stopped = take_early(child);
    if (!is_stopped && waitpid(child, NULL, __WALL) != child)
        return;
    if (by_vfork || process_count == (int)LENGTH(processes)) {
        ptrace(PTRACE_DETACH, child, 0, 0L);
        return;
    }
    processes[process_count++].pid = child;
    go_on(child, 0);
}

/* A call begins or ends in the process P. */
static void see_call(struct process *p) {
    struct ptrace_syscall_info info = { 0 };
    ptrace(PTRACE_GET_SYSCALL_INFO, p->pid, sizeof(info), &info);
    if (info.op == PTRACE_SYSCALL_INFO_EXIT && p->struck) {
        set_result(p->pid, -fault);
        p->struck = 0;
        done = 1;
    }
    if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= MOST_CALLS)
        return;
    int number = (int)info.entry.nr, seen = ++p->counts[number];
    if (list)
        fprintf(list, "%d %s %d\n", (int)(p - processes),
                name_of((unsigned long)number), seen);
    else if (!done && p - processes == process && number == call &&
             seen == count) {
        if (fault == 0) {
            kill(p->pid, SIGKILL);
            done = 1;
        } else {
            if (call != SYS_close)      /* which lets go whatever it says */
                skip_call(p->pid);
            p->struck = 1;
        }
    }
}

/* The process PID has stopped, and STATUS tells why. */
static void see_stop(pid_t pid, int status) {
    struct process *p = find_process(pid);
    unsigned long child = 0;
    int sig = WSTOPSIG(status), event = status >> 16;
    if (!p) {
        keep_early(pid);
    } else if (sig == (SIGTRAP | 0x80)) {
        see_call(p);
        go_on(pid, 0);
    } else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_CLONE ||
               event == PTRACE_EVENT_VFORK) {
        ptrace(PTRACE_GETEVENTMSG, pid, 0, &child);
        add_child((pid_t)child, event == PTRACE_EVENT_VFORK);
        go_on(pid, 0);
    } else if (event == PTRACE_EVENT_EXEC && p != processes) {
        ptrace(PTRACE_DETACH, pid, 0, 0L);
    } else if (event == PTRACE_EVENT_STOP && sig != SIGTRAP) {
        ptrace(PTRACE_LISTEN, pid, 0, 0);       /* until somebody says CONT */
    } else {
        go_on(pid, event ? 0 : sig);
    }
}

/* In the tracer: run ARGV, and write to the pipe STATUS_FD how it ended. */
static void trace(char **argv, int status_fd) {
    int ready[2], status;
    char byte;
    if (pipe2(ready, O_CLOEXEC) < 0)
        fail("pipe2");
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0) {
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 1)
            _exit(124);
        execvp(argv[0], argv);
        fail(argv[0]);
    }
    processes[process_count++].pid = pid;
    if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD |
               PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
               PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC) < 0)
        fail("PTRACE_SEIZE");
    write(ready[1], "", 1);
    close(ready[0]);
    close(ready[1]);
    setsid();                           /* no signal to the caller's group */
    int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    for (char **word = argv; *word; word++)
        memset(*word, '.', strlen(*word));      /* we are not what they name */
    chdir("/");
    for (pid_t who; (who = waitpid(-1, &status, __WALL)) > 0;) {
        if (WIFSTOPPED(status)) {
            see_stop(who, status);
        } else if (who == pid) {        /* the caller waits for this one */
            if (list)
                fflush(list);
            write(status_fd, &status, sizeof(status));
            close(status_fd);
        }
    }
}

int main(int argc, char **argv) {
    int ends[2], status, is_list = argc > 3 && strcmp(argv[1], "list") == 0;
    if (is_list && !(list = fopen(argv[2], "we")))
        fail(argv[2]);
    if (!is_list && argc < 6)
        fail("strike: see the source");
    if (!is_list) {
        process = atoi(argv[1]);
        call = number_of(argv[2]);
        count = atoi(argv[3]);
        fault = error_of(argv[4]);
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        fail("pipe2");
    pid_t tracer = fork();
    if (tracer < 0)
        fail("fork");
    if (tracer == 0) {
        close(ends[0]);
        trace(argv + (is_list ? 3 : 5), ends[1]);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &status, sizeof(status)) != sizeof(status))
        fail("strike: no status");
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
