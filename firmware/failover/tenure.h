/* tenure.h - who may write a mirrored volume, and until when: the rule that two cards never
 * both believe they may.
 *
 * Three parties, each a small pure state machine:
 *
 *   holder   the card whose VM writes. It acknowledges a write only while its tenure lasts.
 *   keeper   the card at the shadow's store. It alone may promote that shadow.
 *   witness  a third card, one durable word per VM. Optional.
 *
 * The token is the fencing token of the volume's lease (dataplane/volume/lease.h): one number
 * per pairing of a holder with an in-step shadow, and per promotion. Every store refuses a
 * lower one for ever, so late packets of an old tenure do nothing.
 *
 * The lease.  The holder asks for TERM at every third of it. It counts TERM from when it
 * *sent* the request that was granted, on its own monotonic clock; the keeper counts TERM and a
 * margin for the clocks' rates from when it *granted*, on its own. So when the keeper's wait is
 * over, the holder's lease is. Neither clock is compared with the other; wall clocks play no part.
 * A keeper that restarts assumes that it granted just now; a holder that restarts has no lease.
 *
 * When the link between the two is cut, neither can know whether the other lives. What
 * happens then is the operator's choice per VM, and no choice gives everything:
 *
 *   KEEP_RUNNING  the holder goes on alone once its lease has run out. No failure of the card
 *                 at the shadow ever stops the VM; but the keeper may not promote on silence, for
 *                 the holder may be alive and writing. A host that dies together with its card
 *                 comes back only when an operator says it is dead. The default.
 *   ZERO_LOSS     the holder never goes on alone without the keeper's consent: its writes wait.
 *                 The keeper may promote once the lease is over, and nothing acknowledged is
 *                 lost. But a cut link stops the VM until it heals, or the VM moves; and the
 *                 keeper's death does until the keeper is back or an operator swears to it.
 *   WITNESSED     whoever loses the other asks the witness, which says yes to one of them
 *                 per token. Any one failure (host and card, link, witness) leaves the VM running
 *                 with nothing lost. With the witness out of reach as well it is ZERO_LOSS for
 *                 the holder, and the keeper may not promote.
 *
 * So a shadow is promoted only by who can prove that the old writer cannot write any more:
 *
 *   SURRENDERED   the holder itself says so, durably: its token is given up at the volume
 *   EXPIRED       rule ZERO_LOSS, it does not work alone, and its lease is over by our clock
 *   WITNESSED     the lease is over and the witness will never let it work alone
 *   SWORN         an operator's word that the old writer is dead
 *
 * The same word, about the keeper, lets a holder work alone that waits for it, even one that had
 * given up: with a token above any that the keeper can have taken.
 *
 * Silence is no reason for a holder to give up: one whose VM is well keeps its volume when the
 * keeper, whom it could not hear, asks for it. Nor is its VM's death, while it has writes that
 * the shadow has not: then it tells the keeper that it works alone.
 *
 * A holder that works alone (ALONE) is not in step: before it may be paired again the shadow
 * is brought level, and the pairing has a new token. The order matters: the keeper first
 * raises its token, the holder gives up working alone as it takes it over, and only its first
 * request under the new token lets the keeper count on the lease again.
 *
 * Effects are returned. STORE comes first: what follows it may be done only once it is durable,
 * for after a restart the other side relies on it. Pure; no pointers; monotonic time. */
#ifndef GN_FAILOVER_TENURE_H
#define GN_FAILOVER_TENURE_H

#include <stdbool.h>
#include <stdint.h>

#define GN_TENURE_TERM_US ((uint64_t)600000)
/* Clocks' rates may differ by a few per cent, and a keeper is not in a hurry. */
#define GN_TENURE_MARGIN_US (GN_TENURE_TERM_US / 8)
#define GN_TENURE_RENEW_US  (GN_TENURE_TERM_US / 3)

enum gn_tenure_rule {
	GN_TENURE_KEEP_RUNNING = 1,
	GN_TENURE_ZERO_LOSS = 2,
	GN_TENURE_WITNESSED = 3
};

/* Effects, a set. Messages carry the sender's token. */
enum gn_tenure_effect {
	GN_TENURE_STORE = 1,     /* make the durable part so before anything else */
	GN_TENURE_RENEW = 2,     /* to the keeper, with 'sequence', 'alone' and 'claimed' */
	GN_TENURE_CLAIM = 4,     /* to the witness */
	GN_TENURE_GRANT = 8,     /* to the holder, with the sequence asked for */
	GN_TENURE_REFUSE = 16,   /* to the holder: our token is higher */
	GN_TENURE_REVOKE = 32,   /* to the holder: give it up */
	GN_TENURE_PAIR = 64,     /* to the holder, with our new token */
	GN_TENURE_GAVE_UP = 128, /* to the keeper: surrendered, with what it has not got yet */
};

/* ---- the holder -------------------------------------------------------------- */

#define GN_HOLDER_STATES(X)                                                                        \
	X(LEASED, "its lease lasts until a known instant; then its writes wait")                   \
	X(ALONE, "it writes without the shadow")                                                   \
	X(SURRENDERED, "it may never write again under this token")

enum gn_holder_state {
#define GN_HOLDER_ENUM(name, text) GN_HOLDER_##name,
	GN_HOLDER_STATES(GN_HOLDER_ENUM)
#undef GN_HOLDER_ENUM
};

struct gn_holder {
	/* durable */
	enum gn_tenure_rule rule;
	enum gn_holder_state state;
	uint64_t token;
	bool claimed; /* the witness may have said yes under this token */
	/* not */
	uint64_t until_us; /* of the lease */
	uint64_t sequence; /* of the newest request */
	uint64_t sent_us;
	uint64_t next_us;    /* ask again */
	uint64_t patient_us; /* it was never leased: it waits for its first answer until then */
};

