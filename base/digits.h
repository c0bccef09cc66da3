/*
 * digits.h - a number as text, for where there are many: printf() needs ten
 * times as long.
 */
#ifndef BASE_DIGITS_H
#define BASE_DIGITS_H

#include <stdint.h>

/* With the sign and the NUL. */
#define DIGITS_MAX 21

/* Write the number backwards, its last digit before end; where it begins. */
static inline char *
digits_before(char *end, int64_t number)
{
	uint64_t n = number < 0 ? -(uint64_t)number : (uint64_t)number;

	do
		*--end = (char)('0' + n % 10);
	while ((n /= 10) != 0);
	if (number < 0)
		*--end = '-';
	return end;
}

#endif
