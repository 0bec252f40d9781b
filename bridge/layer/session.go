package layer

import (
	"context"

	"github.com/redis/rueidis"
)

// session is one set of connections to all hosts. When one of them is not what it was, the session ends and another one begins: no
// connection stays on a server that is no longer the master.
type session struct {
	hosts []*host // in Django's order
	// ctx ends with the session; its cause is why.
	ctx context.Context
	end context.CancelCauseFunc
}

// host is one master.
type host struct {
	address string
	// client pipelines commands over one connection: those of one goroutine are done in order. Commands that block (WAIT, BZPOPMIN) go
	// over connections of their own, as does a DoMulti that holds one. Every call needs a context that ends with the session's.
	client rueidis.Client
}

// host returns the host that Django's ring gives for the name of a key or channel.
func (s *session) host(name string) *host { return s.hosts[ring(name, len(s.hosts))] }

// check takes the error of each command: nil stays nil. One which shows that the connection is broken, or that the server is no
// longer the master, ends the session. What it returns is a *problem.Problem, or the context's own error.
func (s *session) check(err error) error {
	if err == nil {
		return nil
	}
	s.end(err)
	return err
}
