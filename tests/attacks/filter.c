/*
 * filter: read lines "NAME NUMBER", as calls.sh prints them, and print them with
 * what whalebox's filter says, as the kernel would find it: of a call, ALLOW, EPERM
 * or ENOSYS; of an ABI (AUDIT_ARCH_..., linux/audit.h), "some" if there is a call
 * that is not refused with EPERM, else EPERM.
 *
 * The whole program is included here, with syscall(2) taken away from it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

static struct sock_filter its_code[4096];       /* what the kernel is to run */

/* In the place of seccomp(SECCOMP_SET_MODE_FILTER, 0, program). */
static long stub_syscall(long number, ...) {
    struct sock_fprog *program;
    va_list list;
    va_start(list, number);
    if (number != SYS_seccomp ||
        va_arg(list, int) != SECCOMP_SET_MODE_FILTER || va_arg(list, int) != 0)
        exit(1);
    program = va_arg(list, struct sock_fprog *);
    memcpy(its_code, program->filter, program->len * sizeof(its_code[0]));
    va_end(list);
    return 0;
}

static int stub_prctl(int operation, ...) {
    return operation == PR_GET_SECCOMP ? SECCOMP_MODE_FILTER : -1;
}

#define main whalebox_main
#define syscall stub_syscall
#define prctl stub_prctl
#include "../../whalebox.c"     /* NOLINT(bugprone-suspicious-include) */
#undef main

/* What the filter says of the call NUMBER, without arguments, by the ABI ARCH. */
static unsigned int judge(unsigned int arch, unsigned int number) {
    struct seccomp_data data = { .arch = arch, .nr = (int)number };
    unsigned int word = 0;              /* the machine's one register */
    for (const struct sock_filter *i = its_code;; i++) {
        int holds = 0;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            memcpy(&word, (char *)&data + i->k, sizeof(word));
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            i += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:  holds = word == i->k;      break;
        case BPF_JMP | BPF_JGT | BPF_K:  holds = word > i->k;       break;
        case BPF_JMP | BPF_JGE | BPF_K:  holds = word >= i->k;      break;
        case BPF_JMP | BPF_JSET | BPF_K: holds = (word & i->k) != 0; break;
        default:
            abort();                    /* an instruction that we do not know */
        }
        i += holds ? i->jt : i->jf;
    }
}

static const char *verdict(unsigned int number) {
    switch (judge(OUR_ABI, number)) {
    case SECCOMP_RET_ALLOW:          return "ALLOW";
    case SECCOMP_RET_ERRNO | EPERM:  return "EPERM";
    case SECCOMP_RET_ERRNO | ENOSYS: return "ENOSYS";
    }
    return "nonsense";
}

/* Of all the numbers that a call could have, with x32's bit and without. */
static const char *verdict_on_abi(unsigned int arch) {
    static const unsigned int bits[] = { 0, X32_BIT };
    for (size_t i = 0; i < LENGTH(bits); i++)
        for (unsigned int number = 0; number < 4096; number++)
            if (judge(arch, bits[i] | number) != (SECCOMP_RET_ERRNO | EPERM))
                return "some";
    return "EPERM";
}

int main(void) {
    char name[80];
    unsigned int number;
    filter_system_calls();
    while (scanf("%79s %u", name, &number) == 2)
        printf("%s %u %s\n", name, number, strncmp(name, "AUDIT_ARCH_", 11) ?
               verdict(number) : verdict_on_abi(number));
}
