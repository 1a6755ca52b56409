/*
 * fuzz.c: whalebox's parsers under libFuzzer, which makes up input, watches
 * what code it reaches, and goes on from what reached more.  `make fuzz`.
 *
 * The whole program is included here, with the system taken away from it: its
 * files are the fuzzer's input, and instead of ending, of opening a file for
 * itself or of sharing memory it comes back to the test.  A crash, what the
 * sanitizers find and a check() that fails are bugs.
 *
 * TARGET, in the environment, names the test.  The input is text; in some tests
 * a line of its own, "--", parts one file from the next.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

static jmp_buf test;                    /* where to come back to, and why */
enum { BEGUN, REFUSED, ENDED, STARTED };        /* 0 when nobody came back */
static struct { const char *path, *content; } files[3];
static const char *unread = "";         /* of the file that is open */
static void *blocks[1 << 14];           /* what it allocated: reset() frees it */
static size_t block_count;

static void check(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "fuzz: it does not hold: %s\n", what);
        abort();
    }
}
#define CHECK(condition) check(!!(condition), #condition)

/* The stand-ins for what whalebox calls. */

static _Noreturn void stub__exit(int status) {
    (void)status;
    longjmp(test, REFUSED);
}

static _Noreturn void stub_exit(int status) {
    (void)status;
    longjmp(test, ENDED);
}

/* A run begins with open(2): what comes then is no parser's. */
static _Noreturn int stub_open(const char *path, int flags, ...) {
    (void)path, (void)flags;
    longjmp(test, STARTED);
}

/* The doctor begins with memory to share, for nothing is there to be parsed. */
static _Noreturn void *stub_mmap(void *place, size_t length, int protection,
                                 int flags, int fd, off_t offset) {
    (void)place, (void)length, (void)protection, (void)flags, (void)fd;
    (void)offset;
    longjmp(test, STARTED);
}

static int stub_openat(int dir, const char *path, int flags, ...) {
    (void)dir, (void)flags;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (files[i].path && strcmp(files[i].path, path) == 0) {
            unread = files[i].content;
            return 3;
        }
    errno = ENOENT;
    return -1;
}

static ssize_t stub_read(int fd, void *buffer, size_t size) {
    size_t length = strnlen(unread, size);
    (void)fd;
    memcpy(buffer, unread, length);
    unread += length;
    return (ssize_t)length;
}

/* Messages go nowhere; none of them has what a terminal would obey. */
static ssize_t stub_write(int fd, const void *bytes, size_t size) {
    const unsigned char *byte = bytes;
    for (size_t i = 0; fd == 2 && i < size; i++)
        CHECK(byte[i] == '\n' || (byte[i] >= ' ' && byte[i] != 0x7f));
    return (ssize_t)size;
}

/* Some paths may be written, and others not. */
static int stub_access(const char *path, int mode) {
    (void)mode;
    return strlen(path) % 2 ? 0 : -1;
}

static int stub_close(int fd) {
    return fd < 0 ? -1 : 0;
}

static int stub_fstat(int fd, struct stat *st) {
    (void)fd;
    memset(st, 0, sizeof(*st));
    st->st_mode = S_IFREG | 0600;
    st->st_size = (off_t)strlen(unread);
    st->st_uid = 1000;
    return 0;
}

static uid_t stub_getuid(void) {        /* whoever it is that tests */
    return 1000;
}

/* whalebox frees nothing, and thousands of runs would take all the memory. */
static void *keep(void *block) {
    CHECK(block && block_count < sizeof(blocks) / sizeof(blocks[0]));
    blocks[block_count++] = block;
    return block;
}

static void *stub_malloc(size_t size) {
    return keep(malloc(size));
}

static void *stub_calloc(size_t count, size_t size) {
    return keep(calloc(count, size));
}

static char *stub_strdup(const char *string) {
    return keep(strdup(string));
}

static int stub_vasprintf(char **string, const char *format, va_list args) {
    int length = vasprintf(string, format, args);
    keep(*string);
    return length;
}

