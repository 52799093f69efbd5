/*
 * Owns: making a commit from what a person asked to write. Invariants: one request is one commit; the context of every
 * part is exactly what the dossier has seen, but for gaps; what would change nothing is not written; ids of new records
 * come from the salt of the commit. Rights and validation were settled by the caller; values are checked again here, as
 * every other node will, and rights when the commit is applied.
 */
#include "sync/core_internal.h"
#include "sync/newer.h"

#include "schema/base/check.h"

#include <sodium.h>

/* One record reduced to the cells that will be written. */
struct draft_record {
    struct write_record *from;
    bool deletes;
    struct write_field *fields;
    size_t field_count;
    struct record_ref ref;
    uint32_t cells[CLASS_COUNT]; /* per key class */
};

struct draft_group {
    struct write_group *from;
    struct dossier dossier;
    struct vv context;
    uint8_t standing;
    struct draft_record *records;
    size_t record_count;
    uint32_t new_records;
};

struct drafting {
    struct core *c;
    struct mem *mem;
    struct arena *a;
    struct write_request *req;
    const struct member_user *author;
    struct draft_group *groups;
    size_t group_count;
    struct why *why;
};

static bool same_group_field(const struct field *f)
{
    return (f->flags & FIELD_GROUP) != 0;
}

static bool has_field(const struct write_field *fields, size_t count, const struct field *f)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].field == f) {
            return true;
        }
    }
    return false;
}

/* Whether this field of an existing row needs a cell; refuses what its rule forbids. */
static enum err field_needed(struct drafting *dr, const struct draft_record *rec, const struct row *row,
    const struct versions *versions, const struct write_field *wf, bool *needed)
{
    const struct field *f = wf->field;
    struct value current = row->values[catalogue_field_index(rec->from->desc, f)];
    enum err e = ERR_OK;
    *needed = wf->is_decision || !value_equal(current, wf->value);
    if (!*needed && (versions->contested >> f->number & 1) != 0) {
        /* Saying again what is shown settles a conflict that waits for a person, and is nothing otherwise. */
        e = core_is_open(dr->c, dr->a, rec->from->desc, f, rec->from->id, needed);
    }
    if (e != ERR_OK) {
        return e;
    }
    if (*needed && f->merge == MERGE_SET && !wf->is_decision) {
        struct value sum = VALUE_NONE;
        e = value_set_union(dr->a, current, wf->value, &sum);
        *needed = e == ERR_OK && !value_equal(sum, current);
        return e;
    }
    bool is_written = versions->at[f->number].node != 0 && current.type != VALUE_NULL;
    if (*needed && !wf->is_decision && is_written && (f->merge == MERGE_FIXED || rec->from->desc->is_event)) {
        return why_setf(dr->why, ERR_INVALID, "“%s”写定后不能改；需要更正时请新建一条记录",
            "'%s' is written once; to correct it create a new record", f->zh);
    }
    return ERR_OK;
}

/* Adds the other fields of a conflict group with their present values, so that a whole address wins or loses together.
 */
static enum err add_group_fields(
    struct drafting *dr, struct draft_record *rec, const struct row *row, struct write_field *fields, size_t *count)
{
    const struct entity_desc *d = rec->from->desc;
    bool any = false;
    for (size_t i = 0; i < *count; i++) {
        any = any || same_group_field(fields[i].field);
    }
    for (size_t i = 0; any && i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        if (same_group_field(f) && !has_field(fields, *count, f)) {
            fields[(*count)++] = (struct write_field){ .field = f, .value = row == NULL ? VALUE_NONE : row->values[i] };
        }
    }
    (void)dr;
    return ERR_OK;
}

