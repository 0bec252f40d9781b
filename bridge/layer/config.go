package layer

import (
	"log/slog"
	"time"
)

// Config says where the layer is and how the Django application writes it. The keys of its problems are those of the section
// [relay.layer].
type Config struct {
	// URLs are the Redis servers: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, redis+unix:///path, or
	// redis-sentinel://[[user]:password@]host:port,host:port/master[/db]. Several are Django's hosts, in its order: keys are spread over them as
	// channels_redis spreads them.
	URLs []string
	// Kind is "core" for channels_redis.core, "pubsub" for channels_redis.pubsub, "auto" to look at what is in Redis.
	Kind string
	// Prefix is Django's prefix; default "asgi".
	Prefix string
	// Group is the name of a device's group, with {device_id} in it; default "gps_tracking_{device_id}".
	Group string
	// Event is the type of the event that carries a message, and Field its member; learnt from the first event that Django sends where
	// they are empty, and until then "gps_update" and "data".
	Event, Field string
	// Keys are Django's symmetric_encryption_keys: the first encrypts, each of them decrypts.
	Keys []string
	// Durable says when a fix counts as stored: "none" stores nothing, "memory" asks the master alone, "replicated" a replica too,
	// "fsync" disks. "" is replicated where Redis has replicas, else memory.
	Durable string
	// Stream begins the names of the keys of stored fixes; default "gpsbridge:fixes".
	Stream string
	// Keep is for how long fixes stay in the streams at least; default 10 minutes.
	Keep time.Duration
	// CAFile verifies Redis over TLS in place of the system's authorities; "" for those.
	CAFile string
	// Log receives changes of state; nil logs nothing.
	Log *slog.Logger
}
