/* file.c - a volume in a raw file or on a block device, by io_uring.
 *
 * Requests become entries in the submission queue as they come; poll enters the kernel at most
 * once for all of them (uring.h).
 *
 * Guest memory is deliberately not registered as fixed buffers: that pins every page of the
 * guest, and a page which the balloon gives back and takes again would then be another page
 * than the one the kernel writes to. Requests still go to and from guest memory without a
 * copy when its alignment suits O_DIRECT (practically always); else through a bounce buffer,
 * piece by piece. */
#include "dataplane/volume/volume.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "dataplane/uring/uring.h"

#define MAX_DEPTH     4096u
#define REAP_BATCH    64u
#define BOUNCE_SIZE   (128u << 10)
#define N_BOUNCES     8u
#define ZEROES_SIZE   (1u << 20)
#define MAX_PIECE     (1u << 30) /* a single read or write; the kernel's limit is 2 GiB */
#define ALLOCATE_UNIT (1u << 30) /* one fallocate at most: it holds the file's lock */

struct bounce {
	struct bounce *next;
	uint8_t *data;
};

struct file_volume {
	struct gn_volume volume;
	struct gn_uring uring;
	uint32_t memory_mask; /* alignment of memory for O_DIRECT, less one */
	struct bounce *free_bounces;
	struct gn_volume_request *waiting; /* for a bounce buffer, oldest first */
	struct gn_volume_request **waiting_end;
	uint8_t *zeroes;
	struct bounce bounces[N_BOUNCES];
	uint8_t *bounce_memory;
};

static struct file_volume *to_file(struct gn_volume *volume)
{
	return (struct file_volume *)volume;
}

/* ---- requests into the submission queue -------------------------------------- */

static bool moves_data(const struct gn_volume_request *request)
{
	return request->op == GN_VOLUME_READ || request->op == GN_VOLUME_WRITE;
}

static bool is_aligned(const struct file_volume *file, const struct gn_volume_request *request)
{
	uintptr_t bits = 0;

	if (!file->volume.is_direct)
		return true;
	for (unsigned i = 0; i < request->n_iov; i++)
		bits |= (uintptr_t)request->iov[i].iov_base | request->iov[i].iov_len;
	return !(bits & file->memory_mask);
}

/* Copies up to 'size' bytes between the request's memory, from 'skip' on, and 'flat'. */
static void copy_iov(const struct gn_volume_request *request, uint64_t skip, uint8_t *flat,
                     size_t size, bool to_flat)
{
	for (unsigned i = 0; i < request->n_iov && size; i++) {
		const struct iovec *iov = &request->iov[i];
		uint8_t *base = iov->iov_base;
		size_t n;

		if (skip >= iov->iov_len) {
			skip -= iov->iov_len;
			continue;
		}
		n = iov->iov_len - skip < size ? iov->iov_len - skip : size;
		if (to_flat)
			memcpy(flat, base + skip, n);
		else
			memcpy(base + skip, flat, n);
		flat += n;
		size -= n;
		skip = 0;
	}
}

static unsigned piece_size(const struct gn_volume_request *request, unsigned limit)
{
	uint64_t left = request->length_bytes - request->done_bytes;

	return left < limit ? (unsigned)left : limit;
}

static void prepare_flat(struct io_uring_sqe *sqe, const struct gn_volume_request *request,
                         void *data, unsigned size)
{
	uint64_t offset = request->offset_bytes + request->done_bytes;

	if (request->op == GN_VOLUME_READ)
		io_uring_prep_read(sqe, 0, data, size, offset);
	else
		io_uring_prep_write(sqe, 0, data, size, offset);
}

/* The rest of a request of which 'done_bytes' are done: one element of its iovec. */
static void prepare_rest(struct io_uring_sqe *sqe, const struct gn_volume_request *request)
{
	const struct iovec *iov = request->iov;
	uint64_t skip = request->done_bytes;

	while (skip >= iov->iov_len) {
		skip -= iov->iov_len;
		iov++;
	}
	prepare_flat(sqe, request, (uint8_t *)iov->iov_base + skip,
	             iov->iov_len - skip < MAX_PIECE ? (unsigned)(iov->iov_len - skip) : MAX_PIECE);
}

