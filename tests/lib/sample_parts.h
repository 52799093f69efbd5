#ifndef JIPAN_TESTS_SAMPLE_PARTS_H
#define JIPAN_TESTS_SAMPLE_PARTS_H

#include "tests/lib/sample.h"

/* Shared by the files of the sample generator only. */

/* A stream of numbers that depends on (seed, station, index, topic) and nothing else. */
struct sample_draw {
    uint64_t state;
};

struct sample_draw sample_draw_of(uint64_t seed, unsigned station, uint64_t index, unsigned topic);
uint64_t sample_draw_below(struct sample_draw *d, uint64_t bound);
bool sample_draw_chance(struct sample_draw *d, unsigned per_mille);
size_t sample_draw_weighted(struct sample_draw *d, const unsigned *weights, size_t count);

#define SAMPLE_PICK(draw, list) ((list)[sample_draw_below((draw), ARRAY_LEN(list))])

/* A person's or company's name; decade 0 (1960s) to 4 (2000s). */
void sample_person_name(struct sample_draw *d, unsigned station, bool is_male, unsigned decade, char *out, size_t room);
void sample_company_name(struct sample_draw *d, unsigned station, char *out, size_t room);

/* Replaces one character of the name by one that sounds alike; appends a usual one when none fits. */
void sample_homophone(struct sample_draw *d, char *name, size_t room);

/* Numbers with valid check signs. */
void sample_mobile(struct sample_draw *d, unsigned decade, char out[12]);
void sample_id_card(struct sample_draw *d, const char *region, const char *birth_iso, bool is_male, char out[19]);
void sample_uscc(struct sample_draw *d, const char *region, char out[19]);
void sample_vin(struct sample_draw *d, unsigned station, uint64_t index, char out[18]);
void sample_plate(struct sample_draw *d, unsigned station, char out[16]);

/* Spoils the customer in one way. */
void sample_spoil(struct sample_draw *d, struct sample_customer *c);

/* Where a station's customers live. */
struct sample_region {
    const char *code;
    const char *name; /* city and district */
    const char *postcode;
    const char *towns[3];
};

struct sample_city {
    const char *name;
    const char *area_code;
    const char *plates[3]; /* the usual ones */
    const char *province_plate; /* of the province */
    const char *leader; /* the most frequent surname of the province */
    struct sample_region regions[8];
    size_t region_count;
};

const struct sample_city *sample_city(unsigned station);

#endif
