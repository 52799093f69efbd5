/* The field-view builder alone: for every role, purpose and scope, what it shows is what the decision allows, masked
 * where it says masked, and everything shown is noted. And nothing else in node/ turns values into text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "node/view.h"
#include "tests/lib/testkit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

static struct app app;
static struct member_user user = { .number = 7, .login = "wang", .station = 1 };
static struct request rq;

static struct record_id some_id(uint8_t n)
{
    struct record_id id = { { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0, 0, 0, 0, n } };
    return id;
}

static int set_up(void **state)
{
    (void)state;
    app = (struct app){ .mem = *test_mem() };
    arena_init(&app.arena, &app.mem, 1 << 24);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&app.arena);
    assert_int_equal(app.mem.used_bytes, 0);
    return 0;
}

static struct viewing viewing_of(uint32_t roles, enum purpose purpose)
{
    user.roles = roles;
    return (struct viewing){
        .rq = &rq, .app = &app, .a = &app.arena, .user = &user, .purpose = purpose, .today = 20260307
    };
}

/* A value of the field's type that its own text gives away. */
static struct value sample(const struct field *f)
{
    static struct record_id ref;
    struct value set = VALUE_NONE;
    ref = some_id(99);
    switch (f->type) {
    case FIELD_TEXT:
    case FIELD_USER:
    case FIELD_STATION:
        return value_text(f->mask == MASK_MOBILE_OR_OTHER ? BYTES_LIT("13900001234") : BYTES_LIT("王小明王小明"));
    case FIELD_INT:
        return value_int(f->lo + 1);
    case FIELD_BOOL:
        return value_int(1);
    case FIELD_CODE:
        return value_int(f->codes->codes[0].number);
    case FIELD_CODES:
        assert_int_equal(value_set_add(&app.arena, VALUE_NONE, bytes_str(f->codes->codes[0].key), &set), ERR_OK);
        return set;
    case FIELD_TEXTS:
        assert_int_equal(value_set_add(&app.arena, VALUE_NONE, BYTES_LIT("王小明王小明"), &set), ERR_OK);
        return set;
    case FIELD_DATE:
        return value_int(19850312);
    case FIELD_INSTANT:
        return value_int(1772876400000);
    case FIELD_REF:
        return value_id(&ref);
    }
    return VALUE_NONE;
}

static struct row sample_row(const struct entity_desc *d)
{
    struct row row = { .id = some_id(1), .entity = d->entity };
    row.values = arena_array(&app.arena, d->field_count, sizeof(*row.values));
    assert_non_null(row.values);
    for (size_t i = 0; i < d->field_count; i++) {
        row.values[i] = sample(&d->fields[i]);
    }
    return row;
}

static bool is_noted(const struct audit_entry *note, const struct field *f)
{
    for (uint32_t i = 0; i < note->field_count; i++) {
        if (note->fields[i] == f->number) {
            return true;
        }
    }
    return false;
}

/* One field of one shown record against the decision. */
static void check_field(const struct viewing *v, const struct view_facts *facts, const struct entity_desc *d,
    const struct row *row, const struct field *f, const json_t *record, const struct audit_entry *note)
{
    struct access_answer answer = view_ask(v, facts, d, f, ACTION_READ);
    const json_t *cell = json_object_get(json_object_get(record, "fields"), f->name);
    const char *value = json_string_value(json_object_get(cell, "value"));
    const char *view = json_string_value(json_object_get(cell, "view"));
    struct bytes clear = { 0 };
    assert_int_equal(cell != NULL, answer.view >= VIEW_MASKED);
    if (cell == NULL) {
        return;
    }
    assert_non_null(value);
    assert_true(is_noted(note, f));
    assert_int_equal(field_text(f, &app.arena, row->values[catalogue_field_index(d, f)], &clear), ERR_OK);
    bool is_same = bytes_equal(clear, bytes_str(value));
    assert_int_equal(is_same, answer.view == VIEW_CLEAR);
    assert_string_equal(view, answer.view == VIEW_CLEAR ? "clear" : "masked");
}

static void check_entity(
    uint32_t roles, enum purpose purpose, uint32_t scope, const struct entity_desc *d, size_t *shown)
{
    struct viewing v = viewing_of(roles, purpose);
    const struct view_facts facts = { .scope = scope, .read_scope = scope, .dossier = { .kind = DOSSIER_CUSTOMER } };
    struct row row = sample_row(d);
    struct audit_entry note = { .entity = (uint32_t)d->entity };
    json_t *record = NULL;
    assert_int_equal(view_record(&v, &facts, d, &row, &note, &record), ERR_OK);
    for (size_t i = 0; i < d->field_count; i++) {
        check_field(&v, &facts, d, &row, &d->fields[i], record, &note);
    }
    *shown += json_object_size(json_object_get(record, "fields"));
    assert_int_equal(json_object_size(json_object_get(record, "fields")), note.field_count);
    json_decref(record);
    arena_reset(&app.arena);
}

static void what_is_shown_is_what_is_allowed(void **state)
{
    static const uint32_t scopes[] = { SCOPE_GROUP, SCOPE_GROUP | SCOPE_STATION,
        SCOPE_GROUP | SCOPE_STATION | SCOPE_OWN, SCOPE_GROUP | SCOPE_TASK };
    static const enum purpose purposes[] = { PURPOSE_NONE, PURPOSE_P1, PURPOSE_P5, PURPOSE_P8, PURPOSE_P9 };
    size_t count = 0;
    size_t shown = 0;
    const struct entity_desc *all = catalogue_entities(&count);
    (void)state;
    for (unsigned role = ROLE_NONE; role < ROLE_COUNT; role++) {
        for (size_t p = 0; p < ARRAY_LEN(purposes); p++) {
            for (size_t s = 0; s < ARRAY_LEN(scopes); s++) {
                for (size_t i = 0; i < count; i++) {
                    check_entity(role_bit((enum role)role), purposes[p], scopes[s], &all[i], &shown);
                }
            }
        }
    }
    assert_true(shown > 1000);
}