static void prepare_data(struct io_uring_sqe *sqe, struct gn_volume_request *request)
{
	struct bounce *bounce = request->bounce;

	if (bounce) {
		unsigned size = piece_size(request, BOUNCE_SIZE);

		if (request->op == GN_VOLUME_WRITE)
			copy_iov(request, request->done_bytes, bounce->data, size, true);
		prepare_flat(sqe, request, bounce->data, size);
	} else if (request->done_bytes || request->n_iov == 1 ||
	           request->length_bytes > MAX_PIECE) {
		prepare_rest(sqe, request);
	} else if (request->op == GN_VOLUME_READ) {
		io_uring_prep_readv(sqe, 0, request->iov, request->n_iov, request->offset_bytes);
	} else {
		io_uring_prep_writev(sqe, 0, request->iov, request->n_iov, request->offset_bytes);
	}
}

static void prepare_allocate(struct io_uring_sqe *sqe, const struct gn_volume_request *request)
{
	int mode =
	        request->op == GN_VOLUME_WRITE_ZEROES ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;

	io_uring_prep_fallocate(sqe, 0, mode | FALLOC_FL_KEEP_SIZE,
	                        (off_t)(request->offset_bytes + request->done_bytes),
	                        piece_size(request, ALLOCATE_UNIT));
}

static void prepare(struct file_volume *file, struct io_uring_sqe *sqe,
                    struct gn_volume_request *request)
{
	switch (request->op) {
	case GN_VOLUME_READ:
	case GN_VOLUME_WRITE:
		prepare_data(sqe, request);
		break;
	case GN_VOLUME_FLUSH:
		io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
		break;
	case GN_VOLUME_DISCARD:
	case GN_VOLUME_WRITE_ZEROES:
	case GN_VOLUME_WRITE_ZEROES_UNMAP:
		if (request->by_writing)
			prepare_flat(sqe, request, file->zeroes, piece_size(request, ZEROES_SIZE));
		else
			prepare_allocate(sqe, request);
		break;
	}
	sqe->flags |= IOSQE_FIXED_FILE;
	io_uring_sqe_set_data(sqe, request);
}

/* Every request in flight has at most one entry, and the queue has 'depth' of them. */
static void enqueue(struct file_volume *file, struct gn_volume_request *request)
{
	prepare(file, io_uring_get_sqe(&file->uring.ring), request);
}

static void wait_for_bounce(struct file_volume *file, struct gn_volume_request *request)
{
	request->next = NULL;
	*file->waiting_end = request;
	file->waiting_end = &request->next;
}

static void start(struct file_volume *file, struct gn_volume_request *request)
{
	request->done_bytes = 0;
	request->bounce = NULL;
	request->by_writing = false;
	if (moves_data(request) && !is_aligned(file, request)) {
		if (!file->free_bounces) {
			wait_for_bounce(file, request);
			return;
		}
		request->bounce = file->free_bounces;
		file->free_bounces = file->free_bounces->next;
	}
	enqueue(file, request);
}

static unsigned file_submit(struct gn_volume *volume, struct gn_volume_request **requests,
                            unsigned n)
{
	struct file_volume *file = to_file(volume);
	unsigned i;

	for (i = 0; i < n && volume->n_in_flight < volume->depth; i++) {
		assert(requests[i]->offset_bytes <= volume->size_bytes &&
		       requests[i]->length_bytes <= volume->size_bytes - requests[i]->offset_bytes);
		volume->n_in_flight++;
		start(file, requests[i]);
	}
	return i;
}

/* ---- completions ------------------------------------------------------------- */

static void give_bounce_back(struct file_volume *file, struct bounce *bounce)
{
	struct gn_volume_request *request = file->waiting;

	if (!request) {
		bounce->next = file->free_bounces;
		file->free_bounces = bounce;
		return;
	}
	file->waiting = request->next;
	if (!file->waiting)
		file->waiting_end = &file->waiting;
	request->bounce = bounce;
	enqueue(file, request);
}

static void finish(struct file_volume *file, struct gn_volume_request *request, int error)
{
	if (request->bounce)
		give_bounce_back(file, request->bounce);
	if (file->volume.changes && request->op != GN_VOLUME_READ && request->op != GN_VOLUME_FLUSH)
		gn_changes_note(file->volume.changes, request->offset_bytes, request->length_bytes);
	file->volume.n_in_flight--;
	request->done(request, error);
}

/* Bytes that the entry which has just succeeded was for. */
static int64_t bytes_moved(const struct gn_volume_request *request, int result)
{
	if (moves_data(request) || request->by_writing)
		return result;
	if (request->op == GN_VOLUME_FLUSH)
		return (int64_t)request->length_bytes;
	return piece_size(request, ALLOCATE_UNIT);
}

