/*
 * fuzz.h - what a fuzz target looks like.
 *
 * One file for each target, NAME.c, with one function that is given any bytes
 * and must neither crash nor find a broken promise (then it calls fuzz_bug()).
 * Its seeds are the files in corpus/NAME/.  Two programs come of it:
 *
 * "make check" links it with replay.c, which runs every seed and every
 * beginning of one, and needs no particular compiler.  "tests/fuzz/run" links
 * it with libFuzzer, which invents new inputs.  An input that it finds goes to
 * corpus/NAME/, so that it is never forgotten.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/* Says what is wrong and ends the program. */
#define fuzz_bug(...)                                                          \
	do {                                                                   \
		(void)fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);          \
		(void)fprintf(stderr, __VA_ARGS__);                            \
		(void)fputc('\n', stderr);                                     \
		abort();                                                       \
	} while (0)

#endif
