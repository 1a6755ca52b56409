/*
 * environ ENTRY... -- COMMAND...: runs COMMAND with these entries, which may be
 * such as no shell would make, for its whole environment.
 */
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i++)
        if (strcmp(argv[i], "--") == 0) {
            argv[i] = NULL;             /* ends the environment */
            execve(argv[i + 1], argv + i + 1, argv + 1);
        }
    return 1;                           /* no --, or no such command */
}