static bool can_write_instead(const struct file_volume *file,
                              const struct gn_volume_request *request, int result)
{
	return result == -EOPNOTSUPP && file->zeroes && !request->by_writing &&
	       !request->is_fast_only &&
	       (request->op == GN_VOLUME_WRITE_ZEROES ||
	        request->op == GN_VOLUME_WRITE_ZEROES_UNMAP);
}

static void on_completion(struct file_volume *file, struct gn_volume_request *request, int result)
{
	int64_t moved;

	if (result == -EAGAIN || result == -EINTR) {
		enqueue(file, request);
		return;
	}
	if (can_write_instead(file, request, result)) {
		request->by_writing = true;
		enqueue(file, request);
		return;
	}
	if (result < 0) {
		bool refused = result == -EBADF && file->volume.read_only;

		finish(file, request, refused ? -EROFS : result);
		return;
	}
	moved = bytes_moved(request, result);
	/* Nothing moved: the file has been made shorter than the volume. */
	if (!moved && request->length_bytes) {
		finish(file, request, -EIO);
		return;
	}
	if (request->bounce && request->op == GN_VOLUME_READ)
		copy_iov(request, request->done_bytes, ((struct bounce *)request->bounce)->data,
		         (size_t)moved, false);
	request->done_bytes += (uint64_t)moved;
	if (request->done_bytes < request->length_bytes)
		enqueue(file, request);
	else
		finish(file, request, 0);
}

static unsigned file_poll(struct gn_volume *volume)
{
	struct file_volume *file = to_file(volume);
	struct io_uring_cqe *cqes[REAP_BATCH];
	struct gn_volume_request *requests[REAP_BATCH];
	int results[REAP_BATCH];
	unsigned n;

	if (!volume->n_in_flight)
		return 0;
	gn_uring_enter(&file->uring);
	n = io_uring_peek_batch_cqe(&file->uring.ring, cqes, REAP_BATCH);
	for (unsigned i = 0; i < n; i++) {
		requests[i] = io_uring_cqe_get_data(cqes[i]);
		results[i] = cqes[i]->res;
	}
	io_uring_cq_advance(&file->uring.ring, n);
	for (unsigned i = 0; i < n; i++)
		on_completion(file, requests[i], results[i]);
	return n;
}

static bool file_arm(struct gn_volume *volume)
{
	return !volume->n_in_flight || gn_uring_arm(&to_file(volume)->uring);
}

static void file_disarm(struct gn_volume *volume)
{
	gn_uring_disarm(&to_file(volume)->uring);
}

/* ---- create, destroy --------------------------------------------------------- */

static void file_destroy(struct gn_volume *volume)
{
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	struct file_volume *file = to_file(volume);

	gn_uring_fini(&file->uring);
	if (volume->file_fd >= 0) {
		/* The ring lets its file go some time after its end, the lock need not wait. */
		fcntl(volume->file_fd, F_OFD_SETLK, &unlock);
		close(volume->file_fd);
	}
	free(file->zeroes);
	free(file->bounce_memory);
	free(file);
}

static const struct gn_volume_ops file_ops = {
        .submit = file_submit,
        .poll = file_poll,
        .arm = file_arm,
        .disarm = file_disarm,
        .destroy = file_destroy,
};

static int open_error(const char *path, int error, struct gn_status *status)
{
	switch (error) {
	case ENOENT:
		return gn_status_set(status, GN_NOT_FOUND,
		                     "volume file '%s' does not exist; create it first", path);
	case EACCES:
	case EPERM:
		gn_status_set(status, GN_PERMISSION_DENIED,
		              "volume file '%s' may not be opened; let the dataplane's user read "
		              "and write it",
		              path);
		return -error;
	case EROFS:
		gn_status_set(status, GN_FAILED_PRECONDITION,
		              "volume file '%s' is on a read-only file system; create the volume "
		              "read-only or mount it writable",
		              path);
		return -error;
	default:
		gn_status_set(status, gn_code_from_errno(error), "volume file '%s': %s", path,
		              strerror(error));
		return -error;
	}
}

