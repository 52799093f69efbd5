/*
 * Owns: the processes of the nodes a bench runs, their control sockets, the thread of each line, and quick writing of
 * many commits. Invariant: a station's home is open in one process at a time. Measures nothing itself.
 */
#include "tests/bench/stations.h"

#include "node/daemon.h"
#include "node/net/control_client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPLY_BYTES = 16 << 20, ANSWER_MS = 900000, EDITS_PER_TRANSACTION = 500, BOSS = 2 };

/* --- homes ----------------------------------------------------------------------------------------------------------
 */

/* Two benches at a time must not meet; the port stays free until the node listens, unless somebody is very unlucky. */
static int free_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { .s_addr = htonl(INADDR_LOOPBACK) } };
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bench_need(fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof(a)) == 0 &&
                   getsockname(fd, (struct sockaddr *)&a, &len) == 0,
        "no free port");
    (void)close(fd);
    return ntohs(a.sin_port);
}

void station_init(struct station *s, const char *dir, const char *jipan, const char *name)
{
    *s = (struct station){ .jipan = jipan, .port = free_port() };
    int n = snprintf(s->home, sizeof(s->home), "%s/%s", dir, name);
    int m = snprintf(s->passphrase_file, sizeof(s->passphrase_file), "%s/passphrase", dir);
    bench_need(
        n > 0 && (size_t)n < sizeof(s->home) && m > 0 && (size_t)m < sizeof(s->passphrase_file), "path too long");
    FILE *f = fopen(s->passphrase_file, "we");
    bench_need(f != NULL && fputs(BENCH_PASSPHRASE "\n", f) >= 0 && fclose(f) == 0, "cannot write the passphrase");
}

static void address_of(int port, char out[32])
{
    (void)snprintf(out, 32, "127.0.0.1:%d", port);
}

struct app *station_found(struct station *s)
{
    char address[32];
    struct app *app = bench_node(s->home);
    address_of(s->port, address);
    bench_need(app_set_listen(app, bytes_str(address)) == ERR_OK, "no address");
    return app;
}

void station_invite(struct app *app, enum node_kind kind, const char *station_code, char code[INVITE_CODE_MAX])
{
    struct why why = { .zh = { 0 } };
    const struct app_invite in = {
        .kind = kind, .station_code = bytes_str(station_code), .holds_group = kind != NODE_RELAY
    };
    bench_need(app_invite(app, &in, code, NULL, &why) == ERR_OK, why.en);
}

struct app *station_open(const struct station *s)
{
    struct app *app = NULL;
    struct why why = { .zh = { 0 } };
    bench_need(app_open(s->home, BYTES_LIT(BENCH_PASSPHRASE), &app, &why) == ERR_OK, why.en);
    return app;
}

void station_set_peer(struct station *s, int port, const uint8_t *tls_key)
{
    char address[32];
    struct why why = { .zh = { 0 } };
    struct app_peer peer;
    size_t count = 0;
    struct app *app = station_open(s);
    address_of(port, address);
    bench_need(app_peers(app, &peer, 1, &count) == ERR_OK && count == 1, "no peer");
    bench_need(
        app_peer_remove(app, bytes_str(peer.address), NULL) == ERR_OK &&
            app_peer_add(app, bytes_str(address), tls_key == NULL ? peer.tls_key : tls_key, NULL, &why) == ERR_OK,
        "cannot set the peer");
    app_close(app);
}

void station_join(struct station *s, const char *code, const struct line *line)
{
    char recovery[VAULT_RECOVERY_TEXT_BYTES];
    uint32_t number = 0;
    struct why why = { .zh = { 0 } };
    enum err e = daemon_join(
        s->home, BYTES_LIT(BENCH_PASSPHRASE), bytes_str(code), (struct bytes){ 0 }, recovery, &number, &why);
    bench_need(e == ERR_OK, why.en);
    if (line != NULL) {
        station_set_peer(s, line_port(line), NULL);
    }
}

/* --- processes ------------------------------------------------------------------------------------------------------
 */

