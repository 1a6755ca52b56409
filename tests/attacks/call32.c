/*
 * call32 NUMBER: make a system call without arguments as a program for i386
 * makes it, by its way into the kernel and by its numbers, and print what it
 * returns or why it failed.  A program for x86-64 can do that, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    long number = argc > 1 ? strtol(argv[1], NULL, 0) : -1;
    int result;                         /* 32 bits: an errno, negated */
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    if (result < 0)
        puts(strerror(-result));
    else
        printf("%d\n", result);
}
