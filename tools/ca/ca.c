/* ca.c - see ca.h. The X.509 extensions that mbedTLS 2.28 has no writer for (extended key
 * usage, alternative names) are written here in DER (RFC 5280, sections 4.2.1.6 and
 * 4.2.1.12). */
#include "tools/ca/ca.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/ecp.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/sha256.h>
#include <mbedtls/x509_crt.h>

#include "tools/ca/files.h"

#define PEM_SIZE      8192
#define DER_SIZE      2048
#define SERIAL_BYTES  16
#define CLOCK_SKEW_S  3600 /* a certificate is valid from an hour ago, for clocks that lag */
#define SECONDS_A_DAY 86400

#define EKU_SERVER 1u
#define EKU_CLIENT 2u
#define EKU_CODE   4u

const char *const gn_ca_roots[GN_CA_N_ROOTS] = {"operators", "cards", "hosts", "updates"};
static const unsigned root_usages[GN_CA_N_ROOTS] = {EKU_CLIENT, EKU_SERVER | EKU_CLIENT, EKU_SERVER,
                                                    EKU_CODE};

/* Everything one certificate needs; zeroed storage may be passed to session_fini(). */
struct session {
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_pk_context key, issuer_key;
	mbedtls_x509_crt issuer;
};

static int fail_tls(struct gn_status *status, const char *what, int error)
{
	char text[128];

	mbedtls_strerror(error, text, sizeof text);
	return gn_status_set(status, GN_INTERNAL, "%s: %s", what, text);
}

static int session_init(struct session *session, struct gn_status *status)
{
	int rc;

	mbedtls_entropy_init(&session->entropy);
	mbedtls_ctr_drbg_init(&session->random);
	mbedtls_pk_init(&session->key);
	mbedtls_pk_init(&session->issuer_key);
	mbedtls_x509_crt_init(&session->issuer);
	rc = mbedtls_ctr_drbg_seed(&session->random, mbedtls_entropy_func, &session->entropy,
	                           (const unsigned char *)"gnomon-ca", 9);
	return rc ? fail_tls(status, "the random generator does not start", rc) : 0;
}

static void session_fini(struct session *session)
{
	mbedtls_x509_crt_free(&session->issuer);
	mbedtls_pk_free(&session->issuer_key);
	mbedtls_pk_free(&session->key);
	mbedtls_ctr_drbg_free(&session->random);
	mbedtls_entropy_free(&session->entropy);
}

/* ---- paths -------------------------------------------------------------------------- */

struct paths {
	char directory[PATH_MAX];
	char cert[PATH_MAX];
	char key[PATH_MAX];
};

static int join(char *out, const char *dir, const char *a, const char *b, const char *suffix)
{
	const char *slash = b ? "/" : "";

	return snprintf(out, PATH_MAX, "%s/%s%s%s%s", dir, a, slash, b ? b : "", suffix) >=
	       PATH_MAX;
}

static int make_paths(const char *dir, const char *root, const char *name, struct paths *paths,
                      struct gn_status *status)
{
	if (join(paths->directory, dir, root, NULL, "") ||
	    join(paths->cert, dir, root, name, ".pem") || join(paths->key, dir, root, name, ".key"))
		return gn_status_set(status, GN_INVALID_ARGUMENT, "the path of '%s' is too long",
		                     dir);
	return 0;
}

static bool exists(const char *path)
{
	return !access(path, F_OK);
}

/* ---- keys --------------------------------------------------------------------------- */

static int generate_key(struct session *session, struct gn_status *status)
{
	int rc = mbedtls_pk_setup(&session->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));

	if (!rc)
		rc = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(session->key),
		                         mbedtls_ctr_drbg_random, &session->random);
	return rc ? fail_tls(status, "no key could be made", rc) : 0;
}

static int write_key(struct session *session, const char *path, struct gn_status *status)
{
	char pem[PEM_SIZE];
	int rc = mbedtls_pk_write_key_pem(&session->key, (unsigned char *)pem, sizeof pem);

	rc = rc ? fail_tls(status, "the key cannot be written as PEM", rc)
	        : gn_files_write(path, pem, 0600, false, status);
	explicit_bzero(pem, sizeof pem);
	return rc;
}

