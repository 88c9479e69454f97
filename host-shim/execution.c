/* execution.c - see execution.h. Answers that state an outcome are in the journal before they
 * are given; answers that only say "not now" (UNAVAILABLE, ...) are not, and the same command
 * may be sent again. */
#include "host-shim/execution.h"
#include "firmware/core/clock.h"
#include "host-shim/domain_xml.h"
#include "host-shim/executor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MIN_US 20000u
#define WAIT_MAX_US 500000u

/* What libvirt says is the case; pointers are NULL where there is no such domain. */
struct observation {
	struct gn_vm vm_data, shadow_data;
	const struct gn_vm *vm, *shadow;
};

void gn_execution_init(struct gn_execution *e, const struct gn_command *command,
                       struct gn_wire_bytes packed)
{
	memset(e, 0, sizeof *e);
	e->command = *command;
	e->packed = packed;
	strcpy(e->result.id, command->id);
}

int gn_execution_resume(struct gn_execution *e, const struct gn_journal_entry *entry)
{
	memset(e, 0, sizeof *e);
	if (gn_wire_unpack_command(entry->command.data, entry->command.size, &e->command, NULL) ||
	    gn_wire_unpack_result(entry->result.data, entry->result.size, &e->result))
		return -EBADMSG;
	e->packed.data = malloc(entry->command.size + 1);
	if (!e->packed.data)
		return -ENOMEM;
	memcpy(e->packed.data, entry->command.data, entry->command.size);
	e->packed.size = entry->command.size;
	e->phase = GN_EXECUTION_RESOLVE;
	return 0;
}

void gn_execution_fini(struct gn_execution *e)
{
	free(e->packed.data);
	e->packed.data = NULL;
}

static bool names_same(const char *a, const char *b)
{
	return a[0] && !strcmp(a, b);
}

static const char *second_name(const struct gn_execution *e)
{
	return e->command.kind == GN_COMMAND_DEFINE_SHADOW ? e->command.define_shadow.name : "";
}

