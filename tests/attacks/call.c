/*
 * call NAME|NUMBER [ARGUMENT...]: make one system call, and print what it
 * returns, or why it failed.  No libc stands between, which might check or change
 * something.  What is no number is passed as text, that is, by its address.  The
 * names are those of calls that have another number on another processor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

#define CALL(name) { #name, SYS_##name }
static const struct { const char *name; long number; } calls[] = {
    CALL(add_key), CALL(clone), CALL(getegid), CALL(geteuid), CALL(getpid),
    CALL(ioctl), CALL(keyctl), CALL(mount), CALL(prctl), CALL(request_key),
    CALL(setgroups), CALL(socket),
};

int main(int argc, char **argv) {
    long word[7] = { 0 };               /* the number, then six arguments */
    for (int i = 0; i < 7 && i + 1 < argc; i++) {
        char *text = argv[i + 1], *end;
        word[i] = (long)strtoul(text, &end, 0);
        if (end == text || *end)
            word[i] = (long)text;
    }
    for (size_t i = 0; argc > 1 && i < sizeof(calls) / sizeof(calls[0]); i++)
        if (strcmp(argv[1], calls[i].name) == 0)
            word[0] = calls[i].number;
    long result = syscall(word[0], word[1], word[2], word[3], word[4],
                          word[5], word[6]);
    if (result == 0 && word[0] == SYS_clone)
        return 0;                       /* the child: its parent tells of it */
    if (result < 0)
        puts(strerror(errno));
    else
        printf("%ld\n", result);
}
