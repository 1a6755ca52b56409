/*
 * onpath N FOLDER COMMAND [ARG...]: run COMMAND with stream N open on FOLDER, by
 * O_PATH, as no shell can: nothing can be read from it, but openat(2) takes it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int fd = argc > 3 ? open(argv[2], O_PATH) : -1;
    if (fd < 0 || dup2(fd, atoi(argv[1])) < 0) {
        perror("onpath");
        return 125;
    }
    close(fd);
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
