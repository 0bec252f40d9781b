package layer

import (
	"context"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/problem"
)

// scans bounds looking for a group of the core kind among the keys of one host: to 200,000 keys, some 100 ms.
const scans = 200

// chooseKind makes the kind, at the first session.
func (l *Layer) chooseKind(s *session) error {
	if l.kind != nil {
		return nil
	}
	name := l.config.Kind
	if name == "auto" {
		var err error
		if name, err = l.recognise(s); err != nil {
			return err
		}
		l.config.Log.Info("kind of channel layer recognised", "kind", name)
	}
	l.kind = newKind(name, l.config, &l.counters)
	return nil
}

// recognise returns the kind of which there are signs in Redis, made by the members of groups: pages that are open.
func (l *Layer) recognise(s *session) (string, error) {
	var core, pubsub bool
	for _, h := range s.hosts {
		groups, err := h.hasGroups(s.ctx, l.config.Prefix)
		if err := s.check(err); err != nil {
			return "", err
		}
		channels, err := h.hasChannels(s.ctx, l.config.Prefix)
		if err := s.check(err); err != nil {
			return "", err
		}
		core, pubsub = core || groups, pubsub || channels
	}
	switch {
	case core && pubsub:
		return "", unclear(fmt.Sprintf("Redis has groups of both kinds of channel layer under the prefix %q", l.config.Prefix))
	case core:
		return "core", nil
	case pubsub:
		return "pubsub", nil
	}
	return "", unclear(fmt.Sprintf("Redis has no group of Django under the prefix %q yet", l.config.Prefix))
}

func unclear(cause string) error {
	return &problem.Problem{Code: CodeKindUnclear, Key: "kind", Cause: cause,
		Fix: `see BACKEND in CHANNEL_LAYERS: kind = "core" for channels_redis.core.RedisChannelLayer, "pubsub" for channels_redis.pubsub.RedisPubSubChannelLayer`}
}

// hasGroups reports whether a host has a group of channels_redis.core.
func (h *host) hasGroups(ctx context.Context, prefix string) (bool, error) {
	var at rueidis.ScanEntry
	for range scans {
		var err error
		at, err = h.client.Do(ctx, h.client.B().Scan().Cursor(at.Cursor).Match(literal(prefix)+":group:*").Count(1000).Type("zset").Build()).AsScanEntry()
		if err != nil || len(at.Elements) > 0 || at.Cursor == 0 {
			return len(at.Elements) > 0, err
		}
	}
	return false, nil
}

// hasChannels reports whether a host has a group of channels_redis.pubsub.
func (h *host) hasChannels(ctx context.Context, prefix string) (bool, error) {
	channels, err := h.client.Do(ctx, h.client.B().PubsubChannels().Pattern(literal(prefix)+pubsubGroup+"*").Build()).AsStrSlice()
	return len(channels) > 0, err
}

// literal is a pattern that only s matches.
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}
