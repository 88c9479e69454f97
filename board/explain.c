/* explain.c - see explain.h. */
#include "board/explain.h"

#include "firmware/core/text.h"

#define MBUF_BYTES 2432u /* data room, headroom, header, and its share of the pool */

#define X(name, word) word,
static const char *const names[] = {GN_BOARD_CAPABILITIES(X)};
#undef X

static const struct {
	const char *with, *without;
} meanings[GN_BOARD_N_CAPABILITIES] = {
        [GN_BOARD_CAN_VHOST_USER] =
                {"VMs of this machine connect to the dataplane's sockets; guests' kernels are read "
                 "out of their memory",
                 "no VM connects by vhost-user, and guests' kernels are not looked into: demand is "
                 "what libvirt tells; disks are reached by NBD"},
        [GN_BOARD_CAN_REPRESENTORS] =
                {"a VM's port is a device of the e-switch: name its representor in 'uplinks' or a "
                 "port's devargs; packets are forwarded by the lcores, not by the e-switch",
                 "VMs' ports are vhost-user sockets or ordinary interfaces"},
        [GN_BOARD_CAN_FLOW_MIRROR] =
                {"the e-switch could copy packets (E-Switch and NIC-RX domains only); gnomon does "
                 "not ask it to yet: the lcores copy",
                 "the lcores copy mirrored packets"},
        [GN_BOARD_CAN_FLOW_METER] =
                {"the e-switch could limit rates; gnomon does not ask it to yet: the lcores do",
                 "the lcores limit rates"},
        [GN_BOARD_CAN_WATCHDOG] =
                {"a card that hangs is reset within a minute, also while it tries an update",
                 "a card that hangs stays so until somebody takes its power; an update that panics "
                 "or is not well still gives way by itself"},
        [GN_BOARD_CAN_SLOTS] =
                {"updates go into the slot that does not run, and give way by themselves",
                 "it is updated as the packages of its machine, without a way back"},
};

const char *gn_board_capability_name(enum gn_board_capability capability)
{
	return names[capability];
}

static bool can(const struct gn_board *board, enum gn_board_capability capability)
{
	return board->can & 1u << capability;
}

const char *gn_board_explain(const struct gn_board *board, enum gn_board_capability capability)
{
	return can(board, capability) ? meanings[capability].with : meanings[capability].without;
}

/* ---- contradictions -----------------------------------------------------------------------------
 */

typedef bool contradiction(const struct gn_board *board, struct gn_text *text);

static bool flow_without_switch(const struct gn_board *board, struct gn_text *text)
{
	if (can(board, GN_BOARD_CAN_REPRESENTORS) ||
	    (!can(board, GN_BOARD_CAN_FLOW_MIRROR) && !can(board, GN_BOARD_CAN_FLOW_METER)))
		return false;
	gn_text_add(text, "flow-mirror and flow-meter are of an e-switch, but representors is not "
	                  "among its capabilities; add it, or take them out");
	return true;
}

static bool slots_without_disk(const struct gn_board *board, struct gn_text *text)
{
	if (can(board, GN_BOARD_CAN_SLOTS) == (board->flash != GN_BOARD_FLASH_NONE))
		return false;
	gn_text_add(text,
	            board->flash == GN_BOARD_FLASH_NONE
	                    ? "it has slots but no way to flash them; give 'flash: disk' or bfb"
	                    : "it is flashed but has no slots; add 'slots' to its capabilities");
	return true;
}

static bool too_many_mbufs(const struct gn_board *board, struct gn_text *text)
{
	uint64_t bytes = (uint64_t)board->mbufs * MBUF_BYTES;

	if (bytes <= (uint64_t)board->memory_mib << 20)
		return false;
	gn_text_add(text, "its mbufs need ");
	gn_text_add_int(text, (int64_t)(bytes >> 20));
	gn_text_add(text, " MiB, and memory_mib is ");
	gn_text_add_int(text, board->memory_mib);
	gn_text_add(text, "; raise that or lower mbufs");
	return true;
}

static bool polls_on_one_core(const struct gn_board *board, struct gn_text *text)
{
	if (board->idle != GN_BOARD_POLL || board->workers_count > 1 || board->main_lcore)
		return false;
	gn_text_add(text, "its one worker polls without rest beside lcore 0, which everything else "
	                  "runs on; 'idle: backoff' is for machines with few cores");
	return true;
}

static contradiction *const contradictions[] = {
        flow_without_switch,
        slots_without_disk,
        too_many_mbufs,
        polls_on_one_core,
};

bool gn_board_contradiction(const struct gn_board *board, unsigned n, char *text, size_t size)
{
	for (unsigned i = 0; i < sizeof contradictions / sizeof contradictions[0]; i++) {
		struct gn_text out;

		gn_text_init(&out, text, size);
		if (contradictions[i](board, &out) && !n--)
			return true;
	}
	return false;
}
