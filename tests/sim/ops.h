#ifndef JIPAN_TESTS_SIM_OPS_H
#define JIPAN_TESTS_SIM_OPS_H

#include "tests/sim/sim.h"

/* One commit being put together: records with fields, then op_commit. */
enum { OP_RECORDS_MAX = 12, OP_FIELDS_MAX = 12 };

struct op_record {
    const struct entity_desc *desc;
    const struct sim_record *of; /* the record, or the dossier of a new one; NULL: a new dossier */
    struct write_group group;
    struct write_record write;
    struct write_field fields[OP_FIELDS_MAX];
    char texts[OP_FIELDS_MAX][40];
    size_t field_count;
};

struct op {
    struct sim_node *n;
    uint32_t user;
    uint32_t choice;
    struct op_record records[OP_RECORDS_MAX];
    size_t count;
};

void op_begin(struct op *op, struct sim_node *n, uint32_t user);
struct op_record *op_add(struct op *op, enum entity entity, const struct sim_record *in); /* in NULL: a new dossier */
void op_field(struct op *op, struct op_record *r, const char *name, const char *text);
enum err op_commit(struct op *op);

#endif
