package layer

import (
	"context"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
)

// kind is how the Django application's channel layer is written and read. Names of groups are the application's, such as
// gps_tracking_van_7.
type kind interface {
	// channel is the Redis channel over which nodes send each other the messages of a group.
	channel(group string) string
	// encode is a message as it goes over that channel, and decode the opposite. decode returns nil for what is no message.
	encode(m group.Message) ([]byte, error)
	decode(data []byte) ([]byte, error)
	// join makes this node a member of groups for what the application sends beside that channel, and renews that; leave is the
	// opposite.
	join(ctx context.Context, s *session, groups []string) error
	leave(ctx context.Context, s *session, groups []string) error
	// publish gives messages to the application's own members where they do not listen to that channel.
	publish(ctx context.Context, s *session, group string, messages []group.Message) error
	// receive gives what the application sends beside that channel to deliver, until ctx ends or the session is broken.
	receive(ctx context.Context, s *session, deliver func(group string, data []byte)) error
}

// session is one set of connections to all hosts. When one of them is not what it was, the session ends and another one begins: no
// connection stays on a server that is no longer the master.
type session struct {
	hosts []*host // in Django's order
}

// host is one master.
type host struct {
	address string
	client  rueidis.Client // pipelines commands
}
