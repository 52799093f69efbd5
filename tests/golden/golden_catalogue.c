/*
 * The catalogue as other versions of the program know it: what a number means stays for ever, and what is new raises
 * CATALOGUE_REVISION, because the first open by a later revision is when a store applies what waited for it. Compared
 * with catalogue.txt. UPDATE=1 rewrites the file; it refuses when something is gone or has another meaning, and when
 * the revision was not raised.
 */
#include "schema/catalogue.h"
#include "schema/catalogue/codes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 1 << 18, LINE_MAX_BYTES = 256 };

static const char path[] = TEST_SOURCE_DIR "/golden/catalogue.txt";

static const char *const merges[] = {
#define X(name, number, zh, en) [number] = #name,
    MERGE_TABLE(X)
#undef X
};

static const char *const classes[] = {
#define X(name, number, zh, en) [number] = #name,
    CLASS_TABLE(X)
#undef X
};

static const char *const types[] = { "TEXT", "INT", "BOOL", "CODE", "CODES", "TEXTS", "DATE", "INSTANT", "REF", "USER",
    "STATION" };

/* One line per number. Bounds, labels and masks may change; what is here may not. */
static void put_catalogue(FILE *out)
{
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    fprintf(out, "revision %d\n", (int)CATALOGUE_REVISION);
    for (size_t i = 0; i < count; i++) {
        const struct entity_desc *d = &entities[i];
        fprintf(out, "entity %d %s\n", (int)d->entity, d->name);
        for (size_t k = 0; k < d->field_count; k++) {
            const struct field *f = &d->fields[k];
            fprintf(out, "field %d.%u %s.%s %s %s %s%s%s%s\n", (int)d->entity, f->number, d->name, f->name,
                types[f->type], classes[f->class_], merges[f->merge],
                (f->flags & FIELD_REQUIRED) != 0 ? " required" : "", (f->flags & FIELD_GROUP) != 0 ? " group" : "",
                (f->flags & FIELD_DOSSIER) != 0 ? " dossier" : "");
        }
    }
    const struct code_list *const *lists = codes_all(&count);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            const struct code *c = &lists[i]->codes[k];
            fprintf(out, "code %s.%d %s rank %d\n", lists[i]->name, (int)c->number, c->key, (int)c->rank);
        }
    }
}

static bool has_line(const char *text, const char *line, size_t len)
{
    for (const char *at = text; (at = strstr(at, line)) != NULL; at++) {
        if ((at == text || at[-1] == '\n') && at[len] == '\n') {
            return true;
        }
    }
    return false;
}

/* Every line of the old text but its revision must stand in the new one. */
static int nothing_is_gone(const char *old, const char *new)
{
    int gone = 0;
    for (const char *at = strchr(old, '\n'); at != NULL && at[1] != '\0'; at = strchr(at + 1, '\n')) {
        char line[LINE_MAX_BYTES];
        size_t len = strcspn(at + 1, "\n");
        (void)snprintf(line, sizeof(line), "%.*s", (int)len, at + 1);
        if (!has_line(new, line, strlen(line))) {
            fprintf(stderr, "gone or of another meaning, which is never allowed: %s\n", line);
            gone = 1;
        }
    }
    return gone;
}

static int revision_of(const char *text)
{
    return strncmp(text, "revision ", 9) == 0 ? atoi(text + 9) : 0;
}

static int judge(const char *old, const char *new)
{
    if (strcmp(old, new) == 0) {
        return 0;
    }
    int rc = nothing_is_gone(old, new);
    if (rc == 0 && revision_of(new) <= revision_of(old)) {
        fprintf(stderr, "the catalogue has more than revision %d had: raise CATALOGUE_REVISION\n", revision_of(old));
        rc = 1;
    }
    if (rc == 0 && getenv("UPDATE") == NULL) {
        fprintf(stderr, "the catalogue has grown: UPDATE=1 golden_catalogue, then review the diff\n");
        rc = 1;
    }
    return rc;
}

static int write_file(const char *text)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        return 1;
    }
    return 0;
}

int main(void)
{
    char *new = calloc(1, TEXT_MAX);
    char *old = calloc(1, TEXT_MAX);
    FILE *out = new == NULL ? NULL : fmemopen(new, TEXT_MAX - 1, "w");
    FILE *file = fopen(path, "rb");
    int rc = 1;
    if (out != NULL && old != NULL) {
        put_catalogue(out);
        (void)fclose(out);
        if (file != NULL) {
            old[fread(old, 1, TEXT_MAX - 1, file)] = '\0';
            (void)fclose(file);
        }
        rc = judge(old, new);
        if (rc == 0 && strcmp(old, new) != 0) {
            rc = write_file(new);
        }
    }
    free(new);
    free(old);
    return rc;
}
