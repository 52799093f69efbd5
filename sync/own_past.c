/*
 * Owns: telling a peer that knew commits of ours which we have lost how far we have them again. It may hold only pieces
 * of them and stands at a hole until it hears that somebody else has filled that. Invariants: a mark never says more
 * than we have, nor more than the peer said it has, so it settles nothing there; each is said once a line, and nothing
 * on a line whose greetings did not differ in this.
 */
#include "sync/session_internal.h"

enum err own_past_said(struct sync *s, struct session *ses)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < s->core->heads.count; i++) {
        const struct head *h = &s->core->heads.at[i];
        if (h->node == s->core->self.number && h->upto > 0) {
            e = vv_raise(&ses->told, &ses->arena, (struct dot){ .node = h->node, .epoch = h->epoch, .seq = h->upto });
        }
    }
    return e;
}

enum err own_past_heard(struct sync *s, struct session *ses)
{
    enum err e = ERR_OK;
    for (size_t i = 0; e == ERR_OK && i < ses->known.count; i++) {
        const struct dot d = ses->known.at[i];
        if (d.node == s->core->self.number && !vv_covers(&ses->told, d)) {
            e = vv_raise(&ses->ahead, &ses->arena, d);
        }
    }
    return e;
}

enum err own_past_came(struct session *ses, struct dot dot)
{
    bool is_of_these = false;
    for (size_t i = 0; i < ses->ahead.count; i++) {
        is_of_these = is_of_these || (ses->ahead.at[i].node == dot.node && ses->ahead.at[i].epoch == dot.epoch);
    }
    return is_of_these ? vv_raise(&ses->told, &ses->arena, dot) : ERR_OK;
}

enum err own_past_tell(struct sync *s, struct session *ses, struct now now)
{
    struct gathered marks = { .count = 0 };
    enum err e = ERR_OK;
    if (ses->ahead.count == 0) {
        return ERR_OK;
    }
    marks.items = arena_array(&s->step, GATHER_ITEMS_MAX, sizeof(*marks.items));
    if (marks.items == NULL) {
        return ERR_NOMEM;
    }
    for (size_t i = 0; e == ERR_OK && i < ses->ahead.count && marks.count + 1 < GATHER_ITEMS_MAX; i++) {
        struct dot upto = ses->ahead.at[i];
        const struct head *h = core_head(s->core, upto.node, upto.epoch);
        uint64_t have = h == NULL ? 0 : h->upto;
        upto.seq = have < upto.seq ? have : upto.seq;
        if (upto.seq == 0 || vv_covers(&ses->told, upto)) {
            continue;
        }
        marks.items[marks.count++] = (struct wire_item){ .node = upto.node, .epoch = upto.epoch, .upto = upto.seq };
        e = vv_raise(&ses->told, &ses->arena, upto);
    }
    return e == ERR_OK && marks.count > 0 ? outbound_send(s, ses, &marks, now) : e;
}
