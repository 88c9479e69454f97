brain.src := $(addprefix firmware/brain/,brain.c change.c drives.c guest.c guest_signs.c hazards.c observe.c packs.c \
	packs_trial.c policy_message.c series.c state.c)
PURE += firmware/brain/change.c
$(eval $(call test,change,firmware/brain/change_test.c firmware/brain/change.c \
	firmware/demand/resource.c firmware/core/text.c))
