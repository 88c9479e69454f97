/* state.c - see state.h. */
#include "firmware/brain/state.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "firmware/brain/brain_internal.h"
#include "firmware/message/message.h"

struct header {
	uint32_t magic;
	uint32_t version;
	uint64_t size;
	uint64_t checksum;
};

struct entry {
	uint32_t resource;
	uint32_t zero;
	uint64_t size;
};

static uint64_t checksum(const uint8_t *byte, size_t size)
{
	uint64_t hash = 14695981039346656037u;

	while (size--)
		hash = (hash ^ *byte++) * 1099511628211u;
	return hash;
}

static uint8_t *append(uint8_t *blob, size_t *used, uint32_t number, const void *bytes, size_t n)
{
	struct entry entry = {.resource = number, .size = n};

	blob = realloc(blob, *used + sizeof entry + n);
	if (!blob)
		abort(); /* message.h: out of memory ends the process */
	memcpy(blob + *used, &entry, sizeof entry);
	memcpy(blob + *used + sizeof entry, bytes, n);
	*used += sizeof entry + n;
	return blob;
}

void *gn_state_export(const struct gn_brain *brain, const struct gn_vm *vm, size_t *size)
{
	struct header header = {.magic = GN_STATE_MAGIC, .version = GN_STATE_VERSION};
	uint8_t *blob = gn_message_alloc(sizeof header);
	size_t used = sizeof header;

	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		size_t n;
		void *bytes;

		if (!vm->series[i].made_us)
			continue;
		bytes = gn_series_export(&vm->series[i], brain->config, &n);
		blob = append(blob, &used, i, bytes, n);
		free(bytes);
	}
	if (vm->hazard->newest_us)
		blob = append(blob, &used, GN_STATE_HAZARD, vm->hazard, sizeof *vm->hazard);
	header.size = used;
	header.checksum = checksum(blob + sizeof header, used - sizeof header);
	memcpy(blob, &header, sizeof header);
	*size = used;
	return blob;
}

/* ---- import: decode, then apply ------------------------------------------------------- */

/* What the blob held; NULL where it held nothing. */
struct decoded {
	struct gn_series *series[GN_RESOURCE_END];
	struct gn_hazard_vm *hazard;
};

static void free_decoded(struct decoded *decoded)
{
	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		if (decoded->series[i])
			gn_series_fini(decoded->series[i]);
		free(decoded->series[i]);
	}
	free(decoded->hazard);
}

static int refuse_damaged(struct gn_status *status, size_t at)
{
	return gn_status_set(status, GN_INVALID_ARGUMENT,
	                     "this is no learnt state, or it is damaged (at byte %zu); export it "
	                     "anew with 'gnomonctl vm export-state'",
	                     at);
}

static int check_header(const uint8_t *blob, size_t size, struct gn_status *status)
{
	struct header header;

	if (size < sizeof header)
		return refuse_damaged(status, size);
	memcpy(&header, blob, sizeof header);
	if (header.magic != GN_STATE_MAGIC)
		return refuse_damaged(status, 0);
	if (header.version != GN_STATE_VERSION)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the state is of version %u, this card reads version %d; "
		                     "bring both cards to the same firmware",
		                     header.version, GN_STATE_VERSION);
	if (header.size != size ||
	    header.checksum != checksum(blob + sizeof header, size - sizeof header))
		return refuse_damaged(status, sizeof header);
	return 0;
}

static int decode_series(const struct gn_brain *brain, const struct gn_vm *vm,
                         const struct entry *entry, const uint8_t *bytes, uint64_t card_us,
                         struct gn_series *series, struct gn_status *status)
{
	enum gn_resource resource = (enum gn_resource)entry->resource;
	int error;

	gn_series_init(series, brain->config, &brain->packs.in_use, resource,
	               &vm->series[resource].rules);
	error = gn_series_import(series, brain->config, bytes, entry->size);
	if (error == -EPROTO)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "the state of %s was learnt with another period, other "
		                     "horizons or another firmware than this card's; give both "
		                     "cards the same",
		                     gn_resource_label(resource));
	if (error)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the state of %s is damaged; export it anew with 'gnomonctl "
		                     "vm export-state'",
		                     gn_resource_label(resource));
	if (series->made_us > card_us && series->made_us - card_us > GN_STATE_SKEW_US)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "the state of %s is from %" PRIu64
		                     " s in the future; set the cards' clocks",
		                     gn_resource_label(resource),
		                     (series->made_us - card_us) / 1000000);
	return 0;
}

static int decode_hazard(const struct gn_brain *brain, const struct entry *entry,
                         const uint8_t *bytes, uint64_t card_us, struct decoded *decoded,
                         struct gn_status *status)
{
	uint64_t latest_us = card_us + GN_STATE_SKEW_US;

