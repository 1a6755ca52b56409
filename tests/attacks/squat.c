/*
 * squat WHAT [ARGUMENT...]: a box that outlives its whalebox, and attacks those
 * who remove its folder meanwhile.  It undoes PR_SET_PDEATHSIG, says "ready" when
 * its files are there, and then goes on without end, or for two minutes:
 *
 *   wait          does nothing
 *   move          moves folders from the depth to the top, and back
 *   swap TARGET   swaps folders, at every level, for links to TARGET
 *   mount         mounts: binds, and file systems in memory
 *   make          makes files and folders, in many processes
 *   take SOCKET   as make, but in the box whose root it is sent there
 *   send SOCKET   sends its own root there, and waits
 *   wild          leaves a tree of all that is hard to remove, and waits
 *   dead          leaves a tree of the usual kind, and waits
 *   as ID WHAT... does that as another user of the box, who has its "/"
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

enum { EXCHANGE = 2 };          /* RENAME_EXCHANGE; musl has no renameat2 */
enum { FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

/* What has to work for the attack to be one. */
static int must(int result, const char *what) {
    if (result < 0) {
        perror(what);
        _exit(3);
    }
    return result;
}

/* To PID 1 of a namespace a signal without a handler does nothing. */
static void end(int sig) {
    (void)sig;
    _exit(0);
}

static void ready(void) {
    puts("ready");
    fflush(stdout);
}

static int make_file(int dir, const char *name) {
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

/* Make the folder NAME in DIR, and open it. */
static int make_folder(int dir, const char *name) {
    must(mkdirat(dir, name, 0755), name);
    return must(openat(dir, name, FOLDER), name);
}

static void make_files(int dir, int count) {
    char name[32];
    for (int i = 0; i < count; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        must(make_file(dir, name), name);
    }
}

/* How many entries the folder has. */
static int count_entries(int dir_fd) {
    static _Alignas(struct dirent) char buffer[1 << 16];
    int count = 0;
    long length;
    lseek(dir_fd, 0, SEEK_SET);
    while ((length = syscall(SYS_getdents64, dir_fd, buffer,
                             sizeof(buffer))) > 0)
        for (long at = 0; at < length; count++)
            at += ((struct dirent *)(buffer + at))->d_reclen;
    return count;
}

/* Chains of folders, and in each at the bottom a folder that it takes a while to
 * empty.  Who stands in it while it is moved to the top, and then goes up as
 * often as he went down, is far above the box.  Every other one is moved when
 * somebody has begun to empty it; the others all the time. */
enum { CHAINS = 8, DEPTH = 25, FILES = 800 };

static void move(void) {
    static int bottom_fd[CHAINS], mover_fd[CHAINS], is_up[CHAINS];
    char name[32];
    int root_fd = must(open("/", FOLDER), "/");
    for (int i = 0; i < CHAINS; i++) {
        snprintf(name, sizeof(name), "chain%d", i);
        int dir_fd = make_folder(root_fd, name);
        for (int level = 0; level < DEPTH; level++) {
            int next_fd = make_folder(dir_fd, "down");
            close(dir_fd);
            dir_fd = next_fd;
        }
        bottom_fd[i] = dir_fd;
        mover_fd[i] = make_folder(dir_fd, "mover");
        make_files(mover_fd[i], FILES);
    }
    ready();
    for (;;)
        for (int i = 0; i < CHAINS; i++) {
            snprintf(name, sizeof(name), "mover%d", i);
            if (is_up[i]) {
                renameat(root_fd, name, bottom_fd[i], "mover");
                is_up[i] = 0;
            } else if (i % 2 || count_entries(mover_fd[i]) < FILES + 2) {
                renameat(bottom_fd[i], "mover", root_fd, name);
                is_up[i] = i % 2;
            }
        }
}

/* A folder and a link in the folder DIR_FD change places all the time.  When one
 * has been removed there are two new ones, with new names, as overlay goes on to
 * believe that the old ones are there; every other folder has mode 0. */
static void swap_in(int dir_fd, const char *target) {
    char folder[32], link[32];
    for (unsigned int n = 0;; n++) {
        snprintf(folder, sizeof(folder), "folder%u", n);
        snprintf(link, sizeof(link), "link%u", n);
        if (symlinkat(target, dir_fd, link) < 0 ||
            mkdirat(dir_fd, folder, 0755) < 0)
            _exit(0);
        int folder_fd = openat(dir_fd, folder, FOLDER | O_NOFOLLOW);
        if (folder_fd >= 0) {
            make_file(folder_fd, "f");
            fchmod(folder_fd, n % 2 ? 0 : 0755);
            close(folder_fd);
        }
        while (syscall(SYS_renameat2, dir_fd, folder, dir_fd, link,
                       EXCHANGE) == 0)
            ;
    }
}

static void swap(const char *target) {
    enum { LEVELS = 3, BESIDE = 2 };
    char name[32];
    int dir_fd = must(open("/", FOLDER), "/");
    for (int level = 0; level < LEVELS; level++) {
        int next_fd = dir_fd;
        for (int i = 0; i < BESIDE; i++) {
            snprintf(name, sizeof(name), "level%d.%d", level, i);
            next_fd = make_folder(dir_fd, name);
            make_files(next_fd, 20);
            if (fork() == 0)
                swap_in(next_fd, target);
        }
        dir_fd = next_fd;
    }
    usleep(100000);             /* until they swap */
    ready();
    for (;;)
        pause();
}

/* Mounts of the box's own: the folders below are in its layer. */
static void mount_much(void) {
    int root_fd = must(open("/", FOLDER), "/");
    make_files(make_folder(root_fd, "from"), 10);
    close(make_folder(root_fd, "bound"));
    close(make_folder(root_fd, "memory"));
    make_files(make_folder(root_fd, "covered"), 10);
    must(mount("/from", "/bound", NULL, MS_BIND, NULL), "mount(bind)");
    must(mount("/volume", "/covered", NULL, MS_BIND, NULL), "mount(volume)");
    must(mount("none", "/memory", "tmpfs", 0, NULL), "mount(tmpfs)");
    make_files(must(open("/memory", FOLDER), "/memory"), 10);
    ready();
    for (;;) {
        mount("/from", "/memory", NULL, MS_BIND, NULL);
        umount2("/memory", MNT_DETACH);
        usleep(1000);
    }
}

/* Make files and folders in the folder DIR_FD, whatever happens to them, each with
 * a new name, as overlay goes on to believe that the old ones are there. */
static void make_without_end(int dir_fd) {
    enum { MAKERS = 6, EACH = 300 };
    char name[64];
    for (int n = 1; n < MAKERS; n++)
        if (fork() == 0)
            break;
    for (unsigned int i = 0;; i++) {
        snprintf(name, sizeof(name), "n%d.%u", getpid(), i);
        if (i % 3 == 0)
            mkdirat(dir_fd, name, 0755);
        else
            make_file(dir_fd, name);
        snprintf(name, sizeof(name), "n%d.%u", getpid(), i - EACH);
        unlinkat(dir_fd, name, (i - EACH) % 3 == 0 ? AT_REMOVEDIR : 0);
    }
}

static int open_socket(struct sockaddr_un *address, const char *path) {
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
    return must(socket(AF_UNIX, SOCK_STREAM, 0), "socket");
}

/* A message of a byte, with room for a descriptor. */
union control {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(int))];
};

