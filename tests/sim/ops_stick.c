/*
 * Owns: bundles that are made at one simulated node and taken in at another, and what must hold of them: a good one is
 * refused only for a reason, a spoilt one is never taken in whole, and one that was taken in has brought what its maker
 * had. What is in it is judged as what goes over a line is (check.c). Sticks that go wrong: faults_stick.c.
 */
#include "tests/sim/stick.h"

#include "schema/base/check.h"

#include <stdlib.h>

enum { STICK_BYTES_MAX = 16 << 20, PIECE_MS_MAX = 4000 };

static struct mem stick_mem;

struct sticks *sticks_of(struct sim *s)
{
    if (s->sticks == NULL) {
        s->sticks = calloc(1, sizeof(*s->sticks));
        stick_mem = app_mem(APP_MEM_MAX_BYTES);
        check(s->sticks != NULL);
    }
    return s->sticks;
}

static void job_end(struct stick_job *job)
{
    buf_release(&job->made);
    free(job->stick.bytes);
    *job = (struct stick_job){ .serial = 0 };
}

void sticks_free(struct sim *s)
{
    struct sticks *all = s->sticks;
    for (size_t i = 0; all != NULL && i < STICK_JOBS_MAX; i++) {
        job_end(&all->jobs[i]);
    }
    for (size_t i = 0; all != NULL && i < all->count; i++) {
        free(all->drawer[i].bytes);
    }
    free(all);
    s->sticks = NULL;
}

uint64_t sticks_know(const struct sim *s, uint32_t node, uint32_t epoch)
{
    uint64_t upto = 0;
    for (size_t i = 0; s->sticks != NULL && i < s->sticks->count + STICK_JOBS_MAX; i++) {
        const struct stick *x =
            i < s->sticks->count ? &s->sticks->drawer[i] : &s->sticks->jobs[i - s->sticks->count].stick;
        uint64_t known = known_upto(&x->latest, node, epoch);
        upto = known > upto ? known : upto;
    }
    return upto;
}

struct stick *stick_pick(struct sim *s, uint32_t choice)
{
    struct sticks *all = sticks_of(s);
    return all->count == 0 ? NULL : &all->drawer[choice % all->count];
}

void stick_remove(struct sim *s, struct stick *x)
{
    struct sticks *all = sticks_of(s);
    free(x->bytes);
    memmove(x, x + 1, (size_t)(all->drawer + all->count - (x + 1)) * sizeof(*x));
    all->count--;
}

static void put_away(struct sim *s, const struct stick *x)
{
    struct sticks *all = sticks_of(s);
    if (all->count == STICKS_MAX) {
        stick_remove(s, all->drawer);
    }
    all->drawer[all->count++] = *x;
}

static struct stick_job *new_job(struct sim *s, uint32_t slot, uint64_t in_ms)
{
    struct sticks *all = sticks_of(s);
    for (size_t i = 0; i < STICK_JOBS_MAX; i++) {
        struct stick_job *job = &all->jobs[i];
        if (job->serial == 0) {
            *job = (struct stick_job){ .serial = ++all->last_serial, .slot = slot };
            buf_init(&job->made, &stick_mem, STICK_BYTES_MAX);
            sim_push(s, s->now_ms + in_ms, EV_STICK, job->serial, 0, 0);
            return job;
        }
    }
    return NULL;
}

static void go_on(struct sim *s, const struct stick_job *job)
{
    sim_push(s, s->now_ms + chance_below(&s->net, PIECE_MS_MAX), EV_STICK, job->serial, 0, 0);
}

/* --- making ------------------------------------------------------------------------------------------------------- */

static bool stick_make(struct sim *s, struct sim_node *n, const struct sim_node *to, uint64_t in_ms)
{
    struct stick_job *job = to->number == n->number ? NULL : new_job(s, n->slot, in_ms);
    if (job != NULL) {
        job->stick = (struct stick){ .from = n->slot, .to = to->slot, .maker = n->number, .receiver = to->number };
    }
    return job != NULL;
}

static enum err begin_making(struct sim_node *n, struct stick_job *job)
{
    const struct bundle_request rq = { .to = job->stick.receiver, .everything = job->serial % 8 == 0, .user = 1 };
    struct bundle_count count;
    job->stick.heads = n->durable;
    job->stick.had_all = node_takes_all(n) && !n->has_grown;
    return bundle_desk_export(n->app, &rq, &job->made, &job->id, &count);
}