bool gn_execution_conflicts(const struct gn_execution *a, const struct gn_execution *b)
{
	return names_same(a->command.vm, b->command.vm) ||
	       names_same(second_name(a), b->command.vm) ||
	       names_same(second_name(b), a->command.vm) ||
	       names_same(second_name(a), second_name(b));
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* An answer that leaves no trace. */
static uint64_t answer(struct gn_execution *e, const struct gn_status *status)
{
	e->result.status = *status;
	e->result.finished_us = gn_clock_wall_us();
	return 0;
}

/* The outcome, noted first. */
static uint64_t finish(const struct gn_execution_world *w, struct gn_execution *e,
                       const struct gn_status *status)
{
	struct gn_journal_blob command = {e->packed.data, e->packed.size};
	struct gn_wire_bytes result;

	answer(e, status);
	if (gn_wire_pack_result(&e->result, &result)) {
		gn_status_set(&e->journal_status, GN_RESOURCE_EXHAUSTED, "out of memory");
		return 0;
	}
	gn_mutex_lock(w->journal_lock);
	gn_journal_finish(w->journal, e->command.id, e->command.deadline_us, command,
	                  (struct gn_journal_blob){result.data, result.size}, gn_clock_wall_us(),
	                  &e->journal_status);
	gn_mutex_unlock(w->journal_lock);
	free(result.data);
	return 0;
}

static void note_after(struct gn_execution *e, const struct gn_vm *subject)
{
	e->result.has_after = subject != NULL;
	if (subject)
		e->result.after = subject->allocation;
	if (subject && e->command.kind == GN_COMMAND_DEFINE_SHADOW)
		memcpy(e->result.uuid, subject->uuid, sizeof e->result.uuid);
}

static uint64_t finish_ok(const struct gn_execution_world *w, struct gn_execution *e,
                          const struct gn_vm *subject)
{
	struct gn_status ok = {GN_OK, ""};

	note_after(e, subject);
	return finish(w, e, &ok);
}

static uint64_t wait_more(struct gn_execution *e)
{
	uint64_t wait_us = e->next_wait_us;

	e->next_wait_us = wait_us * 2 > WAIT_MAX_US ? WAIT_MAX_US : wait_us * 2;
	return wait_us;
}

static void enter_phase(struct gn_execution *e, enum gn_execution_phase phase, uint64_t limit_us)
{
	e->phase = phase;
	e->until_us = gn_clock_monotonic_us() + limit_us;
	e->next_wait_us = WAIT_MIN_US;
}

/* ---- looking ------------------------------------------------------------------------------- */

static int look_at(struct gn_host *host, const char *name, struct gn_vm *data,
                   const struct gn_vm **out, struct gn_status *status)
{
	struct gn_status why = {0};

	*out = NULL;
	if (gn_host_get_vm(host, name, data, &why) == 0) {
		*out = data;
		return 0;
	}
	return why.code == GN_NOT_FOUND ? 0 : gn_status_set(status, why.code, "%s", why.message);
}

static int observe(const struct gn_execution_world *w, const struct gn_execution *e,
                   struct observation *o, struct gn_status *status)
{
	int error = look_at(w->host, e->command.vm, &o->vm_data, &o->vm, status);

	o->shadow = NULL;
	if (!error && e->command.kind == GN_COMMAND_DEFINE_SHADOW)
		error = look_at(w->host, e->command.define_shadow.name, &o->shadow_data, &o->shadow,
		                status);
	return error;
}

/* ---- enter ---------------------------------------------------------------------------------- */

enum lookup { NEW, ANSWERED, UNFINISHED };

/* What the journal knows of this id. */
static enum lookup look_up(const struct gn_execution_world *w, struct gn_execution *e)
{
	const struct gn_journal_entry *entry;
	enum lookup found = NEW;
	struct gn_status status;

	gn_mutex_lock(w->journal_lock);
	entry = gn_journal_find(w->journal, e->command.id);
	if (!entry) {
		if (e->command.deadline_us <= gn_journal_forgotten_us(w->journal)) {
			gn_status_set(&status, GN_DEADLINE_EXCEEDED,
			              "the command's deadline is older than what the journal "
			              "still knows; send a new command");
			answer(e, &status);
			found = ANSWERED;
		}
	} else if (entry->command.size != e->packed.size ||
	           memcmp(entry->command.data, e->packed.data, e->packed.size)) {
		gn_status_set(&status, GN_INVALID_ARGUMENT,
		              "another command was sent with the id '%s'; ids are for ever",
		              e->command.id);
		answer(e, &status);
		found = ANSWERED;
	} else if (gn_wire_unpack_result(entry->result.data, entry->result.size, &e->result)) {
		gn_status_set(&status, GN_DATA_LOSS, "the journal's entry cannot be read");
		answer(e, &status);
		found = ANSWERED;
	} else {
		e->result.repeated = entry->finished;
		found = entry->finished ? ANSWERED : UNFINISHED;
	}
	gn_mutex_unlock(w->journal_lock);
	return found;
}

static int begin(const struct gn_execution_world *w, struct gn_execution *e,
                 struct gn_status *status)
{
	struct gn_journal_blob command = {e->packed.data, e->packed.size};
	struct gn_wire_bytes noted;
	int error;

	if (gn_wire_pack_result(&e->result, &noted))
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "out of memory");
	gn_mutex_lock(w->journal_lock);
	error = gn_journal_begin(w->journal, e->command.id, e->command.deadline_us, command,
	                         (struct gn_journal_blob){noted.data, noted.size},
	                         gn_clock_wall_us(), status);
	gn_mutex_unlock(w->journal_lock);
	free(noted.data);
	return error;
}

/* What has to be made, and may fail, before anything is changed: the shadow's XML. */
static int prepare(const struct gn_execution_world *w, const struct gn_execution *e, char **xml,
                   struct gn_status *status)
{
	char *original;
	int error;

	*xml = NULL;
	if (e->command.kind != GN_COMMAND_DEFINE_SHADOW)
		return 0;
	error = gn_host_get_xml(w->host, e->command.vm, &original, status);
	if (error)
		return error;
	error = gn_domain_xml_shadow(original, e->command.vm, &e->command.define_shadow, xml,
	                             status);
	free(original);
	return error;
}