void station_start(struct station *s)
{
    char listen[32];
    char socket_path[STATION_PATH_BYTES];
    char log[STATION_PATH_BYTES + 8];
    address_of(s->port, listen);
    (void)snprintf(log, sizeof(log), "%s.log", s->home);
    bench_need(daemon_socket_path(s->home, socket_path, sizeof(socket_path)), "path too long");
    s->pid = fork();
    bench_need(s->pid >= 0, "cannot fork");
    if (s->pid == 0) {
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        (void)dup2(fd, STDERR_FILENO);
        (void)execl(s->jipan, "jipan", "--home", s->home, "--passphrase-file", s->passphrase_file, "run", "--listen",
            listen, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 60000; i++) {
        if (control_open(socket_path, &s->client) == ERR_OK) {
            return;
        }
        bench_need(waitpid(s->pid, NULL, WNOHANG) == 0, "a daemon ended; see its log");
        (void)usleep(1000);
    }
    bench_need(false, "a daemon does not answer");
}

void station_attach(const struct station *s, struct station *out)
{
    char socket_path[STATION_PATH_BYTES];
    *out = *s;
    bench_need(daemon_socket_path(s->home, socket_path, sizeof(socket_path)) &&
                   control_open(socket_path, &out->client) == ERR_OK,
        "a daemon does not answer");
}

void station_leave(struct station *attached)
{
    control_close(attached->client);
    attached->client = NULL;
}

static void end(struct station *s, int signal_number)
{
    control_close(s->client);
    s->client = NULL;
    (void)kill(s->pid, signal_number);
    (void)waitpid(s->pid, NULL, 0);
    s->pid = 0;
}

void station_stop(struct station *s)
{
    end(s, SIGTERM);
}

void station_kill(struct station *s)
{
    end(s, SIGKILL);
}

/* The whole reply. Steals args. */
static json_t *exchange(struct station *s, const char *verb, json_t *args)
{
    struct buf out;
    struct mem mem = app_mem(APP_MEM_MAX_BYTES);
    json_t *request = bench_request(verb, args);
    char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    bench_need(text != NULL, "out of memory");
    buf_init(&out, &mem, REPLY_BYTES);
    bench_need(control_send(s->client, bytes_str(text), ANSWER_MS) == ERR_OK &&
                   control_receive(s->client, &out, ANSWER_MS) == ERR_OK,
        "no answer from a daemon");
    json_t *reply = json_loadb((const char *)out.ptr, out.len, 0, NULL);
    bench_need(reply != NULL, "an answer that is no JSON");
    buf_release(&out);
    free(text);
    return reply;
}

json_t *station_ask(struct station *s, const char *verb, json_t *args)
{
    json_t *reply = exchange(s, verb, args);
    if (json_integer_value(json_object_get(reply, "code")) != 0) {
        char *text = json_dumps(reply, 0);
        (void)fprintf(stderr, "bench: %s: %s\n", verb, text == NULL ? "?" : text);
        exit(1);
    }
    json_t *result = json_incref(json_object_get(reply, "result"));
    json_decref(reply);
    return result;
}

int station_try(struct station *s, const char *verb, json_t *args)
{
    json_t *reply = exchange(s, verb, args);
    int code = (int)json_integer_value(json_object_get(reply, "code"));
    json_decref(reply);
    return code;
}

void station_sync(struct station *s)
{
    json_t *r = station_ask(s, "sync", json_object());
    bench_need(json_is_true(json_object_get(r, "in_sync")), "not in sync");
    json_decref(r);
}

void stations_need_same(struct station *a, struct station *b)
{
    json_t *one = station_ask(a, "statehash", json_object());
    json_t *other = station_ask(b, "statehash", json_object());
    bench_need(json_equal(one, other) == 1, "the nodes differ after sync");
    json_decref(one);
    json_decref(other);
}

size_t station_ids(struct station *s, char ids[][64], size_t max)
{
    json_t *args = json_pack("{s:s, s:i, s:s}", "entity", "customer", "limit", (int)max, "purpose", "P1");
    json_t *found = station_ask(s, "find", args);
    size_t count = 0;
    for (; count < json_array_size(found) && count < max; count++) {
        (void)snprintf(ids[count], 64, "%s", json_string_value(json_object_get(json_array_get(found, count), "id")));
    }
    json_decref(found);
    bench_need(count > 0, "no customers");
    return count;
}

void station_edit(struct station *s, const char *id, const char *field, const char *value)
{
    json_decref(station_ask(s, "set", json_pack("{s:s, s:{s:s}}", "id", id, "fields", field, value)));
}

bool station_shows(struct station *s, const char *id, const char *value)
{
    json_t *r = station_ask(s, "get", json_pack("{s:s, s:s}", "id", id, "purpose", "P1"));
    const char *now =
        json_string_value(json_object_get(json_object_get(json_object_get(r, "fields"), "occupation"), "value"));
    bool is_same = now != NULL && strcmp(now, value) == 0;
    json_decref(r);
    return is_same;
}

void stations_measure_live(
    struct station *from, struct station *to, char ids[][64], size_t id_count, size_t edits, const char *name)
{
    static unsigned calls; /* or a second round would change nothing */
    struct bench_series *ms = calloc(1, sizeof(*ms));
    char text[32];
    char p95[80];
    calls++;
    bench_need(ms != NULL, "out of memory");
    for (size_t i = 0; i < edits; i++) {
        const char *id = ids[i * 7919 % id_count];
        (void)snprintf(text, sizeof(text), "活%u-%zu", calls, i);
        station_edit(from, id, "occupation", text);
        double begin = bench_seconds();
        while (!station_shows(to, id, text)) {
            bench_need(bench_seconds() - begin < 10, "an edit does not arrive");
        }
        bench_add(ms, (bench_seconds() - begin) * 1e3);
    }
    (void)snprintf(p95, sizeof(p95), "%s: p95", name);
    bench_print(name, "ms", ms, 0, "answer of set to get showing it");
    bench_print_one(p95, "ms", bench_quantile(ms, 0.95), 0, "");
    free(ms);
}

double station_file_mb(const struct station *s, const char *name)
{
    char path[STATION_PATH_BYTES + 16];
    struct stat st = { 0 };
    (void)snprintf(path, sizeof(path), "%s/%s", s->home, name);
    return stat(path, &st) == 0 ? (double)st.st_size / 1e6 : 0;
}

/* --- many changes ---------------------------------------------------------------------------------------------------
 */

size_t station_record_ids(struct app *app, struct record_id *out, size_t max)
{
    json_t *args = json_pack("{s:s, s:i, s:s}", "entity", "customer", "limit", (int)max, "purpose", "P1");
    json_t *found = bench_run(app, bench_request("find", args));
    size_t count = 0;
    for (; count < json_array_size(found) && count < max; count++) {
        const char *id = json_string_value(json_object_get(json_array_get(found, count), "id"));
        const char *slash = id == NULL ? NULL : strchr(id, '/');
        bench_need(
            slash != NULL && record_id_parse(bytes_str(slash + 1), &out[count]) == ERR_OK, "an id is unreadable");
    }
    json_decref(found);
    bench_need(count > 0, "no customers");
    return count;
}

static struct write_field text_field(const char *name, const char *text)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    return (struct write_field){ .field = catalogue_field_by_name(d, bytes_str(name)),
        .value = value_text(bytes_str(text)) };
}