static enum err draft_existing(struct drafting *dr, struct draft_group *g, struct draft_record *rec)
{
    struct row row = { 0 };
    struct versions versions;
    enum err e = dr->c->store->ops->row_get(dr->c->store, rec->from->desc->entity, rec->from->id, dr->a, &row);
    if (e == ERR_OK) {
        e = versions_take(row.versions, &versions);
    }
    for (size_t i = 0; e == ERR_OK && i < rec->from->field_count; i++) {
        bool needed = false;
        e = field_needed(dr, rec, &row, &versions, &rec->from->fields[i], &needed);
        if (e == ERR_OK && needed) {
            rec->fields[rec->field_count++] = rec->from->fields[i];
        }
    }
    if (e == ERR_OK) {
        e = add_group_fields(dr, rec, &row, rec->fields, &rec->field_count);
    }
    if (record_id_is_main(rec->from->id)) {
        rec->ref.kind = REF_MAIN;
    } else {
        rec->ref.kind = REF_SUFFIX;
        memcpy(rec->ref.suffix, rec->from->id.b + DOSSIER_ID_BYTES, RECORD_SUFFIX_BYTES);
    }
    (void)g;
    if (e == ERR_OK && rec->from->is_delete) {
        rec->deletes = !row.is_deleted;
        if (!rec->deletes && (versions.contested & 1) != 0) {
            e = core_is_open(dr->c, dr->a, rec->from->desc, NULL, rec->from->id, &rec->deletes);
        }
    }
    return e;
}

static size_t written_fields(const struct write_record *rec)
{
    size_t n = 0;
    for (size_t i = 0; i < rec->field_count; i++) {
        n += rec->fields[i].value.type != VALUE_NULL ? 1 : 0;
    }
    return n;
}

static enum err draft_record(struct drafting *dr, struct draft_group *g, struct write_record *from)
{
    struct draft_record *rec = &g->records[g->record_count];
    /* Of an existing record, the other fields of a conflict group may join. */
    size_t most = from->is_new ? written_fields(from) : from->field_count + from->desc->field_count;
    *rec = (struct draft_record){ .from = from };
    rec->fields = arena_array(dr->a, most, sizeof(*rec->fields));
    if (rec->fields == NULL) {
        return ERR_NOMEM;
    }
    if (!from->is_new) {
        enum err e = draft_existing(dr, g, rec);
        if (e == ERR_OK && (rec->field_count > 0 || rec->deletes)) {
            g->record_count++;
        }
        return e;
    }
    for (size_t i = 0; i < from->field_count; i++) {
        if (from->fields[i].value.type != VALUE_NULL) {
            rec->fields[rec->field_count++] = from->fields[i];
        }
    }
    if (rec->field_count == 0) {
        return why_set(
            dr->why, ERR_INVALID, "这条记录是空的；至少写一个字段", "the record is empty; give at least one field");
    }
    bool is_main = from->desc->home == HOME_MAIN_CUSTOMER || from->desc->home == HOME_MAIN_VEHICLE;
    rec->ref.kind = is_main ? REF_MAIN : REF_NEW;
    if (!is_main) {
        rec->ref.ordinal = g->new_records++;
    }
    g->record_count++;
    return ERR_OK;
}

static enum err load_dossier(struct drafting *dr, struct draft_group *g)
{
    struct core *c = dr->c;
    enum err e = c->store->ops->dossier_get(c->store, g->from->id, dr->a, &g->dossier);
    bool is_book = g->from->kind == DOSSIER_STATION_BOOK || g->from->kind == DOSSIER_GROUP_BOOK;
    if (e == ERR_OK && g->dossier.seen.len == 0 && !is_book) {
        return ERR_NOT_FOUND; /* only its secret is kept */
    }
    if (e == ERR_NOT_FOUND && is_book) {
        g->dossier = (struct dossier){ .id = g->from->id, .kind = g->from->kind, .station = g->from->station };
        return ERR_OK;
    }
    if (e != ERR_OK) {
        return e;
    }
    struct reader r = reader_of(g->dossier.seen);
    e = g->dossier.seen.len == 0 ? ERR_OK : vv_take(&r, dr->a, &g->context);
    if (e == ERR_OK && (g->dossier.flags & DOSSIER_HAS_GAP) != 0) {
        e = gap_context(c, dr->a, g->dossier.id, &g->context);
    }
    uint32_t owner = g->dossier.owner != 0 ? g->dossier.owner : g->dossier.creator;
    if (owner == dr->author->number) {
        g->standing = 2;
    } else if (core_manages(dr->author, g->dossier.station)) {
        g->standing = 1;
    }
    return e;
}

