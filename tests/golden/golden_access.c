/*
 * The whole access matrix as text: role x entity x class x row scope x action, with the purposes that open it, compared
 * with access_matrix.txt. UPDATE=1 rewrites the file, so that a change of policy is read as a diff by a person.
 *
 * Fields of one entity that everybody may use alike share one block. Cell letters, in this order:
 *   read C clear M masked A aggregate X match; search S; export C or M; create c; update u; delete d; decide D;
 *   conflict view C M A X without a purpose; - is denied.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "schema/base/check.h"
#include "sync/access.h"

enum { TEXT_MAX = 1 << 20, BLOCK_MAX = 1 << 13, CELL_CHARS = 8 };

struct out {
    char *text;
    size_t len, max;
};

static void put(struct out *o, const char *text)
{
    size_t n = strlen(text);
    check(n < o->max - o->len);
    memcpy(o->text + o->len, text, n + 1);
    o->len += n;
}

struct facts {
    const char *name;
    bool has_consent, has_order;
};

static const struct facts FACTS[] = { { "", false, false }, { "+consent", true, false }, { "+order", false, true } };

struct scope_name {
    uint32_t scope;
    const char *name;
};

/* Scopes as they really come together: a row of my station is also of my group. */
static const struct scope_name SCOPES[] = { { SCOPE_OWN | SCOPE_STATION | SCOPE_GROUP, "own" },
    { SCOPE_OWN | SCOPE_GROUP, "away" }, { SCOPE_STATION | SCOPE_GROUP, "st" }, { SCOPE_TASK | SCOPE_GROUP, "task" },
    { SCOPE_GROUP, "grp" } };

static char view_letter(enum view v)
{
    static const char letters[] = "-XAMC";
    return letters[v];
}

static enum view ask(struct access_query q, enum action action, enum purpose purpose)
{
    q.action = action;
    q.purpose = purpose;
    return access_decide(&q).view;
}

/* The best view over all purposes. */
static enum view ask_best(struct access_query q, enum action action)
{
    enum view best = ask(q, action, PURPOSE_NONE);
    for (unsigned bit = 0; bit < 11; bit++) {
        enum view v = ask(q, action, (enum purpose)(1U << bit));
        best = v > best ? v : best;
    }
    return best;
}

static void cell(const struct access_query *q, char out[CELL_CHARS + 1])
{
    static const enum action writes[] = { ACTION_CREATE, ACTION_UPDATE, ACTION_DELETE, ACTION_DECIDE };
    static const char letters[] = "cudD";
    out[0] = view_letter(ask_best(*q, ACTION_READ));
    out[1] = ask_best(*q, ACTION_SEARCH) == VIEW_CLEAR ? 'S' : '-';
    out[2] = view_letter(ask_best(*q, ACTION_EXPORT));
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        out[3 + i] = ask(*q, writes[i], PURPOSE_NONE) == VIEW_CLEAR ? letters[i] : '-';
    }
    struct access_query plain = *q;
    plain.purpose = PURPOSE_NONE;
    out[7] = view_letter(access_conflict_view(&plain).view);
    out[CELL_CHARS] = '\0';
}

/* Lists the purposes that give the best view of a read in the widest scope. */
static void put_purposes(struct out *o, struct access_query q)
{
    q.scope = SCOPE_ALL;
    enum view best = ask_best(q, ACTION_READ);
    if (best == VIEW_DENY) {
        return;
    }
    if (ask(q, ACTION_READ, PURPOSE_NONE) == best) {
        put(o, "  no purpose needed");
        return;
    }
    put(o, " ");
    for (unsigned bit = 0; bit < 11; bit++) {
        enum purpose p = (enum purpose)(1U << bit);
        if (ask(q, ACTION_READ, p) == best) {
            put(o, " ");
            put(o, purpose_name(p));
        }
    }
}

/* One role's line under the given facts; nothing is written if all cells are denied. */
static void put_role(struct out *o, struct access_query q, enum role r, const struct facts *facts)
{
    char line[512];
    struct out l = { .text = line, .max = sizeof(line) };
    line[0] = '\0';
    q.roles = role_bit(r);
    q.has_consent_sensitive = facts->has_consent;
    q.has_open_order = facts->has_order;
    bool is_empty = true;
    for (size_t i = 0; i < ARRAY_LEN(SCOPES); i++) {
        char text[CELL_CHARS + 1];
        q.scope = SCOPES[i].scope;
        cell(&q, text);
        put(&l, " ");
        put(&l, SCOPES[i].name);
        put(&l, "=");
        put(&l, text);
        is_empty = is_empty && strcmp(text, "--------") == 0;
    }
    if (is_empty) {
        return;
    }
    put_purposes(&l, q);
    put(o, "  ");
    put(o, role_name(r));
    put(o, line);
    if (facts->name[0] != '\0') {
        put(o, "  ");
        put(o, facts->name);
    }
    put(o, "\n");
}

/* All roles' lines for one field (or the row); a line under further facts only where it differs. */
static void put_block(struct out *o, const struct entity_desc *d, const struct field *f)
{
    struct access_query q = { .entity = d, .field = f };
    for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
        char plain[512] = "", other[512] = "";
        struct out p = { .text = plain, .max = sizeof(plain) };
        put_role(&p, q, (enum role)i, &FACTS[0]);
        put(o, plain);
        for (size_t k = 1; k < ARRAY_LEN(FACTS); k++) {
            struct out x = { .text = other, .max = sizeof(other) };
            other[0] = '\0';
            struct facts unnamed = FACTS[k];
            unnamed.name = "";
            put_role(&x, q, (enum role)i, &unnamed);
            if (strcmp(plain, other) != 0) {
                put_role(o, q, (enum role)i, &FACTS[k]);
            }
        }
    }
}