#define main whalebox_main
#define _exit stub__exit
#define exit stub_exit
#define open stub_open
#define mmap stub_mmap
#define openat stub_openat
#define read stub_read
#define write stub_write
#define access stub_access
#define close stub_close
#define fstat stub_fstat
#define getuid stub_getuid
#define geteuid stub_getuid
#define malloc stub_malloc
#define calloc stub_calloc
#define strdup stub_strdup
#define vasprintf stub_vasprintf
#include "../../whalebox.c"     /* NOLINT(bugprone-suspicious-include) */

/* Everything that a run sets, as it is at the start. */
static void reset(void) {
    static char path[] = "PATH=/bin";
    static const struct box start = { .cgroup = -1, .userns = -1 };
    box = start;
    memset(&opt, 0, sizeof(opt));
    opt.variables[0] = path;
    now.chapter = 0;
    now.call = "";
    our_command = NULL;
    base_path = "";
    memset(given, 0, sizeof(given));
    found_record = no_record;
    draft = NULL;
    draft_length = 0;
    draft_room = 0;
    memset(&chosen, 0, sizeof(chosen));
    memset(files, 0, sizeof(files));
    while (block_count > 0)
        free(blocks[--block_count]);
}

/* Cuts the first line, or the first part up to a line "--", off TEXT. */
static char *cut(char **text, const char *mark) {
    char *first = *text, *end = strstr(first, mark);
    *text = end ? end + strlen(mark) : first + strlen(first);
    if (end)
        *end = '\0';
    return first;
}

/* The words are the lines.  Whatever they are, main() runs a box, or a command
 * of its own, or refuses: to return with nothing done would be a lie. */
static void test_options(char *input) {
    static char *argv[64];              /* longjmp(3) must not lose them */
    static int argc;
    static char name[] = "whalebox";
    memset(argv, 0, sizeof(argv));
    argv[0] = name;
    for (argc = 1; *input && argc < (int)LENGTH(argv) - 1; argc++)
        argv[argc] = strdup(cut(&input, "\n"));
    switch (setjmp(test)) {
    case BEGUN:
        whalebox_main(argc, argv);
        CHECK(!"main() returns only after a run");
        break;
    case STARTED:
        CHECK(opt.memory <= LLONG_MAX && opt.pids <= 4194304);
        CHECK(opt.cpus == 0 || opt.cpus >= 1000);
        CHECK(opt.shares == 0 || (opt.shares >= 2 && opt.shares <= 262144));
        CHECK(opt.volume_count <= LENGTH(opt.volumes));
        CHECK(!opt.variables[LENGTH(opt.variables) - 1]);
        CHECK(!given[LENGTH(given) - 1].option);
        break;
    }
}

/* Whether SETTER accepts VALUE. */
static int accepts(void (*setter)(const struct option *, const char *),
                   void *into, const char *value) {
    static struct option o = {
        .name = "fuzz", .value = "N", .help = "a value",
        .low = 1, .high = LLONG_MAX
    };
    o.set = setter;
    o.into = into;
    if (setjmp(test) != BEGUN)
        return 0;
    setter(&o, value);
    return 1;
}

/* A value that is accepted has to be what it is taken for. */
static void test_values(char *input) {
    static const char first[] = "abcdefghijklmnopqrstuvwxyz"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    unsigned long long number = 0, bits = 0;
    const char *name = NULL;
    size_t digits = strspn(input, "0123456789");
    if (accepts(set_number, &number, input)) {
        CHECK(digits && !input[digits]);
        CHECK(number == strtoull(input, NULL, 10) && number <= LLONG_MAX);
        CHECK(number > 0);
    }
    if (accepts(set_size, &number, input)) {
        CHECK(digits && (!input[digits] || !input[digits + 1]));
        CHECK(number > 0 && number <= LLONG_MAX);
        CHECK(number >= strtoull(input, NULL, 10));
    }
    if (accepts(set_cpus, &number, input)) {
        double cpus = strtod(input, NULL) * 100000;
        CHECK(digits && strspn(input, "0123456789.") == strlen(input));
        CHECK((double)number > cpus - 1 && (double)number < cpus + 1);
        CHECK(number >= 1000);
    }
    if (accepts(set_name, &name, input)) {
        CHECK(strchr(first, *input) && *input);
        CHECK(strlen(input) <= 63 && !strchr(input, '/'));
        CHECK(strcmp(name, input) == 0);
    }
    if (accepts(add_capability, &bits, input))
        CHECK(bits && !(bits & ~ALL_CAPS));
    if (accepts(add_variable, NULL, input) && strchr(input, '='))
        CHECK(strcmp(opt.variables[0], input) == 0 ||
              strcmp(opt.variables[1], input) == 0);
    if (accepts(add_volume, NULL, input)) {
        CHECK(opt.volumes[0].source && *opt.volumes[0].source);
        CHECK(*opt.volumes[0].target == '/');
    }
}