static enum err write_group(struct app *app, struct write_group *group, struct dot *dot)
{
    struct why why = { .zh = { 0 } };
    struct write_request wr = { .author = BOSS, .purpose = PURPOSE_P1, .groups = group, .group_count = 1 };
    enum err e = core_write(&app->core, &app->arena, app_now(), &wr, dot, &why);
    arena_reset(&app->arena);
    return e == ERR_OK && dot->seq == 0 ? ERR_INVALID : e;
}

struct record_id station_write_customer(struct app *app, size_t number)
{
    char text[32];
    struct dot dot = { 0 };
    (void)snprintf(text, sizeof(text), "客户%zu", number);
    struct write_field field = text_field("full_name", text);
    struct write_record record = {
        .desc = catalogue_entity(ENTITY_CUSTOMER), .is_new = true, .fields = &field, .field_count = 1
    };
    struct write_group group = {
        .is_new = true, .kind = DOSSIER_CUSTOMER, .station = 1, .records = &record, .record_count = 1
    };
    bench_need(app_begin(app) == ERR_OK, "cannot begin");
    bench_need(app_end(app, write_group(app, &group, &dot)) == ERR_OK, "cannot write a customer");
    return record.id;
}

static enum err write_edit(struct app *app, struct record_id id, size_t number, struct dot *dot)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "行业%zu", number);
    struct write_field field = text_field("industry", text);
    struct write_record record = {
        .desc = catalogue_entity(ENTITY_CUSTOMER), .id = id, .fields = &field, .field_count = 1
    };
    struct write_group group = {
        .kind = DOSSIER_CUSTOMER, .id = record_dossier(id), .records = &record, .record_count = 1
    };
    return write_group(app, &group, dot);
}

struct dot station_write_edit(struct app *app, struct record_id id, size_t number)
{
    struct dot dot = { 0 };
    bench_need(app_begin(app) == ERR_OK, "cannot begin");
    bench_need(app_end(app, write_edit(app, id, number, &dot)) == ERR_OK, "cannot write an edit");
    return dot;
}

void station_write_edits(struct app *app, const struct record_id *ids, size_t customers, size_t edits)
{
    for (size_t at = 0; at < edits;) {
        enum err e = ERR_OK;
        size_t end_at = at + EDITS_PER_TRANSACTION < edits ? at + EDITS_PER_TRANSACTION : edits;
        bench_need(app_begin(app) == ERR_OK, "cannot begin");
        for (; e == ERR_OK && at < end_at; at++) {
            struct dot dot = { 0 };
            e = write_edit(app, ids[at % customers], at, &dot);
        }
        bench_need(app_end(app, e) == ERR_OK, "cannot write");
    }
}