static int load_key(const char *path, mbedtls_pk_context *key, struct gn_status *status)
{
	char text[128];
	int rc = mbedtls_pk_parse_keyfile(key, path, NULL);

	if (!rc)
		return 0;
	mbedtls_strerror(rc, text, sizeof text);
	return gn_status_set(status, GN_INVALID_ARGUMENT, "key '%s' cannot be used: %s", path,
	                     text);
}

/* A key without a certificate is what a crash between the two left: it is used then. */
static int obtain_key(struct session *session, const char *path, bool keep,
                      struct gn_status *status)
{
	int rc;

	if (keep && exists(path))
		return load_key(path, &session->key, status);
	rc = generate_key(session, status);
	return rc ? rc : write_key(session, path, status);
}

/* ---- extensions ---------------------------------------------------------------------- */

static int set_usages(mbedtls_x509write_cert *cert, unsigned usages)
{
	unsigned char der[64], *p = der + sizeof der;
	int n = 0, rc = 0;

	if (usages & EKU_CLIENT)
		n += rc = mbedtls_asn1_write_oid(&p, der, MBEDTLS_OID_CLIENT_AUTH,
		                                 MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH));
	if (rc >= 0 && (usages & EKU_SERVER))
		n += rc = mbedtls_asn1_write_oid(&p, der, MBEDTLS_OID_SERVER_AUTH,
		                                 MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH));
	if (rc >= 0 && (usages & EKU_CODE))
		n += rc = mbedtls_asn1_write_oid(&p, der, MBEDTLS_OID_CODE_SIGNING,
		                                 MBEDTLS_OID_SIZE(MBEDTLS_OID_CODE_SIGNING));
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_len(&p, der, (size_t)n);
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_tag(&p, der,
		                                 MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
	if (rc < 0)
		return rc;
	return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_EXTENDED_KEY_USAGE,
	                                           MBEDTLS_OID_SIZE(MBEDTLS_OID_EXTENDED_KEY_USAGE),
	                                           0, p, (size_t)n);
}

/* Bytes of the address that 'text' is, 0 when it is none. */
static size_t parse_address(const char *text, unsigned char address[16])
{
	if (inet_pton(AF_INET, text, address) == 1)
		return 4;
	return inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
}

static int write_general_name(unsigned char **p, unsigned char *start, unsigned char tag,
                              const void *data, size_t size)
{
	int rc, n = 0;

	n += rc = mbedtls_asn1_write_raw_buffer(p, start, data, size);
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_len(p, start, size);
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_tag(p, start, MBEDTLS_ASN1_CONTEXT_SPECIFIC | tag);
	return rc < 0 ? rc : n;
}

static int write_san(unsigned char **p, unsigned char *start, const char *san)
{
	unsigned char address[16];
	size_t size = parse_address(san, address);
	int dns = write_general_name(p, start, 2, san, strlen(san));
	int ip = 0;

	if (dns >= 0 && size)
		ip = write_general_name(p, start, 7, address, size);
	return dns < 0 ? dns : ip < 0 ? ip : dns + ip;
}

static int set_sans(mbedtls_x509write_cert *cert, const struct gn_ca_request *request)
{
	unsigned char der[DER_SIZE], *p = der + sizeof der;
	int n = 0, rc = 0;

	for (size_t i = request->n_sans; rc >= 0 && i-- > 0;)
		n += rc = write_san(&p, der, request->sans[i]);
	if (rc >= 0)
		n += rc = write_san(&p, der, request->name);
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_len(&p, der, (size_t)n);
	if (rc >= 0)
		n += rc = mbedtls_asn1_write_tag(&p, der,
		                                 MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE);
	if (rc < 0)
		return rc;
	return mbedtls_x509write_crt_set_extension(cert, MBEDTLS_OID_SUBJECT_ALT_NAME,
	                                           MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME),
	                                           0, p, (size_t)n);
}

/* ---- certificates --------------------------------------------------------------------- */