static int define_shadow(struct gn_host *host, const struct gn_command *c, const char *xml,
                         struct gn_status *status)
{
	const struct gn_shadow_spec *s = &c->define_shadow;
	char uuid[GN_VM_UUID_SIZE];
	int error = 0;

	if (s->pool[0])
		error = gn_host_ensure_pool(host, s->pool, s->pool_path, status);
	return error ? error : gn_host_define(host, xml, uuid, status);
}

static int execute(struct gn_host *host, const struct gn_command *c, const char *xml,
                   struct gn_status *status)
{
	switch (c->kind) {
	case GN_COMMAND_SET_VCPUS:
		return gn_host_set_vcpus(host, c->vm, c->set_vcpus.vcpus, status);
	case GN_COMMAND_SET_MEMORY:
		return gn_host_set_memory(host, c->vm, c->set_memory.bytes, status);
	case GN_COMMAND_SET_CPU_LIMIT:
		return gn_host_set_cpu_limit(host, c->vm, c->set_cpu_limit.shares,
		                             c->set_cpu_limit.quota_us, c->set_cpu_limit.period_us,
		                             status);
	case GN_COMMAND_DEFINE_SHADOW:
		return define_shadow(host, c, xml, status);
	case GN_COMMAND_START_SHADOW:
		return gn_host_start_shadow(host, c->vm, status);
	case GN_COMMAND_PAUSE_VM:
		return gn_host_pause(host, c->vm, status);
	case GN_COMMAND_RESUME_VM:
		return gn_host_resume(host, c->vm, status);
	case GN_COMMAND_DESTROY_SHADOW:
		return gn_host_destroy_shadow(host, c->vm, status);
	case GN_COMMAND_UNDEFINE_SHADOW:
		return gn_host_undefine_shadow(host, c->vm, status);
	case GN_COMMAND_FENCE_VM:
		return gn_host_destroy_vm(host, c->vm, status);
	case GN_COMMAND_START_VM:
		return gn_host_start_vm(host, c->vm, status);
	}
	return gn_status_set(status, GN_UNIMPLEMENTED, "unknown action");
}

static uint64_t verify(const struct gn_execution_world *w, struct gn_execution *e);
static uint64_t resolve(const struct gn_execution_world *w, struct gn_execution *e);

static uint64_t begin_and_execute(const struct gn_execution_world *w, struct gn_execution *e)
{
	struct gn_status status = {0};
	char *xml;

	if (prepare(w, e, &xml, &status))
		return status.code == GN_UNAVAILABLE ? answer(e, &status) : finish(w, e, &status);
	/* Reading may have taken long. */
	if (gn_command_check_deadline(&e->command, gn_clock_wall_us(), &status) ||
	    begin(w, e, &status)) {
		free(xml);
		return answer(e, &status);
	}
	e->failure = (struct gn_status){0};
	execute(w->host, &e->command, xml, &e->failure);
	free(xml);
	if (e->failure.code == GN_UNAVAILABLE) {
		enter_phase(e, GN_EXECUTION_RESOLVE, w->settle_us);
		return resolve(w, e);
	}
	enter_phase(e, GN_EXECUTION_VERIFY, w->verify_us);
	return verify(w, e);
}

static uint64_t enter(const struct gn_execution_world *w, struct gn_execution *e)
{
	struct gn_status status = {0};
	struct observation o;
	const struct gn_vm *subject;

	switch (look_up(w, e)) {
	case ANSWERED:
		return 0;
	case UNFINISHED:
		enter_phase(e, GN_EXECUTION_RESOLVE, w->settle_us);
		return resolve(w, e);
	case NEW:
		break;
	}
	e->result.started_us = gn_clock_wall_us();
	if (gn_command_check(&e->command, w->limits, e->result.started_us, &status) ||
	    observe(w, e, &o, &status))
		return answer(e, &status);
	subject = gn_executor_subject(&e->command, o.vm, o.shadow);
	e->result.has_before = subject != NULL;
	if (subject)
		e->result.before = subject->allocation;
	switch (gn_executor_decide(&e->command, o.vm, o.shadow, w->limits, &status)) {
	case GN_EXECUTOR_REFUSE:
		note_after(e, subject);
		return finish(w, e, &status);
	case GN_EXECUTOR_ALREADY:
		return finish_ok(w, e, subject);
	case GN_EXECUTOR_EXECUTE:
		break;
	}
	return begin_and_execute(w, e);
}

