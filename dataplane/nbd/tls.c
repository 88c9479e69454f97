/* tls.c - see tls.h. */
#include "dataplane/nbd/tls.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <mbedtls/ctr_drbg.h>
#include <mbedtls/entropy.h>
#include <mbedtls/error.h>
#include <mbedtls/ssl.h>
#include <mbedtls/x509_crt.h>
#include "dataplane/nbd/io.h"
#include "firmware/core/clock.h"
#include "proto/tlsfiles.h"

#define PUMP_SIZE 65536u
#define LAST_MS   5000u /* for the last bytes of a connection that is over, to be taken */

struct gn_nbd_tls_config {
	mbedtls_ssl_config ssl;
	mbedtls_entropy_context entropy;
	mbedtls_ctr_drbg_context random;
	mbedtls_x509_crt root;
	mbedtls_x509_crt cert;
	mbedtls_pk_context key;
};

struct gn_nbd_tls {
	struct gn_nbd_tls_config *config;
	mbedtls_ssl_context ssl;
	int fd;
};

/* ---- configuration -------------------------------------------------------------------- */

static int parse(struct gn_nbd_tls_config *config, const struct gn_tlsfiles *files)
{
	int rc = mbedtls_ctr_drbg_seed(&config->random, mbedtls_entropy_func, &config->entropy,
	                               NULL, 0);

	if (!rc)
		rc = mbedtls_x509_crt_parse(&config->root, (const unsigned char *)files->ca,
		                            strlen(files->ca) + 1);
	if (!rc)
		rc = mbedtls_x509_crt_parse(&config->cert, (const unsigned char *)files->cert,
		                            strlen(files->cert) + 1);
	if (!rc)
		rc = mbedtls_pk_parse_key(&config->key, (const unsigned char *)files->key,
		                          strlen(files->key) + 1, NULL, 0);
	return rc;
}

static int set_up(struct gn_nbd_tls_config *config, bool is_server)
{
	int rc = mbedtls_ssl_config_defaults(
	        &config->ssl, is_server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
	        MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);

	if (rc)
		return rc;
	mbedtls_ssl_conf_min_version(&config->ssl, MBEDTLS_SSL_MAJOR_VERSION_3,
	                             MBEDTLS_SSL_MINOR_VERSION_3); /* TLS 1.2 */
	mbedtls_ssl_conf_authmode(&config->ssl, MBEDTLS_SSL_VERIFY_REQUIRED);
	mbedtls_ssl_conf_rng(&config->ssl, mbedtls_ctr_drbg_random, &config->random);
	mbedtls_ssl_conf_ca_chain(&config->ssl, &config->root, NULL);
	return mbedtls_ssl_conf_own_cert(&config->ssl, &config->cert, &config->key);
}

int gn_nbd_tls_config_load(const struct gn_channel_tls *names, bool is_server,
                           struct gn_nbd_tls_config **out, struct gn_status *status)
{
	struct gn_nbd_tls_config *config;
	struct gn_tlsfiles files;
	int rc = gn_tlsfiles_load(names, &files, status);

	if (rc)
		return rc;
	config = calloc(1, sizeof *config);
	if (!config) {
		gn_tlsfiles_fini(&files);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for TLS");
	}
	mbedtls_ssl_config_init(&config->ssl);
	mbedtls_entropy_init(&config->entropy);
	mbedtls_ctr_drbg_init(&config->random);
	mbedtls_x509_crt_init(&config->root);
	mbedtls_x509_crt_init(&config->cert);
	mbedtls_pk_init(&config->key);
	rc = parse(config, &files);
	gn_tlsfiles_fini(&files);
	if (!rc)
		rc = set_up(config, is_server);
	if (rc) {
		gn_nbd_tls_config_free(config);
		return gn_status_set(status, GN_INTERNAL, "TLS cannot be set up (mbedTLS -0x%04x)",
		                     -rc);
	}
	*out = config;
	return 0;
}

void gn_nbd_tls_config_free(struct gn_nbd_tls_config *config)
{
	if (!config)
		return;
	mbedtls_ssl_config_free(&config->ssl);
	mbedtls_pk_free(&config->key);
	mbedtls_x509_crt_free(&config->cert);
	mbedtls_x509_crt_free(&config->root);
	mbedtls_ctr_drbg_free(&config->random);
	mbedtls_entropy_free(&config->entropy);
	free(config);
}

/* ---- bytes below TLS ------------------------------------------------------------------- */

