/* replay.c - runs a fuzz target over the files named, so that 'make check' needs no
 * libFuzzer. Prints one TAP line per file; a crash ends the program, which counts as a
 * failure. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, int number)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data;
	long size;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0) {
		printf("not ok %d - %s: cannot be read\n", number, path);
		return 1;
	}
	rewind(file);
	data = malloc((size_t)size + 1);
	if (data && fread(data, 1, (size_t)size, file) == (size_t)size) {
		/* An exact-size copy, so that ASan sees a read one byte past the end. */
		uint8_t *exact = size ? malloc((size_t)size) : NULL;

		for (long i = 0; i < size; i++)
			exact[i] = data[i];
		LLVMFuzzerTestOneInput(exact, (size_t)size);
		free(exact);
	}
	free(data);
	fclose(file);
	printf("ok %d - %s\n", number, path);
	return 0;
}

int main(int argc, char **argv)
{
	int failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%d\n", argc - 1);
	for (int i = 1; i < argc; i++)
		failed |= replay(argv[i], i);
	return failed;
}