static int open_file(struct file_volume *file, const struct gn_volume_file_config *config,
                     struct gn_status *status)
{
	int flags = (config->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC;
	int fd = open(config->path, flags | O_DIRECT);

	file->volume.is_direct = fd >= 0;
	if (fd < 0 && errno == EINVAL)
		fd = open(config->path, flags);
	if (fd < 0)
		return open_error(config->path, errno, status);
	file->volume.file_fd = fd;
	return 0;
}

static int lock_file(int fd, const struct gn_volume_file_config *config, struct gn_status *status)
{
	const int limit_ms =
	        (int)(config->lock_wait_ms ? config->lock_wait_ms : GN_VOLUME_LOCK_WAIT_MS);
	const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
	struct flock lock = {.l_type = config->read_only ? F_RDLCK : F_WRLCK, .l_whence = SEEK_SET};

	for (int ms = 0; fcntl(fd, F_OFD_SETLK, &lock) != 0; ms += 10) {
		if (errno != EAGAIN && errno != EACCES)
			return open_error(config->path, errno, status);
		if (ms >= limit_ms) {
			gn_status_set(status, GN_FAILED_PRECONDITION,
			              "volume file '%s' is in use by another volume or program; "
			              "stop that one first",
			              config->path);
			return -EBUSY;
		}
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int find_size(struct file_volume *file, const char *path, struct gn_status *status)
{
	struct stat st;
	uint64_t size = 0;
	int sector = (int)GN_VOLUME_SECTOR_SIZE;

	if (fstat(file->volume.file_fd, &st) != 0)
		return open_error(path, errno, status);
	if (S_ISBLK(st.st_mode)) {
		if (ioctl(file->volume.file_fd, BLKGETSIZE64, &size) != 0 ||
		    ioctl(file->volume.file_fd, BLKSSZGET, &sector) != 0)
			return open_error(path, errno, status);
	} else if (S_ISREG(st.st_mode)) {
		size = (uint64_t)st.st_size;
	} else {
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "volume file '%s' is neither a regular file nor a block device", path);
	}
	file->volume.block_bytes = (uint32_t)sector;
	file->volume.physical_block_bytes = 4096;
	file->volume.size_bytes = size - size % (uint32_t)sector;
	if (!file->volume.size_bytes)
		return gn_status_set(
		        status, GN_INVALID_ARGUMENT,
		        "volume file '%s' holds %llu bytes; make it at least one sector "
		        "of %d (truncate -s)",
		        path, (unsigned long long)size, sector);
	return 0;
}

static int check_growth(const struct gn_volume *volume, const char *path, uint64_t size_bytes,
                        struct gn_status *status)
{
	if (size_bytes % volume->block_bytes)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "volume file '%s': a size of %llu bytes is not a multiple of "
		                     "%u; round it",
		                     path, (unsigned long long)size_bytes, volume->block_bytes);
	if (size_bytes < volume->size_bytes) {
		gn_status_set(
		        status, GN_OUT_OF_RANGE,
		        "volume file '%s' has %llu bytes, asked for are %llu: volumes are not "
		        "made smaller, that would cut data off; copy it to a new one",
		        path, (unsigned long long)volume->size_bytes,
		        (unsigned long long)size_bytes);
		return -ERANGE;
	}
	if (volume->read_only && size_bytes > volume->size_bytes)
		return gn_status_set(status, GN_FAILED_PRECONDITION,
		                     "volume file '%s' is read-only; its size stays", path);
	return 0;
}

/* A regular file grows by a hole; a device grows elsewhere. */
static int grow(const struct file_volume *file, const char *path, uint64_t size_bytes,
                struct gn_status *status)
{
	struct stat st;

	if (fstat(file->volume.file_fd, &st) != 0)
		return open_error(path, errno, status);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size >= size_bytes)
		return 0;
	if (ftruncate(file->volume.file_fd, (off_t)size_bytes) != 0 ||
	    fsync(file->volume.file_fd) != 0)
		return open_error(path, errno, status);
	return 0;
}

int gn_volume_file_resize(struct gn_volume *volume, const char *path, uint64_t size_bytes,
                          struct gn_status *status)
{
	struct file_volume *file = to_file(volume);
	const uint64_t before = volume->size_bytes;
	int err = size_bytes ? check_growth(volume, path, size_bytes, status) : 0;

