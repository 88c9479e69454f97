/* text.c - see text.h. The words are the proto's names in lower case. */
#include "tools/ctl/text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Four texts may be in use at once, for one printf. */
static const char *lower(const ProtobufCEnumDescriptor *descriptor, int value)
{
	static char texts[4][40];
	static unsigned next;
	const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(descriptor, value);
	char *text = texts[next++ % 4];
	size_t i = 0;

	if (!named || value == 0)
		return "unknown";
	for (; named->name[i] && i < 39; i++)
		text[i] =
		        named->name[i] == '_' ? ' ' : (char)tolower((unsigned char)named->name[i]);
	text[i] = '\0';
	return text;
}

const char *gn_text_vm_state(Gnomon__V1__VmState state)
{
	return lower(&gnomon__v1__vm_state__descriptor, (int)state);
}

const char *gn_text_guest_state(Gnomon__V1__GuestState state)
{
	const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
	        &gnomon__v1__guest_state__descriptor, (int)state);

	return value ? value->name + strlen("GUEST_STATE_") : "?";
}

const char *gn_text_mode(Gnomon__V1__Mode mode)
{
	return lower(&gnomon__v1__mode__descriptor, (int)mode);
}

const char *gn_text_plan_state(Gnomon__V1__Plan__State state)
{
	return lower(&gnomon__v1__plan__state__descriptor, (int)state);
}

const char *gn_text_alert_state(Gnomon__V1__Alert__State state)
{
	return lower(&gnomon__v1__alert__state__descriptor, (int)state);
}

const char *gn_text_alert_kind(Gnomon__V1__Alert__Kind kind)
{
	return lower(&gnomon__v1__alert__kind__descriptor, (int)kind);
}

const char *gn_text_model_role(Gnomon__V1__Model__Role role)
{
	return role == GNOMON__V1__MODEL__ROLE__TRIAL
	               ? "on trial"
	               : lower(&gnomon__v1__model__role__descriptor, (int)role);
}

const char *gn_text_shadow_state(Gnomon__V1__ShadowState state)
{
	const ProtobufCEnumValue *named = protobuf_c_enum_descriptor_get_value(
	        &gnomon__v1__shadow_state__descriptor, (int)state);

	return named && state ? named->name : "-";
}