static int set_serial(mbedtls_x509write_cert *cert, struct session *session)
{
	unsigned char bytes[SERIAL_BYTES];
	mbedtls_mpi serial;
	int rc = mbedtls_ctr_drbg_random(&session->random, bytes, sizeof bytes);

	if (rc)
		return rc;
	bytes[0] = (bytes[0] & 0x7f) | 0x40; /* positive, and of full length */
	mbedtls_mpi_init(&serial);
	rc = mbedtls_mpi_read_binary(&serial, bytes, sizeof bytes);
	if (!rc)
		rc = mbedtls_x509write_crt_set_serial(cert, &serial);
	mbedtls_mpi_free(&serial);
	return rc;
}

static int set_validity(mbedtls_x509write_cert *cert, int days)
{
	time_t from = time(NULL) - CLOCK_SKEW_S;
	time_t to = from + CLOCK_SKEW_S + (time_t)days * SECONDS_A_DAY;
	char from_text[16], to_text[16];
	struct tm tm;

	strftime(from_text, sizeof from_text, "%Y%m%d%H%M%S", gmtime_r(&from, &tm));
	strftime(to_text, sizeof to_text, "%Y%m%d%H%M%S", gmtime_r(&to, &tm));
	return mbedtls_x509write_crt_set_validity(cert, from_text, to_text);
}

static int set_names(mbedtls_x509write_cert *cert, const char *root, const char *name,
                     const char *role)
{
	char issuer[128], subject[128];
	int rc;

	snprintf(issuer, sizeof issuer, "CN=gnomon %s root,O=gnomon", root);
	snprintf(subject, sizeof subject, "CN=%s,%s%s%sO=gnomon", name ? name : "",
	         role ? "OU=" : "", role ? role : "", role ? "," : "");
	rc = mbedtls_x509write_crt_set_issuer_name(cert, issuer);
	if (!rc)
		rc = mbedtls_x509write_crt_set_subject_name(cert, name ? subject : issuer);
	return rc;
}

