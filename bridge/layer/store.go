package layer

import (
	"context"

	"gpsbridge/bridge/group"
)

// store keeps fixes. Its methods may be called from any goroutine; a session is the one that the call belongs to, as with kind.
type store interface {
	// begin is called with a new session before it carries anything. An error ends the session.
	begin(ctx context.Context, s *session) error
	// run serves beside a session until ctx ends, which it does with the session. An error ends the session.
	run(ctx context.Context, s *session) error
	// commit returns when messages of a device are as durable as is configured.
	commit(ctx context.Context, s *session, device string, messages []group.Message) error
	// history is what group.Layer documents as History.
	history(ctx context.Context, s *session, device string, after group.Key, most int) (messages []group.Message, complete bool, err error)
	// epoch is what group.Layer documents as Epoch.
	epoch(device string) string
}

// nothing is the store that stores nothing.
type nothing struct{}

func (nothing) begin(context.Context, *session) error { return nil }

func (nothing) run(ctx context.Context, _ *session) error {
	<-ctx.Done()
	return nil
}

func (nothing) commit(context.Context, *session, string, []group.Message) error { return nil }

func (nothing) history(context.Context, *session, string, group.Key, int) ([]group.Message, bool, error) {
	return nil, false, nil
}

func (nothing) epoch(string) string { return "" }

// newStore returns the store of a configuration. lost is called when what was stored may be lost.
func newStore(c Config, lost func()) store {
	if c.Durable == "none" {
		return nothing{}
	}
	return newStreams(c, lost)
}
