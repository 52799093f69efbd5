/*
 * Owns: what a person is told about forks. Says nothing of suspicions: those are for nodes to clear up among
 * themselves.
 */
#include "node/handlers_fork.h"

#include "node/view.h"

json_t *handlers_fork_list(const struct app *app)
{
    const struct core *c = &app->core;
    json_t *list = json_array();
    for (size_t i = 0; i < c->forks.count; i++) {
        const struct fork *f = &c->forks.at[i];
        bool is_own = f->node == c->self.number;
        if (!f->is_proven) {
            continue;
        }
        json_t *meaning =
            is_own
                ? json_pack("{ssss}", "zh",
                      "本节点的数据曾被复制或退回，这个代次从此序号起有两份，都不算数；本机的一份留在日志里，需要的内容"
                      "请重新录入；现在用新的代次",
                      "en",
                      "the store of this node was copied or set back: from here on this epoch exists twice and "
                      "counts nowhere; ours stays in the log, enter again what is needed; a new epoch is in use")
                : json_pack("{ssss}", "zh", "该节点这个代次从此序号起有两份不同的提交，各节点一律不采用", "en",
                      "from here on that node signed two different histories; no node takes either");
        (void)json_array_append_new(
            list, json_pack("{s:I, s:I, s:I, s:o, s:b, s:o}", "node", (json_int_t)f->node, "epoch",
                      (json_int_t)f->epoch, "seq", (json_int_t)f->seq, "at", view_instant(hlc_wall_ms(f->seen)), "own",
                      is_own ? 1 : 0, "meaning", meaning));
    }
    return list;
}
