/* crypto.h - what passwords, sessions and second factors need of mbedTLS; its only user in
 * the console. Thread-safe. */
#ifndef GN_CONSOLE_CRYPTO_H
#define GN_CONSOLE_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Random bytes of the kernel. Ends the process when there are none: nothing here may go on
 * with guessable secrets. */
void gn_crypto_random(void *out, size_t size);

/* PBKDF2-HMAC-SHA512 (RFC 8018). 0, or -ENOMEM. */
int gn_crypto_password_hash(const char *password, const uint8_t *salt, size_t salt_size,
                            uint32_t iterations, uint8_t out[32]);

void gn_crypto_sha256(const void *data, size_t size, uint8_t out[32]);

/* The six digits of RFC 6238 (SHA-1, 30 s steps) at that step. */
uint32_t gn_crypto_totp(const uint8_t *secret, size_t size, uint64_t step);

/* In a time that does not depend on the contents. */
bool gn_crypto_equal(const void *a, const void *b, size_t size);

/* Overwrites what the compiler must not keep. */
void gn_crypto_wipe(void *data, size_t size);

#endif
