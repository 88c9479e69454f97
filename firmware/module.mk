core.src := firmware/core/status.c firmware/core/log.c firmware/core/clock.c
-include $(wildcard firmware/*/module.mk)
