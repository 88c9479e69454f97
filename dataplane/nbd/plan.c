/* plan.c - see plan.h. */
#include "dataplane/nbd/plan.h"

#include <errno.h>

#define READS     (1u << 0) /* a range outside is EINVAL, not ENOSPC */
#define CHANGES   (1u << 1)
#define HAS_DATA  (1u << 2) /* bounded by GN_NBD_PAYLOAD_MAX */
#define HAS_RANGE (1u << 3)

static const struct command {
	enum gn_nbd_plan_kind kind;
	uint16_t flags_allowed;
	uint16_t nature;
} commands[] = {
        [GN_NBD_CMD_READ] = {GN_NBD_PLAN_READ, GN_NBD_FLAG_FUA | GN_NBD_FLAG_DF,
                             READS | HAS_DATA | HAS_RANGE},
        [GN_NBD_CMD_WRITE] = {GN_NBD_PLAN_WRITE, GN_NBD_FLAG_FUA, CHANGES | HAS_DATA | HAS_RANGE},
        [GN_NBD_CMD_DISC] = {GN_NBD_PLAN_DISCONNECT, 0xffff, 0},
        [GN_NBD_CMD_FLUSH] = {GN_NBD_PLAN_FLUSH, GN_NBD_FLAG_FUA, 0},
        [GN_NBD_CMD_TRIM] = {GN_NBD_PLAN_TRIM, GN_NBD_FLAG_FUA, READS | CHANGES | HAS_RANGE},
        [GN_NBD_CMD_CACHE] = {GN_NBD_PLAN_ANSWER, GN_NBD_FLAG_FUA, READS | HAS_RANGE},
        [GN_NBD_CMD_WRITE_ZEROES] = {GN_NBD_PLAN_ZEROES_UNMAP,
                                     GN_NBD_FLAG_FUA | GN_NBD_FLAG_NO_HOLE | GN_NBD_FLAG_FAST_ZERO,
                                     CHANGES | HAS_RANGE},
        [GN_NBD_CMD_BLOCK_STATUS] = {GN_NBD_PLAN_STATUS, GN_NBD_FLAG_FUA | GN_NBD_FLAG_REQ_ONE,
                                     READS | HAS_RANGE},
};

static void refuse(struct gn_nbd_plan *plan, uint32_t error, const char *message)
{
	plan->kind = GN_NBD_PLAN_ANSWER;
	plan->error = error;
	plan->message = message;
}

static bool is_inside(const struct gn_nbd_limits *limits, const struct gn_nbd_request *request)
{
	return request->offset_bytes <= limits->size_bytes &&
	       request->length_bytes <= limits->size_bytes - request->offset_bytes;
}

static bool is_aligned(const struct gn_nbd_limits *limits, const struct gn_nbd_request *request)
{
	return !((request->offset_bytes | request->length_bytes) % limits->block_bytes);
}

static void check(const struct gn_nbd_limits *limits, const struct gn_nbd_request *request,
                  const struct command *command, struct gn_nbd_plan *plan)
{
	uint16_t allowed = command->flags_allowed;

	if (!limits->structured)
		allowed &= (uint16_t)~GN_NBD_FLAG_DF;
	if (request->flags & ~allowed)
		refuse(plan, GN_NBD_EINVAL, "a flag that this command does not take");
	else if (command->nature & CHANGES && limits->read_only)
		refuse(plan, GN_NBD_EPERM, "the export is read-only");
	else if (command->kind == GN_NBD_PLAN_STATUS && !limits->allocation)
		refuse(plan, GN_NBD_EINVAL, "no metadata context was negotiated");
	else if (command->nature & HAS_DATA && request->length_bytes > GN_NBD_PAYLOAD_MAX)
		refuse(plan, GN_NBD_EOVERFLOW, "more than 32 MiB at once");
	else if (request->flags & GN_NBD_FLAG_DF && request->length_bytes > limits->chunk_bytes)
		refuse(plan, GN_NBD_EOVERFLOW, "more at once than fits in one chunk");
	else if (command->nature & HAS_RANGE && !is_inside(limits, request))
		refuse(plan, command->nature & READS ? GN_NBD_EINVAL : GN_NBD_ENOSPC,
		       "beyond the end of the export");
	else if (command->nature & HAS_RANGE && !is_aligned(limits, request))
		refuse(plan, GN_NBD_EINVAL, "not a multiple of the export's minimum block size");
	else if (command->kind == GN_NBD_PLAN_STATUS && !request->length_bytes)
		refuse(plan, GN_NBD_EINVAL, "the status of nothing");
	else if (command->nature & HAS_RANGE && !request->length_bytes)
		plan->kind = GN_NBD_PLAN_ANSWER;
}

void gn_nbd_plan(const struct gn_nbd_limits *limits, const struct gn_nbd_request *request,
                 struct gn_nbd_plan *plan)
{
	*plan = (struct gn_nbd_plan){.kind = GN_NBD_PLAN_ANSWER};
	if (request->command >= sizeof commands / sizeof commands[0]) {
		refuse(plan, GN_NBD_EINVAL, "unknown command");
		return;
	}
	plan->kind = commands[request->command].kind;
	if (request->command == GN_NBD_CMD_WRITE) {
		plan->payload_bytes = request->length_bytes;
		if (request->length_bytes > GN_NBD_PAYLOAD_MAX) {
			plan->kind = GN_NBD_PLAN_BROKEN;
			return;
		}
	}
	plan->fua = request->flags & GN_NBD_FLAG_FUA;
	plan->fast_only = request->flags & GN_NBD_FLAG_FAST_ZERO;
	plan->one_extent = request->flags & GN_NBD_FLAG_REQ_ONE;
	if (plan->kind == GN_NBD_PLAN_ZEROES_UNMAP && request->flags & GN_NBD_FLAG_NO_HOLE)
		plan->kind = GN_NBD_PLAN_ZEROES;
	check(limits, request, &commands[request->command], plan);
}

uint32_t gn_nbd_error_of(int error)
{
	switch (-error) {
	case 0:
		return 0;
	case EPERM:
	case EROFS:
		return GN_NBD_EPERM;
	case ENOMEM:
		return GN_NBD_ENOMEM;
	case EINVAL:
		return GN_NBD_EINVAL;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return GN_NBD_ENOSPC;
	case EOPNOTSUPP:
		return GN_NBD_ENOTSUP;
	default:
		return GN_NBD_EIO;
	}
}

int gn_nbd_errno_of(uint32_t error)
{
	switch (error) {
	case GN_NBD_EPERM:
		return -EROFS;
	case GN_NBD_ENOMEM:
		return -ENOMEM;
	case GN_NBD_ENOSPC:
		return -ENOSPC;
	case GN_NBD_ENOTSUP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}
