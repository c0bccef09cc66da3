/*
 * list.h - the lockers built in, one line each; included where LOCKER(name) is
 * defined.  base/conf_key.c names the default.
 */
LOCKER(flock)
LOCKER(memory)
LOCKER(etcd)
#ifdef HAVE_HIREDIS
LOCKER(redis)
#endif
#ifdef HAVE_ZOOKEEPER
LOCKER(zookeeper)
#endif
