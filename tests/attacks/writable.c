/*
 * writable PATH...: open for writing each file that is at or below these paths,
 * write nothing, and print those that could be opened, and how many of all.
 */
#define _XOPEN_SOURCE 700
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/stat.h>

static int opened, files;

static int try_file(const char *path, const struct stat *st, int type,
                    struct FTW *at) {
    (void)st, (void)at;
    if (type == FTW_F) {
        int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
        files++;
        if (fd >= 0) {
            opened++;
            puts(path);
            close(fd);
        }
    }
    return 0;                           /* go on */
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        if (nftw(argv[i], try_file, 16, FTW_PHYS) < 0)
            perror(argv[i]);
    printf("writable: %d of %d\n", opened, files);
}
