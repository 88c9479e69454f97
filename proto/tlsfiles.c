/* tlsfiles.c - see tlsfiles.h. */
#include "proto/tlsfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <mbedtls/error.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

#define FILE_MAX (256u << 10) /* bytes of a PEM file: a long chain takes a tenth of that */

static int fail_errno(struct gn_status *status, const char *what, const char *path, int error)
{
	enum gn_code code = error == ENOENT ? GN_NOT_FOUND : GN_UNAUTHENTICATED;

	return gn_status_set(status, code,
	                     "%s '%s' cannot be read: %s; 'gnomon-ca issue' makes one", what, path,
	                     strerror(error));
}

static int fail_tls(struct gn_status *status, const char *what, const char *path, int error)
{
	char text[128];

	mbedtls_strerror(error, text, sizeof text);
	return gn_status_set(status, GN_INVALID_ARGUMENT, "%s '%s' is not usable PEM: %s", what,
	                     path, text);
}

static int check_key_mode(const struct stat *stat, const char *path, struct gn_status *status)
{
	mode_t allowed = stat->st_uid == 0 ? 0740 : 0700;

	if (!(stat->st_mode & 0777 & ~allowed))
		return 0;
	return gn_status_set(
	        status, GN_UNAUTHENTICATED,
	        "key file '%s' has mode %04o, so others may use the key: chmod 0600 it", path,
	        stat->st_mode & 0777);
}

static int read_all(int fd, size_t size, char *text)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, text + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		done += (size_t)n;
	}
	text[size] = '\0';
	return 0;
}

static int read_open(int fd, const char *what, const char *path, int secret, char **out,
                     struct gn_status *status)
{
	struct stat stat;
	char *text;
	int rc;

	if (fstat(fd, &stat))
		return fail_errno(status, what, path, errno);
	if (!S_ISREG(stat.st_mode) || !stat.st_size || stat.st_size > FILE_MAX)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "%s '%s' must be a regular file of 1 to %u bytes", what, path,
		                     FILE_MAX);
	rc = secret ? check_key_mode(&stat, path, status) : 0;
	if (rc)
		return rc;
	text = malloc((size_t)stat.st_size + 1);
	if (!text)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	rc = read_all(fd, (size_t)stat.st_size, text);
	if (rc) {
		free(text);
		return fail_errno(status, what, path, -rc);
	}
	*out = text;
	return 0;
}

static int read_file(const char *what, const char *path, int secret, char **out,
                     struct gn_status *status)
{
	int rc, fd;

	if (!path || !*path)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "no %s is named, and TLS here is always mutual: name one",
		                     what);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return fail_errno(status, what, path, errno);
	rc = read_open(fd, what, path, secret, out, status);
	close(fd);
	return rc;
}

static int check_root(const char *path, const char *text, struct gn_status *status)
{
	mbedtls_x509_crt crt;
	int rc, is_root;

	mbedtls_x509_crt_init(&crt);
	rc = mbedtls_x509_crt_parse(&crt, (const unsigned char *)text, strlen(text) + 1);
	is_root = crt.ca_istrue;
	mbedtls_x509_crt_free(&crt);
	if (rc)
		return fail_tls(status, "root certificate", path, rc);
	if (!is_root)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "'%s' is not a root certificate: name the root (operators.pem, "
		        "cards.pem or hosts.pem) that signs the peers",
		        path);
	return 0;
}

static int check_expiry(const char *path, const mbedtls_x509_crt *crt, struct gn_status *status)
{
	const mbedtls_x509_time *end = &crt->valid_to;

	if (!mbedtls_x509_time_is_past(end))
		return 0;
	return gn_status_set(status, GN_UNAUTHENTICATED,
	                     "certificate '%s' expired on %04d-%02d-%02d: issue a new one with "
	                     "'gnomon-ca issue'",
	                     path, end->year, end->mon, end->day);
}

static int check_pair(const struct gn_channel_tls *tls, const char *key_text, mbedtls_x509_crt *crt,
                      struct gn_status *status)
{
	mbedtls_pk_context key;
	int rc;

	mbedtls_pk_init(&key);
	rc = mbedtls_pk_parse_key(&key, (const unsigned char *)key_text, strlen(key_text) + 1, NULL,
	                          0);
	if (rc)
		rc = fail_tls(status, "private key", tls->key_file, rc);
	else if (mbedtls_pk_check_pair(&crt->pk, &key))
		rc = gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "key '%s' does not belong to certificate '%s': name the two files "
		        "that were issued together",
		        tls->key_file, tls->cert_file);
	mbedtls_pk_free(&key);
	return rc;
}

static int check_own(const struct gn_channel_tls *tls, const struct gn_tlsfiles *files,
                     struct gn_status *status)
{
	mbedtls_x509_crt crt;
	int rc;

	mbedtls_x509_crt_init(&crt);
	rc = mbedtls_x509_crt_parse(&crt, (const unsigned char *)files->cert,
	                            strlen(files->cert) + 1);
	if (rc)
		rc = fail_tls(status, "certificate", tls->cert_file, rc);
	else
		rc = check_pair(tls, files->key, &crt, status);
	if (!rc)
		rc = check_expiry(tls->cert_file, &crt, status);
	mbedtls_x509_crt_free(&crt);
	return rc;
}

int gn_tlsfiles_load(const struct gn_channel_tls *tls, struct gn_tlsfiles *out,
                     struct gn_status *status)
{
	struct gn_tlsfiles files = {0};
	int rc;

	rc = read_file("root certificate", tls->ca_file, 0, &files.ca, status);
	if (!rc)
		rc = read_file("certificate", tls->cert_file, 0, &files.cert, status);
	if (!rc)
		rc = read_file("key file", tls->key_file, 1, &files.key, status);
	if (!rc)
		rc = check_root(tls->ca_file, files.ca, status);
	if (!rc)
		rc = check_own(tls, &files, status);
	if (rc) {
		gn_tlsfiles_fini(&files);
		return rc;
	}
	*out = files;
	return 0;
}

void gn_tlsfiles_fini(struct gn_tlsfiles *files)
{
	if (!files)
		return;
	if (files->key)
		explicit_bzero(files->key, strlen(files->key));
	free(files->ca);
	free(files->cert);
	free(files->key);
	memset(files, 0, sizeof *files);
}
