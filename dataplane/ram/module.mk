# The books are part of port.src and blk.src, which offer memory.
ram_listen.src := dataplane/ram/listen.c
$(eval $(call test,ram,dataplane/ram/ram_test.c dataplane/ram/ram.c))
