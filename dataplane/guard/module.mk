# What stands between a front end and rte_vhost; used by port and blk.
guard.src := dataplane/guard/guard.c dataplane/guard/fault.c dataplane/guard/socket.c

$(eval $(call test,guard,dataplane/guard/guard_test.c $(guard.src) firmware/core/status.c))
$(eval $(call test,guard_socket,dataplane/guard/socket_test.c dataplane/guard/socket.c firmware/core/status.c))
