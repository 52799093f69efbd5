/*
 * Owns: main() for fuzz targets in builds without libFuzzer. Feeds every file of the corpus directories named on the
 * command line to the target. An empty or missing directory is a failure, so that a test cannot pass by testing
 * nothing. Does not mutate, does not descend into sub-directories.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { INPUT_BYTES_MAX = 16 << 20 };

/* Exactly sized copy, so that a sanitizer sees a read one byte past the end. */
static bool replay_bytes(const uint8_t *ptr, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    if (copy == NULL) {
        return false;
    }
    if (len > 0) {
        memcpy(copy, ptr, len);
    }
    (void)LLVMFuzzerTestOneInput(copy, len);
    free(copy);
    return true;
}

static bool replay_file(const char *path, uint8_t *room)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    size_t len = fread(room, 1, INPUT_BYTES_MAX, file);
    bool is_whole = ferror(file) == 0 && fgetc(file) == EOF;
    (void)fclose(file);
    if (!is_whole) {
        fprintf(stderr, "%s: 读不完整或太大 / cannot be read whole or is too large\n", path);
        return false;
    }
    return replay_bytes(room, len);
}

/* Number of inputs replayed; 0 when the directory is missing or any input could not be read. */
static size_t replay_dir(const char *dir_path, uint8_t *room)
{
    DIR *dir = opendir(dir_path);
    if (dir == NULL) {
        fprintf(stderr, "%s: %s\n", dir_path, strerror(errno));
        return 0;
    }
    size_t count = 0;
    bool has_failed = false;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (e->d_name[0] == '.') {
            continue;
        }
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/%s", dir_path, e->d_name);
        if (n < 0 || (size_t)n >= sizeof path || !replay_file(path, room)) {
            has_failed = true;
            break;
        }
        count++;
    }
    (void)closedir(dir);
    return has_failed ? 0 : count;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "用法 / usage: %s CORPUS_DIR...\n", argv[0]);
        return 2;
    }
    uint8_t *room = malloc(INPUT_BYTES_MAX);
    if (room == NULL) {
        return 1;
    }
    int status = 0;
    for (int i = 1; i < argc && status == 0; i++) {
        size_t count = replay_dir(argv[i], room);
        printf("%s: %zu 个输入 / inputs\n", argv[i], count);
        status = count == 0 ? 1 : 0;
    }
    free(room);
    return status;
}
