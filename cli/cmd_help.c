/*
 * Owns: help, made from the table of verbs and the catalogue, so that it cannot fall behind them.
 */
#include "cli/cli.h"

#include "schema/catalogue.h"

#include <stdio.h>
#include <string.h>

static void pad_to(const char *text, size_t width)
{
    (void)fputs(text, stdout);
    for (size_t i = out_width(text); i < width; i++) {
        (void)fputc(' ', stdout);
    }
}

static void describe(const struct cli *c, const char *zh, const char *en)
{
    if (c->lang == LANG_BOTH) {
        (void)printf("%s / %s\n", zh, en);
    } else {
        (void)printf("%s\n", cli_text(c, zh, en));
    }
}

static void list_verbs(const struct cli *c)
{
    describe(c, "基盘 Jipan：断网也能用的客户档案节点", "Jipan: the customer-record node that works through outages");
    (void)printf(
        "\n  jipan [--home DIR] [--as USER --password-file FILE] [--passphrase-file FILE] [--json] [--lang zh|en] VERB …\n\n");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        (void)fputs("  ", stdout);
        pad_to(v->name, 16);
        describe(c, v->zh, v->en);
    }
    (void)fputc('\n', stdout);
    describe(c,
        "jipan help 命令 或 jipan help 实体 看细节；退出码 0 成功 1 被拒 2 用法 3 没有 4 库坏或被占 5 连不上 6 冲突 7 口令错",
        "jipan help VERB or ENTITY tells more; exit codes 0 ok 1 refused 2 usage 3 not found 4 store damaged or locked 5 unreachable 6 conflict 7 wrong secret");
    size_t count = 0;
    const struct entity_desc *d = catalogue_entities(&count);
    describe(c, "实体：", "entities:");
    for (size_t i = 0; i < count; i++) {
        (void)fputs("  ", stdout);
        pad_to(d[i].name, 24);
        describe(c, d[i].zh, d[i].en);
    }
}

static void show_verb(const struct cli *c, const struct cli_verb *v)
{
    describe(c, v->zh, v->en);
    (void)printf("\n  jipan %s\n\n", v->words);
    for (const struct cli_option *o = v->options; o != NULL && o->name != NULL; o++) {
        char name[64];
        (void)snprintf(name, sizeof(name), "  --%s%s", o->name, o->takes_value ? " …" : "");
        pad_to(name, 26);
        describe(c, o->zh, o->en);
    }
}

static void show_codes(const struct cli *c, const struct code_list *list)
{
    (void)fputs("      ", stdout);
    for (size_t i = 0; i < list->count; i++) {
        (void)printf("%s%s", i == 0 ? "" : "、", list->codes[i].key);
        if (strcmp(list->codes[i].key, list->codes[i].zh) != 0) {
            (void)printf("(%s)", cli_text(c, list->codes[i].zh, list->codes[i].en));
        }
    }
    (void)fputc('\n', stdout);
}

static void show_entity(const struct cli *c, const struct entity_desc *d)
{
    static const char *const class_names[] = {
#define X(name, number, zh, en) [number] = zh "/" en,
        CLASS_TABLE(X)
#undef X
    };
    (void)printf("%s  ", d->name);
    describe(c, d->zh, d->en);
    for (size_t i = 0; i < d->field_count; i++) {
        const struct field *f = &d->fields[i];
        if ((f->flags & FIELD_HIDDEN) != 0) {
            continue;
        }
        (void)fputs("  ", stdout);
        pad_to(f->name, 24);
        pad_to(cli_text(c, f->zh, f->en), 24);
        (void)printf("%s%s\n", class_names[f->class_],
            (f->flags & FIELD_REQUIRED) != 0 ? "  *"
            : f->merge == MERGE_DERIVED      ? "  ="
                                             : "");
        if (f->codes != NULL) {
            show_codes(c, f->codes);
        }
    }
    describe(c, "* 必填   = 由节点推算", "* required   = computed by the node");
}

static enum err unknown(struct cli *c, const char *word)
{
    const char *nearest = catalogue_nearest_entity(bytes_str(word));
    if (nearest != NULL) {
        return why_setf(
            &c->why, ERR_USAGE, "没有这个命令或实体；是不是 %s？", "no such verb or entity; did you mean %s?", nearest);
    }
    return why_setf(&c->why, ERR_USAGE, "没有这个命令或实体：%s", "no such verb or entity: %s", word);
}

enum err cmd_help(struct cli *c)
{
    char name[80];
    if (c->word_count == 0) {
        list_verbs(c);
        return ERR_OK;
    }
    (void)snprintf(
        name, sizeof(name), "%s%s%s", c->words[0], c->word_count > 1 ? " " : "", c->word_count > 1 ? c->words[1] : "");
    for (const struct cli_verb *v = cli_verbs; v->name != NULL; v++) {
        if (strcmp(v->name, name) == 0) {
            show_verb(c, v);
            return ERR_OK;
        }
    }
    const struct entity_desc *d = catalogue_entity_by_name(bytes_str(name));
    if (d == NULL) {
        return unknown(c, name);
    }
    show_entity(c, d);
    return ERR_OK;
}
