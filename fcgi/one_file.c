/*
 * one_file.c - what a program without shared libraries must not look for.
 *
 * tus.fcgi brings its libraries along.  Those of the host may be of another
 * release, and loading one of them could end the program.
 */
#include "config.h"

#include <nss.h>
#include <openssl/crypto.h>

/* Before main().  Users, groups and hosts are looked up in files (and the DNS),
 * not by modules of the C library; no configuration makes OpenSSL load any. */
static void __attribute__((constructor)) stay_alone(void)
{
	(void)__nss_configure_lookup("passwd", "files");
	(void)__nss_configure_lookup("group", "files");
	(void)__nss_configure_lookup("initgroups", "files");
	(void)__nss_configure_lookup("hosts", "files dns");
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}
