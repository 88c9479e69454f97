/* walk.c - the ring of tasks (walk.h). */
#include "firmware/introspect/walk.h"

#include <errno.h>
#include <string.h>

#define PAGE_COUNTERS        4 /* file, anonymous, swap entries, shared memory */
#define SWAP_COUNTER         2
#define MAX_THREADS          65536
#define PF_KTHREAD           0x00200000u
#define TASK_IDLE            0x402u /* sleeps without counting as load */
#define TASK_REPORT          0x7fu
#define TASK_UNINTERRUPTIBLE 2u

/* Reads the member at 'object' if the kernel has it; else 0. */
static bool get64(const struct gn_kernel *k, uint64_t object, uint32_t at, uint64_t *value)
{
	*value = 0;
	return at == GN_PROFILE_ABSENT || gn_space_u64(&k->space, object + at, value);
}

static bool get32(const struct gn_kernel *k, uint64_t object, uint32_t at, uint32_t *value)
{
	*value = 0;
	return at == GN_PROFILE_ABSENT || gn_space_u32(&k->space, object + at, value);
}

static bool add64(const struct gn_kernel *k, uint64_t object, uint32_t at, uint64_t *sum)
{
	uint64_t value;
	bool ok = get64(k, object, at, &value);

	*sum += value;
	return ok;
}

char gn_walk_state(uint32_t state, uint32_t exit_state)
{
	static const char letters[] = "RSDTtXZPI";
	uint32_t report = (state | exit_state) & TASK_REPORT;

	if ((state & TASK_IDLE) == TASK_IDLE)
		return 'I';
	return report ? letters[32 - __builtin_clz(report)] : 'R';
}

/* ---- threads -------------------------------------------------------------------------------- */

static bool note_blocked(const struct gn_kernel *k, struct gn_walk *w, uint64_t task)
{
	const struct gn_profile *p = &k->profile;
	struct gn_blocked b = {.task = task, .process = w->n};
	uint32_t pid;

	if (w->n_blocked == GN_WALK_MAX_BLOCKED)
		return true;
	if (!get32(k, task, p->at.task_pid, &pid) ||
	    !get64(k, task, p->at.task_start, &b.start_ns) ||
	    !add64(k, task, p->at.task_nvcsw, &b.switches) ||
	    !add64(k, task, p->at.task_nivcsw, &b.switches))
		return false;
	b.pid = (int32_t)pid;
	w->blocked[w->n_blocked++] = b;
	return true;
}

/* A thread's part of what its process has. */
static bool add_thread(const struct gn_kernel *k, struct gn_walk *w, uint64_t task,
                       struct gn_process *out, char *state)
{
	const struct gn_profile *p = &k->profile;
	uint32_t task_state, exit_state;
	uint64_t queued;

	/* A guest may give all its processes one endless list of threads. */
	if (++w->n_reads > GN_WALK_MAX_READS || !get32(k, task, p->at.task_state, &task_state) ||
	    !get32(k, task, p->at.task_exit_state, &exit_state) ||
	    !add64(k, task, p->at.task_runtime, &out->runtime_ns) ||
	    !add64(k, task, p->at.task_run_delay, &out->wait_ns) ||
	    !get64(k, task, p->at.task_last_queued, &queued) ||
	    !add64(k, task, p->at.task_minflt, &out->minor_faults) ||
	    !add64(k, task, p->at.task_majflt, &out->major_faults) ||
	    !add64(k, task, p->at.task_syscr, &out->read_calls) ||
	    !add64(k, task, p->at.task_syscw, &out->write_calls) ||
	    !add64(k, task, p->at.task_read_bytes, &out->read_bytes) ||
	    !add64(k, task, p->at.task_write_bytes, &out->write_bytes))
		return false;
	*state = gn_walk_state(task_state, exit_state);
	out->n_threads++;
	out->n_running += *state == 'R';
	out->n_blocked += *state == 'D';
	if (queued) {
		out->queued_ns += queued;
		out->n_queued++;
	}
	return *state != 'D' || note_blocked(k, w, task);
}