struct carrying {
    struct app *from, *to;
    size_t count; /* in the open transaction */
};

static enum err carry_one(void *ctx, struct bytes key, struct bytes value)
{
    struct carrying *c = ctx;
    struct commit_view v;
    struct buf secrets;
    (void)key;
    if (c->count == 0) {
        bench_need(app_begin(c->to) == ERR_OK, "cannot begin");
    }
    buf_init(&secrets, &c->from->mem, 1 << 20);
    enum err e = commit_parse(value, &v);
    e = e == ERR_OK ? core_secrets_of(&c->from->core, &c->from->arena, &v, &secrets) : e;
    e = e == ERR_OK ? core_ingest(&c->to->core, &c->to->arena, app_now(), value, buf_view(&secrets)) : e;
    buf_release(&secrets);
    arena_reset(&c->from->arena);
    arena_reset(&c->to->arena);
    if (e == ERR_OK && ++c->count == EDITS_PER_TRANSACTION) {
        c->count = 0;
        e = app_end(c->to, ERR_OK);
    }
    bench_need(e == ERR_OK, "a commit is not taken");
    return e;
}

void station_carry(struct app *from, struct app *to)
{
    struct carrying c = { .from = from, .to = to };
    uint8_t first[DOT_KEY_BYTES];
    uint8_t last[DOT_KEY_BYTES];
    dot_key((struct dot){ .node = from->core.self.number, .epoch = 0, .seq = 0 }, first);
    dot_key((struct dot){ .node = from->core.self.number + 1, .epoch = 0, .seq = 0 }, last);
    enum err e = from->store->ops->scan(from->store, SPACE_LOG, BYTES_OF(first), BYTES_OF(last), false, carry_one, &c);
    e = e == ERR_OK && c.count > 0 ? app_end(to, ERR_OK) : e;
    bench_need(e == ERR_OK, "cannot carry over");
}

/* --- a line ---------------------------------------------------------------------------------------------------------
 */

struct line {
    struct proxy *proxy;
    pthread_t thread;
    int wake[2];
    atomic_int want;
    atomic_bool is_over;
    atomic_ullong there, back, cuts;
    atomic_ullong cut_after; /* taken over by the thread */
};

static void *line_thread(void *ctx)
{
    struct line *l = ctx;
    int is_set = PROXY_OPEN;
    while (!atomic_load(&l->is_over)) {
        uint8_t drop[64];
        uint64_t there = 0;
        uint64_t back = 0;
        proxy_step(l->proxy, 1000, l->wake[0]);
        (void)!read(l->wake[0], drop, sizeof(drop));
        if (atomic_load(&l->want) != is_set) {
            is_set = atomic_load(&l->want);
            proxy_set(l->proxy, (enum proxy_state)is_set);
        }
        uint64_t cut_after = atomic_exchange(&l->cut_after, 0);
        if (cut_after > 0) {
            proxy_cut_after(l->proxy, cut_after);
        }
        proxy_bytes(l->proxy, &there, &back);
        atomic_store(&l->there, there);
        atomic_store(&l->back, back);
        atomic_store(&l->cuts, proxy_cuts(l->proxy));
    }
    return NULL;
}

struct line *line_open(int target_port)
{
    char target[32];
    struct line *l = calloc(1, sizeof(*l));
    bench_need(l != NULL, "out of memory");
    address_of(target_port, target);
    l->proxy = proxy_new("127.0.0.1:0", target);
    bench_need(l->proxy != NULL && pipe2(l->wake, O_NONBLOCK | O_CLOEXEC) == 0, "no line");
    atomic_store(&l->want, PROXY_OPEN);
    bench_need(pthread_create(&l->thread, NULL, line_thread, l) == 0, "no thread");
    return l;
}

static void wake(struct line *l)
{
    bench_need(write(l->wake[1], "", 1) == 1, "cannot wake the line");
    (void)usleep(30000);
}

void line_close(struct line *l)
{
    atomic_store(&l->is_over, true);
    wake(l);
    (void)pthread_join(l->thread, NULL);
    proxy_free(l->proxy);
    (void)close(l->wake[0]);
    (void)close(l->wake[1]);
    free(l);
}

int line_port(const struct line *l)
{
    return proxy_port(l->proxy);
}

void line_set(struct line *l, enum proxy_state state)
{
    atomic_store(&l->want, (int)state);
    wake(l);
}

double line_bytes(struct line *l)
{
    wake(l);
    return (double)(atomic_load(&l->there) + atomic_load(&l->back));
}

void line_cut_after(struct line *l, uint64_t bytes)
{
    atomic_store(&l->cut_after, bytes);
    wake(l);
}

uint64_t line_cuts(struct line *l)
{
    return atomic_load(&l->cuts);
}
