/*
 * list.h - the ways to deliver events, one line each; included where WAY(name)
 * is defined.  The first that is configured is used.
 */
WAY(exec)
WAY(http)
