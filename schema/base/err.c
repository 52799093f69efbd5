/*
 * Owns: the texts and classes of errors, generated from ERR_TABLE. Pure.
 */
#include "schema/base/err.h"

#include "schema/base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static const struct err_rule {
    const char *name;
    enum err_class class_;
    int exit_code;
    const char *zh;
    const char *en;
} err_rules[] = {
#define X(name_, number, cls, exit_, zh_, en_) \
    [number] = { .name = #name_, .class_ = ERR_CLASS_##cls, .exit_code = exit_, .zh = zh_, .en = en_ },
    ERR_TABLE(X)
#undef X
};

static const struct err_rule *err_rule(enum err e)
{
    check((size_t)e < ARRAY_LEN(err_rules));
    return &err_rules[e];
}

enum err_class err_class(enum err e)
{
    return err_rule(e)->class_;
}

enum err err_of_stored(enum err e)
{
    enum err_class c = err_class(e);
    bool is_told = e == ERR_OK || c == ERR_CLASS_LOCAL || c == ERR_CLASS_BUG || e == ERR_NOMEM || e == ERR_BUSY;
    return is_told ? e : ERR_DAMAGED;
}

int err_exit_code(enum err e)
{
    return err_rule(e)->exit_code;
}

const char *err_name(enum err e)
{
    return err_rule(e)->name;
}

const char *err_zh(enum err e)
{
    return err_rule(e)->zh;
}

const char *err_en(enum err e)
{
    return err_rule(e)->en;
}

/* Copies as much of src as fits, never splitting a UTF-8 sequence; returns the bytes written. */
static size_t copy_text(char *dst, size_t room, const char *src, size_t len)
{
    if (len > room) {
        len = room;
        while (len > 0 && ((unsigned char)src[len] & 0xC0U) == 0x80U) {
            len--;
        }
    }
    memcpy(dst, src, len);
    return len;
}

static void fill(char *dst, size_t room, const char *format, const char *arg)
{
    size_t at = 0;
    const char *hole = arg == NULL ? NULL : strstr(format, "%s");
    if (hole == NULL) {
        at = copy_text(dst, room - 1, format, strlen(format));
    } else {
        size_t arg_len = strlen(arg);
        at = copy_text(dst, room - 1, format, (size_t)(hole - format));
        size_t arg_room = room - 1 - at < 80 ? room - 1 - at : 80;
        at += copy_text(dst + at, arg_room, arg, arg_len);
        at += copy_text(dst + at, room - 1 - at, hole + 2, strlen(hole + 2));
    }
    dst[at] = '\0';
}

enum err why_set(struct why *why, enum err e, const char *zh, const char *en)
{
    return why_setf(why, e, zh, en, NULL);
}

enum err why_setf(struct why *why, enum err e, const char *zh, const char *en, const char *arg)
{
    if (why != NULL) {
        fill(why->zh, sizeof(why->zh), zh, arg);
        fill(why->en, sizeof(why->en), en, arg);
    }
    return e;
}