static const char *class_name(enum class_ c)
{
    static const char *const names[] = {
#define X(name, number, zh, en) [number] = en,
        CLASS_TABLE(X)
#undef X
    };
    return names[c];
}

/* Fields with equal blocks and equal class are listed together, under the first of them. */
static void put_fields(struct out *o, const struct entity_desc *d)
{
    static char blocks[FIELDS_PER_ENTITY_MAX][BLOCK_MAX];
    bool is_done[FIELDS_PER_ENTITY_MAX] = { false };
    for (size_t i = 0; i < d->field_count; i++) {
        struct out b = { .text = blocks[i], .max = BLOCK_MAX };
        blocks[i][0] = '\0';
        put_block(&b, d, &d->fields[i]);
    }
    for (size_t i = 0; i < d->field_count; i++) {
        if (is_done[i]) {
            continue;
        }
        put(o, " ");
        put(o, class_name(d->fields[i].class_));
        put(o, ":");
        for (size_t k = i; k < d->field_count; k++) {
            if (strcmp(blocks[i], blocks[k]) == 0 && d->fields[i].class_ == d->fields[k].class_) {
                is_done[k] = true;
                put(o, " ");
                put(o, d->fields[k].name);
            }
        }
        put(o, "\n");
        put(o, blocks[i][0] == '\0' ? "  nobody\n" : blocks[i]);
    }
}

static void put_admin(struct out *o)
{
    static const char *const names[] = { [ADMIN_USERS] = "users",
        [ADMIN_NODES] = "nodes",
        [ADMIN_AUDIT_READ] = "audit read",
        [ADMIN_AUDIT_VERIFY] = "audit verify",
        [ADMIN_CONFLICT_LIST] = "conflict list",
        [ADMIN_VERIFY_STORE] = "verify store",
        [ADMIN_DUMP] = "dump",
        [ADMIN_STATEHASH] = "statehash",
        [ADMIN_IMPORT] = "import",
        [ADMIN_EXPORT] = "export",
        [ADMIN_SYNC] = "sync",
        [ADMIN_POLICY_READ] = "policy read",
        [ADMIN_PEERS] = "peers" };
    put(o, "\nadministration\n");
    for (size_t right = 0; right < ARRAY_LEN(names); right++) {
        put(o, "  ");
        put(o, names[right]);
        put(o, ":");
        for (unsigned i = ROLE_NONE + 1; i < ROLE_COUNT; i++) {
            if (access_admin(role_bit((enum role)i), (enum admin_right)right).view == VIEW_CLEAR) {
                put(o, " ");
                put(o, role_name((enum role)i));
            }
        }
        put(o, "\n");
    }
}

static void put_matrix(struct out *o)
{
    put(o,
        "# Access matrix, generated from sync/policy.def by tests/golden/golden_access.c (UPDATE=1 rewrites).\n"
        "# Cell: read C clear M masked A aggregate X match, search S, export C M, create c, update u, delete d,\n"
        "# decide D, conflict view without a purpose; - denied.\n"
        "# Scope: own (of my station), away (own, of another station), st (my station's), task (with an open task),\n"
        "# grp (any other of the group). A new row takes the scope it will have.\n"
        "# A role that is not listed is denied everywhere. Purposes: those that give the best view.\n");
    size_t count = 0;
    const struct entity_desc *entities = catalogue_entities(&count);
    for (size_t i = 0; i < count; i++) {
        put(o, "\n");
        put(o, entities[i].name);
        put(o, access_needs_purpose(&entities[i]) ? " (personal)\n" : "\n");
        put(o, " row\n");
        put_block(o, &entities[i], NULL);
        put_fields(o, &entities[i]);
    }
    put_admin(o);
}

/* The first line that differs, so that a failure can be read without a diff tool. */
static void report(const char *want, const char *got)
{
    int line = 1;
    while (*want != '\0' && *want == *got) {
        line += *want == '\n';
        want++;
        got++;
    }
    fprintf(stderr, "access matrix differs at line %d, near: %.60s\n  now: %.60s\n", line, want, got);
    fprintf(stderr, "if the change of policy is meant: UPDATE=1 golden_access, then review the diff\n");
}

/* 0 if the file holds exactly this text; with is_update the file is written first. */
static int compare(const char *path, const struct out *o, char *want, bool is_update)
{
    FILE *file = fopen(path, is_update ? "wb" : "rb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    size_t n = is_update ? fwrite(o->text, 1, o->len, file) : fread(want, 1, TEXT_MAX - 1, file);
    if (fclose(file) != 0 || n != o->len || (!is_update && memcmp(want, o->text, n) != 0)) {
        report(want, o->text);
        return 1;
    }
    return 0;
}

int main(void)
{
    struct out o = { .text = calloc(1, TEXT_MAX), .max = TEXT_MAX };
    char *want = calloc(1, TEXT_MAX);
    int rc = 1;
    if (o.text != NULL && want != NULL) {
        put_matrix(&o);
        rc = compare(TEST_SOURCE_DIR "/golden/access_matrix.txt", &o, want, getenv("UPDATE") != NULL);
    }
    free(want);
    free(o.text);
    return rc;
}
