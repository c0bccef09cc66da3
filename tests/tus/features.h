/*
 * features.h - everything that a web_server can be allowed to do.
 */
#ifndef TESTS_TUS_FEATURES_H
#define TESTS_TUS_FEATURES_H

/* Members of its initialiser. */
#define ALL_FEATURES                                                           \
	.max_metadata = 4096, .core.expire_sliding = true,                     \
	.core.allow_download = true, .core.allow_terminate = true,             \
	.core.allow_concat = true, .core.allow_defer = true,                   \
	.core.allow_checksum = true, .core.allow_terminate_finished = true

#endif
