/* view.c - see view.h. The three lists differ in type only; a macro writes each once. */
#include "firmware/ingest/view.h"

#include <string.h>
#include "firmware/message/message.h"

#define LIST(kind, Kind, kinds)                                                                    \
	void gn_view_set_##kinds(struct gn_view *view, const Gnomon__V1__##Kind##List *list)       \
	{                                                                                          \
		GN_MESSAGE_FREE(view->kinds);                                                      \
		view->kinds = GN_MESSAGE_COPY(Gnomon__V1__##Kind##List, list);                     \
	}                                                                                          \
                                                                                                   \
	static Gnomon__V1__##Kind **find_##kind(const struct gn_view *view, const char *name)      \
	{                                                                                          \
		size_t i;                                                                          \
                                                                                                   \
		for (i = 0; view->kinds && i < view->kinds->n_##kinds; i++)                        \
			if (strcmp(view->kinds->kinds[i]->name, name) == 0)                        \
				return &view->kinds->kinds[i];                                     \
		return NULL;                                                                       \
	}                                                                                          \
                                                                                                   \
	const Gnomon__V1__##Kind *gn_view_##kind(const struct gn_view *view, const char *name)     \
	{                                                                                          \
		Gnomon__V1__##Kind **found = find_##kind(view, name);                              \
                                                                                                   \
		return found ? *found : NULL;                                                      \
	}                                                                                          \
                                                                                                   \
	void gn_view_note_##kind(struct gn_view *view, const Gnomon__V1__##Kind *one)              \
	{                                                                                          \
		Gnomon__V1__##Kind **found = find_##kind(view, one->name);                         \
		Gnomon__V1__##Kind *copy = GN_MESSAGE_COPY(Gnomon__V1__##Kind, one);               \
                                                                                                   \
		if (found) {                                                                       \
			GN_MESSAGE_FREE(*found);                                                   \
			*found = copy;                                                             \
			return;                                                                    \
		}                                                                                  \
		if (!view->kinds)                                                                  \
			view->kinds = GN_MESSAGE_NEW(Gnomon__V1__##Kind##List,                     \
			                             gnomon__v1__##kind##_list__init);             \
		GN_MESSAGE_APPEND(view->kinds->kinds, view->kinds->n_##kinds, copy);               \
	}

LIST(port, Port, ports)
LIST(volume, Volume, volumes)
LIST(mirror, Mirror, mirrors)

void gn_view_forget_volume(struct gn_view *view, const char *name)
{
	Gnomon__V1__VolumeList *list = view->volumes;

	for (size_t i = 0; list && i < list->n_volumes; i++)
		if (strcmp(list->volumes[i]->name, name) == 0) {
			GN_MESSAGE_FREE(list->volumes[i]);
			list->volumes[i] = list->volumes[--list->n_volumes];
			return;
		}
}

void gn_view_forget_mirror(struct gn_view *view, const char *name)
{
	Gnomon__V1__Mirror **found = find_mirror(view, name);

	if (!found)
		return;
	GN_MESSAGE_FREE(*found);
	*found = view->mirrors->mirrors[--view->mirrors->n_mirrors];
}

void gn_view_set_status(struct gn_view *view, const Gnomon__V1__DataplaneStatus *status)
{
	GN_MESSAGE_FREE(view->status);
	view->status = GN_MESSAGE_COPY(Gnomon__V1__DataplaneStatus, status);
}

void gn_view_set_stats(struct gn_view *view, const Gnomon__V1__HostStats *stats)
{
	GN_MESSAGE_FREE(view->stats);
	view->stats = GN_MESSAGE_COPY(Gnomon__V1__HostStats, stats);
}

static const Gnomon__V1__HostVmStats *stats_of(const struct gn_view *view, const char *vm)
{
	size_t i;

	for (i = 0; view->stats && i < view->stats->n_vms; i++)
		if (strcmp(view->stats->vms[i]->name, vm) == 0)
			return view->stats->vms[i];
	return NULL;
}

const Gnomon__V1__AgentReport *gn_view_agent(const struct gn_view *view, const char *vm)
{
	const Gnomon__V1__HostVmStats *stats = stats_of(view, vm);

	return stats ? stats->agent : NULL;
}

const Gnomon__V1__HostProcess *gn_view_process(const struct gn_view *view, const char *vm)
{
	const Gnomon__V1__HostVmStats *stats = stats_of(view, vm);

	return stats ? stats->process : NULL;
}

void gn_view_fini(struct gn_view *view)
{
	GN_MESSAGE_FREE(view->ports);
	GN_MESSAGE_FREE(view->volumes);
	GN_MESSAGE_FREE(view->mirrors);
	GN_MESSAGE_FREE(view->status);
	GN_MESSAGE_FREE(view->stats);
	*view = (struct gn_view){0};
}