/* ---- verify and resolve ------------------------------------------------------------------------
 */

/* A vCPU that libvirt gave up waiting for may still go; any other failure is final. */
static bool may_still_happen(const struct gn_execution *e)
{
	return e->failure.code == GN_OK || (e->command.kind == GN_COMMAND_SET_VCPUS &&
	                                    e->command.set_vcpus.vcpus < e->result.before.vcpus);
}

static uint64_t verify(const struct gn_execution_world *w, struct gn_execution *e)
{
	bool late = gn_clock_monotonic_us() >= e->until_us;
	struct gn_status status = {0};
	const struct gn_vm *subject;
	struct observation o;

	if (observe(w, e, &o, &status)) {
		if (!late)
			return wait_more(e);
		enter_phase(e, GN_EXECUTION_RESOLVE, w->settle_us);
		return WAIT_MAX_US;
	}
	subject = gn_executor_subject(&e->command, o.vm, o.shadow);
	if (gn_executor_reached(&e->command, subject))
		return finish_ok(w, e, subject);
	if (!late && may_still_happen(e))
		return wait_more(e);
	note_after(e, subject);
	if (e->failure.code == GN_OK)
		gn_executor_explain(&e->command, subject, &e->failure);
	return finish(w, e, &e->failure);
}

static uint64_t void_it(const struct gn_execution_world *w, struct gn_execution *e)
{
	struct gn_status status = {0};
	int error;

	gn_mutex_lock(w->journal_lock);
	error = gn_journal_void(w->journal, e->command.id, &status);
	gn_mutex_unlock(w->journal_lock);
	if (error) {
		e->journal_status = status;
		return answer(e, &status);
	}
	e->voided = true;
	gn_status_set(&status, GN_UNAVAILABLE,
	              "the connection to libvirt was lost and the command was not executed; send "
	              "it again");
	answer(e, &status);
	e->result.has_before = false;
	e->phase = GN_EXECUTION_ENTER;
	return 0;
}

static uint64_t resolve(const struct gn_execution_world *w, struct gn_execution *e)
{
	struct gn_status status = {0}, how_far;
	const struct gn_vm *subject;
	struct observation o;
	bool late;

	if (!e->until_us)
		enter_phase(e, GN_EXECUTION_RESOLVE, w->settle_us);
	if (observe(w, e, &o, &status)) {
		/* The time to settle counts from when libvirt can be asked. */
		enter_phase(e, GN_EXECUTION_RESOLVE, w->settle_us);
		return WAIT_MAX_US;
	}
	late = gn_clock_monotonic_us() >= e->until_us;
	subject = gn_executor_subject(&e->command, o.vm, o.shadow);
	switch (gn_executor_resolve(&e->command, &e->result.before, subject)) {
	case GN_EXECUTOR_DONE:
		return finish_ok(w, e, subject);
	case GN_EXECUTOR_NOT_EXECUTED:
		return late ? void_it(w, e) : wait_more(e);
	case GN_EXECUTOR_PARTLY:
		break;
	}
	if (!late)
		return wait_more(e);
	note_after(e, subject);
	gn_executor_explain(&e->command, subject, &how_far);
	gn_status_set(&status, GN_ABORTED, "interrupted while it was executed: %.400s",
	              how_far.message);
	return finish(w, e, &status);
}

uint64_t gn_execution_step(const struct gn_execution_world *w, struct gn_execution *e)
{
	e->voided = false;
	switch (e->phase) {
	case GN_EXECUTION_ENTER:
		return enter(w, e);
	case GN_EXECUTION_VERIFY:
		return verify(w, e);
	case GN_EXECUTION_RESOLVE:
		return resolve(w, e);
	}
	return 0;
}
