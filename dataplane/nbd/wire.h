/* wire.h - the numbers and messages of the Network Block Device protocol, as bytes; for both
 * ends. Source: NetworkBlockDevice/nbd, doc/proto.md. Pure. */
#ifndef GN_DATAPLANE_NBD_WIRE_H
#define GN_DATAPLANE_NBD_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GN_NBD_INIT_MAGIC       0x4e42444d41474943ull /* "NBDMAGIC" */
#define GN_NBD_OPTION_MAGIC     0x49484156454f5054ull /* "IHAVEOPT" */
#define GN_NBD_REPLY_MAGIC      0x0003e889045565a9ull /* to an option */
#define GN_NBD_REQUEST_MAGIC    0x25609513u
#define GN_NBD_SIMPLE_MAGIC     0x67446698u
#define GN_NBD_STRUCTURED_MAGIC 0x668e33efu

/* Handshake flags; the client's have the same bits. */
#define GN_NBD_FIXED_NEWSTYLE (1u << 0)
#define GN_NBD_NO_ZEROES      (1u << 1)

enum gn_nbd_option {
	GN_NBD_OPT_EXPORT_NAME = 1,
	GN_NBD_OPT_ABORT = 2,
	GN_NBD_OPT_LIST = 3,
	GN_NBD_OPT_STARTTLS = 5,
	GN_NBD_OPT_INFO = 6,
	GN_NBD_OPT_GO = 7,
	GN_NBD_OPT_STRUCTURED_REPLY = 8,
	GN_NBD_OPT_LIST_META_CONTEXT = 9,
	GN_NBD_OPT_SET_META_CONTEXT = 10,
};

#define GN_NBD_REP_ACK          1u
#define GN_NBD_REP_SERVER       2u
#define GN_NBD_REP_INFO         3u
#define GN_NBD_REP_META_CONTEXT 4u
#define GN_NBD_REP_ERROR        (1u << 31)
#define GN_NBD_REP_ERR_UNSUP    (GN_NBD_REP_ERROR | 1)
#define GN_NBD_REP_ERR_POLICY   (GN_NBD_REP_ERROR | 2)
#define GN_NBD_REP_ERR_INVALID  (GN_NBD_REP_ERROR | 3)
#define GN_NBD_REP_ERR_TLS_REQD (GN_NBD_REP_ERROR | 5)
#define GN_NBD_REP_ERR_UNKNOWN  (GN_NBD_REP_ERROR | 6)
#define GN_NBD_REP_ERR_TOO_BIG  (GN_NBD_REP_ERROR | 9)

#define GN_NBD_INFO_EXPORT     0u
#define GN_NBD_INFO_NAME       1u
#define GN_NBD_INFO_BLOCK_SIZE 3u

/* Transmission flags of an export. */
#define GN_NBD_HAS_FLAGS        (1u << 0)
#define GN_NBD_READ_ONLY        (1u << 1)
#define GN_NBD_SEND_FLUSH       (1u << 2)
#define GN_NBD_SEND_FUA         (1u << 3)
#define GN_NBD_SEND_TRIM        (1u << 5)
#define GN_NBD_SEND_ZEROES      (1u << 6)
#define GN_NBD_SEND_DF          (1u << 7)
#define GN_NBD_CAN_MULTI_CONN   (1u << 8)
#define GN_NBD_SEND_CACHE       (1u << 10)
#define GN_NBD_SEND_FAST_ZEROES (1u << 11)

enum gn_nbd_command {
	GN_NBD_CMD_READ = 0,
	GN_NBD_CMD_WRITE = 1,
	GN_NBD_CMD_DISC = 2,
	GN_NBD_CMD_FLUSH = 3,
	GN_NBD_CMD_TRIM = 4,
	GN_NBD_CMD_CACHE = 5,
	GN_NBD_CMD_WRITE_ZEROES = 6,
	GN_NBD_CMD_BLOCK_STATUS = 7,
};

#define GN_NBD_FLAG_FUA       (1u << 0)
#define GN_NBD_FLAG_NO_HOLE   (1u << 1)
#define GN_NBD_FLAG_DF        (1u << 2)
#define GN_NBD_FLAG_REQ_ONE   (1u << 3)
#define GN_NBD_FLAG_FAST_ZERO (1u << 4)

#define GN_NBD_CHUNK_DONE         (1u << 0)
#define GN_NBD_CHUNK_NONE         0u
#define GN_NBD_CHUNK_DATA         1u
#define GN_NBD_CHUNK_HOLE         2u
#define GN_NBD_CHUNK_STATUS       5u
#define GN_NBD_CHUNK_IS_ERROR     (1u << 15)
#define GN_NBD_CHUNK_ERROR        (GN_NBD_CHUNK_IS_ERROR | 1)
#define GN_NBD_CHUNK_ERROR_OFFSET (GN_NBD_CHUNK_IS_ERROR | 2)

