/*
 * Owns: the verbs `bundle-export`, `bundle-import` and their pieces, and what to tell a person when one is refused. The
 * command reads and writes the file (docs/decisions/0010); bytes travel as base64.
 */
#include "node/bundle_desk.h"
#include "node/request.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static enum err need_right(struct request *rq)
{
    const struct access_answer a = access_admin(rq->user->roles, ADMIN_SYNC);
    return a.view == VIEW_CLEAR ? ERR_OK : request_refuse(rq, &a);
}

/* What went wrong with a bundle, as a person can act on it. */
static const struct {
    enum err e;
    const char *zh, *en;
} faults[] = {
    { ERR_FORMAT, "这不是数据包，或已被改动", "this is no bundle, or it was altered" },
    { ERR_LIMIT, "这不是数据包，或已被改动", "this is no bundle, or it was altered" },
    { ERR_PROTOCOL, "数据包内容不合规则", "what is in the bundle is against the rules" },
    { ERR_TRUNCATED, "数据包不完整：文件在中途断了；请重新拷贝", "the bundle is cut off; copy it again" },
    { ERR_VERSION, "数据包来自不兼容的版本；请升级程序", "the bundle is of another version; upgrade the program" },
    { ERR_DENIED, "这个数据包是给另一个节点的", "this bundle was made for another node" },
    { ERR_UNKNOWN_PEER, "数据包来自另一个集团，或本节点还不认识的节点",
        "the bundle is of another group, or from a node that this one does not know" },
    { ERR_REVOKED, "数据包来自已吊销的节点", "the bundle is from a revoked node" },
    { ERR_SIGNATURE, "签名不对：数据包被改动过，或不是那个节点做的",
        "wrong signature: the bundle was altered, or that node did not make it" },
    { ERR_SEAL, "数据包这一处被改动过或损坏；请重新拷贝", "the bundle is altered or damaged here; copy it again" },
    { ERR_EXPIRED, "这是旧的数据包：那个节点更新的数据包已经导入过",
        "an old bundle: a newer one of that node was imported already" },
    { ERR_CONFLICT, "对方的成员名册或历史与本节点的不一致；请找管理员",
        "the other node has another membership or history than this one; ask the administrator" },
    { ERR_GAP, "本节点缺少数据包之前的内容；请在本节点导出一个数据包带回给对方，再要一个新的",
        "this node lacks what came before; carry a bundle from here to the other node, then fetch a new one" },
    { ERR_BUSY, "另一个数据包正在处理；稍后再试", "another bundle is under way; try again in a moment" },
};

static enum err explain(struct request *rq, enum err e)
{
    for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
        if (faults[i].e == e) {
            return why_set(&rq->why, e, faults[i].zh, faults[i].en);
        }
    }
    return e;
}

static enum err text_of(struct request *rq, struct bytes raw, json_t **out)
{
    size_t len = sodium_base64_ENCODED_LEN(raw.len, sodium_base64_VARIANT_ORIGINAL);
    char *text = arena_alloc(&rq->app->arena, len);
    if (text == NULL) {
        return ERR_NOMEM;
    }
    (void)sodium_bin2base64(text, len, raw.ptr, raw.len, sodium_base64_VARIANT_ORIGINAL);
    *out = json_string_nocheck(text);
    return *out == NULL ? ERR_NOMEM : ERR_OK;
}

static enum err bytes_of_text(struct request *rq, const char *key, size_t max, struct bytes *out)
{
    const struct bytes text = request_text(rq, key);
    size_t len = 0;
    uint8_t *raw = arena_alloc(&rq->app->arena, max + 1);
    if (raw == NULL) {
        return ERR_NOMEM;
    }
    if (text.len > 0 && sodium_base642bin(raw, max, (const char *)text.ptr, text.len, NULL, &len, NULL,
                            sodium_base64_VARIANT_ORIGINAL) != 0) {
        return ERR_FORMAT;
    }
    *out = bytes_of(raw, len);
    return ERR_OK;
}

/* Whether a word names the node: a laptop by its owner's login, a station's node by the code of its station. */
static bool is_named(const struct app *app, const struct member_node *n, struct bytes word)
{
    const struct member_station *s = members_station(app->members, n->station);
    const struct member_user *u = n->owner == 0 ? NULL : members_user(app->members, n->owner);
    return n->kind == NODE_LAPTOP ? u != NULL && bytes_equal(word, bytes_str(u->login))
                                  : n->kind == NODE_STATION && s != NULL && bytes_equal(word, bytes_str(s->code));
}

static uint32_t number_of(struct bytes word)
{
    uint32_t n = 0;
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] < '0' || word.ptr[i] > '9' || n > MEMBERS_NODES_MAX) {
            return 0;
        }
        n = n * 10 + (uint32_t)(word.ptr[i] - '0');
    }
    return n;
}

/* A number as `node list` shows it, or a name that only one other node in force has. */
static enum err find_node(struct request *rq, struct bytes word, uint32_t *out)
{
    const struct member_node *by_number = members_node(rq->app->members, number_of(word));
    size_t found = by_number != NULL ? 1 : 0;
    *out = by_number != NULL ? by_number->number : 0;
    for (size_t i = 0; by_number == NULL && i < members_node_count(rq->app->members); i++) {
        const struct member_node *n = members_node_at(rq->app->members, i);
        if (n->revoked_at == 0 && n->number != rq->app->core.self.number && is_named(rq->app, n, word)) {
            *out = n->number;
            found++;
        }
    }
    if (found == 1) {
        return ERR_OK;
    }
    return found == 0 ? why_set(&rq->why, ERR_NOT_FOUND, "没有这个节点；用 jipan node list 查看",
                            "there is no such node; see jipan node list")
                      : why_set(&rq->why, ERR_USAGE, "有几个这样的节点，请写编号；用 jipan node list 查看",
                            "several nodes go by this name; give the number, see jipan node list");
}

