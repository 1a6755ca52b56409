/*
 * sanitize.c: how the sanitizers behave in `make sanitize`, linked in since a
 * box's environment is its own.  86 is an exit status that no test expects.  A
 * search for leaks does not work under strace, and whalebox allocates nothing.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void) {
    return "exitcode=86:detect_leaks=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) {
    return "exitcode=86:print_stacktrace=1";
}
