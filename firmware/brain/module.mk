brain.src := $(addprefix firmware/brain/,brain.c guest.c hazards.c observe.c packs.c packs_trial.c policy_message.c \
	series.c state.c)
