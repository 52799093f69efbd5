#ifndef JIPAN_ERR_H
#define JIPAN_ERR_H

#include "schema/base/attrs.h"

/*
 * One error enum for the whole system. The class says what the caller of the system does; the exit code is
 * the documented one of the command line. Foreign codes (SQLite, errno, OpenSSL, lws) stop at their adapter.
 * Numbers are stored in audit entries: append only, never renumber.
 *
 * X(name, number, class, exit code, zh, en)
 */
#define ERR_TABLE(X)                                                                                     \
    X(OK, 0, NONE, 0, "成功", "ok")                                                                      \
    X(USAGE, 1, USER, 2, "用法不对", "wrong usage")                                                      \
    X(INVALID, 2, USER, 1, "数据不合规则", "a value breaks a rule")                                      \
    X(DENIED, 3, USER, 1, "没有这项权限", "not permitted")                                               \
    X(NOT_FOUND, 4, USER, 3, "没有找到", "not found")                                                    \
    X(DAMAGED, 5, LOCAL, 4, "库文件损坏或被改动", "the store is damaged or was altered")                 \
    X(LOCKED, 6, LOCAL, 4, "库正被另一个进程使用", "the store is in use by another process")             \
    X(UNREACHABLE, 7, RETRY, 5, "连不上对方节点", "cannot reach the other node")                         \
    X(CONFLICT, 8, USER, 6, "与已有内容冲突", "in conflict with what exists")                            \
    X(SECRET, 9, USER, 7, "口令不对", "wrong secret")                                                    \
    X(IO, 10, LOCAL, 4, "读写磁盘失败", "disk read or write failed")                                     \
    X(FULL, 11, LOCAL, 4, "磁盘已满", "the disk is full")                                                \
    X(NOMEM, 12, RETRY, 4, "内存不足或超出预算", "out of memory or over budget")                         \
    X(LIMIT, 13, USER, 1, "超出上限", "over a limit")                                                    \
    X(FORMAT, 14, PEER, 1, "格式不对", "malformed bytes")                                                \
    X(TRUNCATED, 15, PEER, 1, "数据不完整", "bytes end too early")                                       \
    X(SIGNATURE, 16, PEER, 1, "签名不对", "bad signature")                                               \
    X(SEAL, 17, PEER, 1, "密文验证失败", "sealed bytes do not open")                                     \
    X(NO_KEY, 18, PEER, 1, "没有对应的密钥", "no key for this")                                          \
    X(VERSION, 19, PEER, 1, "版本不兼容，较旧的一方需要升级",                                            \
        "versions do not go together, the older side needs an upgrade")                                  \
    X(PROTOCOL, 20, PEER, 1, "对方不按协议", "the peer broke the protocol")                              \
    X(UNKNOWN_PEER, 21, PEER, 1, "不认识的节点", "unknown peer")                                         \
    X(REVOKED, 22, PEER, 1, "节点已被吊销", "the node has been revoked")                                 \
    X(EXISTS, 23, USER, 6, "已经存在", "already exists")                                                 \
    X(EXPIRED, 24, USER, 1, "已过期或已用过", "expired or already used")                                 \
    X(GAP, 25, RETRY, 5, "缺少前面的提交", "an earlier commit is missing")                               \
    X(UNKNOWN_KIND, 26, PEER, 1, "较新版本的内容，已保留", "from a newer version, kept for later")       \
    X(BUSY, 27, RETRY, 5, "稍后再试", "try again later")                                                 \
    X(BUG, 28, BUG, 4, "程序内部错误", "internal error")                                                 \
    X(OUTDATED, 29, PEER, 1, "本节点的程序太旧，请升级", "this node runs too old a version, upgrade it") \
    X(REPLACED, 30, RETRY, 5, "本节点的另一份副本接走了线路，请只保留一份",                              \
        "another copy of this node took over the line, keep only one of them")

enum err {
#define X(name, number, class_, exit_, zh, en) ERR_##name = (number),
    ERR_TABLE(X)
#undef X
        ERR_COUNT
};

enum err_class {
    ERR_CLASS_NONE,
    ERR_CLASS_USER, /* tell the user what to do */
    ERR_CLASS_RETRY, /* back off and try again */
    ERR_CLASS_PEER, /* the peer's fault: close the session or quarantine */
    ERR_CLASS_LOCAL, /* our disk or process: stop acknowledging */
    ERR_CLASS_BUG,
};

enum err_class err_class(enum err e);
/* What went wrong with bytes of our own store: lack of memory, a failing disk and the like are told as they are,
 * anything else says that the store is damaged. */
enum err err_of_stored(enum err e);
int err_exit_code(enum err e);
const char *err_name(enum err e); /* stable symbol for logs and JSON: "DENIED" */
const char *err_zh(enum err e);
const char *err_en(enum err e);

/**
 * struct why: what to tell the person, filled only by functions that read what a person wrote or that a
 * person waits for. Lives on the caller's stack; both languages always; never a field value or a secret.
 */
struct why {
    char zh[240];
    char en[240];
};

/* Nothing told yet; the rest of the texts is not touched. */
static inline void why_clear(struct why *why)
{
    why->zh[0] = '\0';
    why->en[0] = '\0';
}

/* Sets both texts (cut at a UTF-8 boundary if too long) and returns e, so that callers can `return why_set(…)`. why may
 * be NULL. */
enum err why_set(struct why *why, enum err e, const char *zh, const char *en);

/* As why_set, with one "%s" in each text replaced by arg (arg is cut to 80 bytes at a boundary). */
enum err why_setf(struct why *why, enum err e, const char *zh, const char *en, const char *arg);

#endif
