#ifndef JIPAN_DERIVE_H
#define JIPAN_DERIVE_H

#include "node/app.h"

/*
 * Values that follow from several records of one dossier: customer classes, do-not-contact, completeness, the grade of
 * an opportunity, follow-up dates. Worked out on every node from the rows it holds, never stored, never synced
 * (domain.md 0.2, 4.1, 4.2). Makes no access decision: node/view.c asks before it shows them.
 */
struct deriver {
    struct app *app;
    struct arena *a;
    int64_t today; /* yyyymmdd at the stations */
};

/* Any field with the rule DERIVED, of this or several records. VALUE_NULL when nothing can be said. */
MUST_USE enum err derive_value(const struct deriver *dv, const struct entity_desc *d, const struct field *f,
    const struct row *row, struct value *out);

/* True when the customer's consent to sensitive data is in force. */
MUST_USE enum err derive_consent_sensitive(const struct deriver *dv, struct dossier_id dossier, bool *out);

/* One follow-up that is due: of an open opportunity, or the monthly care of a VIP. */
struct due_task {
    struct record_id cause; /* the opportunity, or the customer's main record for a VIP */
    bool is_vip;
    int64_t grade; /* code number, 0 for a VIP */
    int64_t due; /* yyyymmdd */
};

/* The follow-up of one opportunity row; *has false when it is closed or has no grade. */
MUST_USE enum err derive_due(const struct deriver *dv, const struct row *opportunity, struct due_task *out, bool *has);
/* The monthly care of a VIP; *has false when the customer is none. */
MUST_USE enum err derive_vip_due(const struct deriver *dv, struct dossier_id dossier, struct due_task *out, bool *has);

int64_t derive_add_days(int64_t yyyymmdd, int64_t days);

#endif