static void take_root(const char *path) {
    struct sockaddr_un address = { 0 };
    union control control = { 0 };
    char byte;
    struct iovec io = { &byte, 1 };
    struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1,
        .msg_control = control.room, .msg_controllen = sizeof(control.room) };
    int listener_fd = open_socket(&address, path), dir_fd;
    must(bind(listener_fd, (struct sockaddr *)&address, sizeof(address)), path);
    must(listen(listener_fd, 1), path);
    chmod(path, 0777);
    ready();
    int peer_fd = must(accept(listener_fd, NULL, NULL), "accept");
    must((int)recvmsg(peer_fd, &message, 0), "recvmsg");
    memcpy(&dir_fd, CMSG_DATA(&control.header), sizeof(dir_fd));
    must(mkdirat(dir_fd, "taken", 0755), "mkdirat(taken)");
    puts("taken");
    fflush(stdout);
    make_without_end(dir_fd);
}

static void send_root(const char *path) {
    struct sockaddr_un address = { 0 };
    union control control = { 0 };
    char byte = 'x';
    struct iovec io = { &byte, 1 };
    struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1,
        .msg_control = control.room, .msg_controllen = sizeof(control.room) };
    int peer_fd = open_socket(&address, path);
    int dir_fd = must(open("/", FOLDER), "/");
    must(connect(peer_fd, (struct sockaddr *)&address, sizeof(address)), path);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(dir_fd));
    memcpy(CMSG_DATA(&control.header), &dir_fd, sizeof(dir_fd));
    must((int)sendmsg(peer_fd, &message, 0), "sendmsg");
    ready();
    for (;;)
        pause();
}