static int set_common(mbedtls_x509write_cert *cert, struct session *session,
                      mbedtls_pk_context *issuer_key, int days)
{
	int rc;

	mbedtls_x509write_crt_set_version(cert, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(cert, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(cert, &session->key);
	mbedtls_x509write_crt_set_issuer_key(cert, issuer_key);
	rc = set_serial(cert, session);
	if (!rc)
		rc = set_validity(cert, days);
	if (!rc)
		rc = mbedtls_x509write_crt_set_subject_key_identifier(cert);
	if (!rc)
		rc = mbedtls_x509write_crt_set_authority_key_identifier(cert);
	return rc;
}

static int set_root_extensions(mbedtls_x509write_cert *cert)
{
	int rc = mbedtls_x509write_crt_set_basic_constraints(cert, 1, 0);

	return rc ? rc
	          : mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_KEY_CERT_SIGN |
	                                                              MBEDTLS_X509_KU_CRL_SIGN);
}

static int set_leaf_extensions(mbedtls_x509write_cert *cert, const struct gn_ca_request *request,
                               unsigned usages)
{
	int rc = mbedtls_x509write_crt_set_basic_constraints(cert, 0, -1);

	if (!rc)
		rc = mbedtls_x509write_crt_set_key_usage(cert, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
	if (!rc)
		rc = set_usages(cert, usages);
	return rc ? rc : set_sans(cert, request);
}

static int write_cert(mbedtls_x509write_cert *cert, struct session *session, const char *path,
                      bool replace, struct gn_status *status)
{
	char pem[PEM_SIZE];
	int rc = mbedtls_x509write_crt_pem(cert, (unsigned char *)pem, sizeof pem,
	                                   mbedtls_ctr_drbg_random, &session->random);

	return rc ? fail_tls(status, "the certificate cannot be written as PEM", rc)
	          : gn_files_write(path, pem, 0644, replace, status);
}

/* ---- roots ----------------------------------------------------------------------------- */

static int make_root(const char *root, int days, const struct paths *paths, bool keep,
                     struct gn_status *status)
{
	mbedtls_x509write_cert cert;
	struct session session;
	int rc = session_init(&session, status);

	mbedtls_x509write_crt_init(&cert);
	if (!rc)
		rc = obtain_key(&session, paths->key, keep, status);
	if (!rc) {
		int error = set_names(&cert, root, NULL, NULL);

		if (!error)
			error = set_common(&cert, &session, &session.key, days);
		if (!error)
			error = set_root_extensions(&cert);
		rc = error ? fail_tls(status, "the root cannot be made", error)
		           : write_cert(&cert, &session, paths->cert, false, status);
	}
	mbedtls_x509write_crt_free(&cert);
	session_fini(&session);
	return rc;
}

static int check_days(int days, struct gn_status *status)
{
	if (days >= 1 && days <= GN_CA_MAX_DAYS)
		return 0;
	return gn_status_set(status, GN_INVALID_ARGUMENT, "%d days are not possible: give 1 to %d",
	                     days, GN_CA_MAX_DAYS);
}

static int refuse_existing(const struct paths *paths, struct gn_status *status)
{
	const char *path = exists(paths->cert) ? paths->cert : paths->key;

	if (!exists(path))
		return 0;
	return gn_status_set(status, GN_ALREADY_EXISTS,
	                     "'%s' exists and is not overwritten: remove it first, or give "
	                     "--if-missing to keep it",
	                     path);
}

int gn_ca_init(const char *dir, int days, bool if_missing, int *n_made, struct gn_status *status)
{
	struct paths paths[GN_CA_N_ROOTS];
	int rc = check_days(days, status);

	*n_made = 0;
	if (!rc)
		rc = gn_files_make_directory(dir, status);
	for (int i = 0; !rc && i < GN_CA_N_ROOTS; i++) {
		rc = make_paths(dir, gn_ca_roots[i], NULL, &paths[i], status);
		if (!rc && !if_missing) /* all before any is made */
			rc = refuse_existing(&paths[i], status);
	}
	for (int i = 0; !rc && i < GN_CA_N_ROOTS; i++) {
		rc = gn_files_make_directory(paths[i].directory, status);
		if (rc || exists(paths[i].cert))
			continue;
		rc = make_root(gn_ca_roots[i], days, &paths[i], if_missing, status);
		*n_made += !rc;
	}
	return rc;
}

/* ---- issuing --------------------------------------------------------------------------- */

#define DNS_NAME_MAX 253

static bool is_name(const char *name, size_t max)
{
	size_t n =
	        strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

	return n && n <= max && !name[n] && name[0] != '.' && name[0] != '-';
}

static bool is_san(const char *san)
{
	unsigned char address[16];

	if (parse_address(san, address))
		return true;
	return is_name(!strncmp(san, "*.", 2) ? san + 2 : san, DNS_NAME_MAX);
}

static int find_root(const char *root)
{
	for (int i = 0; i < GN_CA_N_ROOTS; i++)
		if (!strcmp(root, gn_ca_roots[i]))
			return i;
	return -1;
}

static bool is_role(const struct gn_ca_request *request)
{
	static const char *const roles[] = {"viewer", "operator", "admin"};

	if (strcmp(request->root, "operators"))
		return !request->role;
	for (size_t i = 0; request->role && i < sizeof roles / sizeof roles[0]; i++)
		if (!strcmp(request->role, roles[i]))
			return true;
	return false;
}

static int check_request(const struct gn_ca_request *request, struct gn_status *status)
{
	if (find_root(request->root) < 0)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' is not a root: use operators, cards, hosts or updates",
		                     request->root);
	if (!is_name(request->name, GN_CA_NAME_MAX))
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s' is not a name: use 1 to %d letters, digits, '.', '_', '-'",
		        request->name, GN_CA_NAME_MAX);
	if (!is_role(request))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "'%s' is no role of %s: operators have viewer, operator or "
		                     "admin, others none",
		                     request->role ? request->role : "", request->root);
	for (size_t i = 0; i < request->n_sans; i++)
		if (!is_san(request->sans[i]))
			return gn_status_set(status, GN_INVALID_ARGUMENT,
			                     "'%s' is neither a DNS name nor an IP address",
			                     request->sans[i]);
	return check_days(request->days, status);
}