/* All threads, by the list in the process's signal_struct. */
static bool add_threads(const struct gn_kernel *k, struct gn_walk *w, uint64_t leader,
                        uint64_t signal, struct gn_process *out)
{
	uint64_t head = signal + k->profile.at.signal_threads, at = head, next, prev;
	char state;

	for (unsigned i = 0; i < MAX_THREADS; i++) {
		uint64_t task;

		if (!gn_space_u64(&k->space, at, &next) ||
		    !gn_space_u64(&k->space, next + 8, &prev) || prev != at)
			return false;
		if (next == head)
			return out->n_threads != 0;
		task = next - k->profile.at.task_thread_node;
		if (!add_thread(k, w, task, out, &state))
			return false;
		if (task == leader)
			out->state = state;
		at = next;
	}
	return false;
}

/* ---- a process ---------------------------------------------------------------------------------
 */

/* The counters may be slightly negative, as the kernel has them too. */
static bool read_rss(const struct gn_kernel *k, uint64_t mm, uint64_t *pages)
{
	const struct gn_profile *p = &k->profile;
	bool is_plain = p->size.mm_rss_stat != GN_PROFILE_ABSENT;
	uint32_t step = is_plain ? 8 : p->size.counter, at = is_plain ? 0 : p->at.counter_count;
	int64_t sum = 0;

	*pages = 0;
	if (!mm || p->at.mm_rss_stat == GN_PROFILE_ABSENT || step == GN_PROFILE_ABSENT ||
	    at == GN_PROFILE_ABSENT)
		return true;
	for (unsigned i = 0; i < PAGE_COUNTERS; i++) {
		uint64_t value;

		if (!gn_space_u64(&k->space, mm + p->at.mm_rss_stat + i * step + at, &value))
			return false;
		if (i != SWAP_COUNTER && (int64_t)value > 0 && (int64_t)value < INT64_MAX / 8)
			sum += (int64_t)value;
	}
	*pages = (uint64_t)sum;
	return true;
}

static bool add_ended_threads(const struct gn_kernel *k, uint64_t signal, struct gn_process *out)
{
	const struct gn_profile *p = &k->profile;

	return add64(k, signal, p->at.signal_runtime, &out->runtime_ns) &&
	       add64(k, signal, p->at.signal_minflt, &out->minor_faults) &&
	       add64(k, signal, p->at.signal_majflt, &out->major_faults) &&
	       add64(k, signal, p->at.signal_syscr, &out->read_calls) &&
	       add64(k, signal, p->at.signal_syscw, &out->write_calls) &&
	       add64(k, signal, p->at.signal_read_bytes, &out->read_bytes) &&
	       add64(k, signal, p->at.signal_write_bytes, &out->write_bytes);
}

struct identity {
	uint64_t prev;
	uint64_t signal;
	uint64_t mm;
	uint32_t pid;
	uint32_t exits; /* moves while an ended thread's counters go over to the process */
	uint64_t start_ns;
};

static bool read_identity(const struct gn_kernel *k, uint64_t task, struct identity *id)
{
	const struct gn_profile *p = &k->profile;

	return gn_space_u64(&k->space, task + p->at.task_tasks + 8, &id->prev) &&
	       gn_space_u64(&k->space, task + p->at.task_signal, &id->signal) &&
	       get64(k, task, p->at.task_mm, &id->mm) && get32(k, task, p->at.task_pid, &id->pid) &&
	       get64(k, task, p->at.task_start, &id->start_ns) &&
	       get32(k, id->signal, p->at.signal_stats_seq, &id->exits);
}

static bool is_same(const struct identity *a, const struct identity *b)
{
	return a->prev == b->prev && a->signal == b->signal && a->mm == b->mm && a->pid == b->pid &&
	       a->start_ns == b->start_ns && a->exits == b->exits && a->exits % 2 == 0;
}

static bool read_names(const struct gn_kernel *k, uint64_t task, struct gn_process *out)
{
	const struct gn_profile *p = &k->profile;
	char comm[GN_WALK_COMM];
	uint64_t parent;
	uint32_t flags, ppid = 0;

	if (!gn_space_read(&k->space, task + p->at.task_comm, comm, sizeof comm) ||
	    !get32(k, task, p->at.task_flags, &flags) ||
	    !get64(k, task, p->at.task_real_parent, &parent) ||
	    (parent && !get32(k, parent, p->at.task_tgid, &ppid)))
		return false;
	gn_space_clean_text(out->comm, comm, sizeof comm);
	out->is_kernel = flags & PF_KTHREAD;
	out->ppid = (int32_t)ppid;
	return true;
}