static void finish_making(struct sim *s, struct stick_job *job)
{
    struct stick *x = &job->stick;
    x->serial = job->serial;
    x->len = job->made.len;
    x->bytes = malloc(x->len);
    check(x->bytes != NULL);
    memcpy(x->bytes, job->made.ptr, x->len);
    check(bundle_header_take(bytes_of(x->bytes, BUNDLE_HEADER_BYTES), &x->header) == ERR_OK);
    if (memmem(x->bytes, x->len, CANARY, sizeof(CANARY) - 1) != NULL) {
        sim_fail(s, SIM_WRONG, "I16", "a readable value on a stick of node %u", x->maker);
    }
    sim_trace(s, x->len << 8U | x->maker);
    sim_log(s, "stick %u -> %u: %zu bytes", x->from + 1, x->to + 1, x->len);
    put_away(s, x);
    x->bytes = NULL;
    s->totals->done[DO_BUNDLE]++;
}

static void make_piece(struct sim *s, struct sim_node *n, struct stick_job *job)
{
    struct bundle_count count;
    bool is_last = false;
    bool is_first = job->id == 0;
    enum err e =
        is_first ? begin_making(n, job) : bundle_desk_export_next(n->app, job->id, &job->made, &is_last, &count);
    if (e == ERR_OK) {
        const struct member_node *to = members_node(n->app->members, job->stick.receiver);
        job->stick.latest = n->durable;
        job->stick.was_for_part = job->stick.was_for_part || !to->holds_group;
    }
    if (e == ERR_OK && is_last) {
        finish_making(s, job);
    } else if (e == ERR_OK) {
        go_on(s, job);
        return;
    } else if (e != ERR_BUSY && e != ERR_NOT_FOUND && e != ERR_REVOKED) {
        (void)node_survived(n, e);
    }
    job_end(job);
}

/* --- taking in ---------------------------------------------------------------------------------------------------- */

bool stick_take(struct sim *s, const struct stick *x, uint32_t slot, size_t pieces, bool wants_answer, uint64_t in_ms)
{
    struct stick_job *job = node_is_up(&s->nodes[slot]) ? new_job(s, slot, in_ms) : NULL;
    if (job == NULL) {
        return false;
    }
    job->is_import = true;
    job->wants_answer = wants_answer;
    job->pieces_left = pieces;
    job->stick = *x;
    job->stick.bytes = malloc(x->len + 1);
    check(job->stick.bytes != NULL);
    memcpy(job->stick.bytes, x->bytes, x->len);
    return true;
}

static struct stick_stamp stamp_of(const struct stick *x)
{
    return (struct stick_stamp){ .epoch = x->header.epoch, .serial = x->header.serial };
}

static bool is_newer(struct stick_stamp a, struct stick_stamp than)
{
    return a.epoch != than.epoch ? a.epoch > than.epoch : a.serial > than.serial;
}

static struct stick_newest *newest_of(struct sim *s, uint32_t slot, uint32_t maker)
{
    struct sticks *all = sticks_of(s);
    for (size_t i = 0; i < all->newest_count; i++) {
        if (all->newest[i].slot == slot && all->newest[i].maker == maker) {
            return &all->newest[i];
        }
    }
    check(all->newest_count < ARRAY_LEN(all->newest));
    all->newest[all->newest_count] = (struct stick_newest){ .slot = slot, .maker = maker };
    return &all->newest[all->newest_count++];
}

/* The receiver may have less than it had said, or the maker may have been told lies about it. */
static bool may_lack(const struct sim *s)
{
    static const enum action_id kinds[] = { DO_WAL_REMOVED, DO_OLD_FILE, DO_OLD_IMAGE, DO_FLIP_WAL, DO_CLONE,
        DO_RESTORE, DO_FORK, DO_RESTORE, DO_TWIN };
    bool may = s->has_forgery;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        may = may || s->fired[kinds[i]];
    }
    for (unsigned id = DO_MSG_FLIP; id <= DO_FORGED_COMMIT; id++) {
        may = may || s->fired[id];
    }
    return may;
}

/* Whether something that was done explains that this stick is not taken in here. */
static bool is_refused_rightly(struct sim *s, const struct sim_node *n, const struct stick *x, enum err e)
{
    const struct stick_newest *seen = newest_of(s, n->slot, x->maker);
    bool is_ours = n->number == x->receiver;
    switch (e) {
    case ERR_BUSY:
    case ERR_NOT_FOUND:
        return true; /* another one at the same desk, or the desk is another since */
    case ERR_DENIED:
        return !is_ours;
    case ERR_REVOKED:
        return s->nodes[x->from].is_retired || s->nodes[x->from].is_clone;
    case ERR_EXPIRED:
        return is_newer(seen->begun, stamp_of(x));
    case ERR_GAP:
        return may_lack(s) || (s->nodes[x->from].is.kind == NODE_RELAY && x->was_for_part && node_takes_all(n));
    case ERR_UNKNOWN_PEER:
        return may_lack(s);
    default: /* of the node, not of the stick: node_survived judges */
        return err_class(e) != ERR_CLASS_USER && err_class(e) != ERR_CLASS_PEER;
    }
}

