# The books are part of port.src and blk.src, which offer memory.
ram_listen.src := dataplane/ram/listen.c
