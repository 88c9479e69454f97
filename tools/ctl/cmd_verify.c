/* cmd_verify.c - volume verify. */
#include "tools/ctl/ctl.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/gnomon/v1/control.pb-c.h"
#include "tools/ctl/format.h"
#include "tools/ctl/output.h"
#include "tools/ctl/parse.h"

#define LOOK_NS 300000000L

static const Gnomon__V1__VolumeVerify *verify_of(const Gnomon__V1__Volume *volume)
{
	return volume && volume->mirror_status ? volume->mirror_status->verify : NULL;
}

static void print_progress(const Gnomon__V1__VolumeVerify *v)
{
	if (v && v->size_bytes && isatty(STDERR_FILENO))
		fprintf(stderr, "\r%3u %% compared",
		        (unsigned)(v->done_bytes / (v->size_bytes / 100 + 1)));
}

static bool is_other(const Gnomon__V1__VolumeVerify *v, uint64_t number)
{
	return !v || v->number < number || v->state == GNOMON__V1__VOLUME_VERIFY__STATE__RUNNING;
}

static const Gnomon__V1__Volume *find(const Gnomon__V1__VolumeList *list, const char *name)
{
	for (size_t i = 0; i < list->n_volumes; i++)
		if (!strcmp(list->volumes[i]->name, name))
			return list->volumes[i];
	return NULL;
}

static void print_result(const char *name, const Gnomon__V1__VolumeVerify *v)
{
	char a[GN_FORMAT_SIZE], b[GN_FORMAT_SIZE];

	if (v->state != GNOMON__V1__VOLUME_VERIFY__STATE__DONE)
		gn_output_line("%s: the comparison ended early, after %s of %s", name,
		               gn_format_bytes(v->done_bytes, a, sizeof a),
		               gn_format_bytes(v->size_bytes, b, sizeof b));
	else if (!v->differing_bytes)
		gn_output_line("%s and its shadow are equal, %s", name,
		               gn_format_bytes(v->size_bytes, a, sizeof a));
	if (v->differing_bytes)
		gn_output_line("%s and its shadow differ in %" PRIu64 " bytes, %" PRIu64
		               " repaired",
		               name, v->differing_bytes, v->repaired_bytes);
	for (size_t i = 0; i < v->n_ranges; i++)
		gn_output_field("differs", "%" PRIu64 " bytes from %" PRIu64,
		                v->ranges[i]->length_bytes, v->ranges[i]->offset_bytes);
	if (v->unsettled_bytes)
		gn_output_field("unknown", "%" PRIu64 " bytes that are rewritten all the time",
		                v->unsettled_bytes);
	if (v->primary_unreadable_bytes)
		gn_output_field("unknown",
		                "%" PRIu64 " bytes that the volume's own store cannot read",
		                v->primary_unreadable_bytes);
	if (v->shadow_unreadable_bytes)
		gn_output_field("unknown",
		                "%" PRIu64 " bytes that the shadow's store cannot read; "
		                "--repair writes them again",
		                v->shadow_unreadable_bytes);
}

static int exit_of(const Gnomon__V1__VolumeVerify *v)
{
	bool is_good = v->state == GNOMON__V1__VOLUME_VERIFY__STATE__DONE &&
	               v->differing_bytes == v->repaired_bytes && !v->unsettled_bytes &&
	               !v->primary_unreadable_bytes && !v->shadow_unreadable_bytes;

	return is_good ? GN_CTL_OK : GN_CTL_REFUSED;
}

/* Until the comparison 'number' has ended, or the volume or its shadow is gone. */
static int await(struct gn_ctl *ctl, const char *name, uint64_t number)
{
	const struct timespec look = {0, LOOK_NS};

	for (;;) {
		Gnomon__V1__VolumeList *list =
		        (Gnomon__V1__VolumeList *)gn_ctl_call_empty(ctl, "ListVolumes");
		const Gnomon__V1__Volume *volume = find(list, name);
		const Gnomon__V1__VolumeVerify *v = verify_of(volume);
		int result = GN_CTL_REFUSED;

		if (volume && volume->mirror && is_other(v, number)) {
			print_progress(v);
			gn_ctl_free(&list->base);
			nanosleep(&look, NULL);
			continue;
		}
		if (isatty(STDERR_FILENO))
			fputs("\r\033[K", stderr);
		if (!v)
			gn_output_error("%s has no shadow any more", name);
		else if (!gn_ctl_print_json(ctl, &v->base))
			print_result(name, v);
		if (v)
			result = exit_of(v);
		gn_ctl_free(&list->base);
		return result;
	}
}

int gn_ctl_volume_verify(struct gn_ctl *ctl, struct gn_ctl_arguments *arguments)
{
	Gnomon__V1__VerifyVolumeRequest request = GNOMON__V1__VERIFY_VOLUME_REQUEST__INIT;
	bool only_starts = gn_ctl_flag(arguments, "--no-wait");
	Gnomon__V1__Volume *volume;
	const char *text, *word;
	uint64_t number = 0;
	char name[160];

	request.repair = gn_ctl_flag(arguments, "--repair");
	request.cancel = gn_ctl_flag(arguments, "--cancel");
	if (gn_ctl_option(arguments, "--rate", &text) && gn_parse_bytes(text, &request.bytes_per_s))
		gn_ctl_usage("--rate %s: give bytes per second such as 100MiB, or 0 for no limit",
		             text);
	word = gn_ctl_word(arguments, "the name of a volume");
	gn_ctl_end(arguments);
	snprintf(name, sizeof name, "%s%s", strncmp(word, "volumes/", 8) ? "volumes/" : "", word);
	request.name = name;
	volume = (Gnomon__V1__Volume *)gn_ctl_call(ctl, "VerifyVolume", &request.base);
	if (verify_of(volume))
		number = verify_of(volume)->number;
	only_starts |= request.cancel;
	if (only_starts && !gn_ctl_print_json(ctl, &volume->base))
		gn_output_line("%s: %s; 'gnomonctl volume show %s' tells more", name,
		               request.cancel ? "no comparison goes on"
		                              : "being compared with its shadow",
		               word);
	gn_ctl_free(&volume->base);
	return only_starts ? GN_CTL_OK : await(ctl, name, number);
}