#define GN_NBD_STATE_HOLE (1u << 0)
#define GN_NBD_STATE_ZERO (1u << 1)

/* Errors as they are sent; some equal errno on Linux, by intent of the protocol. */
enum gn_nbd_error {
	GN_NBD_EPERM = 1,
	GN_NBD_EIO = 5,
	GN_NBD_ENOMEM = 12,
	GN_NBD_EINVAL = 22,
	GN_NBD_ENOSPC = 28,
	GN_NBD_EOVERFLOW = 75,
	GN_NBD_ENOTSUP = 95,
	GN_NBD_ESHUTDOWN = 108,
};

#define GN_NBD_REQUEST_SIZE      28u
#define GN_NBD_SIMPLE_SIZE       16u
#define GN_NBD_STRUCTURED_SIZE   20u
#define GN_NBD_OPTION_SIZE       16u /* header of an option */
#define GN_NBD_OPTION_REPLY_SIZE 20u
#define GN_NBD_GREETING_SIZE     18u
#define GN_NBD_NAME_MAX          255u        /* longest export name here */
#define GN_NBD_PAYLOAD_MAX       (32u << 20) /* longest read or write, by convention */
#define GN_NBD_ALLOCATION        "base:allocation"
#define GN_NBD_CONTEXT_ID        1u /* ours of it */

static inline uint16_t gn_nbd_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t gn_nbd_get32(const uint8_t *p)
{
	return (uint32_t)gn_nbd_get16(p) << 16 | gn_nbd_get16(p + 2);
}

static inline uint64_t gn_nbd_get64(const uint8_t *p)
{
	return (uint64_t)gn_nbd_get32(p) << 32 | gn_nbd_get32(p + 4);
}

static inline uint8_t *gn_nbd_put16(uint8_t *p, uint16_t value)
{
	p[0] = (uint8_t)(value >> 8);
	p[1] = (uint8_t)value;
	return p + 2;
}

static inline uint8_t *gn_nbd_put32(uint8_t *p, uint32_t value)
{
	return gn_nbd_put16(gn_nbd_put16(p, (uint16_t)(value >> 16)), (uint16_t)value);
}

static inline uint8_t *gn_nbd_put64(uint8_t *p, uint64_t value)
{
	return gn_nbd_put32(gn_nbd_put32(p, (uint32_t)(value >> 32)), (uint32_t)value);
}

struct gn_nbd_request {
	uint16_t flags;
	uint16_t command;
	uint64_t cookie;
	uint64_t offset_bytes;
	uint32_t length_bytes;
};

/* GN_NBD_REQUEST_SIZE bytes; false: they do not begin with the magic number. */
static inline bool gn_nbd_get_request(const uint8_t *p, struct gn_nbd_request *out)
{
	*out = (struct gn_nbd_request){
	        .flags = gn_nbd_get16(p + 4),
	        .command = gn_nbd_get16(p + 6),
	        .cookie = gn_nbd_get64(p + 8),
	        .offset_bytes = gn_nbd_get64(p + 16),
	        .length_bytes = gn_nbd_get32(p + 24),
	};
	return gn_nbd_get32(p) == GN_NBD_REQUEST_MAGIC;
}

static inline uint8_t *gn_nbd_put_request(uint8_t *p, const struct gn_nbd_request *request)
{
	p = gn_nbd_put16(gn_nbd_put32(p, GN_NBD_REQUEST_MAGIC), request->flags);
	p = gn_nbd_put64(gn_nbd_put16(p, request->command), request->cookie);
	return gn_nbd_put32(gn_nbd_put64(p, request->offset_bytes), request->length_bytes);
}

static inline uint8_t *gn_nbd_put_simple(uint8_t *p, uint32_t error, uint64_t cookie)
{
	return gn_nbd_put64(gn_nbd_put32(gn_nbd_put32(p, GN_NBD_SIMPLE_MAGIC), error), cookie);
}

static inline uint8_t *gn_nbd_put_chunk(uint8_t *p, uint16_t flags, uint16_t type, uint64_t cookie,
                                        uint32_t length)
{
	p = gn_nbd_put16(gn_nbd_put32(p, GN_NBD_STRUCTURED_MAGIC), flags);
	return gn_nbd_put32(gn_nbd_put64(gn_nbd_put16(p, type), cookie), length);
}

#endif
