/* Regions at their edges, scans over holes, files that are too short, dumps that lie. */
#include <errno.h>
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "firmware/introspect/dump.h"
#include "firmware/introspect/space.h"
#include "firmware/introspect/vmcoreinfo.h"

#define PAGE GN_MEMORY_PAGE

static int make_file(size_t size)
{
	int fd = memfd_create("ram", 0);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static void adds_only_what_fits(void **state)
{
	struct gn_memory m = {.n_regions = 0};
	int fd = make_file(4 * PAGE);

	assert_int_equal(gn_memory_add(&m, 0, 5 * PAGE, fd, 0), -EINVAL);
	assert_int_equal(gn_memory_add(&m, 0, 4 * PAGE, fd, PAGE), -EINVAL);
	assert_int_equal(gn_memory_add(&m, 8, PAGE, fd, 0), -EINVAL);
	assert_int_equal(gn_memory_add(&m, 0, 0, fd, 0), -EINVAL);
	assert_int_equal(gn_memory_add(&m, UINT64_MAX - PAGE + 1, 2 * PAGE, fd, 0), -EINVAL);
	assert_int_equal(gn_memory_add(&m, 0, PAGE, fd, UINT64_MAX - 4095), -EINVAL);
	assert_int_equal(gn_memory_add(&m, 2 * PAGE, 2 * PAGE, fd, 0), 0);
	assert_int_equal(gn_memory_add(&m, 3 * PAGE, PAGE, fd, 0), -EEXIST);
	assert_int_equal(gn_memory_add(&m, PAGE, 2 * PAGE, fd, 0), -EEXIST);
	assert_int_equal(gn_memory_add(&m, PAGE, PAGE, fd, 0), 0);
	assert_int_equal(gn_memory_size(&m), 3 * PAGE);
	for (unsigned i = m.n_regions; i < GN_MEMORY_MAX_REGIONS; i++)
		assert_int_equal(gn_memory_add(&m, (i + 10) * PAGE, PAGE, fd, 0), 0);
	assert_int_equal(gn_memory_add(&m, 100 * PAGE, PAGE, fd, 0), -ENOSPC);
	gn_memory_fini(&m);
	close(fd);
}

/* The same reads through a mapping, plain memory, and an unaligned file. */
static void check_reads(struct gn_memory *m, uint64_t gpa)
{
	uint64_t value = 1;
	uint32_t half = 1;
	char text[24];

	assert_true(gn_memory_u64(m, gpa + 8, &value));
	assert_int_equal(value, 0x0f0e0d0c0b0a0908);
	assert_true(gn_memory_u32(m, gpa + 4, &half));
	assert_int_equal(half, 0x07060504);
	assert_true(gn_memory_read(m, gpa + 5, text, 13));
	for (int i = 0; i < 13; i++)
		assert_int_equal(text[i], 5 + i);
	assert_true(gn_memory_u64(m, gpa + PAGE - 8, &value));
	assert_true(gn_memory_read(m, gpa + PAGE - 3, text, 3));
	value = 77;
	assert_false(gn_memory_u64(m, gpa + 4, &value));
	assert_false(gn_memory_u32(m, gpa + 2, &half));
	assert_false(gn_memory_u64(m, gpa + PAGE, &value));
	assert_false(gn_memory_u64(m, gpa - 8, &value));
	assert_false(gn_memory_read(m, gpa + PAGE - 3, text, 4));
	assert_false(gn_memory_copy(m, gpa + PAGE - 3, text, 4));
	assert_false(gn_memory_copy(m, UINT64_MAX, text, 4));
	assert_int_equal(value, 77);
}

static void reads_within_regions_only(void **state)
{
	static _Alignas(8) uint8_t plain[PAGE];
	struct gn_memory mapped = {.n_regions = 0}, bytes = {.n_regions = 0},
	                 file = {.n_regions = 0};
	int fd = make_file(2 * PAGE);

	for (int i = 0; i < 32; i++)
		plain[i] = (uint8_t)i;
	assert_int_equal(pwrite(fd, plain, PAGE, 0), PAGE);
	assert_int_equal(gn_memory_add(&mapped, 16 * PAGE, PAGE, fd, 0), 0);
	check_reads(&mapped, 16 * PAGE);
	assert_int_equal(gn_memory_add_bytes(&bytes, 16 * PAGE, plain, PAGE), 0);
	check_reads(&bytes, 16 * PAGE);
	assert_int_equal(pwrite(fd, plain, PAGE, 20), PAGE);
	assert_int_equal(gn_memory_add(&file, 16 * PAGE, PAGE, fd, 20), 0);
	assert_null(file.regions[0].map);
	check_reads(&file, 16 * PAGE);
	gn_memory_fini(&mapped);
	gn_memory_fini(&bytes);
	gn_memory_fini(&file);
	close(fd);
}

static void scan_skips_holes(void **state)
{
	struct gn_memory m = {.n_regions = 0};
	struct gn_memory_scan scan = {.region = 0};
	static uint8_t piece[4 * PAGE];
	int fd = make_file(64 * PAGE);
	uint64_t gpa, seen = 0;
	size_t n;

	assert_int_equal(pwrite(fd, "a", 1, 3 * PAGE), 1);
	assert_int_equal(pwrite(fd, "b", 1, 40 * PAGE + 100), 1);
	assert_int_equal(gn_memory_add(&m, 0, 32 * PAGE, fd, 0), 0);
	assert_int_equal(gn_memory_add(&m, 100 * PAGE, 32 * PAGE, fd, 32 * PAGE), 0);
	while ((n = gn_memory_scan_next(&m, &scan, piece, sizeof piece, 64, &gpa))) {
		seen += n;
		if (gpa == 3 * PAGE)
			assert_int_equal(piece[0], 'a');
		else
			assert_int_equal(piece[108 * PAGE + 100 - gpa], 'b');
	}
	assert_int_equal(seen, 2 * PAGE);
	/* Nothing was allocated by looking. */
	assert_int_equal(lseek(fd, 4 * PAGE, SEEK_DATA), 40 * PAGE);
	gn_memory_fini(&m);
	close(fd);
}

static void scan_overlaps_pieces(void **state)
{
	static _Alignas(8) uint8_t plain[8 * PAGE];
	struct gn_memory m = {.n_regions = 0};
	struct gn_memory_scan scan = {.region = 0};
	static uint8_t piece[2 * PAGE];
	uint64_t gpa, end = 0;
	bool found = false;
	size_t n;

	memcpy(plain + 2 * PAGE - 4, "across it", 9);
	assert_int_equal(gn_memory_add_bytes(&m, PAGE, plain, sizeof plain), 0);
	while ((n = gn_memory_scan_next(&m, &scan, piece, sizeof piece, 64, &gpa))) {
		assert_int_equal(gpa, end ? end - 64 : PAGE);
		end = gpa + n;
		found = found || memmem(piece, n, "across it", 9);
	}
	assert_int_equal(end, 9 * PAGE);
	assert_true(found);
}

static void scan_survives_a_shorter_file(void **state)
{
	struct gn_memory m = {.n_regions = 0};
	struct gn_memory_scan scan = {.region = 0};
	static uint8_t piece[2 * PAGE];
	int fd = make_file(8 * PAGE);
	uint64_t gpa;

	memset(piece, 1, sizeof piece);
	assert_int_equal(pwrite(fd, piece, sizeof piece, 0), sizeof piece);
	assert_int_equal(gn_memory_add(&m, 0, 8 * PAGE, fd, 0), 0);
	assert_int_equal(ftruncate(fd, PAGE), 0);
	while (gn_memory_scan_next(&m, &scan, piece, sizeof piece, 0, &gpa))
		;
	assert_false(gn_memory_copy(&m, 4 * PAGE, piece, PAGE));
	gn_memory_fini(&m);
	close(fd);
}

/* ---- dumps ---------------------------------------------------------------------------------- */

static void reads_elf_cores(void **state)
{
	Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
	                     .e_type = ET_CORE,
	                     .e_machine = EM_X86_64,
	                     .e_phoff = sizeof header,
	                     .e_phentsize = sizeof(Elf64_Phdr),
	                     .e_phnum = 2};
	Elf64_Phdr segments[2] = {
	        {.p_type = PT_NOTE, .p_offset = 200, .p_filesz = 20},
	        {.p_type = PT_LOAD, .p_paddr = 16 * PAGE, .p_offset = 220, .p_filesz = 2 * PAGE}};
	struct gn_memory m = {.n_regions = 0};
	struct gn_status status;
	int fd = make_file(4 * PAGE);
	uint64_t value;

	assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(pwrite(fd, segments, sizeof segments, sizeof header), sizeof segments);
	assert_int_equal(pwrite(fd, "12345678", 8, 220 + PAGE), 8);
	assert_int_equal(gn_dump_open(&m, fd, 0, &status), 0);
	assert_true(gn_memory_u64(&m, 17 * PAGE, &value));
	assert_memory_equal(&value, "12345678", 8);
	gn_memory_fini(&m);

	segments[1].p_filesz = 4 * PAGE;
	assert_int_equal(pwrite(fd, segments, sizeof segments, sizeof header), sizeof segments);
	assert_int_equal(gn_dump_open(&m, fd, 0, &status), -EINVAL);
	header.e_phnum = 65535;
	assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(gn_dump_open(&m, fd, 0, &status), -EINVAL);
	header.e_machine = EM_PPC64;
	assert_int_equal(pwrite(fd, &header, sizeof header, 0), sizeof header);
	assert_int_equal(gn_dump_open(&m, fd, 0, &status), -EINVAL);
	assert_non_null(strstr(status.message, "x86-64 and arm64"));
	close(fd);
}