static bool is_answer(enum err e)
{
    return e == ERR_BUSY || e == ERR_NOT_FOUND || e == ERR_GAP || err_class(e) == ERR_CLASS_USER ||
           err_class(e) == ERR_CLASS_PEER;
}

static void refused_stick(struct sim *s, struct sim_node *n, struct stick_job *job, enum err e)
{
    const struct stick *x = &job->stick;
    sim_trace(s, (uint64_t)e << 8U | n->slot);
    sim_log(s, "stick %u -> %u is refused at %u: %s", x->from + 1, x->to + 1, n->slot + 1, err_name(e));
    if (!x->is_spoilt && !is_refused_rightly(s, n, x, e)) {
        sim_fail(s, SIM_WRONG, "I29", "a bundle of node %u for node %u is refused at node %u: %s", x->maker,
            x->receiver, n->number, err_name(e));
    }
    if (!is_answer(e) && !(x->is_spoilt && e == ERR_LIMIT)) {
        (void)node_survived(n, e);
    }
    job_end(job);
}

/* Everything its maker had, and of a maker that holds a part at least what it wrote itself. */
static void check_brought(struct sim *s, const struct sim_node *n, const struct stick *x)
{
    for (size_t i = 0; !may_lack(s) && i < x->heads.count; i++) {
        const struct known_head *h = &x->heads.at[i];
        const struct dot last = { h->node, h->epoch, h->upto };
        bool is_due = x->had_all || (node_takes_all(n) && h->node == x->maker && n->slot == 0);
        if (is_due && members_accepts_dot(n->app->members, last) &&
            known_upto(&n->durable, h->node, h->epoch) < h->upto) {
            sim_fail(s, SIM_WRONG, "I5", "a bundle of node %u did not bring %u.%u up to %llu to node %u", x->maker,
                h->node, h->epoch, (unsigned long long)h->upto, n->number);
        }
    }
}

/* What its maker says it has counts from here on. */
static void greeted(struct sim *s, const struct sim_node *n, const struct stick *x)
{
    struct stick_newest *seen = newest_of(s, n->slot, x->maker);
    if (is_newer(seen->heard, stamp_of(x)) && !may_lack(s)) {
        sim_fail(s, SIM_WRONG, "I23", "node %u took in an old bundle of node %u", n->number, x->maker);
    }
    seen->heard = is_newer(stamp_of(x), seen->heard) ? stamp_of(x) : seen->heard;
}

static void taken_in(struct sim *s, struct sim_node *n, struct stick_job *job)
{
    const struct stick *x = &job->stick;
    if (x->is_spoilt || n->number != x->receiver) {
        sim_fail(s, SIM_WRONG, "I25", "node %u took in a bundle that was %s", n->number,
            x->is_spoilt ? "spoilt" : "for another node");
    }
    sim_log(s, "stick %u -> %u is taken in", x->from + 1, x->to + 1);
    check_brought(s, n, x);
    s->totals->done[DO_STICK]++;
    if (job->wants_answer && stick_make(s, n, &s->nodes[x->from], 1)) {
        s->totals->planned[DO_BUNDLE]++;
    }
}

/* The checks read along with the receiver's key. */
static void read_along(struct sim_node *n, struct stick_job *job, struct bytes header)
{
    struct bundle_header h;
    struct bytes key = { 0 };
    struct mem mem = app_mem(1 << 20);
    struct arena a;
    arena_init(&a, &mem, 1 << 16);
    if (bundle_header_take(header, &h) == ERR_OK && n->number == h.to &&
        seal_unwrap(n->app->core.self.box_public, n->app->core.self.box_secret, BYTES_OF(h.wrap), &a, &key) == ERR_OK) {
        seal_stream_start(&job->reading, key.ptr, h.stream);
        bundle_header_bind(header, job->binding);
    }
    arena_release(&a);
}