static int load_issuer(struct session *session, const struct paths *paths, struct gn_status *status)
{
	int rc;

	if (!exists(paths->cert))
		return gn_status_set(status, GN_NOT_FOUND,
		                     "there is no root '%s': make the roots with 'gnomon-ca init'",
		                     paths->cert);
	rc = mbedtls_x509_crt_parse_file(&session->issuer, paths->cert);
	if (rc)
		return fail_tls(status, paths->cert, rc);
	rc = load_key(paths->key, &session->issuer_key, status);
	if (!rc && mbedtls_pk_check_pair(&session->issuer.pk, &session->issuer_key))
		rc = gn_status_set(status, GN_INVALID_ARGUMENT,
		                   "key '%s' does not belong to root '%s': restore the right one",
		                   paths->key, paths->cert);
	return rc;
}

/* Those issued before roles were have none, and may do nothing. */
static bool has_role(const mbedtls_x509_crt *cert, const struct gn_ca_request *request)
{
	const char *role = request->role;

	for (const mbedtls_x509_name *part = &cert->subject; role && part; part = part->next)
		if (!MBEDTLS_OID_CMP(MBEDTLS_OID_AT_ORG_UNIT, &part->oid))
			return request->any_role || (part->val.len == strlen(role) &&
			                             !memcmp(part->val.p, role, part->val.len));
	return !role;
}

static bool is_usable(const struct paths *paths, mbedtls_x509_crt *issuer,
                      const struct gn_ca_request *request)
{
	mbedtls_x509_crt cert;
	mbedtls_pk_context key;
	uint32_t flags;
	bool usable;

	mbedtls_x509_crt_init(&cert);
	mbedtls_pk_init(&key);
	usable = !mbedtls_x509_crt_parse_file(&cert, paths->cert) &&
	         !mbedtls_x509_crt_verify(&cert, issuer, NULL, NULL, &flags, NULL, NULL) &&
	         has_role(&cert, request) && !mbedtls_pk_parse_keyfile(&key, paths->key, NULL) &&
	         !mbedtls_pk_check_pair(&cert.pk, &key);
	mbedtls_pk_free(&key);
	mbedtls_x509_crt_free(&cert);
	return usable;
}

static int make_leaf(struct session *session, const struct gn_ca_request *request,
                     const struct paths *paths, struct gn_status *status)
{
	unsigned usages = root_usages[find_root(request->root)];
	mbedtls_x509write_cert cert;
	int error, rc = obtain_key(session, paths->key, request->if_missing, status);

	if (rc)
		return rc;
	mbedtls_x509write_crt_init(&cert);
	error = set_names(&cert, request->root, request->name, request->role);
	if (!error)
		error = set_common(&cert, session, &session->issuer_key, request->days);
	if (!error)
		error = set_leaf_extensions(&cert, request, usages);
	rc = error ? fail_tls(status, "the certificate cannot be made", error)
	           : write_cert(&cert, session, paths->cert, request->if_missing, status);
	mbedtls_x509write_crt_free(&cert);
	return rc;
}

int gn_ca_issue(const char *dir, const struct gn_ca_request *request, bool *made,
                struct gn_status *status)
{
	struct paths root, paths;
	struct session session;
	int rc = check_request(request, status);

	*made = false;
	if (!rc)
		rc = make_paths(dir, request->root, NULL, &root, status);
	if (!rc)
		rc = make_paths(dir, request->root, request->name, &paths, status);
	if (!rc && !request->if_missing)
		rc = refuse_existing(&paths, status);
	if (rc)
		return rc;
	rc = session_init(&session, status);
	if (!rc)
		rc = load_issuer(&session, &root, status);
	if (!rc && !(request->if_missing && is_usable(&paths, &session.issuer, request))) {
		rc = gn_files_make_directory(root.directory, status);
		if (!rc)
			rc = make_leaf(&session, request, &paths, status);
		*made = !rc;
	}
	session_fini(&session);
	return rc;
}

/* ---- revoking -------------------------------------------------------------------------- */

#define SIGNATURE_LINE "signature "

