/*
 * odd make DIR     makes a folder of files with all that an archive can get wrong
 * odd list DIR [NAME...]   prints all that there is to know of each file below it,
 *                  or below these names in it, a line each: type, mode, owner, group, size, time of change in ns, hash,
 *                  xattrs, hard links, and a link's target
 *
 * An owner that this caller cannot give is left out, and said on standard error.
 * Names, targets and values are printed with all but plain characters as \xx.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

static struct { dev_t dev; ino_t ino; char *first; } linked[4096];
static int linked_count;

static _Noreturn void fail(const char *what) {
    perror(what);
    exit(1);
}

static int must(int result, const char *what) {
    if (result < 0)
        fail(what);
    return result;
}

/* ---- Make -------------------------------------------------------------- */

static const char *in(const char *format, ...) {
    static char texts[4][PATH_MAX];
    static int next;
    va_list arguments;

    next = (next + 1) % 4;
    va_start(arguments, format);
    vsnprintf(texts[next], PATH_MAX, format, arguments);
    va_end(arguments);
    return texts[next];
}

static void make_file(const char *name, const char *content) {
    int fd = must(open(name, O_CREAT | O_EXCL | O_WRONLY, 0644), name);
    must((int)write(fd, content, strlen(content)), name);
    close(fd);
}

static void make_folder(const char *name) {
    must(mkdir(name, 0755), name);
}

/* Every byte but NUL and /, alone, and in the middle of a word. */
static void make_names(void) {
    static const char *const more[] = {
        "..x", "...", "-", "--checkpoint=1", "--checkpoint-action=exec=touch pwned",
        "-C", "-T", "@list", "*", "a*", "[a]", "{a,b}", "?", "\\", "\\\\", "\\n",
        "\\134", "\\0101", " ", " lead", "trail ", "trail\n", "a\nb", "\"", "'", "`id`",
        "$HOME", "#", "!", "~", "x.wh.y", ".whx", "wh.", "%s", "a:b", "a=b", "\xc3\xa9",
        "e\xcc\x81", "\xff\xfe", "\xf0\x9f\x90\x8b", "CON", "pax_global_header",
    };
    make_folder("names");
    make_folder("inner");
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/')
            continue;
        if (byte != '.')
            make_file(in("names/%c", byte), "alone");
        make_file(in("inner/a%cb", byte), "between");
    }
    for (size_t i = 0; i < sizeof(more) / sizeof(more[0]); i++)
        if (access(in("names/%s", more[i]), F_OK) < 0)
            make_file(in("names/%s", more[i]), more[i]);
}

static void make_long_names(void) {
    static char name[256], path[PATH_MAX] = "long";

    memset(name, 'n', 255);
    make_folder(path);
    for (int level = 0; level < 4; level++) {
        strcat(path, "/");
        strncat(path, name, level == 0 ? 255 : 90);
        make_folder(path);
    }
    make_file(in("%s/file", path), "deep");
    must(symlink(path, "long/to"), "long/to");
    must(link(in("%s/file", path), "long/hard"), "long/hard");
}

static void make_links(void) {
    make_folder("links");
    make_file("links/one", "one");
    must(link("links/one", "links/two"), "two");
    make_folder("links/inner");
    must(link("links/one", "links/inner/three"), "three");
    make_file("links/empty", "");
    must(link("links/empty", "links/empty-too"), "empty-too");
    must(symlink("nowhere/at all", "links/nowhere"), "nowhere");
    must(symlink("/", "links/top"), "top");
    must(symlink("../../../../../../..", "links/up"), "up");
    must(symlink("odd\n\t\\ \xff", "links/odd"), "odd");
    must(symlink("circle", "links/circle"), "circle");
    must(link("links/nowhere", "links/hard-to-a-link"), "hard-to-a-link");
}

static void make_modes(void) {
    static const mode_t modes[] = { 0, 0111, 04755, 02755, 06711, 01644, 07777, 0400 };
    make_folder("modes");
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        make_file(in("modes/file.%o", modes[i]), "x");
        must(chmod(in("modes/file.%o", modes[i]), modes[i]), "chmod");
        make_folder(in("modes/folder.%o", modes[i]));
        make_file(in("modes/folder.%o/file", modes[i]), "y");
        must(chmod(in("modes/folder.%o", modes[i]), modes[i]), "chmod");
    }
    must(mkfifo("modes/pipe", 0622), "mkfifo");
    make_folder("modes/empty");
}

