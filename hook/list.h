/*
 * list.h - the ways that events may go, one line each; included where
 * WAY(name) means something.  The first that is configured is taken.
 */
WAY(exec)
WAY(http)
