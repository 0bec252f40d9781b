// Package group is what a relay and a group that several nodes share agree on. A node is one `gpsbridge relay`; a group is the
// members of one device ID, on whatever node or Django process.
package group

import (
	"context"

	"gpsbridge/bridge/problem"
)

// Key identifies a fix of a device for ever. The zero Key stands for none.
type Key struct {
	Run string
	Seq uint64
}

// Message is one message of a group.
type Message struct {
	// Data is one JSON text in UTF-8. It is not changed by anyone.
	Data []byte
	// Key is that of a fix. A message without one cannot be told from its repeat, and is stored nowhere.
	Key Key
	// Backlog is of a fix that Publish gets late: newer ones may have gone first.
	Backlog bool
	// From is the publisher, as Publish was given it, where this node published the message; nil for what another node or the
	// Django application sent.
	From any
}

// A Layer carries the messages of groups between nodes. Its methods may be called from any goroutine.
type Layer interface {
	// Run serves until ctx ends, and gives what comes to r. It is called once.
	Run(ctx context.Context, r Receiver) error
	// Join returns when the node gets the messages of the group of device: what is sent from then on is received. It waits while Ready has a
	// problem, as long as ctx lets it.
	Join(ctx context.Context, device string) error
	// Leave undoes one Join that returned nil. Messages may still come for a while after the last.
	Leave(device string)
	// Publish gives messages to the group of device in their order. It returns when they are as durable as is configured, and
	// the group has them: they come back through Receive. It waits while Ready has a problem, as long as ctx lets it. CodeNotCarried refuses
	// all of them for one. After another error it is not known which of them the group has.
	Publish(ctx context.Context, device string, messages []Message) error
	// History returns stored fixes in the order in which they were stored: those after the one with the key after, or, with the zero
	// Key, the newest; in both cases no more than the newest most. complete is false when after is no longer there, or more than most came
	// after it.
	History(ctx context.Context, device string, after Key, most int) (messages []Message, complete bool, err error)
	// Epoch is a text that is another after stored fixes of device may have been lost, and "" where none are stored, or it is not known yet.
	Epoch(device string) string
	// Ready is the problem that keeps the layer from carrying messages, and nil while it does.
	Ready() error
}

// CodeNotCarried is of a message that no event of the Django application can carry, such as one with an integer of more than 64 bits.
const CodeNotCarried problem.Code = "message-not-carried"

// A Receiver gets what a Layer carries.
type Receiver interface {
	// Receive takes one message of the group of device. Those of one device come in order, from one goroutine at a time. It does
	// not block.
	Receive(device string, m Message)
	// Missed reports that messages may have been missed since the last that was received. It is called before the first Receive after
	// that, and does not block.
	Missed()
	// Lost reports that what was stored, and acknowledged, may be lost: publishers are to send again what they still have.
	Lost()
}

// SendAgain is the reason in the close frame (code 1012, service restart) by which a server asks a tracker to send again what it has
// acknowledged and the tracker still has.
const SendAgain = "send again what was acknowledged"

// RetainHeader is a header of the answer to a tracker's handshake: for how many seconds, a whole number, the server may ask for what it
// has acknowledged with SendAgain. Without it the tracker keeps nothing that is acknowledged.
const RetainHeader = "Gpsbridge-Retain"

// EpochHeader is a header of the same answer: any text that is another after what was stored is lost. A tracker that was not connected
// then, or to a node that has died too, sees by it that it is to send again what it still has.
const EpochHeader = "Gpsbridge-Epoch"

// RefusalHeader is a header of the answer to a client that is refused: why, in one word. Those that come with 503 are named here.
const RefusalHeader = "Gpsbridge-Refusal"

// Values of RefusalHeader.
const (
	RefusedFull  = "full"  // too many connections or groups
	RefusedLayer = "layer" // the layer cannot be reached
	RefusedBusy  = "busy"  // too many come at once
	RefusedDrain = "drain" // the server is being stopped
	RefusedAuth  = "auth"  // the application that decides does not answer
)
