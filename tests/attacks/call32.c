/*
 * call32 NAME: make a system call without arguments, getpid or unshare, as a
 * 32-bit program makes it, by its way into the kernel and by its numbers, and
 * print that it was made, or why it failed.
 *
 * A program for x86-64 can do that itself.  On arm64 only a 32-bit program can:
 * here is one, which is run if the processor still knows how.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#ifdef __x86_64__
enum { GETPID = 20, UNSHARE = 310 };    /* i386's */

static int call(int number) {
    int result;                         /* 32 bits: an errno, negated */
    __asm__ volatile("int $0x80" : "=a"(result)
                     : "a"(number), "b"(0), "c"(0), "d"(0), "S"(0), "D"(0)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}
#else
#include <elf.h>
#include <sys/mman.h>
enum { GETPID = 20, UNSHARE = 337 };    /* those of 32-bit Arm */
enum { PLACE = 0x10000 };               /* where the program is in memory */

/* A program that makes the call, and ends by a signal of its own if the answer
 * is EPERM, as it may then not be able to end in another way. */
static int call(int number) {
    struct {
        Elf32_Ehdr head;
        Elf32_Phdr segment;
        unsigned int code[9];
    } program = {
        .head = {
            .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS32, ELFDATA2LSB,
                         EV_CURRENT },
            .e_type = ET_EXEC, .e_machine = EM_ARM, .e_version = EV_CURRENT,
            .e_entry = PLACE + sizeof(Elf32_Ehdr) + sizeof(Elf32_Phdr),
            .e_phoff = sizeof(Elf32_Ehdr), .e_flags = EF_ARM_EABI_VER5,
            .e_ehsize = sizeof(Elf32_Ehdr), .e_phnum = 1,
            .e_phentsize = sizeof(Elf32_Phdr),
        },
        .segment = {
            .p_type = PT_LOAD, .p_vaddr = PLACE, .p_filesz = sizeof(program),
            .p_memsz = sizeof(program), .p_flags = PF_R | PF_X,
            .p_align = 0x10000,
        },
        .code = {
            0xe3007000 | (unsigned int)number,  /* movw r7, number */
            0xe3a00000,                         /* mov  r0, 0 */
            0xef000000,                         /* svc  0 */
            0xe3700000 | EPERM,                 /* cmn  r0, EPERM: r0 = -EPERM? */
            0x1a000000,                         /* bne  the next but one */
            0xe7f000f0,                         /* udf  0 */
            0xe3a00000,                         /* mov  r0, 0 */
            0xe3a07001,                         /* mov  r7, 1: exit */
            0xef000000,                         /* svc  0 */
        },
    };
    char *const argv[] = { "call", NULL };
    int status, program_fd = memfd_create("call", MFD_CLOEXEC);

    write(program_fd, &program, sizeof(program));
    pid_t pid = fork();
    if (pid == 0) {
        fexecve(program_fd, argv, argv + 1);
        _exit(errno);
    }
    waitpid(pid, &status, 0);
    if (WIFEXITED(status))
        return -WEXITSTATUS(status);
    return WTERMSIG(status) == SIGILL ? -EPERM : -EIO;
}
#endif

int main(int argc, char **argv) {
    int number = argc > 1 && strcmp(argv[1], "unshare") == 0 ? UNSHARE : GETPID;
    int result = call(number);
    puts(result < 0 ? strerror(-result) : "done");
}
