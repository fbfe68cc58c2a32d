#include "mlt_nats_jwt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mlt_test.h"

#define KEY_BYTES 32u

/* NKeys: prefix, key, CRC-16/XMODEM (little-endian), in base32. */
static void put_crc(uint8_t *bytes, size_t len)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000u) != 0 ? (crc << 1) ^ 0x1021u : crc << 1;
        }
    }
    bytes[len] = (uint8_t)crc;
    bytes[len + 1] = (uint8_t)(crc >> 8);
}

static void put_digits(const uint8_t *bytes, size_t len, const char *digits, unsigned width,
                       char *out)
{
    uint32_t bits = 0;
    unsigned held = 0;
    for (size_t i = 0; i < len; i++) {
        bits = (bits << 8 | bytes[i]) & 0xffffffu;
        held += 8;
        while (held >= width) {
            held -= width;
            *out++ = digits[bits >> held & ((1u << width) - 1)];
        }
    }
    if (held > 0) {
        *out++ = digits[bits << (width - held) & ((1u << width) - 1)];
    }
    *out = '\0';
}

static void base32(const uint8_t *bytes, size_t len, char *out)
{
    put_digits(bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 5, out);
}

static void base64url(const uint8_t *bytes, size_t len, char *out)
{
    put_digits(bytes, len, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", 6,
               out);
}

void mlt_nats_key_make(struct mlt_nats_key *key, char kind)
{
    const uint8_t prefix = (uint8_t)((kind - 'A') << 3), seed = 18u << 3;
    uint8_t public_bytes[1 + KEY_BYTES + 2] = { prefix };
    uint8_t seed_bytes[2 + KEY_BYTES + 2] = { (uint8_t)(seed | prefix >> 5),
                                              (uint8_t)(prefix << 3) };
    size_t len = KEY_BYTES;
    key->key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(key->key);
    assert_int_equal(EVP_PKEY_get_raw_public_key(key->key, public_bytes + 1, &len), 1);
    assert_int_equal(EVP_PKEY_get_raw_private_key(key->key, seed_bytes + 2, &len), 1);
    put_crc(public_bytes, 1 + KEY_BYTES);
    put_crc(seed_bytes, 2 + KEY_BYTES);
    base32(public_bytes, sizeof public_bytes, key->public_text);
    base32(seed_bytes, sizeof seed_bytes, key->seed);
}

void mlt_nats_key_fini(struct mlt_nats_key *key)
{
    EVP_PKEY_free(key->key);
    key->key = NULL;
}

static void sign(const struct mlt_nats_key *by, const char *claims, char out[MLT_JWT_BYTES_MAX])
{
    static const char header[] = "{\"typ\":\"JWT\",\"alg\":\"ed25519-nkey\"}";
    uint8_t signature[64];
    size_t len = sizeof signature;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    assert_true(strlen(claims) < MLT_JWT_BYTES_MAX / 2);
    base64url((const uint8_t *)header, sizeof header - 1, out);
    size_t at = strlen(out);
    out[at++] = '.';
    base64url((const uint8_t *)claims, strlen(claims), out + at);
    assert_int_equal(EVP_DigestSignInit(digest, NULL, NULL, NULL, by->key), 1);
    assert_int_equal(EVP_DigestSign(digest, signature, &len, (const uint8_t *)out, strlen(out)), 1);
    EVP_MD_CTX_free(digest);
    at = strlen(out);
    out[at++] = '.';
    base64url(signature, len, out + at);
}

void mlt_nats_operator_jwt(const struct mlt_nats_key *op, char out[MLT_JWT_BYTES_MAX])
{
    char claims[1024];
    (void)snprintf(claims, sizeof claims,
                   "{\"jti\":\"o\",\"iat\":%lld,\"iss\":\"%s\",\"name\":\"test\",\"sub\":\"%s\","
                   "\"nats\":{\"type\":\"operator\",\"version\":2}}",
                   (long long)time(NULL), op->public_text, op->public_text);
    sign(op, claims, out);
}

void mlt_nats_account_jwt(const struct mlt_nats_key *op, const struct mlt_nats_key *account,
                          char out[MLT_JWT_BYTES_MAX])
{
    char claims[1024];
    (void)snprintf(claims, sizeof claims,
                   "{\"jti\":\"a\",\"iat\":%lld,\"iss\":\"%s\",\"name\":\"meltica\",\"sub\":\"%s\","
                   "\"nats\":{\"limits\":{\"subs\":-1,\"data\":-1,\"payload\":-1,\"imports\":-1,"
                   "\"exports\":-1,\"wildcards\":true,\"conn\":-1,\"leaf\":-1},"
                   "\"default_permissions\":{\"pub\":{},\"sub\":{}},\"type\":\"account\","
                   "\"version\":2}}",
                   (long long)time(NULL), op->public_text, account->public_text);
    sign(op, claims, out);
}

void mlt_nats_user_jwt(const struct mlt_nats_key *account, const struct mlt_nats_key *user,
                       int64_t end_s, char out[MLT_JWT_BYTES_MAX])
{
    char claims[1024], end[48] = "";
    if (end_s != 0) {
        (void)snprintf(end, sizeof end, "\"exp\":%" PRId64 ",", end_s);
    }
    (void)snprintf(claims, sizeof claims,
                   "{%s\"jti\":\"u\",\"iat\":%lld,\"iss\":\"%s\",\"name\":\"user\",\"sub\":\"%s\","
                   "\"nats\":{\"pub\":{},\"sub\":{},\"subs\":-1,\"data\":-1,\"payload\":-1,"
                   "\"type\":\"user\",\"version\":2}}",
                   end, (long long)time(NULL), account->public_text, user->public_text);
    sign(account, claims, out);
}

void mlt_nats_write_creds(const char *path, const char *jwt, const struct mlt_nats_key *user)
{
    FILE *to = fopen(path, "we");
    assert_non_null(to);
    assert_true(fprintf(to,
                        "-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n"
                        "************************* IMPORTANT *************************\n"
                        "NKEY Seed printed below can be used to sign and prove identity.\n\n"
                        "-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n",
                        jwt, user->seed) > 0);
    assert_int_equal(fclose(to), 0);
}
