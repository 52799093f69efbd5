#ifndef JIPAN_TESTS_BENCH_STATIONS_H
#define JIPAN_TESTS_BENCH_STATIONS_H

#include "node/app.h"
#include "tests/lib/bench_kit.h"
#include "tests/lib/proxy.h"

#include <sys/types.h>

/*
 * What the benches of several nodes share: nodes that are processes of their own (`jipan run`), asked over their
 * control sockets; lines between them that count bytes and can be cut; ways to write many changes quickly. As in
 * tests/lib/bench_kit.h, a bench that cannot go on says why and ends.
 */
enum { STATION_PATH_BYTES = 4300, STATION_IDS_MAX = 2000 };

struct station {
    const char *jipan; /* the program; borrowed */
    char home[STATION_PATH_BYTES];
    char passphrase_file[STATION_PATH_BYTES];
    int port;
    pid_t pid; /* 0: does not run */
    struct control_client *client;
};

/* dir/name as home, not made yet; the first call writes dir/passphrase. jipan: path of the program. Gets a port
 * of this machine that is free now. */
void station_init(struct station *s, const char *dir, const char *jipan, const char *name);

/* A new group in its home (bench_node), with the address others find it at. The caller fills and closes it. */
struct app *station_found(struct station *s);
void station_invite(struct app *app, enum node_kind kind, const char *station_code, char code[INVITE_CODE_MAX]);
/* Joins at the running node that gave the code; its home is left closed. line: how it reaches that node from now on;
 * NULL: directly. */
struct line;
void station_join(struct station *s, const char *code, const struct line *line);
/* The one node it dials, not while it runs. tls_key NULL: the same node at another port. */
void station_set_peer(struct station *s, int port, const uint8_t *tls_key);
struct app *station_open(const struct station *s); /* in this process; not while it runs */

void station_start(struct station *s); /* until it answers */
/* One more connection to the same process, to be asked from another thread; closed by station_leave. */
void station_attach(const struct station *s, struct station *out);
void station_leave(struct station *attached);
void station_stop(struct station *s);
void station_kill(struct station *s); /* SIGKILL */

json_t *station_ask(struct station *s, const char *verb, json_t *args); /* the result; steals args */
/* Code of the answer, whatever it is. Steals args. */
int station_try(struct station *s, const char *verb, json_t *args);
void station_sync(struct station *s);
void stations_need_same(struct station *a, struct station *b); /* equal state hashes */
size_t station_ids(struct station *s, char ids[][64], size_t max); /* of customers */
void station_edit(struct station *s, const char *id, const char *field, const char *value);
bool station_shows(struct station *s, const char *id, const char *value); /* as its occupation */
/* Prints, under that name, the time from the answer to `set` at one node until a `get` at the other shows the value:
 * the last get and its durable audit entry are inside the time. */
void stations_measure_live(
    struct station *from, struct station *to, char ids[][64], size_t id_count, size_t edits, const char *name);
double station_file_mb(const struct station *s, const char *name);

/* --- many changes ---------------------------------------------------------------------------------------------------
 * Straight through the core of a node opened here: no JSON, no audit entry. Each change is one commit of one field.
 */
/* A customer of station S1, in a transaction of its own. */
struct record_id station_write_customer(struct app *app, size_t number);
/* One durable edit; its dot. */
struct dot station_write_edit(struct app *app, struct record_id id, size_t number);
/* That many edits of these customers in turns, many in one transaction. */
void station_write_edits(struct app *app, const struct record_id *ids, size_t customers, size_t edits);
/* Hands all that `from` has written over to `to`, both opened here: what lines would do, without them. */
void station_carry(struct app *from, struct app *to);
/* Ids of up to max customers that the node holds. */
size_t station_record_ids(struct app *app, struct record_id *out, size_t max);

/* --- a line ---------------------------------------------------------------------------------------------------------
 * A thread that copies TCP unchanged to a port of this machine and counts the bytes (TLS and websocket framing
 * included).
 */
struct line *line_open(int target_port);
void line_close(struct line *l);
int line_port(const struct line *l);
void line_set(struct line *l, enum proxy_state state);
double line_bytes(struct line *l); /* both ways since the start */
void line_cut_after(struct line *l, uint64_t bytes); /* see proxy_cut_after */
uint64_t line_cuts(struct line *l);

#endif