/* /etc/passwd and /etc/subuid: which ids a box has, of a user's and of root's.
 * None are our own, and root's are nobody else's. */
static void test_ranges(char *input) {
    struct range own = { 1000, 1 }, theirs;
    files[0].path = "/etc/passwd";
    files[0].content = cut(&input, "--\n");
    files[1].path = "/etc/subuid";
    files[1].content = input;
    uids.grants.content = uids.accounts.content = NULL;
    uids.range.count = 0;
    own_name = own_number = "1000";
    if (setjmp(test) != BEGUN)
        return;
    choose_granted_range(&uids, 1000);
    CHECK(!uids.range.count || !have_common(&uids.range, &own));
    CHECK(uids.range.start + uids.range.count <= UINT_MAX);
    choose_free_range(&uids);
    CHECK(uids.range.count >= WHOLE_RANGE);
    CHECK(uids.range.start + uids.range.count <= UINT_MAX);
    CHECK(!find_other(&uids, &uids.range, &theirs));
}

/* /proc/self/mounts, of which the input is the first fields of each line, and
 * /proc/self/cgroup. */
static void test_cgroups(char *input) {
    static char mounts[1 << 17];
    char *rest = cut(&input, "--\n");
    size_t length = 0;
    while (*rest && length < sizeof(mounts) - PATH_MAX) {
        char *line = cut(&rest, "\n"), *source = cut(&line, " ");
        char *target = cut(&line, " "), *type = cut(&line, " ");
        length += (size_t)sprintf(mounts + length, "%.999s /%.999s %.99s rw 0 "
                                  "0\n", source, target, type);
    }
    mounts[length] = '\0';
    files[0].path = "/proc/self/mounts";
    files[0].content = mounts;
    files[1].path = "/proc/self/cgroup";
    files[1].content = input;
    if (setjmp(test) != BEGUN)
        return;
    if (find_base() == 0)
        CHECK(*base_path == '/');
}

/* A step that fails, in any chapter, for any reason; then its hint's file. */
static void test_hints(char *input) {
    static const char *const conditions[] = {
        "/proc/sys/user/max_user_namespaces", "/proc/self/cgroup",
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
    };
    static char program[] = "/proc/self/cgroup", *argv[] = { program, NULL };
    unsigned char chapter = (unsigned char)*input, reason;
    char *call = *input ? input + 1 : input;
    box.argv = argv;                    /* a file that has to be there */
    reason = (unsigned char)*call;
    call += *call ? 1 : 0;
    char *first = cut(&call, "--\n");
    for (size_t i = 0; i < LENGTH(files); i++) {
        files[i].path = *call ? conditions[i] : NULL;   /* or it is missing */
        files[i].content = call;
    }
    if (setjmp(test) == BEGUN) {
        step(chapter % (LAST_CHAPTER + 1), first, NULL);
        errno = reason % 134;
        die();
    }
}

/* The number of the user WORD, as FILE has it, or -1. */
static long user_of(const char *word, const char *file) {
    files[0].path = "/etc/passwd";
    files[0].content = file;
    if (setjmp(test) != BEGUN)
        return -1;
    return find_id(word, "/etc/passwd", 2);
}

/* -u, and the /etc/passwd of a rootfs, maybe a stranger's.  What number a user
 * has must not depend on what follows that user's line. */
static void test_users(char *input) {
    char *word = cut(&input, "\n"), *line = input;
    size_t length = strlen(word);
    long id = user_of(word, input);
    CHECK(id < (long)UINT_MAX);
    if (setjmp(test) == BEGUN)
        CHECK(!strpbrk(find_home(word), ":\n"));
    while (strncmp(line, word, length) != 0 || line[length] != ':') {
        line = strchr(line, '\n');
        if (!line)
            return;                     /* there is no such user */
        line++;
    }
    line[strcspn(line, "\n")] = '\0';
    CHECK(user_of(word, input) == id);
}

