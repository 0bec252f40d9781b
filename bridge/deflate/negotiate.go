package deflate

import (
	"fmt"
	"strconv"
	"strings"

	"gpsbridge/bridge/problem"
)

// Header is the name of the header of the negotiation as it is to be put into an [http.Header], past its methods: gorilla
// refuses the canonical form in a request and in an answer.
const Header = "Sec-WebSocket-Extensions"

const (
	extensionName      = "permessage-deflate"
	serverNoTakeover   = "server_no_context_takeover"
	clientNoTakeover   = "client_no_context_takeover"
	serverMaxWindow    = "server_max_window_bits"
	clientMaxWindow    = "client_max_window_bits"
	leastBits, maxBits = 8, 15 // RFC 7692, 7.1.2
)

// WindowBits is the logarithm of the window, in bytes, that this package compresses with and that a client asks the server for at
// most. A fix needs a window of 1 KiB, the satellites of one receiver 4 KiB: see README.md. Python's websockets, and with it
// Uvicorn, uses the same.
const WindowBits = 12

// Offer is what a client sends in [Header]: first with a bound of the server's window, and without for a server that cannot
// bound it.
var Offer = fmt.Sprintf("%[1]s; %[2]s=%[4]d; %[3]s=%[4]d, %[1]s; %[2]s=%[4]d", extensionName, clientMaxWindow, serverMaxWindow, WindowBits)

// Params is what both ends have agreed on. A window of 0 bits is one that the agreement does not bound, which is one of 15.
type Params struct {
	ServerNoTakeover, ClientNoTakeover bool // each message is compressed by itself
	ServerBits, ClientBits             int  // logarithm of the window of what that end sends, 8 to 15, or 0
}

// String is the answer of a server, for [Header].
func (p Params) String() string {
	var b strings.Builder
	b.WriteString(extensionName)
	for _, flag := range []struct {
		name string
		set  bool
	}{{serverNoTakeover, p.ServerNoTakeover}, {clientNoTakeover, p.ClientNoTakeover}} {
		if flag.set {
			b.WriteString("; " + flag.name)
		}
	}
	for _, window := range []struct {
		name string
		bits int
	}{{serverMaxWindow, p.ServerBits}, {clientMaxWindow, p.ClientBits}} {
		if window.bits > 0 {
			fmt.Fprintf(&b, "; %s=%d", window.name, window.bits)
		}
	}
	return b.String()
}

// BadAnswer is that a server has answered [Offer] with something that RFC 7692 does not allow.
const BadAnswer problem.Code = "compression-answer"

// Answer reads what a server has answered to [Offer]: the values of [Header]. It returns nil where the server declines, and a
// problem where the answer is not valid, on which the client has to end the connection.
func Answer(values []string) (*Params, error) {
	all, err := parse(values)
	switch {
	case err != nil:
	case len(all) == 0:
		return nil, nil
	case len(all) > 1 || all[0].name != extensionName:
		err = fmt.Errorf("it accepts %q, which was not offered", all[len(all)-1].name)
	default:
		var p Params
		if p, err = all[0].params(); err == nil {
			switch {
			case p.ClientBits < 0:
				err = fmt.Errorf("%s has no value", clientMaxWindow)
			case p.ClientBits > WindowBits:
				err = fmt.Errorf("%s=%d, and %d was offered", clientMaxWindow, p.ClientBits, WindowBits)
			default:
				return &p, nil
			}
		}
	}
	return nil, &problem.Problem{Code: BadAnswer, Cause: "the server answered the offer of compression wrongly (" + err.Error() + ")", Err: err}
}

// Accept chooses from the offers of a client: the values of [Header]. It returns nil where it declines all. bits bounds both
// windows as far as the client allows that.
func Accept(values []string, bits int) *Params {
	all, err := parse(values)
	if err != nil {
		return nil
	}
	for _, offer := range all {
		p, err := offer.params()
		if offer.name != extensionName || err != nil {
			continue
		}
		if p.ServerBits > 0 {
			p.ServerBits = min(p.ServerBits, bits)
		}
		switch {
		case p.ClientBits < 0:
			p.ClientBits = bits
		case p.ClientBits > 0:
			p.ClientBits = min(p.ClientBits, bits)
		}
		return &p
	}
	return nil
}

