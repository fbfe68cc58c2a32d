#include "nats_secret.h"

#include <crypt.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX 256u
#define KEY_TEXT_BYTES 56u
#define KEY_BYTES 35u /* prefix, 32 of key, CRC */
#define KEY_PREFIX_USER (20u << 3)

/* "$2a$11$" and 53 characters of salt and hash. */
static bool is_bcrypt(const char *text)
{
    static const char alphabet[] =
        "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return strlen(text) == MLT_BCRYPT_TEXT_BYTES - 1 && text[0] == '$' && text[1] == '2' &&
           text[2] != '\0' && strchr("abxy", text[2]) != NULL && text[3] == '$' &&
           strspn(text + 4, "0123456789") == 2 && text[6] == '$' &&
           strspn(text + 7, alphabet) == 53;
}

static enum mlt_status read_line(const char *path, char out[LINE_BYTES_MAX], struct mlt_error *err)
{
    FILE *from = fopen(path, "re");
    if (from == NULL) {
        return mlt_error_set_foreign(err, MLT_E_CONFIG, "errno", errno, "%s: cannot read it: %s",
                                     path, strerror(errno));
    }
    const bool got = fgets(out, (int)LINE_BYTES_MAX, from) != NULL;
    (void)fclose(from);
    if (got) {
        out[strcspn(out, "\r\n")] = '\0';
    }
    return got && out[0] != '\0' && strlen(out) < LINE_BYTES_MAX - 1
               ? MLT_OK
               : mlt_error_set(
                     err, MLT_E_CONFIG,
                     "%s: its first line is empty or too long: it must be a password or a "
                     "bcrypt hash",
                     path);
}

static enum mlt_status hash(const char *path, const char *password, int cost,
                            char out[MLT_BCRYPT_TEXT_BYTES], struct mlt_error *err)
{
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (strlen(password) > MLT_BCRYPT_PASSWORD_MAX) {
        return mlt_error_set(err, MLT_E_CONFIG,
                             "%s: the password has more than %u bytes, which bcrypt would not look "
                             "at: shorten it",
                             path, MLT_BCRYPT_PASSWORD_MAX);
    }
    struct crypt_data *data = calloc(1, sizeof *data);
    if (data == NULL) {
        return mlt_error_set(err, MLT_E_NOMEM, "no memory for a hash");
    }
    const char *made = NULL;
    /* Prefix $2a$: the one that every version of nats-server takes for a hash. */
    if (crypt_gensalt_rn("$2a$", (unsigned long)cost, NULL, 0, setting, sizeof setting) != NULL) {
        made = crypt_r(password, setting, data);
    }
    const bool good = made != NULL && is_bcrypt(made);
    if (good) {
        memcpy(out, made, MLT_BCRYPT_TEXT_BYTES);
    }
    explicit_bzero(data, sizeof *data);
    free(data);
    return good ? MLT_OK
                : mlt_error_set(err, MLT_E_CONFIG, "%s: it cannot be hashed with bcrypt", path);
}

enum mlt_status mlt_nats_secret(const char *path, int cost, char out[MLT_BCRYPT_TEXT_BYTES],
                                struct mlt_error *err)
{
    char line[LINE_BYTES_MAX] = "";
    enum mlt_status status = read_line(path, line, err);
    if (status == MLT_OK && is_bcrypt(line)) {
        memcpy(out, line, MLT_BCRYPT_TEXT_BYTES);
    } else if (status == MLT_OK) {
        status = hash(path, line, cost, out, err);
    }
    explicit_bzero(line, sizeof line);
    return status;
}

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

bool mlt_nats_user_key_valid(const char *key)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    uint8_t bytes[KEY_BYTES] = { 0 };
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;
    if (strlen(key) != KEY_TEXT_BYTES || strspn(key, alphabet) != KEY_TEXT_BYTES) {
        return false;
    }
    for (; *key != '\0'; key++) {
        bits = (bits << 5) | (uint32_t)(strchr(alphabet, *key) - alphabet);
        held += 5;
        if (held >= 8 && used < KEY_BYTES) {
            held -= 8;
            bytes[used++] = (uint8_t)(bits >> held);
        }
    }
    const uint16_t crc = crc16(bytes, KEY_BYTES - 2);
    return bytes[0] == KEY_PREFIX_USER && bytes[KEY_BYTES - 2] == (uint8_t)crc &&
           bytes[KEY_BYTES - 1] == (uint8_t)(crc >> 8);
}
