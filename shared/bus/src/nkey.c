/* Public half of an NKey. */
#include "nkey.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

#define SEED_TEXT_BYTES 58u
#define SEED_BYTES 36u   /* two prefix bytes, 32 of key, CRC */
#define PUBLIC_BYTES 35u /* prefix byte, 32 of key, CRC */
#define KEY_BYTES 32u
#define PREFIX_SEED (18u << 3)
#define PREFIX_USER (20u << 3)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* CRC-16/XMODEM. */
static uint16_t crc16(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint32_t)bytes[i] << 8;
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc & 0x8000u) != 0 ? (crc << 1) ^ 0x1021u : crc << 1;
        }
    }
    return (uint16_t)crc;
}

static enum mlt_status decode_seed(const char *text, uint8_t out[SEED_BYTES])
{
    memset(out, 0, SEED_BYTES);
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    if (strlen(text) != SEED_TEXT_BYTES) {
        return MLT_E_PARSE;
    }
    for (; *text != '\0'; text++) {
        const char *at = strchr(alphabet, *text);
        if (at == NULL) {
            return MLT_E_PARSE;
        }
        bits = (bits << 5) | (uint32_t)(at - alphabet);
        held += 5;
        if (held >= 8 && used < SEED_BYTES) {
            held -= 8;
            out[used++] = (uint8_t)(bits >> held);
        }
    }
    if (used != SEED_BYTES) {
        return MLT_E_PARSE;
    }
    const uint16_t crc = crc16(out, SEED_BYTES - 2);
    const uint32_t prefix = (uint32_t)(out[0] & 7u) << 5 | out[1] >> 3;
    return out[SEED_BYTES - 2] == (uint8_t)crc && out[SEED_BYTES - 1] == (uint8_t)(crc >> 8) &&
                   (out[0] & 0xf8u) == PREFIX_SEED && prefix == PREFIX_USER
               ? MLT_OK
               : MLT_E_PARSE;
}

static void encode(const uint8_t bytes[PUBLIC_BYTES], char out[MLT_NKEY_TEXT_BYTES])
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    for (size_t i = 0; i < PUBLIC_BYTES; i++) {
        bits = (bits << 8) | bytes[i];
        held += 8;
        while (held >= 5) {
            held -= 5;
            out[used++] = alphabet[(bits >> held) & 31u];
        }
    }
    out[used] = '\0'; /* 35 bytes are 56 characters exactly */
}

enum mlt_status mlt_nkey_public(const char *seed, char out[MLT_NKEY_TEXT_BYTES])
{
    uint8_t raw[SEED_BYTES];
    uint8_t public_key[PUBLIC_BYTES] = { PREFIX_USER };
    size_t len = KEY_BYTES;
    enum mlt_status status = decode_seed(seed, raw);
    if (status == MLT_OK) {
        EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw + 2, KEY_BYTES);
        if (key == NULL || EVP_PKEY_get_raw_public_key(key, public_key + 1, &len) != 1) {
            status = MLT_E_INTERNAL;
        }
        EVP_PKEY_free(key);
    }
    explicit_bzero(raw, sizeof raw);
    if (status != MLT_OK) {
        return status;
    }
    const uint16_t crc = crc16(public_key, PUBLIC_BYTES - 2);
    public_key[PUBLIC_BYTES - 2] = (uint8_t)crc;
    public_key[PUBLIC_BYTES - 1] = (uint8_t)(crc >> 8);
    encode(public_key, out);
    return MLT_OK;
}
