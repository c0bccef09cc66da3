/*
 * list.h - the back ends that are built in, one line each; the first is the
 * default.  Included with STORE(name) defined as what to make of a line.
 */
STORE(file)
STORE(memory)
#ifdef USE_S3
STORE(s3)
#endif