static void splits_large_raw_images(void **state)
{
	struct gn_memory m = {.n_regions = 0};
	struct gn_status status;
	int fd = make_file(GN_DUMP_SPLIT_BYTES);

	assert_int_equal(gn_dump_open(&m, fd, 0, &status), 0);
	assert_int_equal(m.n_regions, 2);
	assert_int_equal(m.regions[0].size, GN_DUMP_LOW_BYTES);
	assert_int_equal(m.regions[1].gpa, 1ull << 32);
	assert_int_equal(gn_memory_size(&m), GN_DUMP_SPLIT_BYTES);
	gn_memory_fini(&m);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(gn_dump_open(&m, fd, 0, &status), -EINVAL);
	close(fd);
}

/* ---- addresses, text --------------------------------------------------------------------------
 */

static void translates_two_maps(void **state)
{
	static _Alignas(8) uint8_t plain[4 * PAGE];
	struct gn_memory m = {.n_regions = 0};
	struct gn_space s = {.memory = &m,
	                     .image_from = 0xffffffff80000000,
	                     .image_to = 0xffffffffc0000000,
	                     .image_delta = 0xffffffff80000000 - 2 * PAGE};
	uint64_t gpa = 0, value;

	assert_int_equal(gn_memory_add_bytes(&m, PAGE, plain, sizeof plain), 0);
	gn_space_set_linear(&s, 0xffff888000000000, 0);
	assert_true(gn_space_translate(&s, 0xffffffff80000010, &gpa));
	assert_int_equal(gpa, 2 * PAGE + 0x10);
	assert_true(gn_space_translate(&s, 0xffff888000000000 + PAGE, &gpa));
	assert_int_equal(gpa, PAGE);
	assert_false(gn_space_translate(&s, 0xffff888000000000, &gpa));
	assert_false(gn_space_translate(&s, 0, &gpa));
	assert_false(gn_space_translate(&s, 0xffffffffc0000000, &gpa));
	assert_false(gn_space_u64(&s, UINT64_MAX - 7, &value));
	assert_true(gn_space_is_pointer(&s, 0xffff888000000000 + PAGE));
	assert_false(gn_space_is_pointer(&s, 0xffff888000000000 + PAGE + 1));
}