static enum err draft_group(struct drafting *dr, struct write_group *from)
{
    struct draft_group *g = &dr->groups[dr->group_count];
    *g = (struct draft_group){ .from = from };
    g->records = arena_array(dr->a, from->record_count, sizeof(*g->records));
    if (g->records == NULL) {
        return ERR_NOMEM;
    }
    enum err e = ERR_OK;
    if (from->is_new) {
        g->dossier = (struct dossier){ .kind = from->kind, .station = from->station, .creator = dr->author->number };
        g->standing = 2;
    } else {
        e = load_dossier(dr, g);
    }
    for (size_t i = 0; e == ERR_OK && i < from->record_count; i++) {
        e = draft_record(dr, g, &from->records[i]);
    }
    if (e == ERR_OK && g->record_count > 0) {
        dr->group_count++;
    }
    return e;
}

/* --- emission
 * ------------------------------------------------------------------------------------------------------------- */

struct emitting {
    struct drafting *dr;
    struct commit_header *header;
    const struct class_keys *keys;
    struct buf *out;
    struct buf *plain; /* the part at hand */
    struct buf *packed; /* the same, packed */
    struct own_part *parts;
    size_t part_count;
    struct own_cell *cells; /* of the part at hand */
    size_t cell_count;
    uint32_t group_index;
};

static void count_cells(struct draft_record *rec)
{
    rec->cells[CLASS_BUSINESS] += rec->deletes ? 1 : 0;
    for (size_t i = 0; i < rec->field_count; i++) {
        rec->cells[class_key(rec->fields[i].field->class_)]++;
    }
}

/* Writes a cell and notes it for core_take_own. A value that our own rules refuse is the caller's error. */
static void put_cell(
    struct emitting *em, const struct draft_group *g, const struct draft_record *rec, const struct part_cell *cell)
{
    const struct field *f = cell->number == 0 ? NULL : catalogue_field(rec->from->desc, cell->number);
    bool creates = rec->ref.kind == REF_NEW || (rec->ref.kind == REF_MAIN && g->from->is_new);
    part_put_cell(em->plain, cell);
    if (f != NULL && f->merge == MERGE_DERIVED) {
        return; /* nobody applies it */
    }
    enum err e = f == NULL ? ERR_OK : field_accepts(f, em->dr->a, cell->value);
    if (e != ERR_OK) {
        em->out->err = e == ERR_NOMEM ? e : ERR_DENIED;
        return;
    }
    em->cells[em->cell_count++] = (struct own_cell){ .cell = *cell,
        .at = { .desc = rec->from->desc,
            .field = f,
            .id = rec->from->id,
            .action = cell->is_decision   ? ACTION_DECIDE
                      : cell->number == 0 ? ACTION_DELETE
                      : creates           ? ACTION_CREATE
                                          : ACTION_UPDATE,
            .creates = creates } };
}

static void put_record(
    struct emitting *em, const struct draft_group *g, const struct draft_record *rec, enum class_ class_)
{
    const struct part_record head = {
        .entity = (uint32_t)rec->from->desc->entity, .ref = rec->ref, .cell_count = rec->cells[class_]
    };
    part_put_record(em->plain, &head);
    if (rec->deletes && class_ == CLASS_BUSINESS) {
        put_cell(em, g, rec, &(struct part_cell){ .number = 0, .value = value_int(1) });
    }
    for (size_t i = 0; i < rec->field_count; i++) {
        const struct write_field *wf = &rec->fields[i];
        if (class_key(wf->field->class_) == class_) {
            const struct part_cell cell = { .number = wf->field->number,
                .value = wf->value,
                .is_decision = wf->is_decision,
                .conflict = wf->conflict,
                .reason = wf->reason };
            put_cell(em, g, rec, &cell);
        }
    }
}