enum gn_holder_event_kind {
	GN_HOLDER_TICK,
	GN_HOLDER_GRANTED,     /* token, sequence */
	GN_HOLDER_REFUSED,     /* token: the keeper's */
	GN_HOLDER_CONSENTED,   /* token: the keeper lets it work alone */
	GN_HOLDER_WITNESS_YES, /* token */
	GN_HOLDER_REVOKED,     /* token: the keeper's; 'willing', 'level', 'loss_accepted' */
	GN_HOLDER_PAIRED,      /* token: the keeper's new one; 'level' */
	GN_HOLDER_SWORN,       /* an operator's word that the keeper is dead */
	GN_HOLDER_RESTARTED,   /* sequence: above any used before; its clock may have begun anew */
};
struct gn_holder_event {
	enum gn_holder_event_kind kind;
	uint64_t token;
	uint64_t sequence;
	bool willing; /* its VM is lost here, or the move was agreed: else it keeps the volume */
	bool level;   /* the shadow has every write that was acknowledged, at this instant */
	bool loss_accepted; /* an operator overrode it */
};

void gn_holder_init(struct gn_holder *holder, enum gn_tenure_rule rule, uint64_t token,
                    enum gn_holder_state state, uint64_t now_us);
unsigned gn_holder_step(struct gn_holder *holder, const struct gn_holder_event *event,
                        uint64_t now_us);
/* May a write be acknowledged, may the port be open? */
bool gn_holder_may_write(const struct gn_holder *holder, uint64_t now_us);

/* ---- the keeper -------------------------------------------------------------- */

#define GN_KEEPER_STATES(X)                                                                        \
	X(OPEN, "grants leases")                                                                   \
	X(CLOSING, "grants no more; gathers proof that the holder cannot write")                   \
	X(TAKEN, "the shadow was promoted: this card is the holder now")

enum gn_keeper_state {
#define GN_KEEPER_ENUM(name, text) GN_KEEPER_##name,
	GN_KEEPER_STATES(GN_KEEPER_ENUM)
#undef GN_KEEPER_ENUM
};

#define GN_TENURE_PROOFS(X)                                                                        \
	X(NONE, "nothing proves that the former writer cannot write")                              \
	X(SURRENDERED, "the former writer has given the volume up")                                \
	X(EXPIRED, "its lease is over and it may not write without one")                           \
	X(WITNESSED, "its lease is over and the witness will not let it write alone")              \
	X(SWORN, "an operator says that it is dead")

enum gn_tenure_proof {
#define GN_TENURE_PROOF_ENUM(name, text) GN_TENURE_PROOF_##name,
	GN_TENURE_PROOFS(GN_TENURE_PROOF_ENUM)
#undef GN_TENURE_PROOF_ENUM
};
const char *gn_tenure_proof_text(enum gn_tenure_proof proof);

struct gn_keeper {
	/* durable */
	enum gn_tenure_rule rule;
	enum gn_keeper_state state;
	uint64_t token;
	bool alone;       /* the holder works, or may work, without the shadow */
	bool surrendered; /* under this token */
	bool witnessed;   /* so is this: the witness said yes to us */
	bool sworn;
	bool spent; /* somebody may have been allowed to work alone, or to promote, under this
	             * token: the next lease needs a new one, or a late packet would undo it */
	/* not */
	uint64_t granted_us; /* the newest lease began before this */
	uint64_t next_us;
};

enum gn_keeper_event_kind {
	GN_KEEPER_TICK,        /* with 'level' */
	GN_KEEPER_RENEW,       /* token, alone, claimed; with 'level' */
	GN_KEEPER_LEAVE,       /* token: the holder asks to work alone; granted by CONSENTED */
	GN_KEEPER_CLOSE,       /* the shadow is to be promoted */
	GN_KEEPER_REOPEN,      /* or not after all */
	GN_KEEPER_GAVE_UP,     /* token */
	GN_KEEPER_WITNESS_YES, /* token */
	GN_KEEPER_SWEAR,
	GN_KEEPER_TAKE, /* only with a proof */
	GN_KEEPER_RESTARTED,
};
struct gn_keeper_event {
	enum gn_keeper_event_kind kind;
	uint64_t token;
	bool alone;
	bool claimed;
	bool level; /* the shadow has all that the holder has acknowledged but what is in flight */
};

void gn_keeper_init(struct gn_keeper *keeper, enum gn_tenure_rule rule, uint64_t token, bool alone,
                    uint64_t now_us);
unsigned gn_keeper_step(struct gn_keeper *keeper, const struct gn_keeper_event *event,
                        uint64_t now_us);
enum gn_tenure_proof gn_keeper_proof(const struct gn_keeper *keeper, uint64_t now_us);
/* Every write that was acknowledged is here. Under KEEP_RUNNING a holder whose lease is over may
 * have gone on alone, so nobody knows. */
bool gn_keeper_is_in_step(const struct gn_keeper *keeper, uint64_t now_us);

/* ---- the witness ------------------------------------------------------------- */

enum gn_witness_side { GN_WITNESS_NOBODY, GN_WITNESS_HOLDER, GN_WITNESS_KEEPER };

struct gn_witness { /* durable, all of it */
	uint64_t token;
	enum gn_witness_side winner;
};

/* True: yes, once 'witness' is durable. The first to ask under a token gets it; who asks again
 * gets the same answer; an older token never does. */
bool gn_witness_claim(struct gn_witness *witness, uint64_t token, enum gn_witness_side side);

#endif