static void cleans_text(void **state)
{
	char out[9];

	gn_space_clean_text(out, "a\x1b[2J\xff\n", 8);
	assert_string_equal(out, "a?[2J??");
	gn_space_clean_text(out, "longer than that", 8);
	assert_string_equal(out, "longer t");
}

static void reads_vmcoreinfo(void **state)
{
	const struct gn_vmcoreinfo info = {"OSRELEASE=6.1\nSYMBOL(a)=ffff\nNUMBER(b)=-16\n"
	                                   "NUMBER(c)=0x10\nNUMBER(d)=x\nXSYMBOL(e)=1\nSYMBOL(f)="};
	char text[4];
	uint64_t value = 0;

	assert_true(gn_vmcoreinfo_symbol(&info, "a", &value));
	assert_int_equal(value, 0xffff);
	assert_true(gn_vmcoreinfo_number(&info, "b", &value));
	assert_int_equal(value, (uint64_t)-16);
	assert_true(gn_vmcoreinfo_number(&info, "c", &value));
	assert_int_equal(value, 16);
	assert_false(gn_vmcoreinfo_number(&info, "d", &value));
	assert_false(gn_vmcoreinfo_symbol(&info, "e", &value));
	assert_false(gn_vmcoreinfo_symbol(&info, "f", &value));
	assert_true(gn_vmcoreinfo_text(&info, "OSRELEASE", text, 3));
	assert_string_equal(text, "6.1");
	assert_false(gn_vmcoreinfo_text(&info, "BUILD-ID", text, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(adds_only_what_fits),
	        cmocka_unit_test(reads_within_regions_only),
	        cmocka_unit_test(scan_skips_holes),
	        cmocka_unit_test(scan_overlaps_pieces),
	        cmocka_unit_test(scan_survives_a_shorter_file),
	        cmocka_unit_test(reads_elf_cores),
	        cmocka_unit_test(splits_large_raw_images),
	        cmocka_unit_test(translates_two_maps),
	        cmocka_unit_test(cleans_text),
	        cmocka_unit_test(reads_vmcoreinfo),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
