/*
 * list.h - the lockers built in, one line each; included where LOCKER(name)
 * means something.  The first is the default.
 */
LOCKER(flock)
