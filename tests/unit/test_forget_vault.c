/* After a dossier was forgotten and the store checkpointed, no page of the encrypted store says anything of it any
 * more, not even to who has the key: neither in use nor free. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <setjmp.h>

#include <cmocka.h>

#include "tests/lib/two_nodes.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <stdio.h>

static bool has(const uint8_t *hay, size_t len, struct bytes needle)
{
    for (size_t i = 0; i + needle.len <= len; i++) {
        if (hay[i] == needle.ptr[0] && memcmp(hay + i, needle.ptr, needle.len) == 0) {
            return true;
        }
    }
    return false;
}

/* In any page as it is after opening, free pages among them. */
static bool pages_have(struct bytes needle)
{
    sqlite3_int64 len = 0;
    unsigned char *pages = sqlite3_serialize(vault_db(s1->vault), "main", &len, 0);
    assert_non_null(pages);
    bool found = has(pages, (size_t)len, needle);
    sqlite3_free(pages);
    return found;
}

static long long wal_bytes(void)
{
    char path[APP_PATH_MAX + 16];
    struct stat st = { 0 };
    (void)snprintf(path, sizeof(path), "%s/jipan.db-wal", s1->home);
    return stat(path, &st) == 0 ? (long long)st.st_size : 0;
}

static struct dossier dossier_named(const char *text)
{
    struct record_id id = { 0 };
    struct dossier d = { 0 };
    const char *hex = strchr(text, '/');
    assert_non_null(hex);
    need(record_id_parse(bytes_str(hex + 1), &id), NULL);
    need(s1->store->ops->dossier_get(s1->store, record_dossier(id), &s1->arena, &d), NULL);
    return d;
}

static void nothing_of_it_is_in_any_page(void **state)
{
    (void)state;
    const char *first = new_customer(s1, "wang", "欧阳留下来");
    const char *gone = new_customer(s1, "wang", "欧阳被忘记");
    json_decref(want(s1, "wang", "new",
        json_pack("{ss s{ssssss}}", "entity", "contact_point", "fields", "customer", gone, "type", "mobile", "value",
            "13877776666")));
    for (size_t i = 0; i < 20; i++) { /* pages are split and filled, cells move */
        json_decref(want(s1, "wang", "set", set1(gone, "remark", i % 2 == 0 ? "常来看车的人" : "只是路过的人")));
    }
    struct dossier d = dossier_named(gone);
    const struct bytes needles[] = { bytes_str("欧阳被忘记"), bytes_str("13877776666"), bytes_str("常来看车的人"),
        BYTES_OF(d.secret) };
    need(vault_checkpoint(s1->vault), NULL);
    for (size_t i = 0; i < ARRAY_LEN(needles); i++) {
        assert_true(pages_have(needles[i]));
    }
    need(app_begin(s1), NULL);
    need(app_end(s1, core_forget(&s1->core, &s1->arena, d.id)), NULL);
    assert_true(wal_bytes() > 0); /* there it still stands, sealed */
    need(vault_checkpoint(s1->vault), NULL);
    assert_int_equal(wal_bytes(), 0);
    for (size_t i = 0; i < ARRAY_LEN(needles); i++) {
        if (pages_have(needles[i])) {
            fail_msg("needle %zu is still there", i);
        }
    }
    assert_true(pages_have(bytes_str("欧阳留下来")));
    json_decref(want(s1, "wang", "set", set1(first, "remark", "还在")));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_of_it_is_in_any_page) };
    return cmocka_run_group_tests(tests, two_nodes_found, two_nodes_leave);
}
