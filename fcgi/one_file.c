/*
 * one_file.c - keep a static program from loading shared libraries.
 *
 * tus.fcgi contains its libraries.  Those of the host may be of another
 * release, and loading one of them could crash the program.
 */
#include "config.h"

#include <nss.h>
#include <openssl/crypto.h>

/* Runs before main().  Users, groups and hosts are looked up in files (and the
 * DNS), not by modules of the C library, and no configuration makes OpenSSL
 * load modules. */
static void __attribute__((constructor)) stay_alone(void)
{
	(void)__nss_configure_lookup("passwd", "files");
	(void)__nss_configure_lookup("group", "files");
	(void)__nss_configure_lookup("initgroups", "files");
	(void)__nss_configure_lookup("hosts", "files dns");
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}
