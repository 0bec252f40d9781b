package layer

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"gpsbridge/bridge/layer/event"
	"gpsbridge/bridge/problem"
)

// Codes of what Check finds wrong with a configuration.
const (
	CodeURL     problem.Code = "layer-url"     // a URL of Redis is missing or cannot be read
	CodeCA      problem.Code = "layer-ca-file" // the file of certificates cannot be read
	CodeSetting problem.Code = "layer-setting" // the value of another key; Key names it
)

// CodeEventUnset is a configuration that leaves open how the application writes its events.
const CodeEventUnset problem.Code = "layer-event-unset"

// Config says where the layer is and how the Django application writes it. The keys of its problems are those of the section
// [relay.layer].
type Config struct {
	// URLs are the Redis servers: redis://[[user]:password@]host[:port][/db], rediss:// for TLS, redis+unix:///path[?db=N], or
	// redis-sentinel://[[user]:password@]host[:port],host[:port]/master[/db] (rediss-sentinel:// where the Sentinels and Redis take TLS).
	// Several are Django's hosts, in its order: keys are spread over them as channels_redis spreads them.
	URLs []string
	// Password takes the place of those in the URLs, unless it is empty.
	Password string
	// Kind is "core" for channels_redis.core, "pubsub" for channels_redis.pubsub, "auto" to look at what is in Redis; default "auto".
	Kind string
	// Prefix is Django's prefix; default "asgi".
	Prefix string
	// Group is the name of a device's group, with {device_id} in it; default "gps_tracking_{device_id}".
	Group string
	// Event is the type of the event that carries a message, and Field its member. Where they are empty, they are learnt from the first event
	// of Django that differs from "gps_update" and "data", which are sent until then. A consumer closes its connection on an event of a type that it has
	// no handler for.
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

// DefaultKeep is what a zero Config.Keep means.
const DefaultKeep = 10 * time.Minute

// deviceID stands for the device's ID in Config.Group.
const deviceID = "{device_id}"

// keepLeast is the shortest Keep: a tracker that was away must find its last fixes still there after a failover.
const keepLeast = time.Second

// groupName is what channels accepts as the name of a group: fewer than 100 characters of this alphabet.
var groupName = regexp.MustCompile(`^[a-zA-Z0-9_.-]*$`)

// Check reports everything that is wrong with the configuration, each a *problem.Problem, joined. It connects to nothing.
func (c Config) Check() error {
	_, err := c.targets()
	_, ca := c.authorities()
	c = c.defaults()
	return errors.Join(err, ca,
		oneOf("kind", c.Kind, "auto", "core", "pubsub"),
		oneOf("durable", c.Durable, "", "none", "memory", "replicated", "fsync"),
		c.checkGroup(),
		setting("prefix", !printable(c.Prefix), c.Prefix, "use printable ASCII without spaces, as in CHANNEL_LAYERS"),
		setting("event", !printable(c.Event), c.Event, "use the type of the event that the consumer sends, such as gps_update"),
		setting("field", !printable(c.Field), c.Field, "use the member of the event that holds the message, such as data"),
		setting("stream", !printable(c.Stream), c.Stream, "use printable ASCII without spaces, such as gpsbridge:fixes"),
		setting("keep", c.Keep < keepLeast, c.Keep.String(), "use a second or more, such as 10m"))
}

// eventUnset is the problem of events that are to be learnt; nil where they are configured.
func (c Config) eventUnset() *problem.Problem {
	key, value := "event", event.DefaultType
	switch {
	case c.Event != "" && c.Field != "":
		return nil
	case c.Event != "":
		key, value = "field", event.DefaultField
	}
	return &problem.Problem{Code: CodeEventUnset, Key: key,
		Cause: fmt.Sprintf("it is not set: pages at the application get %q until an event of its own shows another one, and a consumer without that is closed", value),
		Fix:   "set event and field as in the consumer's group_send"}
}

// checkGroup finds out whether names made from Config.Group are ones that channels takes.
func (c Config) checkGroup() error {
	rest := strings.Replace(c.Group, deviceID, "", 1)
	bad := rest == c.Group || !groupName.MatchString(rest)
	return setting("group", bad, c.Group, "write the name that the consumer gives to group_add, with "+deviceID+" in it and otherwise letters, digits, _ . -")
}

// defaults returns the configuration with what is empty filled in.
func (c Config) defaults() Config {
	c.Kind = cmp.Or(c.Kind, "auto")
	c.Prefix = cmp.Or(c.Prefix, "asgi")
	c.Group = cmp.Or(c.Group, "gps_tracking_"+deviceID)
	c.Stream = cmp.Or(c.Stream, "gpsbridge:fixes")
	c.Keep = cmp.Or(c.Keep, DefaultKeep)
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	return c
}

// group is the name of the group of device.
func (c Config) group(device string) string { return strings.Replace(c.Group, deviceID, device, 1) }

// authorities returns the certificates of CAFile, nil for those of the system.
func (c Config) authorities() (*x509.CertPool, error) {
	if c.CAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.CAFile)
	if err != nil {
		return nil, &problem.Problem{Code: CodeCA, Key: "ca_file", Cause: fmt.Sprintf("file %q cannot be read: %v", c.CAFile, errors.Unwrap(err)),
			Fix: "name a file that the user of gpsbridge may read", Err: err}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, &problem.Problem{Code: CodeCA, Key: "ca_file", Cause: fmt.Sprintf("file %q holds no certificate", c.CAFile),
			Fix: "write the certificate of the authority into it, in PEM"}
	}
	return pool, nil
}

func oneOf(key, value string, allowed ...string) error {
	named := slices.DeleteFunc(slices.Clone(allowed), func(s string) bool { return s == "" })
	return setting(key, !slices.Contains(allowed, value), value, "use one of "+strings.Join(named, ", "))
}

// setting is the problem of a value that is bad, and nil where it is not.
func setting(key string, bad bool, value, fix string) error {
	if !bad {
		return nil
	}
	return &problem.Problem{Code: CodeSetting, Key: key, Cause: fmt.Sprintf("%q cannot be used", value), Fix: fix}
}

// printable reports whether s is ASCII that can be seen.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}
