/* detect.h - what says that a VM is lost, and how long it must say so.
 *
 * The card looks from outside the host's failure domain: a dead host can not claim to be
 * well, and a sick one is not asked. Each sign has its own timeout, and some prove nothing by
 * themselves: a VM whose queues stand still may be idle, a shim that does not answer may be being
 * updated. Only together with another sign do these count.
 *
 * Whoever runs the detection tells how each sign looks: 'shows' for one that is seen or not,
 * gn_detect_heard() for one that is a silence. Pure; monotonic time, never backwards. */
#ifndef GN_FAILOVER_DETECT_H
#define GN_FAILOVER_DETECT_H

#include <stdbool.h>
#include <stdint.h>

/*  name, ms until it counts, counts alone, text */
#define GN_DETECT_SIGNS(X)                                                                         \
	X(QEMU_GONE, 200, true, "its QEMU is gone")                                                \
	X(GUEST_DEAD, 200, true, "the guest's kernel has panicked")                                \
	X(GUEST_HUNG, 5000, true, "the guest's kernel stands still")                               \
	X(QUEUES_STOPPED, 600, false, "its queues do not move")                                    \
	X(HOST_SILENT, 800, false, "its host does not answer")                                     \
	X(GIVEN_UP, 0, true, "its card has given the volume up")                                   \
	X(CARD_SILENT, 900, true, "its card does not answer")

enum gn_detect_sign {
#define GN_DETECT_ENUM(name, ms, alone, text) GN_DETECT_##name,
	GN_DETECT_SIGNS(GN_DETECT_ENUM)
#undef GN_DETECT_ENUM
	        GN_DETECT_N_SIGNS
};
const char *gn_detect_text(enum gn_detect_sign sign);
uint64_t gn_detect_timeout_us(enum gn_detect_sign sign);

enum gn_detect_verdict { GN_DETECT_WELL, GN_DETECT_SUSPECT, GN_DETECT_LOST };

struct gn_detect {
	uint32_t shown;                       /* signs, a set */
	uint64_t since_us[GN_DETECT_N_SIGNS]; /* of those shown */
};

/* The sign shows since 'now_us', unless it did before; or no longer. */
void gn_detect_see(struct gn_detect *detect, enum gn_detect_sign sign, bool shows, uint64_t now_us);
/* A sign of life that ends the silence; it begins again at once. */
void gn_detect_heard(struct gn_detect *detect, enum gn_detect_sign sign, uint64_t now_us);

/* What is read of the guest's kernel, out of its RAM. */
struct gn_detect_guest {
	bool is_fresh;   /* read a moment ago, and of the guest that runs now */
	bool is_running; /* by libvirt's word: neither paused nor off */
	bool has_panicked;
	uint64_t clock_stopped_us; /* since its clock last moved */
};
/* GUEST_DEAD and GUEST_HUNG. A guest that is not read, or is paused, shows neither; one whose clock
 * stands still shows it only after GN_DETECT_CLOCK_US, as a busy host may keep a vCPU waiting. */
#define GN_DETECT_CLOCK_US ((uint64_t)5000000)
void gn_detect_see_guest(struct gn_detect *detect, const struct gn_detect_guest *guest,
                         uint64_t now_us);

/* How long the sign has shown; 0: it does not. */
uint64_t gn_detect_age_us(const struct gn_detect *detect, enum gn_detect_sign sign,
                          uint64_t now_us);

/* 'cause' (may be NULL) is the sign that decided, or the one that shows longest; 'first_us' when
 * it began. Untouched when the VM is well. A silence shorter than half its timeout is not
 * even suspect. */
enum gn_detect_verdict gn_detect_verdict(const struct gn_detect *detect, uint64_t now_us,
                                         enum gn_detect_sign *cause, uint64_t *first_us);

#endif
