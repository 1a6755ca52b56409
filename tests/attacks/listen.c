/*
 * listen NAME: listen at the abstract Unix socket @NAME, say so, and end at a
 * line of standard input.  An abstract socket is in no file system: no private
 * root hides it.
 */
#include <stdio.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *name = argc > 1 ? argv[1] : "";
    size_t length = strlen(name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (length >= sizeof(address.sun_path))
        return 2;
    memcpy(address.sun_path + 1, name, length); /* after a zero byte */
    length += offsetof(struct sockaddr_un, sun_path) + 1;
    if (bind(fd, (struct sockaddr *)&address, (socklen_t)length) < 0 ||
        listen(fd, 1) < 0) {
        perror(name);
        return 1;
    }
    puts("listening");
    fflush(stdout);
    return getchar() == EOF;
}
