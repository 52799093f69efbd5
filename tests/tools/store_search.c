/*
 * Searches a store as somebody with its passphrase could: every page of the main file, free ones among them, and every
 * frame of its log, also those that no longer count, opened one by one. Prints how many hold each word. Give it a copy
 * of a node's directory: opening the store may settle its log.
 *
 * Usage: store_search DIR PASSPHRASE_FILE WORD...
 */
#include "node/vault/vault_on.h"
#include "schema/base/check.h"

#include <stdio.h>
#include <stdlib.h>

struct file {
    uint8_t *at;
    size_t len;
};

static struct file read_file(const char *dir, const char *name)
{
    char path[4096];
    struct file out = { NULL, 0 };
    (void)snprintf(path, sizeof(path), "%s%s", dir, name);
    FILE *f = fopen(path, "rbe");
    if (f == NULL) {
        return out;
    }
    check(fseek(f, 0, SEEK_END) == 0);
    long size = ftell(f);
    check(size >= 0 && fseek(f, 0, SEEK_SET) == 0);
    out.len = (size_t)size;
    out.at = malloc(out.len + 1);
    check(out.at != NULL && fread(out.at, 1, out.len, f) == out.len);
    (void)fclose(f);
    return out;
}

static bool has(const uint8_t *hay, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; n > 0 && i + n <= len; i++) {
        if (memcmp(hay + i, word, n) == 0) {
            return true;
        }
    }
    return false;
}

struct search {
    char **words;
    size_t *found;
    size_t count;
    size_t opened;
};

static void look(struct search *s, const uint8_t *plain, size_t len)
{
    s->opened++;
    for (size_t i = 0; i < s->count; i++) {
        s->found[i] += has(plain, len, s->words[i]) ? 1 : 0;
    }
}

static void search_pages(struct search *s, const struct vault *v, struct page_cipher *c, struct file main)
{
    uint8_t buf[VAULT_PAGE_BYTES];
    for (uint64_t page = 1; VAULT_HEADER_BLOCK_BYTES + page * VAULT_PAGE_BYTES <= main.len; page++) {
        memcpy(buf, main.at + VAULT_HEADER_BLOCK_BYTES + (page - 1) * VAULT_PAGE_BYTES, sizeof(buf));
        if (main_page_open(c, v->files, page, buf) == ERR_OK) {
            look(s, buf, sizeof(buf));
        }
    }
}

static void search_frames(struct search *s, const struct vault *v, struct page_cipher *c, struct file log)
{
    uint8_t buf[WAL_DISK_FRAME_BYTES];
    for (uint32_t i = 0; wal_frame_offset(i) + WAL_DISK_FRAME_BYTES <= log.len; i++) {
        memcpy(buf, log.at + wal_frame_offset(i), sizeof(buf));
        if (wal_frame_open(c, v->files, i, buf) == ERR_OK) {
            look(s, buf, sizeof(buf));
        }
    }
}

int main(int argc, char **argv)
{
    struct vault *v = NULL;
    struct why why = { { 0 }, { 0 } };
    struct page_cipher cipher = { .ctx = NULL };
    size_t found[16] = { 0 };
    struct search s = { .words = argv + 3, .found = found, .count = argc > 3 ? (size_t)argc - 3 : 0 };
    if (s.count == 0 || s.count > ARRAY_LEN(found)) {
        (void)fprintf(stderr, "usage: store_search DIR PASSPHRASE_FILE WORD...\n");
        return 2;
    }
    struct file log = read_file(argv[1], "/jipan.db-wal"); /* before opening changes it */
    struct file main = read_file(argv[1], "/jipan.db");
    struct file secret = read_file(argv[2], "");
    if (vault_open_on(disk_posix(), argv[1], SLOT_PASSPHRASE, bytes_of(secret.at, secret.len), &v, &why) != ERR_OK) {
        (void)fprintf(stderr, "store_search: %s\n", why.en);
        return 4;
    }
    check(page_cipher_init(&cipher) == ERR_OK);
    search_pages(&s, v, &cipher, main);
    size_t pages = s.opened;
    search_frames(&s, v, &cipher, log);
    (void)printf("pages %zu\nframes %zu\n", pages, s.opened - pages);
    for (size_t i = 0; i < s.count; i++) {
        (void)printf("%s %zu\n", s.words[i], found[i]);
    }
    page_cipher_release(&cipher);
    vault_close(v);
    free(log.at);
    free(main.at);
    free(secret.at);
    return 0;
}