static void check_piece(struct sim *s, const struct sim_node *n, struct stick_job *job, struct bytes frame)
{
    struct bytes plain = { 0 };
    bool is_last = false;
    struct mem mem = app_mem(1 << 26);
    struct arena a;
    arena_init(&a, &mem, 1 << 25);
    if (seal_stream_take(&job->reading, frame, BYTES_OF(job->binding), &a, &plain, &is_last) == ERR_OK && !is_last) {
        struct wire_message m;
        check_message(s, &s->nodes[job->stick.from], n, plain);
        check(wire_take(plain, &a, &m) == ERR_OK);
        for (size_t i = 0; m.kind == WIRE_COMMITS && i < m.count; i++) {
            s->totals->letters += m.items[i].letter.len > 0 ? 1 : 0;
        }
    }
    arena_release(&a);
}

static enum err begin_taking(struct sim_node *n, struct stick_job *job)
{
    const struct stick *x = &job->stick;
    struct bundle_header ignored;
    const struct bytes header = bytes_of(x->bytes, x->len < BUNDLE_HEADER_BYTES ? x->len : BUNDLE_HEADER_BYTES);
    enum err e = bundle_desk_import(n->app, members_user(n->app->members, 1), header, &job->id, &ignored);
    if (e == ERR_OK) {
        struct stick_newest *seen = newest_of(n->sim, n->slot, x->maker);
        seen->begun = is_newer(stamp_of(x), seen->begun) ? stamp_of(x) : seen->begun;
        job->at = BUNDLE_HEADER_BYTES;
        read_along(n, job, header);
    }
    return e;
}

/* The length in front is the file's word; a command reads no more than there is. */
static enum err next_frame(const struct stick_job *job, struct bytes *out, size_t *after)
{
    struct reader r = reader_of(bytes_of(job->stick.bytes + job->at, job->stick.len - job->at));
    uint32_t len = 0;
    enum err e = reader_u32be(&r, &len);
    if (e == ERR_OK) {
        e = len > BUNDLE_FRAME_MAX_BYTES ? ERR_LIMIT : reader_take(&r, len, out);
    }
    *after = job->stick.len - r.left;
    return e;
}

static void take_piece(struct sim *s, struct sim_node *n, struct stick_job *job)
{
    struct bytes frame = { 0 };
    struct bundle_count count;
    bool is_last = false;
    bool is_greeted = false;
    size_t after = job->at;
    enum err e = ERR_OK;
    if (job->id == 0) {
        e = begin_taking(n, job);
    } else {
        e = next_frame(job, &frame, &after);
        e = e == ERR_OK ? bundle_desk_import_next(n->app, job->id, frame, &is_last, &is_greeted, &count) : e;
    }
    if (e != ERR_OK) {
        refused_stick(s, n, job, e);
        return;
    }
    node_note_durable(n);
    if (is_greeted) {
        greeted(s, n, &job->stick);
    }
    if (frame.len > 0) {
        check_piece(s, n, job, frame);
        job->at = after;
    }
    bool stops = job->pieces_left > 0 && --job->pieces_left == 0;
    if (is_last) {
        taken_in(s, n, job);
    } else if (!stops) {
        go_on(s, job);
    }
    if (is_last || stops) {
        job_end(job);
    }
    node_step(n, (struct sync_event){ .kind = SYNC_EV_LOCAL });
}

void stick_event(struct sim *s, const struct event *ev)
{
    for (size_t i = 0; i < STICK_JOBS_MAX; i++) {
        struct stick_job *job = &sticks_of(s)->jobs[i];
        struct sim_node *n = &s->nodes[job->slot];
        if (job->serial != ev->a) {
            continue;
        }
        if (!node_is_up(n) || n->paused_until > s->now_ms) {
            job_end(job); /* the command is told that it is broken off */
            return;
        }
        node_enter(n);
        arena_reset(&n->app->arena);
        if (job->is_import) {
            take_piece(s, n, job);
        } else {
            make_piece(s, n, job);
        }
        return;
    }
}

/* --- what people do ----------------------------------------------------------------------------------------------- */

void stick_do(struct sim *s, const struct plan_action *a)
{
    struct sim_node *n = some_up(s, a->a);
    const struct stick *x = stick_pick(s, a->d % 3 == 0 ? a->b : UINT32_MAX - a->b % 4);
    if (a->id == DO_BUNDLE && n != NULL && n->paused_until <= s->now_ms) {
        (void)stick_make(s, n, some_node(s, a->b), 1);
    } else if (a->id == DO_STICK && x != NULL) {
        (void)stick_take(s, x, x->to, 0, a->c % 3 != 0, 1);
    }
}