static void put_part(struct emitting *em, const struct draft_group *g, enum class_ class_, uint32_t part_index)
{
    struct part_head head = {
        .author = em->dr->author->number, .standing = g->standing, .purpose = em->dr->req->purpose
    };
    struct drafting *dr = em->dr;
    enum err e = newer_context(dr->c, dr->a, g->dossier.id, class_, &g->context, &head.context);
    if (e != ERR_OK) {
        em->out->err = e;
        return;
    }
    size_t cells = 0;
    for (size_t i = 0; i < g->record_count; i++) {
        head.record_count += g->records[i].cells[class_] > 0 ? 1 : 0;
        cells += g->records[i].cells[class_];
    }
    em->cell_count = 0;
    em->cells = arena_array(em->dr->a, cells, sizeof(*em->cells));
    if (em->cells == NULL) {
        em->out->err = ERR_NOMEM;
        return;
    }
    buf_clear(em->plain);
    part_put_head(em->plain, &head);
    for (size_t i = 0; i < g->record_count; i++) {
        if (g->records[i].cells[class_] > 0) {
            put_record(em, g, &g->records[i], class_);
        }
    }
    size_t len = em->plain->len;
    if (em->plain->err != ERR_OK || len >= PART_MAX_BYTES - PART_TAG_BYTES) {
        em->out->err = em->plain->err != ERR_OK ? em->plain->err : ERR_LIMIT;
        return;
    }
    em->parts[em->part_count++] = (struct own_part){ .head = head, .cells = em->cells, .count = em->cell_count };
    const struct part_place place = { .group_id = members_group_id(em->dr->c->members),
        .header = em->header,
        .group_index = em->group_index,
        .part_index = part_index,
        .class_ = class_,
        .key_epoch = em->keys->epoch,
        .kind = g->dossier.kind,
        .station = g->dossier.station,
        .dossier = g->dossier.id };
    buf_clear(em->packed);
    pack_put(&em->dr->c->pack, em->packed, buf_view(em->plain));
    if (em->packed->err != ERR_OK) {
        em->out->err = em->packed->err;
        return;
    }
    commit_put_part_head(em->out, class_, em->keys->epoch, em->packed->len + PART_TAG_BYTES);
    seal_part(em->out, &place, em->keys->key[class_], g->dossier.secret, buf_view(em->packed));
}

static enum err put_group(struct emitting *em, struct draft_group *g)
{
    uint32_t parts = 0;
    uint32_t classes = 0;
    em->keys = members_current_keys(em->dr->c->members, g->dossier.station);
    if (em->keys == NULL) {
        return why_set(em->dr->why, ERR_NO_KEY, "本节点没有该网点的密钥，不能为它写入",
            "this node holds no key of that station and cannot write for it");
    }
    if (g->from->is_new) {
        g->dossier.id = seal_new_dossier(em->header->salt, em->group_index);
        g->from->id = g->dossier.id;
    }
    for (size_t i = 0; i < g->record_count; i++) {
        struct write_record *from = g->records[i].from;
        if (from->is_new) {
            const struct commit_view v = { .header = *em->header };
            from->id = core_resolve_ref(&v, em->group_index, g->dossier.id, &g->records[i].ref);
        }
    }
    for (size_t i = 0; i < g->record_count; i++) {
        count_cells(&g->records[i]);
        for (unsigned class_ = 0; class_ < CLASS_COUNT; class_++) {
            classes |= g->records[i].cells[class_] > 0 ? 1U << class_ : 0;
        }
    }
    commit_put_group_head(em->out, g->from->is_new, g->dossier.kind, g->dossier.station, g->dossier.id);
    buf_put_varint(em->out, (uint64_t)__builtin_popcount(classes));
    for (unsigned class_ = 0; class_ < CLASS_COUNT; class_++) {
        if ((classes >> class_ & 1) != 0) {
            put_part(em, g, (enum class_)class_, parts++);
        }
    }
    return em->out->err;
}

