/* roles.h - which role a caller needs for which method of service Control.
 *
 * A role may do what those before it may. An operator's certificate names one (organisational unit,
 * 'gnomon-ca issue ... --role'); calls over the local socket are its owner's, who has checked whom
 * they are for (gnomon-console has the same table in its routes, and a test holds them together).
 * Pure. */
#ifndef GN_CONTROL_ROLES_H
#define GN_CONTROL_ROLES_H

enum gn_control_role {
	GN_CONTROL_NOBODY, /* a certificate that names no role, or one not known here */
	GN_CONTROL_VIEWER,
	GN_CONTROL_OPERATOR,
	GN_CONTROL_ADMIN,
};

enum gn_control_role gn_control_role_of(const char *name);
const char *gn_control_role_name(enum gn_control_role role);

/* The least role that may call 'method' ("GetVm"); GN_CONTROL_NOBODY when there is no such method,
 * which then nobody may call. */
enum gn_control_role gn_control_role_for(const char *method);

#endif
