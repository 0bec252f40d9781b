// Package relay serves the tracking groups to whoever watches them: a WebSocket
// group per device ID, a small HTTP API, and the viewer page.
//
// It owns groups, viewers, publishers, what they may do, and everything that
// speaks HTTP. It must not know where messages come from, how they are stored
// or where else they go: a message is bytes with a class, carried as it came.
//
//	Publish ──▶ group ──▶ one bounded queue a viewer ──▶ one goroutine writing
//	              │
//	              ├─ last TPV, last SKY, the last History TPV (for who joins)
//	              ▲
//	publisher ────┘  (with the publish token: its frames go to every member,
//	                  itself included)
//
// # Locks
//
// There are three, always taken in this order: hub.mu (which groups exist),
// group.mu (members, history, the order of messages), viewer.mu (its queue).
// Nothing is written to a socket under any of them, so a publisher waits for
// other publishers of the same device at most, and never for a viewer.
//
// # Delivery
//
// A viewer gets every message of its group once and in the order of the group,
// or loses the oldest ones of its queue, counted. A publisher gets its own
// messages back without loss, or is closed: its echo is how it learns that the
// group has the message.
package relay
