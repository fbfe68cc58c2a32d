#include "tls.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "meltica/base/hash.h"

#define LIFE_S (30L * 24 * 3600)
#define PATH_BYTES_MAX 512

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (extension == NULL) {
        return false;
    }
    const bool added = X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool add_names(X509 *certificate, const X509 *issuer, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                      -1, 0) == 1 &&
           X509_set_issuer_name(certificate,
                                issuer != NULL ? X509_get_subject_name(issuer) : subject) == 1;
}

/* A certificate for key; signed by itself (issuer NULL, then a CA) or by the issuer. */
static X509 *make_certificate(EVP_PKEY *key, const char *name, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    if (certificate == NULL) {
        return NULL;
    }
    X509 *signer = issuer != NULL ? issuer : certificate;
    bool fine =
        X509_set_version(certificate, X509_VERSION_3) == 1 &&
        ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), mlt_random64() >> 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
        X509_gmtime_adj(X509_getm_notAfter(certificate), LIFE_S) != NULL &&
        X509_set_pubkey(certificate, key) == 1 && add_names(certificate, issuer, name) &&
        add_extension(certificate, signer, NID_subject_key_identifier, "hash");
    if (fine && issuer == NULL) {
        fine = add_extension(certificate, signer, NID_basic_constraints, "critical,CA:TRUE") &&
               add_extension(certificate, signer, NID_key_usage, "critical,keyCertSign,cRLSign");
    } else if (fine) {
        fine = add_extension(certificate, signer, NID_basic_constraints, "CA:FALSE") &&
               add_extension(certificate, signer, NID_authority_key_identifier, "keyid") &&
               add_extension(certificate, signer, NID_ext_key_usage, "serverAuth") &&
               add_extension(certificate, signer, NID_subject_alt_name,
                             "DNS:localhost,IP:127.0.0.1,IP:::1");
    }
    if (!fine || X509_sign(certificate, issuer_key, EVP_sha256()) == 0) {
        X509_free(certificate);
        return NULL;
    }
    return certificate;
}

static FILE *open_in(const char *dir, const char *name, mode_t mode)
{
    char path[PATH_BYTES_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "w");
    if (file != NULL && fchmod(fileno(file), mode) != 0) {
        (void)fclose(file);
        file = NULL;
    }
    return file;
}

static bool write_certificate(const char *dir, const char *name, const X509 *certificate)
{
    FILE *file = open_in(dir, name, 0644);
    if (file == NULL) {
        return false;
    }
    const bool written = PEM_write_X509(file, certificate) == 1;
    return fclose(file) == 0 && written;
}

static bool write_key(const char *dir, const EVP_PKEY *key)
{
    FILE *file = open_in(dir, SIM_TLS_KEY, 0600);
    if (file == NULL) {
        return false;
    }
    const bool written = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
    return fclose(file) == 0 && written;
}

enum mlt_status sim_tls_make(const char *dir, struct mlt_error *err)
{
    EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
    X509 *ca = NULL, *certificate = NULL;
    enum mlt_status status = MLT_OK;
    if (ca_key != NULL && key != NULL) {
        ca = make_certificate(ca_key, "Meltica exchange simulator test CA", NULL, ca_key);
        certificate = ca != NULL ? make_certificate(key, "localhost", ca, ca_key) : NULL;
    }
    if (certificate == NULL) {
        status = mlt_error_set(err, MLT_E_INTERNAL, "no test certificate can be made");
    } else if (!write_certificate(dir, SIM_TLS_CA, ca) ||
               !write_certificate(dir, SIM_TLS_CERTIFICATE, certificate) || !write_key(dir, key)) {
        status = mlt_error_set(err, MLT_E_IO, "%s: the test certificates cannot be written", dir);
    }
    X509_free(certificate);
    X509_free(ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    return status;
}

void sim_tls_remove(const char *dir)
{
    static const char *const names[] = { SIM_TLS_CA, SIM_TLS_CERTIFICATE, SIM_TLS_KEY };
    char path[PATH_BYTES_MAX];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}
