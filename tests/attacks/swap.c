/* swap A B: exchange two names, over and over, until it is ended or ten
 * minutes are over: to be a folder at one moment and a link at the next. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/syscall.h>

#define EXCHANGE 2              /* RENAME_EXCHANGE; musl has no renameat2 */

int main(int argc, char **argv) {
    alarm(600);
    while (argc == 3 && syscall(SYS_renameat2, AT_FDCWD, argv[1], AT_FDCWD,
                                argv[2], EXCHANGE) == 0)
        ;
    perror("swap");
    return 1;
}
