/*
 * replay FILE...: fuzz.c on these inputs alone, without libFuzzer, which only
 * clang has: what the fuzzer begins with, and what it has found.  `make replay`.
 */
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv) {
    static uint8_t input[1 << 20];
    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "re");
        if (!file) {
            perror(argv[i]);
            return 1;
        }
        size_t size = fread(input, 1, sizeof(input), file);
        fclose(file);
        LLVMFuzzerTestOneInput(input, size);
    }
    return 0;
}
