/*
 * Preloaded into a program, makes Argon2id as cheap as it goes: for end-to-end scripts whose subject is not the secrets
 * (tests/e2e/common.bash). The cost asked for stays in the vault's header, so that a store made with it opens only with
 * it; a verifier of a password names the cost it was made with. The product has no such switch.
 */
#include <dlfcn.h>
#include <sodium.h>
#include <stdlib.h>

#define SHOWN __attribute__((visibility("default")))

typedef int derive_fn(unsigned char *, unsigned long long, const char *, unsigned long long, const unsigned char *,
    unsigned long long, size_t, int);
typedef int text_fn(char *, const char *, unsigned long long, unsigned long long, size_t);

/* An address of data as one of a function, which POSIX allows and C does not spell. */
static void find(const char *name, void *fn)
{
    *(void **)fn = dlsym(RTLD_NEXT, name);
    if (*(void **)fn == NULL) {
        abort();
    }
}

SHOWN int crypto_pwhash(unsigned char *const out, unsigned long long out_len, const char *const text,
    unsigned long long text_len, const unsigned char *const salt, unsigned long long passes, size_t memory, int alg)
{
    derive_fn *real = NULL;
    (void)passes;
    (void)memory;
    find("crypto_pwhash", &real);
    return real(out, out_len, text, text_len, salt, crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN, alg);
}

SHOWN int crypto_pwhash_str(char out[crypto_pwhash_STRBYTES], const char *const text, unsigned long long text_len,
    unsigned long long passes, size_t memory)
{
    text_fn *real = NULL;
    (void)passes;
    (void)memory;
    find("crypto_pwhash_str", &real);
    return real(out, text, text_len, crypto_pwhash_OPSLIMIT_MIN, crypto_pwhash_MEMLIMIT_MIN);
}