static void set_counts(json_t *o, const struct bundle_count *n)
{
    (void)json_object_set_new(o, "entries", json_integer((json_int_t)n->entries));
    (void)json_object_set_new(o, "commits", json_integer((json_int_t)n->commits));
    (void)json_object_set_new(o, "dossiers", json_integer((json_int_t)n->dossiers));
    (void)json_object_set_new(o, "news", json_integer((json_int_t)n->news));
    (void)json_object_set_new(o, "done", json_integer((json_int_t)n->done));
    (void)json_object_set_new(o, "total", json_integer((json_int_t)n->total));
}

static enum err do_export(struct request *rq)
{
    struct bytes word = { 0 };
    struct buf header;
    uint64_t id = 0;
    json_t *text = NULL;
    struct bundle_count count = { 0 };
    struct bundle_request what = {
        .everything = request_flag(rq, "all"), .user = rq->user->number, .roles = rq->user->roles
    };
    enum err e = need_right(rq);
    if (e == ERR_OK) {
        e = request_need(rq, "for", &word);
    }
    if (e == ERR_OK) {
        e = find_node(rq, word, &what.to);
    }
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&header, &rq->app->mem, BUNDLE_HEADER_BYTES);
    e = bundle_desk_export(rq->app, &what, &header, &id, &count);
    if (e == ERR_REVOKED) {
        e = why_set(&rq->why, e, "那个节点已吊销", "that node has been revoked");
    } else if (e == ERR_INVALID) {
        e = why_set(&rq->why, e, "不能给本节点自己做数据包", "a bundle for this node itself makes no sense");
    } else if (e == ERR_BUSY) {
        e = explain(rq, e);
    }
    if (e == ERR_OK) {
        e = text_of(rq, buf_view(&header), &text);
    }
    buf_release(&header);
    if (e == ERR_OK) {
        json_t *o = json_pack("{s:I, s:I, s:o}", "id", (json_int_t)id, "node", (json_int_t)what.to, "bytes", text);
        set_counts(o, &count);
        request_set(rq, o);
    }
    return e;
}

static enum err gone(struct request *rq, enum err e)
{
    return e == ERR_NOT_FOUND ? why_set(&rq->why, e, "这个数据包的处理已中断；请重新开始",
                                    "this bundle is no longer under way; start again")
                              : e;
}

static enum err do_export_next(struct request *rq)
{
    struct buf frame;
    json_t *text = NULL;
    bool is_last = false;
    struct bundle_count count = { 0 };
    enum err e = need_right(rq);
    if (e != ERR_OK) {
        return e;
    }
    buf_init(&frame, &rq->app->mem, BUNDLE_FRAME_MAX_BYTES + 4);
    e = bundle_desk_export_next(rq->app, (uint64_t)request_int(rq, "id", 0), &frame, &is_last, &count);
    if (e == ERR_OK) {
        e = text_of(rq, buf_view(&frame), &text);
    }
    buf_release(&frame);
    if (e == ERR_OK) {
        json_t *o = json_pack("{s:b, s:o}", "finished", is_last ? 1 : 0, "bytes", text);
        set_counts(o, &count);
        request_set(rq, o);
    }
    return gone(rq, e);
}

static enum err do_import(struct request *rq)
{
    struct bytes header = { 0 };
    struct bundle_header h;
    uint64_t id = 0;
    enum err e = need_right(rq);
    if (e != ERR_OK) {
        return e;
    }
    e = bytes_of_text(rq, "bytes", BUNDLE_HEADER_BYTES, &header);
    if (e == ERR_OK) {
        e = bundle_desk_import(rq->app, rq->user, header, &id, &h);
    }
    if (e == ERR_OK) {
        request_set(rq, json_pack("{s:I, s:I, s:I}", "id", (json_int_t)id, "node", (json_int_t)h.from, "serial",
                            (json_int_t)h.serial));
    }
    return explain(rq, e);
}

static enum err do_import_next(struct request *rq)
{
    struct bytes frame = { 0 };
    bool is_last = false;
    bool is_greeted = false;
    struct bundle_count count = { 0 };
    enum err e = need_right(rq);
    if (e != ERR_OK) {
        return e;
    }
    e = bytes_of_text(rq, "bytes", BUNDLE_FRAME_MAX_BYTES, &frame);
    if (e == ERR_OK) {
        e = bundle_desk_import_next(rq->app, (uint64_t)request_int(rq, "id", 0), frame, &is_last, &is_greeted, &count);
    }
    json_t *o = json_pack("{s:b, s:b}", "finished", is_last ? 1 : 0, "greeted", is_greeted ? 1 : 0);
    set_counts(o, &count);
    request_set(rq, o);
    return explain(rq, gone(rq, e));
}

static enum err do_drop(struct request *rq)
{
    enum err e = need_right(rq);
    if (e == ERR_OK) {
        bundle_desk_drop(rq->app, (uint64_t)request_int(rq, "id", 0));
    }
    return e;
}

const struct request_verb handlers_bundle[] = {
    { "bundle-export", do_export, 0 },
    { "bundle-export-next", do_export_next, 0 },
    { "bundle-import", do_import, 0 },
    { "bundle-import-next", do_import_next, 0 },
    { "bundle-drop", do_drop, 0 },
    { NULL, NULL, 0 },
};