	if (entry->size != sizeof *decoded->hazard)
		return refuse_damaged(status, entry->size);
	decoded->hazard = gn_message_alloc(sizeof *decoded->hazard);
	memcpy(decoded->hazard, bytes, sizeof *decoded->hazard);
	if (decoded->hazard->newest_us > latest_us)
		return gn_status_set(status, GN_OUT_OF_RANGE,
		                     "the signs of failure are from %" PRIu64
		                     " s in the future; set the cards' clocks",
		                     (decoded->hazard->newest_us - card_us) / 1000000);
	if (!gn_hazard_vm_is_sound(decoded->hazard, brain->config->period_ms * 1000ull, latest_us))
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "the signs of failure are damaged, or were seen with another "
		                     "period than this card's; export them anew with 'gnomonctl vm "
		                     "export-state', and give both cards the same period");
	return 0;
}

static bool is_known_entry(const struct entry *entry, const struct decoded *decoded)
{
	if (entry->zero || entry->resource >= GN_RESOURCE_END)
		return false;
	return entry->resource == GN_STATE_HAZARD ? !decoded->hazard
	                                          : !decoded->series[entry->resource];
}

static int decode(const struct gn_brain *brain, const struct gn_vm *vm, const uint8_t *blob,
                  size_t size, uint64_t card_us, struct decoded *decoded, struct gn_status *status)
{
	size_t at = sizeof(struct header);
	int error = check_header(blob, size, status);

	while (!error && at < size) {
		struct entry entry;

		if (size - at < sizeof entry)
			return refuse_damaged(status, at);
		memcpy(&entry, blob + at, sizeof entry);
		if (!is_known_entry(&entry, decoded) || entry.size > size - at - sizeof entry)
			return refuse_damaged(status, at);
		at += sizeof entry;
		if (entry.resource == GN_STATE_HAZARD) {
			error = decode_hazard(brain, &entry, blob + at, card_us, decoded, status);
		} else {
			decoded->series[entry.resource] =
			        gn_message_alloc(sizeof(struct gn_series));
			error = decode_series(brain, vm, &entry, blob + at, card_us,
			                      decoded->series[entry.resource], status);
		}
		at += entry.size;
	}
	return error;
}

static uint64_t n_learnt(const struct gn_series *series)
{
	struct gn_predict_forecast forecast;

	return gn_predict_forecast(series->predict, 0, &forecast) ? 0 : forecast.n_observed;
}

static int check_knows_less(const struct gn_vm *vm, const struct decoded *decoded,
                            struct gn_status *status)
{
	for (unsigned i = 1; i < GN_RESOURCE_END; i++) {
		const struct gn_series *other = decoded->series[i];

		if (other && n_learnt(&vm->series[i]) > n_learnt(other))
			return gn_status_set(status, GN_FAILED_PRECONDITION,
			                     "this card has learnt %s of %s from %" PRIu64
			                     " samples, the state from %" PRIu64
			                     "; use --replace to take it over all the same",
			                     gn_resource_label((enum gn_resource)i), vm->name,
			                     n_learnt(&vm->series[i]), n_learnt(other));
	}
	if (decoded->hazard &&
	    gn_hazard_vm_n_observed(vm->hazard) > gn_hazard_vm_n_observed(decoded->hazard))
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "this card has seen signs of %s in %" PRIu64
		                     " samples, the state in %" PRIu64
		                     "; use --replace to take it over all the same",
		                     vm->name, gn_hazard_vm_n_observed(vm->hazard),
		                     gn_hazard_vm_n_observed(decoded->hazard));
	return 0;
}

int gn_state_import(struct gn_brain *brain, struct gn_vm *vm, const void *blob, size_t size,
                    bool replace, struct gn_time now, struct gn_status *status)
{
	struct decoded decoded = {{NULL}, NULL};
	unsigned i, n = 0;
	int error = decode(brain, vm, blob, size, gn_brain_card_time(brain, now), &decoded, status);

	if (!error && !replace)
		error = check_knows_less(vm, &decoded, status);
	for (i = 1; i < GN_RESOURCE_END && !error; i++)
		if (decoded.series[i]) {
			gn_series_take_over(&vm->series[i], decoded.series[i]);
			n++;
		}
	if (!error && decoded.hazard)
		*vm->hazard = *decoded.hazard;
	free_decoded(&decoded);
	if (error)
		return error;
	gn_brain_save_predictors(brain, vm);
	gn_brain_tell(brain, "vm.state", vm->name, "learnt state of %u resources taken over", n);
	return 0;
}