/* Names of every byte but '/' and 0, many files, a deep tree, folders that
 * nobody may enter, and every kind of file. */
static void grow_wild(int files, int depth) {
    char name[8] = { 0 };
    struct sockaddr_un address = { 0 };
    int root_fd = must(open("/", FOLDER), "/");
    int odd_fd = make_folder(root_fd, "odd");
    for (int byte = 1; byte < 256; byte++) {
        snprintf(name, sizeof(name), "%c%c%c", byte, byte, byte);
        if (byte != '/')
            must(byte % 2 ? make_file(odd_fd, name)
                          : mkdirat(odd_fd, name, 0700), "an odd name");
    }
    make_files(make_folder(root_fd, "many"), files);
    int dir_fd = make_folder(root_fd, "deep");
    for (int level = 0; level < depth; level++) {
        int next_fd = make_folder(dir_fd, "d");
        must(make_file(dir_fd, "f"), "f");
        close(dir_fd);
        dir_fd = next_fd;
    }
    close(dir_fd);
    dir_fd = make_folder(root_fd, "closed");
    for (int level = 0; level < 30; level++) {
        int next_fd = make_folder(dir_fd, "c");
        must(make_file(dir_fd, "f"), "f");
        must(fchmod(dir_fd, 0), "fchmod");
        close(dir_fd);
        dir_fd = next_fd;
    }
    must(fchmod(dir_fd, 0), "fchmod");
    must(mkfifoat(root_fd, "fifo", 0600), "fifo");
    must(symlinkat("/", root_fd, "link"), "link");
    must(symlinkat("nowhere", root_fd, "dangling"), "dangling");
    int socket_fd = open_socket(&address, "/socket");
    must(bind(socket_fd, (struct sockaddr *)&address, sizeof(address)), "bind");
    mknodat(root_fd, "white", S_IFCHR, 0);      /* a whiteout, if we may */
    unlink("/etc/passwd");                      /* another */
    ready();
}

static void leave_tree(void) {
    char name[32];
    int root_fd = must(open("/", FOLDER), "/");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "tree%d", i);
        int dir_fd = make_folder(root_fd, name);
        make_files(dir_fd, 10);
        int next_fd = make_folder(dir_fd, "sub");
        make_files(next_fd, 10);
        close(make_folder(next_fd, "subsub"));
        must(fchmod(next_fd, i % 2 ? 0 : 0755), "fchmod");
        close(next_fd);
        close(dir_fd);
    }
    ready();
}

/* Be the user ID of the box: what is made from now on only that one, or root of
 * a user namespace that has it, can remove. */
static void become(const char *id) {
    uid_t uid = (uid_t)atoi(id);
    must(chmod("/", 0777), "chmod(/)");
    must(setgid(uid), "setgid");
    must(setuid(uid), "setuid");
}

int main(int argc, char **argv) {
    if (argc > 3 && strcmp(argv[1], "as") == 0) {
        become(argv[2]);
        argc -= 2;
        argv += 2;
    }
    const char *what = argc > 1 ? argv[1] : "";
    const char *more = argc > 2 ? argv[2] : "/";
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, end);
    alarm(600);                 /* nothing here is for ever */
    umask(0);
    must(prctl(PR_SET_PDEATHSIG, 0), "prctl");
    if (strcmp(what, "move") == 0)
        move();
    else if (strcmp(what, "swap") == 0)
        swap(more);
    else if (strcmp(what, "mount") == 0)
        mount_much();
    else if (strcmp(what, "make") == 0) {
        ready();
        make_without_end(must(open("/", FOLDER), "/"));
    } else if (strcmp(what, "take") == 0)
        take_root(more);
    else if (strcmp(what, "send") == 0)
        send_root(more);
    else if (strcmp(what, "wild") == 0)
        grow_wild(argc > 2 ? atoi(argv[2]) : 100, argc > 3 ? atoi(argv[3]) : 50);
    else if (strcmp(what, "dead") == 0)
        leave_tree();
    else
        ready();
    for (;;)
        pause();
}