static int send_some(void *context, const unsigned char *data, size_t size)
{
	const struct gn_nbd_tls *tls = context;
	ssize_t n = send(tls->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_WRITE
	                                         : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int receive_some(void *context, unsigned char *data, size_t size)
{
	const struct gn_nbd_tls *tls = context;
	ssize_t n = recv(tls->fd, data, size, MSG_DONTWAIT);

	if (n >= 0)
		return (int)n;
	return errno == EAGAIN || errno == EINTR ? MBEDTLS_ERR_SSL_WANT_READ
	                                         : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

/* After a call that gave 'rc' < 0: 0: try again; else the error. */
static int wait_for(struct gn_nbd_tls *tls, int rc, uint64_t until_us)
{
	if (rc == MBEDTLS_ERR_SSL_WANT_READ)
		return gn_nbd_wait(tls->fd, POLLIN, until_us);
	if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		return gn_nbd_wait(tls->fd, POLLOUT, until_us);
	return -ECONNRESET;
}

/* ---- connections ------------------------------------------------------------------------- */

/* Both words: the alert that ended it, or what is wrong with the peer's certificate. */
static int explain(struct gn_nbd_tls *tls, int rc, struct gn_status *status)
{
	char why[256] = "", text[128];
	uint32_t flags = mbedtls_ssl_get_verify_result(&tls->ssl);

	if (flags && flags != UINT32_MAX)
		mbedtls_x509_crt_verify_info(why, sizeof why, "", flags);
	why[strcspn(why, "\n")] = '\0';
	mbedtls_strerror(rc, text, sizeof text);
	gn_status_set(status, GN_UNAUTHENTICATED, "TLS handshake: %s%s%s", text, *why ? ": " : "",
	              why);
	return -EACCES;
}

static int handshake(struct gn_nbd_tls *tls, uint64_t until_us, struct gn_status *status)
{
	int rc, err = 0;

	while (!err && (rc = mbedtls_ssl_handshake(&tls->ssl)) != 0) {
		if (rc != MBEDTLS_ERR_SSL_WANT_READ && rc != MBEDTLS_ERR_SSL_WANT_WRITE)
			return explain(tls, rc, status);
		err = wait_for(tls, rc, until_us);
	}
	if (err)
		gn_status_set(status, GN_DEADLINE_EXCEEDED, "TLS handshake: %s", strerror(-err));
	return err;
}

int gn_nbd_tls_open(struct gn_nbd_tls_config *config, int fd, const char *peer_name,
                    uint64_t until_us, struct gn_nbd_tls **out, struct gn_status *status)
{
	struct gn_nbd_tls *tls = calloc(1, sizeof *tls);
	int err;

	if (!tls)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for TLS");
	tls->config = config;
	tls->fd = fd;
	mbedtls_ssl_init(&tls->ssl);
	if (mbedtls_ssl_setup(&tls->ssl, &config->ssl) != 0 ||
	    (peer_name && mbedtls_ssl_set_hostname(&tls->ssl, peer_name) != 0)) {
		gn_nbd_tls_close(tls);
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for TLS");
	}
	mbedtls_ssl_set_bio(&tls->ssl, tls, send_some, receive_some, NULL);
	err = handshake(tls, until_us, status);
	if (err) {
		gn_nbd_tls_close(tls);
		return err;
	}
	*out = tls;
	return 0;
}

void gn_nbd_tls_close(struct gn_nbd_tls *tls)
{
	if (!tls)
		return;
	mbedtls_ssl_close_notify(&tls->ssl); /* once: a peer that does not read has no say */
	mbedtls_ssl_free(&tls->ssl);
	free(tls);
}

bool gn_nbd_tls_peer_is(const struct gn_nbd_tls *tls, const char *name)
{
	const mbedtls_x509_crt *peer = mbedtls_ssl_get_peer_cert(&tls->ssl);
	uint32_t flags = 0;

	return peer &&
	       mbedtls_x509_crt_verify((mbedtls_x509_crt *)(uintptr_t)peer, &tls->config->root,
	                               NULL, name, &flags, NULL, NULL) == 0;
}

int gn_nbd_tls_read_all(struct gn_nbd_tls *tls, uint8_t *data, size_t size, uint64_t until_us)
{
	while (size) {
		int n = mbedtls_ssl_read(&tls->ssl, data, size);
		int err = n > 0 ? 0 : n == 0 ? -ECONNRESET : wait_for(tls, n, until_us);

		if (err)
			return err;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

int gn_nbd_tls_write_all(struct gn_nbd_tls *tls, const uint8_t *data, size_t size,
                         uint64_t until_us)
{
	while (size) {
		int n = mbedtls_ssl_write(&tls->ssl, data, size);
		int err = n > 0 ? 0 : wait_for(tls, n, until_us);

		if (err)
			return err;
		if (n > 0) {
			data += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

/* ---- the pump ------------------------------------------------------------------------------ */

/* One direction's bytes. */
struct flow {
	size_t start, end;
	bool is_over; /* nothing more comes in */
	uint8_t data[PUMP_SIZE];
};

struct pump {
	struct gn_nbd_tls *tls;
	int plain_fd;
	bool has_failed;
	uint64_t until_us;              /* 0: the plain side goes on */
	short tls_events, plain_events; /* what to wait for */
	struct flow in;                 /* from TLS */
	struct flow out;                /* to TLS */
};

static bool want(struct pump *pump, int rc)
{
	if (rc == MBEDTLS_ERR_SSL_WANT_READ)
		pump->tls_events |= POLLIN;
	else if (rc == MBEDTLS_ERR_SSL_WANT_WRITE)
		pump->tls_events |= POLLOUT;
	else
		return false;
	return true;
}

/* This and the next three tell whether something changed, an end included. */
static bool read_tls(struct pump *pump)
{
	struct flow *flow = &pump->in;
	int n;

	if (flow->end || flow->is_over)
		return false;
	n = mbedtls_ssl_read(&pump->tls->ssl, flow->data, PUMP_SIZE);
	if (n > 0) {
		flow->end = (size_t)n;
	} else if (n == 0 || !want(pump, n)) {
		flow->is_over = true;
		shutdown(pump->plain_fd, SHUT_WR);
	}
	return n > 0 || flow->is_over;
}

/* 'n' bytes of the flow have gone. */
static void advance(struct flow *flow, size_t n)
{
	flow->start += n;
	if (flow->start == flow->end)
		flow->start = flow->end = 0;
}

static bool write_plain(struct pump *pump)
{
	struct flow *flow = &pump->in;
	ssize_t n;

	if (!flow->end)
		return false;
	n = send(pump->plain_fd, flow->data + flow->start, flow->end - flow->start,
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		advance(flow, (size_t)n);
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		pump->plain_events |= POLLOUT;
	else
		pump->has_failed = true;
	return n > 0;
}

static bool read_plain(struct pump *pump)
{
	struct flow *flow = &pump->out;
	ssize_t n;

	if (flow->end || flow->is_over)
		return false;
	n = recv(pump->plain_fd, flow->data, PUMP_SIZE, MSG_DONTWAIT);
	if (n > 0)
		flow->end = (size_t)n;
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		pump->plain_events |= POLLIN;
	else
		flow->is_over = true;
	return n > 0 || flow->is_over;
}

static bool write_tls(struct pump *pump)
{
	struct flow *flow = &pump->out;
	int n;

	if (!flow->end)
		return false;
	n = mbedtls_ssl_write(&pump->tls->ssl, flow->data + flow->start, flow->end - flow->start);
	if (n > 0)
		advance(flow, (size_t)n);
	else if (!want(pump, n))
		pump->has_failed = true;
	return n > 0;
}

/* How long to wait, for poll(): a peer that takes nothing must not keep the thread. */
static int patience_ms(struct pump *pump)
{
	uint64_t now_us = gn_clock_monotonic_us();

	if (!pump->out.is_over)
		return -1;
	if (!pump->until_us)
		pump->until_us = now_us + LAST_MS * 1000;
	if (now_us >= pump->until_us)
		pump->has_failed = true;
	return pump->has_failed ? 0 : (int)((pump->until_us - now_us + 999) / 1000);
}

static void rest(struct pump *pump)
{
	struct pollfd fds[] = {{.fd = pump->tls->fd, .events = pump->tls_events},
	                       {.fd = pump->plain_fd, .events = pump->plain_events}};

	/* One without anything to wait for would end the wait by its hang-up again and again. */
	for (unsigned i = 0; i < 2; i++)
		if (!fds[i].events)
			fds[i].fd = -1;
	if (poll(fds, 2, patience_ms(pump)) < 0 && errno != EINTR)
		pump->has_failed = true;
}

void gn_nbd_tls_pump(struct gn_nbd_tls *tls, int plain_fd)
{
	struct pump *pump = calloc(1, sizeof *pump);

	if (!pump)
		return;
	pump->tls = tls;
	pump->plain_fd = plain_fd;
	while (!pump->has_failed && !(pump->out.is_over && !pump->out.end)) {
		bool moved;

		pump->tls_events = pump->plain_events = 0;
		moved = read_tls(pump);
		moved |= write_plain(pump);
		moved |= read_plain(pump);
		moved |= write_tls(pump);
		if (!moved)
			rest(pump);
	}
	free(pump);
}
