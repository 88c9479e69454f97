uring.src := dataplane/uring/uring.c
