package relay

import (
	"strings"
	"testing"

	"github.com/gorilla/websocket"
)

func TestPublisher(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	p, other := dial(t, r, "", bearer("pub")), dial(t, r, "", bearer("pub"))
	v := dial(t, r, "", nil)
	until(t, "all joined", func() bool { s := r.Status(); return s.Viewers == 1 && s.Publishers == 2 })
	for _, text := range []string{tpv(1), sky(7), `[1,2]`, `"any JSON value"`, tpv(2)} {
		p.send(text)
	}
	p.want(tpv(1), sky(7), `[1,2]`, `"any JSON value"`, tpv(2))
	other.want(tpv(1), `[1,2]`, `"any JSON value"`, tpv(2))
	v.want(tpv(1), `[1,2]`, `"any JSON value"`, tpv(2))

	// Who joins to publish waits for its own: it is not given what was before.
	late := dial(t, r, "", bearer("pub"))
	late.send(tpv(3))
	late.want(tpv(3))
}

func TestRepeatGoesBackToTheSenderOnly(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	v := dial(t, r, "", nil)
	until(t, "joined", func() bool { return r.Status().Viewers == 1 })
	first := dial(t, r, "", bearer("pub"))
	first.send(tpv(1))
	first.want(tpv(1))
	first.Close()
	again := dial(t, r, "", bearer("pub"))
	for _, seq := range []int{1, 2, 1, 3} {
		again.send(tpv(seq))
	}
	again.want(tpv(1), tpv(2), tpv(1), tpv(3))
	v.want(tpv(1), tpv(2), tpv(3))
	if s := r.Status(); s.Repeats != 2 || s.Devices[0].Messages != 3 {
		t.Errorf("status %+v, want 3 messages and 2 repeats", s)
	}
}

// A publisher that sends more than its queue holds before it reads an echo
// loses none of them.
func TestEchoIsNotDropped(t *testing.T) {
	const n = 400
	r := start(t, Config{PublishToken: "pub", Queue: 4})
	p := dial(t, r, "", bearer("pub"))
	go func() {
		for i := 1; i <= n; i++ {
			p.WriteMessage(websocket.TextMessage, []byte(tpv(i)))
		}
	}()
	for i := 1; i <= n; i++ {
		if got := p.seq(); got != i {
			t.Fatalf("echo %d came where %d was due", got, i)
		}
	}
}

func TestBadFrames(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	for _, c := range []struct {
		name    string
		publish bool
		kind    int
		data    string
		want    int
	}{
		{"binary from a viewer", false, websocket.BinaryMessage, "x", websocket.CloseUnsupportedData},
		{"binary from a publisher", true, websocket.BinaryMessage, "{}", websocket.CloseUnsupportedData},
		{"not JSON", true, websocket.TextMessage, "{", websocket.CloseInvalidFramePayloadData},
		{"empty", true, websocket.TextMessage, "", websocket.CloseInvalidFramePayloadData},
		{"NaN", true, websocket.TextMessage, `{"speed":NaN}`, websocket.CloseInvalidFramePayloadData},
		{"two values", true, websocket.TextMessage, "{}\n{}", websocket.CloseInvalidFramePayloadData},
		{"not UTF-8", true, websocket.TextMessage, "\"\xff\"", websocket.CloseInvalidFramePayloadData},
		{"too big for a viewer", false, websocket.TextMessage, strings.Repeat(" ", viewerReadLimit+1), websocket.CloseMessageTooBig},
		{"too big for a publisher", true, websocket.TextMessage, strings.Repeat(" ", DefaultMaxMessage+1), websocket.CloseMessageTooBig},
		{"far too big", true, websocket.TextMessage, strings.Repeat(" ", 6*DefaultMaxMessage), websocket.CloseMessageTooBig},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := bearer("pub")
			if !c.publish {
				header = nil
			}
			bystander := dial(t, r, "", nil)
			m := dial(t, r, "", header)
			if c.publish {
				m.send(`{"good":true}`)
				m.want(`{"good":true}`)
			}
			m.WriteMessage(c.kind, []byte(c.data))
			if got := m.closed(); got != c.want {
				t.Errorf("close code %d, want %d", got, c.want)
			}
			if c.publish {
				bystander.want(`{"good":true}`)
			}
		})
	}
}

// The largest message that is allowed passes.
func TestLargestMessage(t *testing.T) {
	r := start(t, Config{PublishToken: "pub"})
	p := dial(t, r, "", bearer("pub"))
	text := `"` + strings.Repeat("x", DefaultMaxMessage-2) + `"`
	p.send(text)
	p.want(text)
}

func TestViewersOnlyListen(t *testing.T) {
	r := start(t, Config{})
	noisy, quiet := dial(t, r, "", nil), dial(t, r, "", nil)
	noisy.send(tpv(66))
	noisy.send(`garbage`)
	until(t, "both counted", func() bool { return r.Status().Ignored == 2 })
	r.tpv(1)
	quiet.want(tpv(1))
	noisy.want(tpv(1))
}

func TestShutdownTells1001(t *testing.T) {
	c := Config{PublishToken: "pub"}
	var v, p member
	t.Run("serve", func(t *testing.T) {
		r := start(t, c)
		v, p = dial(&keeps{t}, r, "", nil), dial(&keeps{t}, r, "", bearer("pub"))
		r.tpv(1)
		v.want(tpv(1))
		p.want(tpv(1)) // both are served
		r.tpv(2)
	})
	v.t, p.t = t, t
	// What was queued comes first.
	v.want(tpv(2))
	for _, m := range []member{v, p} {
		if got := m.closed(); got != websocket.CloseGoingAway {
			t.Errorf("close code %d, want 1001", got)
		}
		m.Close()
	}
}

// keeps is a test whose connections outlive it: the caller closes them.
type keeps struct{ *testing.T }

func (keeps) Cleanup(func()) {}