static enum err make_header(struct drafting *dr, const struct write_line *line, struct now now, struct commit_header *h)
{
    struct core *c = dr->c;
    uint8_t hash[32];
    *h = (struct commit_header){ .dot = { .node = c->self.number, .epoch = c->epoch, .seq = line->seq + 1 } };
    h->hlc = hlc_tick(line->hlc, now);
    h->member_number = members_head(c->members, hash);
    if (!members_hash16_at(c->members, h->member_number, h->member_hash)) {
        return ERR_BUG;
    }
    memcpy(h->prev, line->hash, sizeof(h->prev));
    rng_fill(c->rng, h->salt, sizeof(h->salt));
    h->group_count = (uint32_t)dr->group_count;
    return ERR_OK;
}

struct made {
    struct buf out; /* the commit; v borrows from it */
    struct buf secrets;
    struct own_part *parts;
    struct commit_view v;
    uint8_t hash[COMMIT_HASH_BYTES];
};

/* Root and signature over the finished bytes. */
static enum err sign(struct drafting *dr, struct made *m, size_t header_len)
{
    const uint8_t *group_id = members_group_id(dr->c->members);
    uint8_t root[COMMIT_HASH_BYTES];
    enum err e = commit_parse(buf_view(&m->out), &m->v);
    if (e == ERR_OK) {
        e = seal_root(&m->v, dr->a, root);
    }
    if (e == ERR_OK) {
        seal_sign_commit(group_id, m->v.header_bytes, root, dr->c->self.sign_secret, m->out.ptr + header_len);
        seal_commit_hash(group_id, m->v.header_bytes, root, m->hash);
    }
    return e;
}

static void wipe(struct buf *b)
{
    sodium_memzero(b->ptr, b->ptr == NULL ? 0 : b->capacity);
    buf_release(b);
}

/* Of all new dossiers at once: a draw is a system call. */
static enum err draw_secrets(struct drafting *dr, struct buf *out)
{
    size_t count = 0;
    for (size_t i = 0; i < dr->group_count; i++) {
        count += dr->groups[i].from->is_new ? 1 : 0;
    }
    uint8_t *p = count == 0 ? NULL : buf_reserve(out, count * SECRET_BYTES);
    if (p == NULL) {
        return out->err;
    }
    rng_fill(dr->c->rng, p, count * SECRET_BYTES);
    for (size_t i = 0; i < dr->group_count; i++) {
        if (dr->groups[i].from->is_new) {
            memcpy(dr->groups[i].dossier.secret, p, SECRET_BYTES);
            p += SECRET_BYTES;
        }
    }
    return ERR_OK;
}

/* Header, place of the signature, body. */
static enum err emit(struct drafting *dr, const struct write_line *line, struct now now, struct made *m)
{
    struct commit_header header;
    struct buf plain;
    struct buf packed;
    m->parts = arena_array(dr->a, dr->group_count * CLASS_COUNT, sizeof(*m->parts));
    enum err e = m->parts == NULL ? ERR_NOMEM : make_header(dr, line, now, &header);
    if (e == ERR_OK) {
        e = draw_secrets(dr, &m->secrets);
    }
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&plain, dr->mem, COMMIT_MAX_BYTES);
    buf_init(&packed, dr->mem, PART_MAX_BYTES);
    struct emitting em = {
        .dr = dr, .header = &header, .out = &m->out, .plain = &plain, .packed = &packed, .parts = m->parts
    };
    commit_header_put(&m->out, &header);
    size_t header_len = m->out.len;
    (void)buf_reserve(&m->out, COMMIT_SIGNATURE_BYTES);
    for (size_t i = 0; e == ERR_OK && i < dr->group_count; i++) {
        em.group_index = (uint32_t)i;
        e = put_group(&em, &dr->groups[i]);
    }
    wipe(&plain);
    wipe(&packed);
    return e == ERR_OK ? sign(dr, m, header_len) : e;
}

