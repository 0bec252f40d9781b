package deflate

import (
	"strings"
	"testing"

	"gpsbridge/bridge/problem"
)

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answer string
		want   *Params // nil: not valid
	}{
		{"permessage-deflate", &Params{}},
		{"permessage-deflate; server_no_context_takeover", &Params{ServerNoTakeover: true}},
		{"permessage-deflate;client_no_context_takeover ; server_no_context_takeover", &Params{ServerNoTakeover: true, ClientNoTakeover: true}},
		{"permessage-deflate; server_max_window_bits=12; client_max_window_bits=11", &Params{ServerBits: 12, ClientBits: 11}},
		{`permessage-deflate; client_max_window_bits="9"`, &Params{ClientBits: 9}},
		{`permessage-deflate; client_max_window_bits="\9"`, &Params{ClientBits: 9}},
		{"permessage-deflate; server_max_window_bits=15", &Params{ServerBits: 15}},
		{", permessage-deflate,", &Params{}},

		{"permessage-deflate; client_max_window_bits", nil},
		{"permessage-deflate; client_max_window_bits=13", nil}, // more than was offered
		{"permessage-deflate; client_max_window_bits=7", nil},
		{"permessage-deflate; client_max_window_bits=08", nil},
		{"permessage-deflate; client_max_window_bits=+9", nil},
		{"permessage-deflate; server_max_window_bits", nil},
		{"permessage-deflate; server_max_window_bits=16", nil},
		{"permessage-deflate; server_max_window_bits=", nil},
		{`permessage-deflate; server_max_window_bits="1 2"`, nil},
		{`permessage-deflate; server_max_window_bits="12`, nil},
		{`permessage-deflate; server_max_window_bits=""`, nil},
		{"permessage-deflate; server_no_context_takeover=1", nil},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", nil},
		{"permessage-deflate; window=12", nil},
		{"permessage-deflate;", nil},
		{"permessage-deflate server_no_context_takeover", nil},
		{"permessage-deflate, permessage-deflate", nil},
		{"permessage-deflate, x-other", nil},
		{"x-webkit-deflate-frame", nil},
		{"Permessage-Deflate", nil},
		{"é", nil},
	} {
		got, err := Answer([]string{tc.answer})
		switch {
		case tc.want == nil && (err == nil || problem.CodeOf(err) != BadAnswer):
			t.Errorf("%q: %v, %v, want a problem", tc.answer, got, err)
		case tc.want != nil && (err != nil || *got != *tc.want):
			t.Errorf("%q: %+v, %v, want %+v", tc.answer, got, err, tc.want)
		}
	}
	for _, none := range [][]string{nil, {""}, {" , "}} {
		if p, err := Answer(none); p != nil || err != nil {
			t.Errorf("%q: %v, %v, want none", none, p, err)
		}
	}
}

func TestAccept(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ offer, want string }{ // "": declined
		{Offer, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"},
		{"permessage-deflate", "permessage-deflate"},
		{"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=10"}, // browsers
		{"permessage-deflate; client_max_window_bits=9", "permessage-deflate; client_max_window_bits=9"},
		{"permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"},
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"x-other; a=b, permessage-deflate; server_max_window_bits, permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"},
		{"permessage-deflate; client_max_window_bits=16", ""},
		{"permessage-deflate; client_no_context_takeover; client_no_context_takeover", ""},
		{"permessage-deflate; unknown", ""},
		{"permessage-deflate; server_max_window_bits=\"10", ""},
		{"x-other", ""},
		{"", ""},
	} {
		got := ""
		if p := Accept([]string{tc.offer}, 10); p != nil {
			got = p.String()
		}
		if got != tc.want {
			t.Errorf("%q: %q, want %q", tc.offer, got, tc.want)
		}
	}
	if p := Accept([]string{"x-other", "permessage-deflate"}, 10); p == nil {
		t.Error("the second line of two was not seen")
	}
}

// FuzzNegotiate: what Accept answers to any offer, a client that made the offer can read.
func FuzzNegotiate(f *testing.F) {
	for _, offer := range []string{Offer, "permessage-deflate; client_max_window_bits=\"1\\0\", x;y=z", ";=\"\\", ",,"} {
		f.Add(offer)
	}
	f.Fuzz(func(t *testing.T, offer string) {
		Answer([]string{offer})
		p := Accept([]string{offer}, WindowBits)
		if p == nil {
			return
		}
		if !strings.Contains(offer, extensionName) {
			t.Fatalf("accepted %q", offer)
		}
		if back, err := Answer([]string{p.String()}); err != nil || *back != *p {
			t.Errorf("%q: %q, read as %+v, %v", offer, p, back, err)
		}
	})
}
