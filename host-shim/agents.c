/* agents.c - see agents.h. Called with every reading of statistics, once a second or so: that is
 * when channels are connected and emptied, so nothing here has a thread or a timer. */
#include "host-shim/agents.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bpf/agent_wire.h"
#include "firmware/core/clock.h"
#include "firmware/core/log.h"
#include "firmware/core/mutex.h"

#define READ_MOST (8u * GN_AGENT_FRAME_MAX) /* of one VM in one reading; the rest waits in QEMU */
#define FRESH_US  10000000u

struct channel {
	LIST_ENTRY(channel) link;
	char vm[GN_VM_NAME_SIZE];
	int fd; /* -1: not connected */
	bool is_listed, has_report, has_complained;
	uint64_t received_us; /* monotonic */
	struct gn_agent_report report;
	struct gn_agent_stream stream;
};

struct gn_agents {
	struct gn_mutex lock; /* everything below */
	const char *directory;
	LIST_HEAD(, channel) channels;
};

int gn_agents_create(const char *directory, struct gn_agents **out)
{
	struct gn_agents *a = calloc(1, sizeof *a);

	if (!a)
		return -ENOMEM;
	gn_mutex_init(&a->lock);
	a->directory = directory;
	LIST_INIT(&a->channels);
	*out = a;
	return 0;
}

static void hang_up(struct channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	c->stream.n = 0; /* the rest of a frame never comes */
}

static void forget(struct channel *c)
{
	hang_up(c);
	LIST_REMOVE(c, link);
	free(c);
}

void gn_agents_destroy(struct gn_agents *a)
{
	struct channel *c;

	if (!a)
		return;
	while ((c = LIST_FIRST(&a->channels)))
		forget(c);
	gn_mutex_destroy(&a->lock);
	free(a);
}

static struct channel *channel_of(struct gn_agents *a, const char *vm)
{
	struct channel *c;

	LIST_FOREACH(c, &a->channels, link)
	if (!strcmp(c->vm, vm))
		return c;
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	strcpy(c->vm, vm);
	c->fd = -1;
	LIST_INSERT_HEAD(&a->channels, c, link);
	return c;
}

/* A VM without a channel has no socket, which is not worth a word. */
static void call(const struct gn_agents *a, struct channel *c)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/%s.sock", a->directory,
	                 c->vm);

	if (n < 0 || (size_t)n >= sizeof address.sun_path)
		return;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) == 0)
		return;
	if (errno != ENOENT && errno != ECONNREFUSED && errno != EAGAIN && !c->has_complained) {
		gn_log(GN_LOG_WARNING, "the channel '%s' of gnomon-guest: %s", address.sun_path,
		       strerror(errno));
		c->has_complained = true;
	}
	hang_up(c);
}

static void note_reports(struct channel *c)
{
	while (gn_agent_stream_next(&c->stream, &c->report)) {
		c->has_report = true;
		c->received_us = gn_clock_monotonic_us();
	}
}

static void drain(struct channel *c)
{
	size_t total = 0;

	while (total < READ_MOST) {
		size_t room;
		uint8_t *at = gn_agent_stream_room(&c->stream, &room);
		ssize_t n = recv(c->fd, at, room, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			hang_up(c);
			return;
		}
		total += (size_t)n;
		gn_agent_stream_add(&c->stream, (size_t)n);
		note_reports(c);
	}
}

/* A copy that is the caller's; without memory there is none this time. */
static void give(const struct channel *c, struct gn_vm_stats *vm)
{
	uint64_t age_us = gn_clock_monotonic_us() - c->received_us;

	if (!c->has_report || age_us > FRESH_US)
		return;
	vm->agent = malloc(sizeof *vm->agent);
	if (!vm->agent)
		return;
	*vm->agent = c->report;
	vm->agent_age_us = age_us;
}

static void forget_unlisted(struct gn_agents *a)
{
	struct channel *c = LIST_FIRST(&a->channels);

	while (c) {
		struct channel *next = LIST_NEXT(c, link);

		if (!c->is_listed)
			forget(c);
		else
			c->is_listed = false;
		c = next;
	}
}

void gn_agents_fill(struct gn_agents *a, struct gn_vm_stats *vms, size_t n)
{
	gn_mutex_lock(&a->lock);
	for (size_t i = 0; i < n; i++) {
		struct channel *c =
		        vms[i].state == GN_VM_RUNNING ? channel_of(a, vms[i].name) : NULL;

		if (!c)
			continue;
		c->is_listed = true;
		if (c->fd < 0)
			call(a, c);
		if (c->fd >= 0)
			drain(c);
		give(c, &vms[i]);
	}
	forget_unlisted(a);
	gn_mutex_unlock(&a->lock);
}

void gn_agents_release(struct gn_vm_stats *vms, size_t n)
{
	for (size_t i = 0; vms && i < n; i++) {
		free(vms[i].agent);
		vms[i].agent = NULL;
	}
}
