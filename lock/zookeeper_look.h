/*
 * zookeeper_look.h - the settings of a ZooKeeper.
 */
#ifndef LOCK_ZOOKEEPER_LOOK_H
#define LOCK_ZOOKEEPER_LOOK_H

#include "lock/engine.h"

/* For ENGINE_LOOK; waits for lock.reply at most. */
void zookeeper_look(struct engine *);

#endif