static void nothing_to_show_is_no_record(void **state)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    struct viewing v = viewing_of(role_bit(ROLE_AD), PURPOSE_P11);
    const struct view_facts facts = { .scope = SCOPE_ALL, .read_scope = SCOPE_ALL };
    struct row row = sample_row(d);
    struct audit_entry note = { .entity = ENTITY_CUSTOMER };
    json_t *record = json_true();
    (void)state;
    assert_int_equal(view_record(&v, &facts, d, &row, &note, &record), ERR_OK);
    assert_null(record);
    assert_int_equal(note.field_count, 0);
}

static void a_note_names_the_best_personal_view(void **state)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    const struct field *kind = catalogue_field_by_name(d, BYTES_LIT("kind"));
    const struct field *name = catalogue_field_by_name(d, BYTES_LIT("full_name"));
    const struct field *sex = catalogue_field_by_name(d, BYTES_LIT("sex"));
    const struct access_answer clear = { .view = VIEW_CLEAR, .role = ROLE_SC };
    const struct access_answer masked = { .view = VIEW_MASKED, .role = ROLE_PA };
    struct audit_entry note = { .entity = ENTITY_CUSTOMER };
    (void)state;
    view_note_field(&note, kind, &clear);
    assert_int_equal(note.view, VIEW_CLEAR);
    view_note_field(&note, name, &masked);
    assert_int_equal(note.view, VIEW_MASKED);
    assert_int_equal(note.role, ROLE_PA);
    view_note_field(&note, kind, &clear);
    assert_int_equal(note.view, VIEW_MASKED);
    view_note_field(&note, sex, &clear);
    assert_int_equal(note.view, VIEW_CLEAR);
    assert_int_equal(note.field_count, 3);
}

static void a_row_may_exist_for_a_purpose_not_named(void **state)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    const struct view_facts own = { .read_scope = SCOPE_GROUP | SCOPE_STATION | SCOPE_OWN };
    const struct view_facts far = { .read_scope = SCOPE_GROUP };
    struct viewing v = viewing_of(role_bit(ROLE_SC), PURPOSE_NONE);
    (void)state;
    assert_false(view_sees_row(&v, &own, d, false));
    assert_true(view_sees_row(&v, &own, d, true));
    assert_false(view_sees_row(&v, &far, d, true));
    v = viewing_of(role_bit(ROLE_SC), PURPOSE_P1);
    assert_true(view_sees_row(&v, &own, d, false));
}

/* Reading knows more of a row than writing may rely on: receivers judge a write without it. */
static void a_task_is_for_reading_only(void **state)
{
    const struct entity_desc *d = catalogue_entity(ENTITY_CUSTOMER);
    const struct field *name = catalogue_field_by_name(d, BYTES_LIT("full_name"));
    const struct view_facts facts = { .scope = SCOPE_GROUP, .read_scope = SCOPE_GROUP | SCOPE_TASK };
    struct viewing v = viewing_of(role_bit(ROLE_CS), PURPOSE_P5);
    (void)state;
    assert_int_equal(view_ask(&v, &facts, d, name, ACTION_READ).view, VIEW_CLEAR);
    assert_int_equal(view_ask(&v, &facts, d, name, ACTION_UPDATE).view, VIEW_DENY);
}

static void the_day_is_the_stations_day(void **state)
{
    (void)state;
    assert_int_equal(view_day(1772898600000), 20260307); /* 2026-03-07T15:50Z, 23:50 at the station */
    assert_int_equal(view_day(1772899200000 + 600000), 20260308); /* 16:10Z: past midnight there */
    assert_int_equal(view_day(view_day_start(20260307)), 20260307);
    assert_int_equal(view_day(view_day_start(20260307) - 1), 20260306);
}

/* Lesson 22: every second door. Only the builder may make text of a stored value. */
static void only_the_builder_makes_text_of_values(void **state)
{
    static const char *const makers[] = { "field_text(", "field_mask(" };
    DIR *dir = opendir(TEST_SOURCE_DIR "/../node");
    char path[512];
    size_t files = 0;
    (void)state;
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        size_t len = strlen(e->d_name);
        if (len < 3 || strcmp(e->d_name + len - 2, ".c") != 0) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s/../node/%s", TEST_SOURCE_DIR, e->d_name);
        FILE *f = fopen(path, "re");
        char *text = calloc(1, 1 << 20);
        assert_true(f != NULL && text != NULL);
        assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
        (void)fclose(f);
        for (size_t i = 0; i < ARRAY_LEN(makers); i++) {
            if ((strstr(text, makers[i]) != NULL) != (strcmp(e->d_name, "view.c") == 0)) {
                fail_msg("%s: %s", e->d_name, makers[i]);
            }
        }
        free(text);
        files++;
    }
    (void)closedir(dir);
    assert_true(files > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_shown_is_what_is_allowed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_to_show_is_no_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_note_names_the_best_personal_view, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_row_may_exist_for_a_purpose_not_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_task_is_for_reading_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_day_is_the_stations_day, set_up, tear_down),
        cmocka_unit_test(only_the_builder_makes_text_of_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
