package layer

import (
	"context"
	"time"

	"gpsbridge/bridge/group"
	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// CodeKeys is an event that none of the keys decrypts.
const CodeKeys problem.Code = "layer-keys"

var wrongKeys = &problem.Problem{Code: CodeKeys, Key: "keys", Cause: "none of the keys decrypts an event", Fix: "write the symmetric_encryption_keys of CHANNEL_LAYERS"}

// pubsub is channels_redis.pubsub: the application listens to the same channel as the nodes, and sends there.
type pubsub struct {
	prefix      string
	application *event.Application
	crypter     *event.Crypter // nil without encryption
}

func newPubsub(c Config) *pubsub {
	return &pubsub{prefix: c.Prefix, application: c.application(), crypter: event.NewCrypter(c.Keys)}
}

func (k *pubsub) channel(group string) string { return k.prefix + pubsubGroup + group }

// pubsubGroup lies between the prefix and the name of a group in the name of its channel.
const pubsubGroup = "__group__"

// eventOverhead is what an event of usual names has beside its message, so that the room for it is made once.
const eventOverhead = 64

func (k *pubsub) encode(data []byte) ([]byte, error) {
	wire, err := k.application.Format().Append(make([]byte, 0, len(data)+eventOverhead), data)
	if err != nil || k.crypter == nil {
		return wire, err
	}
	return k.crypter.Encrypt(nil, wire, time.Now()), nil
}

func (k *pubsub) decode(data []byte) ([]byte, error) {
	if k.crypter != nil {
		plain, ok := k.crypter.Decrypt(nil, data, time.Now(), 0)
		if !ok {
			return nil, wrongKeys
		}
		data = plain
	}
	message, _, err := k.application.Open(make([]byte, 0, len(data)+eventOverhead), data)
	return message, err
}

// The application's members are reached over the channel.

func (k *pubsub) join(context.Context, *session, []string) error { return nil }

func (k *pubsub) leave(context.Context, *session, []string) error { return nil }

func (k *pubsub) restore() {}

func (k *pubsub) publish(context.Context, *session, string, []group.Message) error { return nil }

func (k *pubsub) receive(ctx context.Context, _ *session, _ func(string, []byte)) error {
	<-ctx.Done()
	return nil
}
