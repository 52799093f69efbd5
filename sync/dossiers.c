/*
 * Owns: putting and dropping a dossier. Invariant: whoever does goes through here, so that sums of marks, the list of
 * holders that changed and the list of what has to leave follow every change.
 */
#include "sync/core_internal.h"

#include "sync/leaving.h"

static void note_move(struct core *c, uint32_t holder)
{
    struct core_moves *m = &c->moves;
    for (size_t i = 0; i < m->count; i++) {
        if (m->holder[i] == holder) {
            return;
        }
    }
    if (m->count < CORE_MOVES_MAX) {
        m->holder[m->count++] = holder;
    } else {
        m->is_more = true;
    }
}

enum err core_put_dossier(
    struct core *c, const struct dossier *before, const struct dossier *after, const struct dot *touched)
{
    const struct store_ops *ops = c->store->ops;
    enum err e = touched == NULL ? ops->dossier_put(c->store, after) : ops->dossier_touched(c->store, after, *touched);
    if (e != ERR_OK) {
        return e;
    }
    bool is_new = before == NULL || before->seen.len == 0;
    marks_change(&c->marks, before, after);
    if (!is_new && marks_holder(before) == marks_holder(after)) {
        return ERR_OK;
    }
    if (!is_new) {
        note_move(c, marks_holder(before));
        note_move(c, marks_holder(after));
    }
    return leaving_note(c, after);
}

enum err core_drop_dossier(struct core *c, const struct dossier *d)
{
    marks_change(&c->marks, d, NULL);
    return c->store->ops->dossier_del(c->store, d->id);
}
