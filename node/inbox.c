/*
 * Owns: the queue of arrived messages and the thread that works ahead in it. Invariants: slots are taken in the order
 * in which they were put; a slot belongs to the other thread only while `working` names it, never when its turn has
 * begun. Knows nothing of what messages mean.
 */
#include "node/inbox.h"

#include "schema/base/check.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct slot {
    conn_id conn;
    bool is_end;
    bool has_ahead;
    uint8_t *copy; /* of a message that nothing is worked out of */
    size_t bytes;
    struct ahead ahead;
};

/* Slots are numbered from the start on. */
struct inbox {
    pthread_mutex_t mutex;
    pthread_cond_t has_work;
    pthread_cond_t has_worked;
    bool has_thread;
    bool is_stopping;
    bool is_working;
    uint64_t next; /* to be worked on: all before are, or have had their turn */
    uint64_t working;
    uint64_t put;
    uint64_t taken;
    conn_id suspect; /* sent a wrong signature: not worth any work; 0: nobody */
    size_t bytes; /* the caller's thread alone, as are conn, is_end, copy and bytes of the slots */
    pthread_t thread;
    struct slot slots[INBOX_ITEMS_MAX];
};

static struct slot *slot_of(struct inbox *in, uint64_t number)
{
    return &in->slots[number % INBOX_ITEMS_MAX];
}

static void lock(struct inbox *in)
{
    check(pthread_mutex_lock(&in->mutex) == 0);
}

static void unlock(struct inbox *in)
{
    check(pthread_mutex_unlock(&in->mutex) == 0);
}

static void work_on(struct inbox *in, struct slot *s)
{
    in->is_working = true;
    in->working = in->next;
    unlock(in);
    bool is_right = ahead_work(&s->ahead);
    lock(in);
    in->is_working = false;
    in->suspect = is_right ? in->suspect : s->conn;
    check(pthread_cond_signal(&in->has_worked) == 0);
}

static void *work_all(void *arg)
{
    struct inbox *in = arg;
    lock(in);
    while (!in->is_stopping) {
        if (in->next == in->put) {
            check(pthread_cond_wait(&in->has_work, &in->mutex) == 0);
            continue;
        }
        struct slot *s = slot_of(in, in->next);
        if (s->has_ahead && s->conn != in->suspect) {
            work_on(in, s);
        }
        in->next++;
    }
    unlock(in);
    return NULL;
}

/* Signals are for the thread that serves. */
static bool start(struct inbox *in)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool is_started = pthread_create(&in->thread, NULL, work_all, in) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

enum err inbox_new(const struct mem *mem, bool is_threaded, struct inbox **out)
{
    struct inbox *in = calloc(1, sizeof(*in));
    if (in == NULL) {
        return ERR_NOMEM;
    }
    check(pthread_mutex_init(&in->mutex, NULL) == 0);
    check(pthread_cond_init(&in->has_work, NULL) == 0);
    check(pthread_cond_init(&in->has_worked, NULL) == 0);
    for (size_t i = 0; i < INBOX_ITEMS_MAX; i++) {
        ahead_init(&in->slots[i].ahead, mem);
    }
    in->has_thread = is_threaded && start(in);
    *out = in;
    return ERR_OK;
}

void inbox_free(struct inbox *in)
{
    if (in == NULL) {
        return;
    }
    if (in->has_thread) {
        lock(in);
        in->is_stopping = true;
        check(pthread_cond_signal(&in->has_work) == 0);
        unlock(in);
        check(pthread_join(in->thread, NULL) == 0);
    }
    for (size_t i = 0; i < INBOX_ITEMS_MAX; i++) {
        ahead_release(&in->slots[i].ahead);
        free(in->slots[i].copy);
    }
    check(pthread_cond_destroy(&in->has_worked) == 0);
    check(pthread_cond_destroy(&in->has_work) == 0);
    check(pthread_mutex_destroy(&in->mutex) == 0);
    free(in);
}

size_t inbox_count(const struct inbox *in)
{
    return (size_t)(in->put - in->taken);
}

size_t inbox_bytes(const struct inbox *in)
{
    return in->bytes;
}

bool inbox_has_room(const struct inbox *in, size_t bytes)
{
    size_t count = inbox_count(in);
    bool fits = bytes <= INBOX_BYTES_MAX && in->bytes <= INBOX_BYTES_MAX - bytes;
    return count == 0 || (count < INBOX_ITEMS_MAX && fits);
}

bool inbox_has(const struct inbox *in, conn_id conn)
{
    for (uint64_t i = in->taken; i < in->put; i++) {
        if (in->slots[i % INBOX_ITEMS_MAX].conn == conn) {
            return true;
        }
    }
    return false;
}

/* The other thread is woken only for what it can work on: most messages at a hub are acknowledgements. Locked. */
static void wake(struct inbox *in)
{
    for (uint64_t i = in->next; i < in->put; i++) {
        if (slot_of(in, i)->has_ahead) {
            check(pthread_cond_signal(&in->has_work) == 0);
            return;
        }
    }
}

/* The one in front has its turn soon: for that one alone nobody is woken. */
static void push(struct inbox *in, const struct slot *s)
{
    in->bytes += s->bytes;
    lock(in);
    in->put++;
    if (in->put - in->taken > 1 && s->has_ahead) {
        wake(in);
    }
    unlock(in);
}

static struct slot *empty_slot(struct inbox *in, conn_id conn, size_t bytes)
{
    struct slot *s = slot_of(in, in->put);
    check(inbox_has_room(in, bytes));
    s->conn = conn;
    s->is_end = false;
    s->has_ahead = false;
    s->bytes = bytes;
    return s;
}

enum err inbox_put(struct inbox *in, struct sync *s, conn_id conn, struct bytes message)
{
    struct slot *slot = empty_slot(in, conn, message.len);
    bool may_hold_commit = message.len > COMMIT_SIGNATURE_BYTES;
    slot->has_ahead = in->has_thread && may_hold_commit && sync_ahead(s, conn, message, &slot->ahead) == ERR_OK;
    if (!slot->has_ahead) {
        slot->copy = malloc(message.len + 1);
        if (slot->copy == NULL) {
            return ERR_NOMEM;
        }
        memcpy(slot->copy, message.ptr, message.len);
    }
    push(in, slot);
    return ERR_OK;
}

void inbox_put_end(struct inbox *in, conn_id conn)
{
    struct slot *s = empty_slot(in, conn, 0);
    s->is_end = true;
    push(in, s);
}

struct inbox_item inbox_first(struct inbox *in)
{
    uint64_t number = in->taken;
    struct slot *s = slot_of(in, number);
    check(inbox_count(in) > 0);
    lock(in);
    while (in->is_working && in->working == number) {
        check(pthread_cond_wait(&in->has_worked, &in->mutex) == 0);
    }
    in->next = in->next > number ? in->next : number + 1;
    wake(in);
    unlock(in);
    return (struct inbox_item){ .conn = s->conn,
        .is_end = s->is_end,
        .message = bytes_of(s->copy, s->copy == NULL ? 0 : s->bytes),
        .ahead = s->has_ahead ? &s->ahead : NULL,
        .bytes = s->bytes };
}

void inbox_drop(struct inbox *in)
{
    struct slot *s = slot_of(in, in->taken);
    check(inbox_count(in) > 0);
    in->bytes -= s->bytes;
    ahead_reset(&s->ahead);
    free(s->copy);
    s->copy = NULL;
    s->conn = 0;
    lock(in);
    in->taken++;
    unlock(in);
}
