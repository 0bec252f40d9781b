package relay

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"gpsbridge/bridge/problem"
)

func TestNewChecks(t *testing.T) {
	for _, c := range []struct {
		name   string
		config Config
		code   problem.Code // of the error; "" for none
		key    string
	}{
		{"default", Config{}, "", ""},
		{"IPv6 loopback", Config{Listen: "[::1]:1"}, "", ""},
		{"another loopback", Config{Listen: "127.8.9.10:1"}, "", ""},
		{"localhost", Config{Listen: "localhost:1"}, "", ""},
		{"all addresses", Config{Listen: ":8947"}, CodeListenPublic, "listen"},
		{"address of the network", Config{Listen: "192.168.1.5:8947"}, CodeListenPublic, "listen"},
		{"a name", Config{Listen: "localhost.example:8947"}, CodeListenPublic, "listen"},
		{"publish token alone", Config{Listen: "0.0.0.0:1", PublishToken: "0123456789abcdef"}, CodeListenPublic, "listen"},
		{"with a token", Config{Listen: "0.0.0.0:1", Token: "0123456789abcdef"}, "", ""},
		{"open", Config{Listen: "0.0.0.0:1", Open: true}, "", ""},
		{"no port", Config{Listen: "127.0.0.1"}, CodeListenInvalid, "listen"},
		{"port that is no number", Config{Listen: "127.0.0.1:http"}, CodeListenInvalid, "listen"},
		{"short token for others", Config{Listen: "0.0.0.0:1", Token: "0123456789abcde"}, CodeTokenInvalid, "token_file"},
		{"short publish token for others", Config{Listen: "0.0.0.0:1", Open: true, PublishToken: "short"}, CodeTokenInvalid, "publish_token_file"},
		{"no token", Config{Token: "none"}, CodeTokenInvalid, "token_file"},
		{"no publish token", Config{PublishToken: "None"}, CodeTokenInvalid, "publish_token_file"},
		{"token with a space", Config{Token: "a b"}, CodeTokenInvalid, "token_file"},
		{"token with a line end", Config{PublishToken: "ab\n"}, CodeTokenInvalid, "publish_token_file"},
		{"token beyond ASCII", Config{Token: "gülden"}, CodeTokenInvalid, "token_file"},
		{"origin without a scheme", Config{Origins: []string{"map.example"}}, CodeOriginInvalid, "origins"},
		{"origin with a path", Config{Origins: []string{"https://map.example/x"}}, CodeOriginInvalid, "origins"},
		{"history", Config{History: maxHistory + 1}, CodeHistoryTooLong, "history"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.config)
			if c.code == "" && err == nil {
				return
			}
			if all := problem.All(err); len(all) != 1 || all[0].Code != c.code || all[0].Key != c.key {
				t.Errorf("error %v, want one with code %q and key %q", err, c.code, c.key)
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
	if err := second.Listen(); problem.CodeOf(err) != CodeAddressInUse {
		t.Errorf("error %v, want %s", err, CodeAddressInUse)
	}
	if err := second.Serve(t.Context()); problem.CodeOf(err) != CodeAddressInUse {
		t.Errorf("Serve without a port: %v, want %s", err, CodeAddressInUse)
	}
	if p := second.Status().Problem; p == nil || p.Code != CodeAddressInUse || p.Key != "listen" || p.Fix == "" {
		t.Errorf("status of a relay that cannot listen: %+v, want %s", p, CodeAddressInUse)
	}
	if p := first.Status().Problem; p != nil {
		t.Errorf("status of a relay that listens: %v", p)
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