static void make_owners(void) {
    static const uid_t ids[] = { 1, 33, 1000, 1001, 65533, 65534, 65535 };
    make_folder("owners");
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        const char *name = in("owners/%u", ids[i]);
        make_file(name, "x");
        if (chown(name, ids[i], ids[(i + 2) % 7]) < 0) {
            fprintf(stderr, "odd: no owner %u\n", ids[i]);
            continue;
        }
        must(chmod(name, 06751), "chmod");      /* chown(2) takes it away */
        make_folder(in("owners/folder.%u", ids[i]));
        must(chown(in("owners/folder.%u", ids[i]), ids[i], ids[i]), "chown");
        must(symlink("x", in("owners/link.%u", ids[i])), "symlink");
        must(lchown(in("owners/link.%u", ids[i]), ids[i], ids[i]), "lchown");
    }
}

/* Version 2, cap_net_raw+ep: see capabilities(7), and linux/capability.h. */
static const unsigned char capability[20] = { 1, 0, 0, 2, 0, 0x20 };

static void make_attributes(void) {
    static char value[3000];
    make_folder("attributes");
    make_file("attributes/file", "x");
    must(setxattr("attributes/file", "user.text", "a=b\nc", 5, 0), "user.text");
    must(setxattr("attributes/file", "user.bytes", "\0\1\377\0", 4, 0), "user.bytes");
    must(setxattr("attributes/file", "user.empty", "", 0, 0), "user.empty");
    memset(value, 'v', sizeof(value));
    must(setxattr("attributes/file", "user.long", value, sizeof(value), 0), "user.long");
    must(setxattr("attributes", "user.folder", "yes", 3, 0), "user.folder");
    make_file("attributes/able", "x");
    if (setxattr("attributes/able", "security.capability", capability,
                 sizeof(capability), 0) < 0)
        perror("odd: no capability");
}

static void make_sparse(void) {
    int fd = must(open("sparse", O_CREAT | O_WRONLY, 0644), "sparse");
    must(ftruncate(fd, 20 << 20), "sparse");
    must((int)pwrite(fd, "middle", 6, 7 << 20), "sparse");
    must((int)pwrite(fd, "end", 3, (20 << 20) - 3), "sparse");
    close(fd);
    fd = must(open("hole", O_CREAT | O_WRONLY, 0644), "hole");
    must(ftruncate(fd, 5 << 20), "hole");
    close(fd);
}

static void make_times(void) {
    static const struct timespec times[] = {
        { 0, 0 }, { 1, 123456789 }, { 1000000000, 999999999 }, { 4294967296, 1 },
        { 7258118400, 0 },
    };
    make_folder("times");
    for (int i = 0; i < 5; i++) {
        struct timespec both[2] = { times[i], times[i] };
        make_file(in("times/%d", i), "x");
        make_folder(in("times/folder.%d", i));
        must(symlink("x", in("times/link.%d", i)), "symlink");
        make_file(in("times/folder.%d/file", i), "y");
        must(utimensat(AT_FDCWD, in("times/%d", i), both, 0), "utimensat");
        must(utimensat(AT_FDCWD, in("times/folder.%d", i), both, 0), "utimensat");
        must(utimensat(AT_FDCWD, in("times/link.%d", i), both, AT_SYMLINK_NOFOLLOW),
             "utimensat");
    }
}

/* ---- List -------------------------------------------------------------- */

static void print_bytes(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (byte > ' ' && byte < 127 && byte != '\\')
            putchar(byte);
        else
            printf("\\%02x", byte);
    }
}

/* FNV-1a */
static uint64_t add_to_hash(uint64_t hash, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    return hash;
}