static bool read_process(const struct gn_kernel *k, struct gn_walk *w, uint64_t task, uint64_t prev,
                         struct gn_process *out)
{
	const struct gn_profile *p = &k->profile;
	struct identity before, after;
	uint32_t n_threads;
	bool ok;

	memset(out, 0, sizeof *out);
	if (!read_identity(k, task, &before) || before.prev != prev ||
	    !get32(k, before.signal, p->at.signal_nr_threads, &n_threads))
		return false;
	out->task = task;
	out->pid = (int32_t)before.pid;
	out->start_ns = before.start_ns;
	/* Most processes have one thread and need no list. */
	ok = read_names(k, task, out) && read_rss(k, before.mm, &out->rss_pages) &&
	     add_ended_threads(k, before.signal, out) &&
	     (n_threads == 1 || p->at.task_thread_node == GN_PROFILE_ABSENT ||
	                      p->at.signal_threads == GN_PROFILE_ABSENT
	              ? add_thread(k, w, task, out, &out->state)
	              : add_threads(k, w, task, before.signal, out));
	return ok && read_identity(k, task, &after) && is_same(&before, &after);
}

/* ---- the ring
 * ------------------------------------------------------------------------------------ */

static uint64_t node_of(const struct gn_kernel *k, const struct gn_walk *w, uint32_t n)
{
	return (n ? w->processes[n - 1].task : k->init_task) + k->profile.at.task_tasks;
}

/* Forgets the newest process: it left the ring, or what follows it does not fit. */
static void take_back(struct gn_walk *w)
{
	if (w->n)
		w->n--;
	while (w->n_blocked && w->blocked[w->n_blocked - 1].process >= w->n)
		w->n_blocked--;
}

/* Whether the newest process is still where it was found. */
static bool is_in_place(const struct gn_kernel *k, const struct gn_walk *w)
{
	uint64_t prev;
	uint32_t pid;

	if (!w->n)
		return true;
	return gn_space_u64(&k->space, node_of(k, w, w->n) + 8, &prev) &&
	       prev == node_of(k, w, w->n - 1) &&
	       get32(k, w->processes[w->n - 1].task, k->profile.at.task_pid, &pid) &&
	       (int32_t)pid == w->processes[w->n - 1].pid;
}

enum step { STEP_NEXT, STEP_END, STEP_TORN };

static enum step step(const struct gn_kernel *k, struct gn_walk *w)
{
	uint64_t head = node_of(k, w, 0), at = node_of(k, w, w->n), next, prev;
	uint32_t n_blocked = w->n_blocked;

	if (!gn_space_u64(&k->space, at, &next) || !is_in_place(k, w))
		return STEP_TORN;
	if (next == head)
		return gn_space_u64(&k->space, head + 8, &prev) && prev == at ? STEP_END
		                                                              : STEP_TORN;
	if (w->n == w->capacity) {
		w->is_truncated = true;
		return STEP_END;
	}
	if (read_process(k, w, next - k->profile.at.task_tasks, at, &w->processes[w->n])) {
		w->n++;
		return STEP_NEXT;
	}
	w->n_blocked = n_blocked;
	return STEP_TORN;
}

int gn_walk(const struct gn_kernel *k, struct gn_walk *w)
{
	uint64_t next;

	w->n = w->n_threads = w->n_blocked = w->retries = w->n_reads = 0;
	w->is_truncated = false;
	if (!gn_space_u64(&k->space, node_of(k, w, 0), &next))
		return -EFAULT;
	for (;;) {
		enum step s = step(k, w);

		if (s == STEP_END)
			break;
		if (s == STEP_NEXT)
			continue;
		if (++w->retries > GN_WALK_RETRIES + w->n / 32 || w->n_reads > GN_WALK_MAX_READS)
			return -EAGAIN;
		take_back(w);
	}
	if (!w->n)
		return -EFAULT; /* there is always process 1 */
	for (uint32_t i = 0; i < w->n; i++)
		w->n_threads += w->processes[i].n_threads;
	return 0;
}
