/* loop.c - see loop.h. */
#include "firmware/loop/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <sys/epoll.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>

struct source {
	struct source *next;
	struct gn_loop *loop;
	sd_event_source *event;
	uint64_t period_us; /* timers */
	gn_loop_callback *callback;
	void *context;
};

struct gn_loop {
	sd_event *event;
	struct source *sources;
};

static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	return -pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int gn_loop_create(struct gn_loop **out)
{
	struct gn_loop *loop = calloc(1, sizeof *loop);
	int error;

	if (!loop)
		return -ENOMEM;
	error = block_signals();
	if (error >= 0)
		error = sd_event_new(&loop->event);
	/* Without a handler sd-event ends the loop on the signal. */
	if (error >= 0)
		error = sd_event_add_signal(loop->event, NULL, SIGTERM, NULL, NULL);
	if (error >= 0)
		error = sd_event_add_signal(loop->event, NULL, SIGINT, NULL, NULL);
	if (error >= 0)
		error = sd_event_set_watchdog(loop->event, 1);
	if (error < 0) {
		gn_loop_destroy(loop);
		return error;
	}
	*out = loop;
	return 0;
}

void gn_loop_destroy(struct gn_loop *loop)
{
	if (!loop)
		return;
	while (loop->sources) {
		struct source *source = loop->sources;

		loop->sources = source->next;
		sd_event_source_unref(source->event);
		free(source);
	}
	sd_event_unref(loop->event);
	free(loop);
}

static struct source *add_source(struct gn_loop *loop, gn_loop_callback *callback, void *context)
{
	struct source *source = calloc(1, sizeof *source);

	if (!source)
		return NULL;
	source->loop = loop;
	source->callback = callback;
	source->context = context;
	source->next = loop->sources;
	loop->sources = source;
	return source;
}

static int on_readable(sd_event_source *event, int fd, uint32_t events, void *context)
{
	struct source *source = context;

	source->callback(source->context);
	return 0;
}

int gn_loop_watch(struct gn_loop *loop, int fd, gn_loop_callback *callback, void *context)
{
	struct source *source = add_source(loop, callback, context);

	if (!source)
		return -ENOMEM;
	return sd_event_add_io(loop->event, &source->event, fd, EPOLLIN, on_readable, source);
}

static int on_time(sd_event_source *event, uint64_t due_us, void *context)
{
	struct source *source = context;
	uint64_t now_us;
	int error;

	source->callback(source->context);
	error = sd_event_now(source->loop->event, CLOCK_BOOTTIME, &now_us);
	if (error < 0)
		return error;
	due_us += source->period_us;
	if (due_us < now_us)
		due_us = now_us + source->period_us;
	error = sd_event_source_set_time(event, due_us);
	return error < 0 ? error : sd_event_source_set_enabled(event, SD_EVENT_ON);
}

int gn_loop_every(struct gn_loop *loop, uint64_t period_us, gn_loop_callback *callback,
                  void *context)
{
	struct source *source = add_source(loop, callback, context);
	uint64_t now_us;
	int error;

	if (!source)
		return -ENOMEM;
	source->period_us = period_us;
	error = sd_event_now(loop->event, CLOCK_BOOTTIME, &now_us);
	if (error < 0)
		return error;
	return sd_event_add_time(loop->event, &source->event, CLOCK_BOOTTIME, now_us + period_us,
	                         1000, on_time, source);
}

void gn_loop_notify_ready(void)
{
	sd_notify(0, "READY=1");
}

void gn_loop_notify_status(const char *text)
{
	sd_notifyf(0, "STATUS=%s", text);
}

int gn_loop_run(struct gn_loop *loop)
{
	int error = sd_event_loop(loop->event);

	sd_notify(0, "STOPPING=1");
	return error < 0 ? error : 0;
}

void gn_loop_stop(struct gn_loop *loop)
{
	sd_event_exit(loop->event, 0);
}