/* The lines of the list so far, or its header. */
static int read_list(const char *path, FILE *out, struct gn_status *status)
{
	char line[256];
	FILE *file = fopen(path, "re");
	bool whole = !file;

	if (!file && errno != ENOENT)
		return gn_status_set(status, GN_INTERNAL, "'%s' cannot be read: %s", path,
		                     strerror(errno));
	if (!file)
		fputs("gnomon revoked 1\n", out);
	while (file && !whole && fgets(line, sizeof line, file)) {
		whole = !strncmp(line, SIGNATURE_LINE, strlen(SIGNATURE_LINE));
		if (!whole)
			fputs(line, out);
	}
	if (file)
		fclose(file);
	return whole ? 0
	             : gn_status_set(status, GN_INVALID_ARGUMENT,
	                             "'%s' does not end with a signature: restore it", path);
}

static int add_signature(struct session *session, const char *list, size_t size, FILE *out)
{
	unsigned char hash[32], signature[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
	size_t length;
	int rc = mbedtls_sha256_ret((const unsigned char *)list, size, hash, 0);

	if (!rc)
		rc = mbedtls_pk_sign(&session->issuer_key, MBEDTLS_MD_SHA256, hash, sizeof hash,
		                     signature, &length, mbedtls_ctr_drbg_random, &session->random);
	if (rc)
		return rc;
	fputs(SIGNATURE_LINE, out);
	for (size_t i = 0; i < length; i++)
		fprintf(out, "%02x", signature[i]);
	fputc('\n', out);
	return 0;
}

static int load_serial(const char *path, char line[192], const char *name, struct gn_status *status)
{
	mbedtls_x509_crt cert;
	size_t used = 0;
	int rc;

	mbedtls_x509_crt_init(&cert);
	rc = mbedtls_x509_crt_parse_file(&cert, path);
	line[0] = '\0';
	for (size_t i = 0; !rc && i < cert.serial.len && used < 100; i++)
		used += (size_t)snprintf(line + used, 192 - used, "%02x", cert.serial.p[i]);
	snprintf(line + used, 192 - used, " %s\n", name);
	mbedtls_x509_crt_free(&cert);
	return rc ? gn_status_set(status, GN_NOT_FOUND,
	                          "'%s' is no certificate that could be revoked", path)
	          : 0;
}

/* The old list with one more line, signed. */
static int write_list(struct session *session, const char *path, const char *line,
                      struct gn_status *status)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	int rc = out ? read_list(path, out, status) : -ENOMEM;

	if (!rc && !fflush(out) && !strstr(text, line))
		fputs(line, out);
	if (!rc && !fflush(out) && add_signature(session, text, size, out))
		rc = gn_status_set(status, GN_INTERNAL, "the list cannot be signed");
	if (out)
		fclose(out);
	if (!rc)
		rc = gn_files_write(path, text, 0644, true, status);
	free(text);
	return rc;
}

int gn_ca_revoke(const char *dir, const char *root_name, const char *name, struct gn_status *status)
{
	struct paths root, paths;
	struct session session;
	char line[192], list[PATH_MAX];
	int rc = find_root(root_name) < 0 || !is_name(name, GN_CA_NAME_MAX)
	                 ? gn_status_set(status, GN_INVALID_ARGUMENT,
	                                 "give a root (operators, cards or hosts) and the name of "
	                                 "a certificate, not '%s' and '%s'",
	                                 root_name, name)
	                 : make_paths(dir, root_name, NULL, &root, status);

	if (!rc)
		rc = make_paths(dir, root_name, name, &paths, status);
	if (!rc && join(list, dir, root_name, NULL, ".revoked"))
		rc = gn_status_set(status, GN_INVALID_ARGUMENT, "the path of '%s' is too long",
		                   dir);
	if (!rc)
		rc = load_serial(paths.cert, line, name, status);
	if (rc)
		return rc;
	rc = session_init(&session, status);
	if (!rc)
		rc = load_issuer(&session, &root, status);
	if (!rc)
		rc = write_list(&session, list, line, status);
	session_fini(&session);
	return rc;
}