enum err core_line_start(const struct core *c, struct mem *mem, struct write_line *out)
{
    const struct head *own = core_head(c, c->self.number, c->epoch);
    *out = (struct write_line){ .mem = mem, .hlc = c->hlc, .seq = own == NULL ? 0 : own->upto };
    if (own != NULL) {
        memcpy(out->hash, own->hash, sizeof(out->hash));
    }
    const struct dot next = { .node = c->self.number, .epoch = c->epoch, .seq = out->seq + 1 };
    /* This epoch has forked, and there was no other to be had. */
    return core_counts(c, next) == ERR_CONFLICT ? ERR_CONFLICT : ERR_OK;
}

void core_made_release(struct made *m)
{
    if (m != NULL) {
        wipe(&m->secrets);
        buf_release(&m->out);
    }
}

static enum err make(struct drafting *dr, struct write_line *line, struct now now, struct made *m)
{
    dr->groups = arena_array(dr->a, dr->req->group_count, sizeof(*dr->groups));
    enum err e = dr->groups == NULL ? ERR_NOMEM : ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < dr->req->group_count; i++) {
        e = draft_group(dr, &dr->req->groups[i]);
    }
    if (e != ERR_OK || dr->group_count == 0) {
        return e;
    }
    e = emit(dr, line, now, m);
    if (e == ERR_OK) {
        line->seq = m->v.header.dot.seq;
        line->hlc = m->v.header.hlc;
        memcpy(line->hash, m->hash, sizeof(line->hash));
    }
    return e;
}

enum err core_make(struct core *c, struct write_line *line, struct arena *a, struct now now, struct write_request *req,
    struct made **out, struct why *why)
{
    struct drafting dr = {
        .c = c, .mem = line->mem, .a = a, .req = req, .author = members_user(c->members, req->author), .why = why
    };
    check(req->group_count > 0 && req->group_count <= COMMIT_GROUPS_MAX);
    *out = NULL;
    if (dr.author == NULL) {
        return why_set(why, ERR_DENIED, "没有这个员工", "no such user");
    }
    struct made *m = arena_alloc(a, sizeof(*m));
    if (m == NULL) {
        return ERR_NOMEM;
    }
    buf_init(&m->out, line->mem, COMMIT_MAX_BYTES);
    buf_init(&m->secrets, line->mem, (size_t)COMMIT_GROUPS_MAX * SECRET_BYTES);
    enum err e = make(&dr, line, now, m);
    if (e == ERR_OK && dr.group_count > 0) {
        *out = m;
        return ERR_OK;
    }
    core_made_release(m);
    return e;
}

enum err core_take_made(struct core *c, const struct made *m)
{
    c->hlc = m->v.header.hlc;
    return core_take_own(c, &m->v, m->hash, buf_view(&m->secrets), m->parts);
}

enum err core_write(
    struct core *c, struct arena *a, struct now now, struct write_request *req, struct dot *dot, struct why *why)
{
    struct write_line line;
    struct made *m = NULL;
    *dot = (struct dot){ 0 };
    enum err e = core_line_start(c, c->mem, &line);
    if (e == ERR_OK) {
        e = core_make(c, &line, a, now, req, &m, why);
    }
    if (e == ERR_OK && m != NULL) {
        e = core_take_made(c, m);
        *dot = m->v.header.dot;
    }
    core_made_release(m);
    return e;
}
