package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFramesComeWholeHoweverTheyAreCut(t *testing.T) {
	long := strings.Repeat("x", 300)
	var sent []byte
	for _, payload := range []string{"", "a", long, strings.Repeat("y", 125), strings.Repeat("z", 126)} {
		sent = appendFrame(sent, textFrame, false, []byte(payload))
	}
	sent = appendFrame(sent, pingFrame, false, []byte("still there?"))
	var want []string
	var whole stream
	take := func(into *[]string) func(byte, []byte) {
		return func(first byte, payload []byte) { *into = append(*into, string(first)+string(payload)) }
	}
	if err := whole.feed(sent, take(&want)); err != nil || len(want) != 6 || want[2] != string(rune(textFrame))+long {
		t.Fatalf("%d frames, %v, want 6", len(want), err)
	}
	for size := range len(sent) {
		var got []string
		var s stream
		for at := 0; at < len(sent); at += size + 1 {
			if err := s.feed(bytes.Clone(sent[at:min(len(sent), at+size+1)]), take(&got)); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("in pieces of %d bytes (-want +got):\n%s", size+1, diff)
		}
	}
}

func TestFramesThatNoServerSends(t *testing.T) {
	for name, frame := range map[string][]byte{
		"masked": appendFrame(nil, textFrame, true, []byte("a")),
		"long":   appendFrame(nil, textFrame, false, make([]byte, 1<<16)),
	} {
		var s stream
		if err := s.feed(frame, func(byte, []byte) { t.Errorf("%s: taken", name) }); !errors.Is(err, errFrame) {
			t.Errorf("%s: error %v, want %v", name, err, errFrame)
		}
	}
}

func TestFloorReadsFrames(t *testing.T) {
	first, second := appendFrame(nil, textFrame, false, make([]byte, 300)), appendFrame(nil, textFrame, false, []byte("b"))
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(first[:3]), bytes.NewReader(first[3:]), bytes.NewReader(second)), maxFrame)
	for _, want := range [][]byte{first, second} {
		got, err := nextFrame(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, %v, want %d", len(got), err, len(want))
		}
		if _, err := r.Discard(len(got)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nextFrame(r); err != io.EOF {
		t.Errorf("error %v at the end, want EOF", err)
	}
}

func TestMessagesCarryTheirTime(t *testing.T) {
	at := time.Unix(1_764_000_000, 123_456_789)
	p := publisher{run: "5f1c09ae77b2d041"}
	msg := p.message(at)
	if n := len(msg); n < 320 || n > 380 {
		t.Errorf("a message has %d bytes, want about 330", n)
	}
	// As Python writes it anew.
	for _, form := range [][]byte{msg, bytes.ReplaceAll(msg, []byte(":"), []byte(": "))} {
		if ns, ok := sentAt(form); !ok || ns != at.UnixNano() {
			t.Errorf("%s was sent at %d, %v, want %d", form, ns, ok, at.UnixNano())
		}
	}
	for _, other := range []string{"", `{"class":"TPV"}`, `{"sent":`, `{"sent":null}`} {
		if ns, ok := sentAt([]byte(other)); ok {
			t.Errorf("%q was sent at %d, want that it does not say", other, ns)
		}
	}
}

func TestJoinSaysWhatTheServerSays(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	answers := []string{"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81\x01a", "HTTP/1.1 101"}
	go func() {
		for _, a := range answers {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = bufio.NewReader(c).ReadString('\n')
			_, _ = io.WriteString(c, a)
			_ = c.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	addr := l.Addr().String()
	if _, _, err := join(net.Dialer{}, addr, "/"); err == nil || !strings.Contains(err.Error(), "403 Forbidden") {
		t.Errorf("error %v, want the server's 403", err)
	}
	conn, behind, err := join(net.Dialer{}, addr, "/")
	if err != nil || string(behind) != "\x81\x01a" {
		t.Errorf("behind the answer came %q, %v, want a frame", behind, err)
	}
	if conn != nil {
		conn.Close()
	}
	if _, _, err := join(net.Dialer{}, addr, "/"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v, want an unexpected end", err)
	}
}
