/*
 * list.h - the stores built in, one line each; included where STORE(name) is
 * defined.  base/conf_key.c names the default.
 */
STORE(file)
STORE(memory)
#ifdef USE_S3
STORE(s3)
#endif
