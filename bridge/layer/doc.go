// Package layer joins relays to the channel layer of a Django application in Redis or Valkey, so that they share its groups with
// each other and with it, and stores fixes in Redis streams. Nodes share nothing else. It is the only package that knows Redis.
//
//	Publish ──▶ store.commit ──▶ PUBLISH ──▶ kind.publish (Django's queues)
//	                                │
//	                              Redis
//	                                │
//	Receive ◀── worker ◀── the goroutine that reads ◀── kind.receive (this node's queues)
//
// # Kinds
//
// With channels_redis.pubsub the nodes and the application share one channel for each group, in the application's format. With
// channels_redis.core the nodes share channels of their own, and what the application sends and gets goes through queues (core.go). Package
// event has the format.
//
// # Order and ownership
//
// Messages of one call of Publish, and of calls that follow each other, stay in order: one connection to each host carries all PUBLISH
// commands, one gives all messages, and a group has one worker. A message that this node published is recognised when it comes back by
// the bytes that went over the channel; its publisher's echo then shows that the group has it. The goroutine that reads from Redis waits for
// no worker: what one has no room for is dropped and counted (worker.go).
//
// # Sessions
//
// A session is the connections to the masters of all hosts. It ends as a whole, and another one begins with all groups joined again, as soon
// as any of its signs shows that it is not what it was: a connection breaks; Redis answers READONLY, MASTERDOWN or LOADING; a PUBLISH to a
// group that this node has joined has no receiver; three of the messages that the node sends itself each second do not come back; the server's
// role is no longer that of a master; most Sentinels name another address. The first of these is not enough: a subscription stays
// silently on a master that was replaced. The end closes every connection, so commands in flight fail, and Publish with them. Nothing
// is tried again here: trackers keep what was not acknowledged.
package layer
