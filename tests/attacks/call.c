/*
 * call NUMBER [ARGUMENT...]: make one system call, and print what it returns,
 * or why it failed.  No libc stands between, which might check or change
 * something.  What is no number is passed as text, that is, by its address.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

int main(int argc, char **argv) {
    long word[7] = { 0 };               /* the number, then six arguments */
    for (int i = 0; i < 7 && i + 1 < argc; i++) {
        char *text = argv[i + 1], *end;
        word[i] = (long)strtoul(text, &end, 0);
        if (end == text || *end)
            word[i] = (long)text;
    }
    long result = syscall(word[0], word[1], word[2], word[3], word[4],
                          word[5], word[6]);
    if (result == 0 && word[0] == SYS_clone)
        return 0;                       /* the child: its parent tells of it */
    if (result < 0)
        puts(strerror(errno));
    else
        printf("%ld\n", result);
}