	assert(!volume->n_in_flight);
	if (!err && size_bytes)
		err = grow(file, path, size_bytes, status);
	if (!err)
		err = find_size(file, path, status);
	if (!err && volume->size_bytes < before)
		err = gn_status_set(status, GN_FAILED_PRECONDITION,
		                    "volume file '%s' has become smaller, from %llu to %llu bytes; "
		                    "make it as large as it was",
		                    path, (unsigned long long)before,
		                    (unsigned long long)volume->size_bytes);
	else if (!err && size_bytes && volume->size_bytes != size_bytes)
		err = gn_status_set(status, GN_FAILED_PRECONDITION,
		                    "volume file '%s' has %llu bytes, asked for are %llu; make the "
		                    "device as large first, or ask for what it has",
		                    path, (unsigned long long)volume->size_bytes,
		                    (unsigned long long)size_bytes);
	if (err)
		volume->size_bytes = before;
	return err;
}

/* Whether O_DIRECT takes the volume's blocks, and how memory must be aligned for it. */
static bool find_alignment(struct file_volume *file)
{
	int fd = file->volume.file_fd;
	void *probe = NULL;
	struct statx stx;
	ssize_t n;

	file->memory_mask = file->volume.block_bytes - 1;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
	    stx.stx_mask & STATX_DIOALIGN) {
		if (!stx.stx_dio_offset_align ||
		    stx.stx_dio_offset_align > file->volume.block_bytes)
			return false;
		file->memory_mask = stx.stx_dio_mem_align - 1;
		return true;
	}
	if (posix_memalign(&probe, 4096, file->volume.block_bytes) != 0)
		return false;
	n = pread(fd, probe, file->volume.block_bytes, 0);
	free(probe);
	return n == (ssize_t)file->volume.block_bytes;
}

static int choose_direct(struct file_volume *file)
{
	int fd = file->volume.file_fd;

	if (!file->volume.is_direct || find_alignment(file))
		return 0;
	file->volume.is_direct = false;
	return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT) ? -errno : 0;
}

static int allocate_memory(struct file_volume *file)
{
	uint8_t *memory;

	if (posix_memalign((void **)&file->bounce_memory, 4096, (size_t)N_BOUNCES * BOUNCE_SIZE) ||
	    posix_memalign((void **)&file->zeroes, 4096, ZEROES_SIZE))
		return -ENOMEM;
	memset(file->zeroes, 0, ZEROES_SIZE);
	memory = file->bounce_memory;
	for (unsigned i = 0; i < N_BOUNCES; i++, memory += BOUNCE_SIZE) {
		file->bounces[i].data = memory;
		file->bounces[i].next = file->free_bounces;
		file->free_bounces = &file->bounces[i];
	}
	return 0;
}

static int setup_ring(struct file_volume *file)
{
	int err = gn_uring_init(&file->uring, file->volume.depth);

	if (err)
		return err;
	file->volume.event_fd = file->uring.event_fd;
	return io_uring_register_files(&file->uring.ring, &file->volume.file_fd, 1);
}

static int setup(struct file_volume *file, const struct gn_volume_file_config *config,
                 struct gn_status *status)
{
	int err = open_file(file, config, status);

	if (!err)
		err = lock_file(file->volume.file_fd, config, status);
	if (!err)
		err = find_size(file, config->path, status);
	if (err)
		return err;
	err = choose_direct(file);
	if (!err)
		err = allocate_memory(file);
	if (!err)
		err = setup_ring(file);
	if (err)
		gn_status_set(
		        status, gn_code_from_errno(err),
		        "volume file '%s': io_uring cannot be set up: %s; it needs kernel 5.11 "
		        "and /proc/sys/kernel/io_uring_disabled = 0",
		        config->path, strerror(-err));
	return err;
}

int gn_volume_file_create(const struct gn_volume_file_config *config, struct gn_volume **out,
                          struct gn_status *status)
{
	struct file_volume *file;
	int err;

	if (!config->depth || config->depth > MAX_DEPTH)
		return gn_status_set(status, GN_INVALID_ARGUMENT,
		                     "a volume's depth of %u is not within 1..%u", config->depth,
		                     MAX_DEPTH);
	file = calloc(1, sizeof *file);
	if (!file)
		return gn_status_set(status, GN_RESOURCE_EXHAUSTED, "no memory for a volume");
	file->volume.ops = &file_ops;
	file->volume.depth = config->depth;
	file->volume.read_only = config->read_only;
	file->volume.event_fd = file->volume.file_fd = -1;
	file->waiting_end = &file->waiting;
	err = setup(file, config, status);
	if (err) {
		file_destroy(&file->volume);
		return err;
	}
	*out = &file->volume;
	return 0;
}