// extension is one element of the header (RFC 6455, 9.1).
type extension struct {
	name   string
	fields []field
}

type field struct {
	name, value string
	valued      bool
}

// params reads the parameters of permessage-deflate. ClientBits is -1 where it is given without a value, as a client may.
func (e extension) params() (p Params, err error) {
	seen := map[string]bool{}
	for _, f := range e.fields {
		if seen[f.name] {
			return p, fmt.Errorf("%s is repeated", f.name)
		}
		seen[f.name] = true
		ok := false
		switch f.name {
		case serverNoTakeover:
			p.ServerNoTakeover, ok = true, !f.valued
		case clientNoTakeover:
			p.ClientNoTakeover, ok = true, !f.valued
		case serverMaxWindow:
			p.ServerBits, ok = windowBits(f.value)
		case clientMaxWindow:
			if p.ClientBits, ok = windowBits(f.value); !f.valued {
				p.ClientBits, ok = -1, true
			}
		default:
			return p, fmt.Errorf("parameter %q is not known", f.name)
		}
		if !ok {
			return p, fmt.Errorf("%s has a wrong value", f.name)
		}
	}
	return p, nil
}

// windowBits reads a value from 8 to 15 in decimal, without leading zeros (RFC 7692, 7.1.2.1).
func windowBits(s string) (bits int, ok bool) {
	bits, err := strconv.Atoi(s)
	return bits, err == nil && strconv.Itoa(bits) == s && leastBits <= bits && bits <= maxBits
}

// parse reads the elements of all header lines.
func parse(values []string) (all []extension, err error) {
	p := parser{rest: strings.Join(values, ",")}
	for {
		for p.sign(',') { // an element of a list may be empty (RFC 9110, 5.6.1)
		}
		if p.rest == "" {
			return all, nil
		}
		e := extension{name: p.token()}
		for p.sign(';') {
			f := field{name: p.token()}
			if f.valued = p.sign('='); f.valued {
				f.value = p.value()
			}
			p.bad = p.bad || f.name == ""
			e.fields = append(e.fields, f)
		}
		if p.bad || e.name == "" || p.rest != "" && !p.sign(',') {
			return nil, fmt.Errorf("%s is malformed", Header)
		}
		all = append(all, e)
	}
}

// parser reads from the front of a header's value.
type parser struct {
	rest string
	bad  bool // a value was not a token
}

// sign takes a character and the blanks around it, if it comes next.
func (p *parser) sign(c byte) bool {
	p.rest = strings.TrimLeft(p.rest, " \t")
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = strings.TrimLeft(p.rest[1:], " \t")
	return true
}

// token takes a token (RFC 9110, 5.6.2), "" where there is none.
func (p *parser) token() string {
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
	if end < 0 {
		end = len(p.rest)
	}
	token := p.rest[:end]
	p.rest = p.rest[end:]
	return token
}

// value takes a token, which may be quoted: then it must be a token without the quotes (RFC 6455, 9.1).
func (p *parser) value() string {
	if p.rest == "" || p.rest[0] != '"' {
		v := p.token()
		p.bad = p.bad || v == ""
		return v
	}
	p.rest = p.rest[1:]
	var v strings.Builder
	for p.rest != "" && p.rest[0] != '"' {
		if p.rest[0] == '\\' {
			p.rest = p.rest[1:]
		}
		if p.rest != "" {
			v.WriteByte(p.rest[0])
			p.rest = p.rest[1:]
		}
	}
	if p.rest == "" {
		p.bad = true
		return ""
	}
	p.rest = p.rest[1:]
	inner := parser{rest: v.String()}
	p.bad = p.bad || inner.token() == "" || inner.rest != ""
	return v.String()
}
