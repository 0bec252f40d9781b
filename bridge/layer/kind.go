package layer

import (
	"context"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// CodeEventSize is an event that is too large.
const CodeEventSize problem.Code = "layer-event-size"

// kind is how the Django application's channel layer is written and read. Names of groups are the application's, such as
// gps_tracking_van_7. A session is the one that the call belongs to: its methods must not be called after it has ended, and what a
// command of it answers goes through session.check.
type kind interface {
	// channel is the Redis channel over which nodes send each other the messages of a group.
	channel(group string) string
	// encode is a message as it goes over that channel, and decode the opposite. decode fails for what is no message: it is counted.
	encode(data []byte) ([]byte, error)
	decode(data []byte) ([]byte, error)
	// join makes this node a member of groups for what the application sends beside that channel; leave is the opposite. The channels
	// of the groups are subscribed to already, and still are.
	join(ctx context.Context, s *session, groups []string) error
	leave(ctx context.Context, s *session, groups []string) error
	// restore does again soon what join did, because Redis has lost its data. It does not block.
	restore()
	// publish gives messages to the application's own members where they do not listen to that channel. The nodes have them already.
	publish(ctx context.Context, s *session, group string, messages []group.Message) error
	// receive gives what the application sends beside that channel to deliver, and renews what join did, until ctx ends, which it
	// does with the session. An error ends the session. deliver does not block; data is one JSON text.
	receive(ctx context.Context, s *session, deliver func(group string, data []byte)) error
}

// eventBytes bounds an event that is read, to what may wait for one viewer (1 MiB): no viewer gets a larger one, and to read one takes some 25
// times its size.
const eventBytes = 1 << 20

var tooLarge = &problem.Problem{Code: CodeEventSize, Cause: "an event of a group is larger than 1 MiB", Fix: "look what sends it: trackers send less"}

// newKind returns a kind by its name.
func newKind(name string, c Config, n *counters) kind {
	if name == "core" {
		return newCore(c, n)
	}
	return newPubsub(c)
}

// application returns what is known of the application's events.
func (c Config) application() *event.Application {
	return event.NewApplication(c.Event, c.Field, func(f event.Format) {
		c.Log.Info("events of the application recognised", "type", f.Type, "field", f.Field, "text", f.Text, "json", f.JSON)
	})
}
