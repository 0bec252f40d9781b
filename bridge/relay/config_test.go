package relay

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestNewChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		want   string // part of the error; "" for none
	}{
		{"default", Config{}, ""},
		{"IPv6 loopback", Config{Listen: "[::1]:1"}, ""},
		{"another loopback", Config{Listen: "127.8.9.10:1"}, ""},
		{"localhost", Config{Listen: "localhost:1"}, ""},
		{"all addresses", Config{Listen: ":8947"}, `relay.listen ":8947" is not a loopback address: set relay.token_file, or relay.open = true to serve anyone`},
		{"address of the network", Config{Listen: "192.168.1.5:8947"}, "is not a loopback address"},
		{"a name", Config{Listen: "localhost.example:8947"}, "is not a loopback address"},
		{"publish token alone", Config{Listen: "0.0.0.0:1", PublishToken: "p"}, "is not a loopback address"},
		{"with a token", Config{Listen: "0.0.0.0:1", Token: "t"}, ""},
		{"open", Config{Listen: "0.0.0.0:1", Open: true}, ""},
		{"no port", Config{Listen: "127.0.0.1"}, "is not host:port"},
		{"token with a space", Config{Token: "a b"}, "relay.token_file holds a token with ' '"},
		{"token with a line end", Config{PublishToken: "ab\n"}, "relay.publish_token_file holds a token with"},
		{"token beyond ASCII", Config{Token: "gülden"}, "relay.token_file"},
		{"origin without a scheme", Config{Origins: []string{"map.example"}}, `relay.origins has "map.example"`},
		{"origin with a path", Config{Origins: []string{"https://map.example/x"}}, "relay.origins"},
		{"history", Config{History: maxHistory + 1}, "relay.history is 100001"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.config)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestTokensAreNotInErrors(t *testing.T) {
	_, err := New(Config{Token: "topsecret but wrong"})
	if err == nil || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("error %v must be there and must not show the token", err)
	}
}

func TestPortInUse(t *testing.T) {
	first := start(t, Config{})
	second, err := New(Config{Listen: first.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	err = second.Listen()
	if err == nil || !strings.Contains(err.Error(), "another program uses this port") || strings.Contains(err.Error(), "\n") {
		t.Errorf("error %v, want one line that says the port is in use", err)
	}
	if err := second.Serve(t.Context()); err == nil {
		t.Error("Serve without a port must fail")
	}
}

func TestPageURL(t *testing.T) {
	for _, c := range []struct {
		address, machine string
		secure           bool
		want             string
	}{
		{"127.0.0.1:8947", "pi", false, "http://127.0.0.1:8947/"},
		{"[::1]:8947", "pi", true, "https://[::1]:8947/"},
		{"[::]:8947", "pi", true, "https://pi:8947/"},
		{"0.0.0.0:80", "pi", false, "http://pi:80/"},
		{"0.0.0.0:80", "", false, "http://0.0.0.0:80/"},
	} {
		if got := pageURL(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(c.address)), c.machine, c.secure); got != c.want {
			t.Errorf("%s on %q: %s, want %s", c.address, c.machine, got, c.want)
		}
	}
}