/* A box's mark, by which its first process is found, and may be killed. */
static void test_marks(char *input) {
    struct mark mark;
    files[0].path = "box";
    files[0].content = input;
    if (read_mark(3, &mark) == 0) {
        CHECK(mark.pid <= INT_MAX);
        CHECK(*mark.boot && strlen(mark.boot) <= 36);
        CHECK(!strpbrk(mark.boot, " \n"));
    }
}

/* A box's record, which anything may have been written to since, and its words,
 * any of which have to come out as they went in. */
static void test_records(char *input) {
    files[0].path = "config";
    files[0].content = input;
    if (setjmp(test) == BEGUN) {
        if (read_record(3, "one") < 0) {
            CHECK(!*found_record);      /* nothing of it is left to believe */
        } else {
            CHECK(strcmp(value_of("name"), "one") == 0);
            CHECK(value_of("command") && value_of("boot_id"));
            CHECK(atoll(value_of("pid_start")) >= 0);
            set_recorded();
            CHECK(split_command(value_of("command"))[0]);
        }
    }
    char *words = text("%s end", escape_word(input));
    char *next = take_word(words);
    CHECK(strcmp(words, input) == 0);
    CHECK(next && !take_word(next) && strcmp(next, "end") == 0);
}

/* A document of an image's, which a stranger wrote.  What is made of it is a word
 * or a list, and says so. */
static void test_json(char *input) {
    if (setjmp(test) != BEGUN || !is_json(input))
        return;
    const char *whole = skip_space(input);
    const char *list = value_in_object(whole, "history");
    CHECK(strlen(skip_value(whole, MOST_NESTED)) < strlen(whole));
    for (const char *v = NULL; (v = next_element(list, v)); )
        CHECK(v > input && v < input + strlen(input));
    CHECK(!element_of(list, count_elements(list)));
    CHECK(seconds_in(whole, "created") >= 0);
    find_history(whole, 1);
    choose_manifest(whole);
    take_config(value_in_object(whole, "config"));
    CHECK(!chosen.workdir || *chosen.workdir == '/');
    CHECK(!chosen.stop_signal || find_signal(chosen.stop_signal) > 0);
    for (size_t i = 0; chosen.variables[i]; i++)
        CHECK(strchr(chosen.variables[i], '=') > chosen.variables[i]);
}

/* A header of an archive, and then a long one: what is let through stays in the
 * layer. */
static void test_archives(char *input) {
    static struct header block;
    size_t length = strlen(input);
    memset(&block, 0, sizeof(block));
    memcpy(&block, input, length < BLOCK ? length : BLOCK);
    memset(&entry, 0, sizeof(entry));
    opt.max_size = 1 << 20;
    if (setjmp(test) != BEGUN)
        return;
    set_plain_header(&block, "", "");
    set_long_header(input, length < MOST_HEADER ? length : MOST_HEADER);
    CHECK(entry.attributes_length <= MOST_HEADER);
    check_entry();
    CHECK(entry.uid <= HIGHEST_ID && entry.gid <= HIGHEST_ID);
    CHECK(*entry.name != '/' && strncmp(entry.name, "../", 3) != 0);
    CHECK(!strstr(text("/%s/", entry.name), "/../"));
    CHECK(entry.type != '1' || !strstr(text("/%s/", entry.link), "/../"));
}

static const struct {
    const char *name;
    void (*test)(char *input);
} targets[] = {
    { "options", test_options }, { "values", test_values },
    { "ranges", test_ranges }, { "cgroups", test_cgroups },
    { "hints", test_hints }, { "users", test_users },
    { "marks", test_marks }, { "records", test_records },
    { "json", test_json }, { "archives", test_archives },
};
static void (*target)(char *input);

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    const char *name = getenv("TARGET");
    (void)argc, (void)argv;
    for (size_t i = 0; i < LENGTH(targets); i++)
        if (name && strcmp(name, targets[i].name) == 0)
            target = targets[i].test;
    CHECK(target);
    return 0;
}

/* One input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *input = strndup((const char *)data, size);
    reset();
    target(input);
    free(input);
    return 0;
}
