hazard.src := $(addprefix firmware/hazard/,anomaly.c exhaustion.c drive.c)
PURE += $(hazard.src)
