#ifndef JIPAN_VIEW_H
#define JIPAN_VIEW_H

#include "node/request.h"
#include "sync/conflict.h"

/*
 * The one field-view builder: every value that leaves a node through a request (get, find, history, conflicts, dump,
 * export, print) is made here, by view_value, from an answer of sync/access.h, and noted for the audit log. Nothing
 * is released before those notes are durable: view_release. docs/decisions/0009-one-field-view.md
 *
 * One struct viewing per request; it lives on the handler's stack, what it points to lives in the app's arena.
 */
struct view_facts {
    struct dossier dossier; /* without `seen` */
    uint32_t scope; /* SCOPE_* for writing: what the receivers of a commit can judge as well */
    uint32_t read_scope; /* the same and what only this node can know: open tasks, who received a visitor */
    bool has_consent_sensitive;
    bool has_open_order;
};

struct viewing {
    struct request *rq;
    struct app *app;
    struct arena
        *a; /* scratch; a handler may swap it for one that it resets row by row. Notes are kept in app->arena */
    const struct member_user *user;
    enum purpose purpose;
    int64_t today; /* yyyymmdd at the stations, UTC+8 */
    bool is_open; /* a transaction: see view_open */
    bool has_facts; /* of the dossier looked at last */
    struct view_facts facts;
    struct audit_entry **notes; /* what the audit log will say, written by view_release */
    size_t note_count;
    size_t note_capacity;
};

/* Reads args.purpose. ERR_USAGE for a purpose that does not exist. */
MUST_USE enum err view_begin(struct viewing *v, struct request *rq);

/* "entity/hex" -> its parts. ERR_USAGE with the nearest entity name; record ids of 32 hex digits. */
MUST_USE enum err view_parse_id(
    struct viewing *v, struct bytes text, const struct entity_desc **d, struct record_id *id);
MUST_USE enum err view_parse_entity(struct viewing *v, struct bytes name, const struct entity_desc **d);
/* A field by its name or its input alias; ERR_USAGE with the nearest name. */
MUST_USE enum err view_parse_field(
    struct viewing *v, const struct entity_desc *d, struct bytes name, const struct field **f);

/* --- rights
 * ------------------------------------------------------------------------------------------------------------- */

/* How the dossier stands to the viewer; remembered for the next call. ERR_NOT_FOUND when it is not held here. */
MUST_USE enum err view_facts_of(struct viewing *v, struct dossier_id id, const struct view_facts **out);
/* The same for one row: whoever received a visitor owns the line in the station's book. */
MUST_USE enum err view_facts_of_row(
    struct viewing *v, const struct entity_desc *d, const struct row *row, struct view_facts *out);

/* The answer for one field (NULL: the row). facts NULL: could it be allowed for any row at all. */
struct access_answer view_ask(const struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct field *f, enum action action);

/* Refuses, before anything is looked up, what no row could allow: a missing purpose, an entity that is not for the
 * viewer's roles. Denials are audited. record may be NULL. */
MUST_USE enum err view_enter(struct viewing *v, const struct entity_desc *d, const struct record_id *record);

/* As view_enter, for another action on one field. */
MUST_USE enum err view_may_ever(struct viewing *v, const struct entity_desc *d, const struct field *f,
    enum action action, const struct record_id *record);

/* True if the viewer may know that rows of this dossier exist, with the purpose named or, when any_purpose, with one he
 * could name. */
bool view_sees_row(
    const struct viewing *v, const struct view_facts *facts, const struct entity_desc *d, bool any_purpose);

/* Audits the refusal and says why; returns ERR_DENIED, or the error that kept it from being audited. */
MUST_USE enum err view_deny(struct viewing *v, const struct entity_desc *d, const struct record_id *record,
    const struct field *f, const struct access_answer *answer);

/* The one answer for what does not exist and what the viewer may not know of; audited. */
MUST_USE enum err view_not_found(
    struct viewing *v, enum audit_event event, const struct entity_desc *d, const struct record_id *record);

/* --- values
 * ------------------------------------------------------------------------------------------------------------- */

/* A row of a child in its dossier: the stored values plus `customer` and what is derived. Arena memory. */
MUST_USE enum err view_fill(struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct row *row, struct row *out);

/* {"value","view"} of one value under an answer, noted in `note`; *out is NULL when the viewer may not see it. */
MUST_USE enum err view_value(struct viewing *v, const struct field *f, struct value value,
    const struct access_answer *answer, struct audit_entry *note, json_t **out);

/* {"id","entity","fields":{…}} of a filled row. *out NULL: nothing of it is for the viewer. */
MUST_USE enum err view_record(struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct row *row, struct audit_entry *note, json_t **out);

/* Whether the field of this record has an open conflict. */
MUST_USE enum err view_has_open_conflict(
    struct viewing *v, struct record_id id, enum entity entity, uint32_t field, bool *out);

/* --- audit
 * ------------------------------------------------------------------------------------------------------------- */

/* A new note; record NULL: about no single one. NULL when out of memory.
 * Stays valid for the request. */
struct audit_entry *view_note(
    struct viewing *v, enum audit_event event, const struct entity_desc *d, const struct record_id *record);
/* A note about a dossier as a whole. */
void view_note_dossier(struct viewing *v, struct audit_entry *note, struct dossier_id id);
void view_note_field(struct audit_entry *note, const struct field *f, const struct access_answer *answer);

/* Begins the transaction that a write or view_release will end, unless it stands open: what is read from now on is what
 * the write finds. view_leave takes it back if neither came; nothing was written then. */
MUST_USE enum err view_open(struct viewing *v);
void view_leave(struct viewing *v);
/* Appends the notes inside a transaction that the caller has begun (writes), or in one of their own. */
MUST_USE enum err view_append_notes(struct viewing *v);
/* Makes the notes durable, then gives the result to the request; takes over result either way. */
MUST_USE enum err view_release(struct viewing *v, json_t *result);

/* --- small JSON helpers
 * --------------------------------------------------------------------------------------------- */

json_t *view_text(struct bytes text);
json_t *view_record_id(const struct entity_desc *d, struct record_id id); /* "entity/hex" */
json_t *view_dot(struct dot dot);
json_t *view_instant(int64_t ms); /* ISO 8601 UTC */
json_t *view_login(const struct viewing *v, uint32_t user); /* login, or "#7" */

/* The day at the stations (UTC+8) of an instant, yyyymmdd; and the other way, the instant of its midnight there. */
int64_t view_day(int64_t ms);
int64_t view_day_start(int64_t yyyymmdd);

#endif
