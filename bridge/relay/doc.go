// Package relay serves the tracking groups to viewers: a WebSocket group per device ID, an HTTP API, and the viewer page.
//
// It owns groups, viewers, publishers, what they may do, and everything that is HTTP. It does not know where messages come
// from, how they are stored or where else they go: a message is bytes with a class, carried as it came. README.md has the
// routes and the limits.
//
//	Publish ──▶ group ──▶ one bounded queue per viewer ──▶ one goroutine that writes
//	              │       (and one for raw NMEA, where it is asked for)
//	              ├─ last TPV, last SKY, the last History TPV (for members that join later)
//	              ▲
//	publisher ────┘  (with a publish token: its frames go to every member, itself included)
//
// With a layer the way from publisher to group is longer: an outbox, one goroutine that publishes, the layer, and hub.Receive.
//
// # Locks
//
// There are three, always taken in this order: hub.mu (which groups exist), group.mu (members, history, the order of
// messages), viewer.mu (its queues). Nothing is written to a socket while one is held, and the layer is not waited for, so a publisher
// waits for other publishers of the same device at most, and never for a viewer.
//
// # Delivery
//
// A viewer gets every message of its group once and in the order of the group, or loses the oldest ones of its queue,
// counted. A publisher gets its own messages back without loss, or is closed: by its echo it learns that the group has the
// message. With a layer that is when it comes back from there. After an error of the layer nothing more of the publisher is
// published, or a later message could be in the group without an earlier one.
package relay