static void print_hash(int dir_fd, const char *name) {
    static char buffer[65536];
    uint64_t hash = 14695981039346656037u;
    ssize_t got;

    int fd = must(openat(dir_fd, name, O_RDONLY | O_NOFOLLOW), name);
    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        hash = add_to_hash(hash, buffer, (size_t)got);
    must((int)got, name);
    close(fd);
    printf(" %016llx", (unsigned long long)hash);
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Overlay's own are no part of the file, and a label is the host's. */
static void print_attributes(const char *path) {
    static char names[65536], value[65536];
    char *sorted[256] = { NULL };
    int count = 0;

    ssize_t length = llistxattr(path, names, sizeof(names));
    for (ssize_t at = 0; at < length; at += (ssize_t)strlen(names + at) + 1) {
        if (count == sizeof(sorted) / sizeof(sorted[0])) {
            errno = E2BIG;
            fail(path);
        }
        sorted[count++] = names + at;
    }
    qsort(sorted, (size_t)count, sizeof(sorted[0]), compare);
    for (int i = 0; i < count; i++) {
        ssize_t size = lgetxattr(path, sorted[i], value, sizeof(value));
        if (strcmp(sorted[i], "security.selinux") == 0)
            continue;
        putchar(' ');
        print_bytes(sorted[i], strlen(sorted[i]));
        putchar('=');
        if (size > 100)
            printf("%lld bytes, %llx", (long long)size, (unsigned long long)
                   add_to_hash(14695981039346656037u, value, (size_t)size));
        else
            print_bytes(value, size < 0 ? 0 : (size_t)size);
    }
}

static void print_links(const struct stat *st, const char *path) {
    if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
        return;
    for (int i = 0; i < linked_count; i++)
        if (linked[i].dev == st->st_dev && linked[i].ino == st->st_ino) {
            fputs(" is ", stdout);
            print_bytes(linked[i].first, strlen(linked[i].first));
            return;
        }
    if (linked_count == 4096)
        exit(2);
    linked[linked_count].dev = st->st_dev;
    linked[linked_count].ino = st->st_ino;
    linked[linked_count++].first = strdup(path);
    printf(" links %lu", (unsigned long)st->st_nlink);
}

static void list_entry(int dir_fd, const char *name, const char *path);

static void list_folder(int fd, const char *path) {
    struct dirent *entry;
    char *names[4096];
    int count = 0;

    DIR *folder = fdopendir(fd);
    if (!folder)
        fail(path);
    while ((entry = readdir(folder)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            count < 4096)
            names[count++] = strdup(entry->d_name);
    qsort(names, (size_t)count, sizeof(names[0]), compare);
    for (int i = 0; i < count; i++) {
        char *inner = malloc(strlen(path) + strlen(names[i]) + 2);
        sprintf(inner, "%s/%s", path, names[i]);
        list_entry(fd, names[i], inner);
        free(inner);
        free(names[i]);
    }
    closedir(folder);
}

/* The path is too long for a call, so the working folder is the one it is in. */
static void list_entry(int dir_fd, const char *name, const char *path) {
    struct stat st;

    must(fchdir(dir_fd), path);
    must(lstat(name, &st), path);
    print_bytes(path, strlen(path));
    printf(" %c%04o %u:%u", "?pc?d?b?-?l?s"[st.st_mode >> 12], st.st_mode & 07777,
           st.st_uid, st.st_gid);
    if (!S_ISDIR(st.st_mode))
        printf(" %lld", (long long)st.st_size);
    printf(" %lld.%09ld", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    if (S_ISREG(st.st_mode))
        print_hash(dir_fd, name);
    print_attributes(name);
    print_links(&st, path);
    if (S_ISLNK(st.st_mode)) {
        char target[PATH_MAX];
        int length = must((int)readlink(name, target, sizeof(target)), path);
        fputs(" to ", stdout);
        print_bytes(target, (size_t)length);
    }
    putchar('\n');
    if (S_ISDIR(st.st_mode))
        list_folder(must(openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
                         path), path);
}

int main(int argc, char **argv) {
    umask(022);
    if (argc == 3 && strcmp(argv[1], "make") == 0) {
        make_folder(argv[2]);
        must(chdir(argv[2]), argv[2]);
        make_names();
        make_long_names();
        make_links();
        make_modes();
        make_owners();
        make_attributes();
        make_sparse();
        make_times();
        return 0;
    }
    if (argc >= 3 && strcmp(argv[1], "list") == 0) {
        int dir_fd = must(open(argv[2], O_RDONLY | O_DIRECTORY), argv[2]);
        if (argc == 3)
            list_entry(dir_fd, ".", ".");
        for (int i = 3; i < argc; i++)
            list_entry(dir_fd, argv[i], argv[i]);
        return 0;
    }
    return 2;
}
