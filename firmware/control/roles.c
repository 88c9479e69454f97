/* roles.c - see roles.h. */
#include "firmware/control/roles.h"

#include <stddef.h>
#include <string.h>

static const struct {
	const char *method;
	enum gn_control_role role;
} table[] = {
        {"GetStatus", GN_CONTROL_VIEWER},         {"GetHostFit", GN_CONTROL_VIEWER},
        {"CreateVm", GN_CONTROL_OPERATOR},        {"DeleteVm", GN_CONTROL_OPERATOR},
        {"ListVms", GN_CONTROL_VIEWER},           {"GetVm", GN_CONTROL_VIEWER},
        {"GetGuest", GN_CONTROL_VIEWER},          {"GetForecast", GN_CONTROL_VIEWER},
        {"GetHistory", GN_CONTROL_VIEWER},        {"CreateShadow", GN_CONTROL_OPERATOR},
        {"ListShadows", GN_CONTROL_VIEWER},       {"GetShadow", GN_CONTROL_VIEWER},
        {"UpdateShadow", GN_CONTROL_OPERATOR},    {"DeleteShadow", GN_CONTROL_OPERATOR},
        {"ListMirrors", GN_CONTROL_VIEWER},       {"UpdateMirror", GN_CONTROL_OPERATOR},
        {"DeleteMirror", GN_CONTROL_OPERATOR},    {"GetPolicy", GN_CONTROL_VIEWER},
        {"UpdatePolicy", GN_CONTROL_OPERATOR},    {"ListPlans", GN_CONTROL_VIEWER},
        {"GetPlan", GN_CONTROL_VIEWER},           {"ApprovePlan", GN_CONTROL_OPERATOR},
        {"RejectPlan", GN_CONTROL_OPERATOR},      {"ListProbes", GN_CONTROL_VIEWER},
        {"ListThreads", GN_CONTROL_VIEWER},       {"ObserveVm", GN_CONTROL_OPERATOR},
        {"StopObserveVm", GN_CONTROL_OPERATOR},   {"GetObservation", GN_CONTROL_VIEWER},
        {"GetReport", GN_CONTROL_VIEWER},         {"ListModels", GN_CONTROL_VIEWER},
        {"ImportModel", GN_CONTROL_ADMIN},        {"RollbackModel", GN_CONTROL_ADMIN},
        {"ExportHistory", GN_CONTROL_VIEWER},     {"ExportVmState", GN_CONTROL_VIEWER},
        {"ImportVmState", GN_CONTROL_OPERATOR},   {"GetHazard", GN_CONTROL_VIEWER},
        {"ListAlerts", GN_CONTROL_VIEWER},        {"AcknowledgeAlert", GN_CONTROL_OPERATOR},
        {"ListVolumes", GN_CONTROL_VIEWER},       {"ListSnapshots", GN_CONTROL_VIEWER},
        {"CreateSnapshot", GN_CONTROL_OPERATOR},  {"DeleteSnapshot", GN_CONTROL_OPERATOR},
        {"ExportSnapshot", GN_CONTROL_OPERATOR},  {"RevertShadow", GN_CONTROL_OPERATOR},
        {"VerifyVolume", GN_CONTROL_OPERATOR},    {"PromoteShadow", GN_CONTROL_OPERATOR},
        {"RehearseShadow", GN_CONTROL_OPERATOR},  {"ListAudit", GN_CONTROL_VIEWER},
        {"CreateNbdExport", GN_CONTROL_OPERATOR}, {"DeleteNbdExport", GN_CONTROL_OPERATOR},
        {"ListNbdExports", GN_CONTROL_VIEWER},    {"CreateVolume", GN_CONTROL_OPERATOR},
        {"ResizeVolume", GN_CONTROL_OPERATOR},    {"DeleteVolume", GN_CONTROL_OPERATOR},
        {"BeginUpdate", GN_CONTROL_ADMIN},        {"WriteUpdate", GN_CONTROL_ADMIN},
        {"FinishUpdate", GN_CONTROL_ADMIN},       {"GetUpdateStatus", GN_CONTROL_VIEWER},
        {"RollbackUpdate", GN_CONTROL_ADMIN},     {"RestartCard", GN_CONTROL_ADMIN},
        {"ListUpdateHistory", GN_CONTROL_VIEWER}, {"ListCrashReports", GN_CONTROL_VIEWER},
};

static const char *const names[] = {"nobody", "viewer", "operator", "admin"};

enum gn_control_role gn_control_role_of(const char *name)
{
	for (int role = GN_CONTROL_ADMIN; role > GN_CONTROL_NOBODY; role--)
		if (!strcmp(name, names[role]))
			return (enum gn_control_role)role;
	return GN_CONTROL_NOBODY;
}

const char *gn_control_role_name(enum gn_control_role role)
{
	return names[role];
}

enum gn_control_role gn_control_role_for(const char *method)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (!strcmp(method, table[i].method))
			return table[i].role;
	return GN_CONTROL_NOBODY;
}
