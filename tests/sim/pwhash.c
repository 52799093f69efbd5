/*
 * Passphrases of simulated nodes cost nothing, also with the real cryptography: a fleet would spend its time on them.
 * Still another passphrase, salt or cost gives another key.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

int crypto_pwhash(unsigned char *const out, unsigned long long outlen, const char *const passwd,
    unsigned long long passwdlen, const unsigned char *const salt, unsigned long long opslimit, size_t memlimit,
    int alg)
{
    crypto_generichash_state s;
    (void)crypto_generichash_init(&s, salt, crypto_pwhash_SALTBYTES, (size_t)outlen);
    (void)crypto_generichash_update(&s, (const uint8_t *)passwd, passwdlen);
    (void)crypto_generichash_update(&s, (const uint8_t *)&opslimit, sizeof(opslimit));
    (void)crypto_generichash_update(&s, (const uint8_t *)&memlimit, sizeof(memlimit));
    (void)crypto_generichash_update(&s, (const uint8_t *)&alg, sizeof(alg));
    (void)crypto_generichash_final(&s, out, (size_t)outlen);
    return 0;
}

int crypto_pwhash_str(char out[crypto_pwhash_STRBYTES], const char *const passwd, unsigned long long passwdlen,
    unsigned long long opslimit, size_t memlimit)
{
    uint8_t hash[32];
    char hex[65];
    (void)opslimit;
    (void)memlimit;
    (void)crypto_generichash(hash, sizeof(hash), (const uint8_t *)passwd, passwdlen, NULL, 0);
    (void)sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
    memset(out, 0, crypto_pwhash_STRBYTES);
    (void)snprintf(out, crypto_pwhash_STRBYTES, "$argon2id$stand-in$%s", hex);
    return 0;
}

int crypto_pwhash_str_verify(
    const char str[crypto_pwhash_STRBYTES], const char *const passwd, unsigned long long passwdlen)
{
    char want[crypto_pwhash_STRBYTES];
    int rc = crypto_pwhash_str(want, passwd, passwdlen, 0, 0);
    return rc == 0 && strcmp(want, str) == 0 ? 0 : -1;
}
