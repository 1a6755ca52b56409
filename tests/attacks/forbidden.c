/*
 * forbidden: make each system call that is only for administrators, print what
 * those say that were not refused, and how many were.  The arguments are all
 * -1, no address, no file and no flags that any of them takes: a call that goes
 * through does nothing.  vhangup has none, hence the session of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define CALL(name) { #name, SYS_##name }
static const struct { const char *name; long number; } calls[] = {
    CALL(syslog), CALL(vhangup), CALL(pivot_root), CALL(acct),
    CALL(settimeofday), CALL(mount), CALL(umount2), CALL(swapon), CALL(swapoff),
    CALL(reboot), CALL(sethostname), CALL(setdomainname), CALL(init_module),
    CALL(delete_module), CALL(quotactl), CALL(nfsservctl), CALL(lookup_dcookie),
    CALL(clock_settime), CALL(mbind), CALL(set_mempolicy), CALL(get_mempolicy),
    CALL(kexec_load), CALL(add_key), CALL(request_key), CALL(keyctl),
    CALL(migrate_pages), CALL(unshare), CALL(move_pages), CALL(perf_event_open),
    CALL(fanotify_init), CALL(open_by_handle_at), CALL(setns), CALL(kcmp),
    CALL(finit_module), CALL(kexec_file_load), CALL(bpf), CALL(userfaultfd),
    CALL(io_uring_setup), CALL(io_uring_enter), CALL(io_uring_register),
    CALL(open_tree), CALL(move_mount), CALL(fsopen), CALL(fsconfig),
    CALL(fsmount), CALL(fspick), CALL(pidfd_getfd), CALL(process_madvise),
    CALL(mount_setattr),
    { "quotactl_fd", 443 }, { "set_mempolicy_home_node", 450 },
#ifdef __x86_64__
    /* What a younger processor's kernel never had. */
    CALL(uselib), CALL(ustat), CALL(sysfs), CALL(_sysctl), CALL(iopl),
    CALL(ioperm), CALL(create_module), CALL(get_kernel_syms),
    CALL(query_module), CALL(getpmsg), CALL(putpmsg), CALL(afs_syscall),
    CALL(tuxcall), CALL(security), CALL(vserver),
#endif
};
enum { COUNT = sizeof(calls) / sizeof(calls[0]) };

int main(void) {
    int blocked = 0;
    if (fork() != 0)
        return wait(NULL) < 0;
    setsid();                           /* no terminal to hang up */
    for (int i = 0; i < COUNT; i++) {
        errno = 0;
        syscall(calls[i].number, -1L, -1L, -1L, -1L, -1L, -1L);
        if (errno == EPERM)
            blocked++;
        else
            printf("%s: %s\n", calls[i].name,
                   errno ? strerror(errno) : "done");
    }
    printf("blocked %d of %d\n", blocked, COUNT);
}
