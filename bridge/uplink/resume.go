package uplink

import (
	"crypto/sha256"
	"crypto/tls"
	"slices"
	"sync"
)

// tickets has the session with which the next connection may resume TLS. It is a tls.ClientSessionCache for one server, in memory
// alone. What is resumed needs no certificates, and no key exchange that withstands quantum computers, 2.3 kB: its keys are made
// of the secret of the session too, which was exchanged so.
//
// crypto/tls verifies what it resumes as of [tls.Config.Time], with the certificates that were trusted then and now. A session is
// used once: a server sends another one on the connection, and one that it does not like is not in the way of the next attempt.
type tickets struct {
	mu      sync.Mutex
	madeFor [sha256.Size]byte // a session is valid with the files and the token with which it was made
	key     string
	session *tls.ClientSessionState
}

// bind states with what the next connection is made. What was made with anything else is forgotten.
func (t *tickets) bind(made ...[]byte) {
	hash := sha256.New()
	for _, one := range made {
		sum := sha256.Sum256(one)
		hash.Write(sum[:])
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if sum := hash.Sum(nil); !slices.Equal(sum, t.madeFor[:]) {
		copy(t.madeFor[:], sum)
		t.session = nil
	}
}

// any reports whether there is a session.
func (t *tickets) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.session != nil
}

// Get gives the session away.
func (t *tickets) Get(key string) (session *tls.ClientSessionState, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key == t.key {
		session, t.session = t.session, nil
	}
	return session, session != nil
}

// Put takes the session that a server has sent.
func (t *tickets) Put(key string, session *tls.ClientSessionState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.key, t.session = key, session
}
