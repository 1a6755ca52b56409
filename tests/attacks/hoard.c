/*
 * hoard MOST: take inotify instances, POSIX message queues and signals that are
 * pending, MOST of each, or all that can be had; print how many that are, and
 * keep them until standard input ends.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/inotify.h>
#include <sys/resource.h>

int main(int argc, char **argv) {
    struct rlimit files;
    int most = argc > 1 ? atoi(argv[1]) : 0, count;
    char name[32], byte;
    sigset_t held;

    getrlimit(RLIMIT_NOFILE, &files);   /* or they would be what ends first */
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);

    for (count = 0; count < most && inotify_init1(0) >= 0;)
        count++;
    printf("instances %d\n", count);

    for (count = 0; count < most; count++) {
        snprintf(name, sizeof(name), "/hoard.%d.%d", getpid(), count);
        if (mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, NULL) < 0)
            break;
        if (most == 1)
            mq_unlink(name);            /* the host has no namespace to end */
    }
    printf("queues %d\n", count);

    sigemptyset(&held);
    sigaddset(&held, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &held, NULL);
    for (count = 0; count < most; count++)
        if (sigqueue(getpid(), SIGRTMIN, (union sigval){ 0 }) < 0)
            break;
    printf("signals %d\n", count);

    fflush(stdout);
    while (read(0, &byte, 1) > 0)
        ;
}
