package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// The frames of RFC 6455, section 5.2, as far as viewers meet them here: whole messages, one frame each.
const (
	textFrame  = 0x81 // final, opcode 1
	closeFrame = 0x88
	pingFrame  = 0x89
	pongFrame  = 0x8a
	masked     = 0x80 // in the second byte: what clients send
)

// appendFrame appends a frame as servers send it. With mask set it is one of a client, masked with zeros: the bytes stay
// what they are, and nobody pays for that here.
func appendFrame(b []byte, first byte, mask bool, payload []byte) []byte {
	var bit byte
	if mask {
		bit = masked
	}
	switch n := len(payload); {
	case n < 126:
		b = append(b, first, bit|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, first, bit|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, first, bit|127), uint64(n))
	}
	if mask {
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, payload...)
}

// maxFrame bounds what a frame of a server may hold here: a fix has 400 bytes, and 64 KiB would be a stream that went
// wrong.
const maxFrame = 64 << 10

var errFrame = errors.New("a frame that no server should send here")

// cutFrame takes the first frame off a server's bytes. It returns a first byte of 0 where it is not all there yet.
func cutFrame(data []byte) (first byte, payload, rest []byte, err error) {
	if len(data) < 2 {
		return 0, nil, data, nil
	}
	head, size := 2, int(data[1])
	switch {
	case size == 126:
		if head = 4; len(data) < head {
			return 0, nil, data, nil
		}
		size = int(binary.BigEndian.Uint16(data[2:]))
	case size > 126: // 64 bits of length, or masked
		return 0, nil, data, fmt.Errorf("%w: length byte %#x", errFrame, data[1])
	}
	if len(data) < head+size {
		return 0, nil, data, nil
	}
	return data[0], data[head : head+size], data[head+size:], nil
}

// stream takes frames out of what one connection brings.
type stream struct {
	rest []byte // of a frame that is not complete
}

// feed calls each for every frame that data completes. Payloads are valid during the call only.
func (s *stream) feed(data []byte, each func(first byte, payload []byte)) error {
	whole := len(s.rest) == 0
	if !whole {
		s.rest = append(s.rest, data...)
		data = s.rest
	}
	for {
		first, payload, rest, err := cutFrame(data)
		if err != nil {
			return err
		}
		if first == 0 {
			break
		}
		each(first, payload)
		data = rest
	}
	if !whole || len(data) > 0 {
		s.rest = append(s.rest[:0], data...)
	}
	return nil
}

// handshakeTimeout is how long a server may take to let a viewer in: Daphne with a thousand others to serve takes seconds.
const handshakeTimeout = 30 * time.Second

// join connects to a tracking group as a viewer and returns what the server has sent behind its answer. The key is not
// secret and the answer to it is not checked: this is a client of servers that were started for it.
func join(d net.Dialer, addr, path string) (net.Conn, []byte, error) {
	d.Timeout = handshakeTimeout
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, nil, err
	}
	behind, err := upgrade(conn, addr, path)
	if err != nil {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("join %s%s: %w", addr, path, err)
	}
	return conn, behind, nil
}

func upgrade(conn net.Conn, addr, path string) (behind []byte, err error) {
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: bm90IGEgc2VjcmV0IGtleQ==\r\n\r\n", path, addr); err != nil {
		return nil, err
	}
	answer := make([]byte, 0, 4<<10)
	for {
		n, err := conn.Read(answer[len(answer):cap(answer)])
		answer = answer[:len(answer)+n]
		if head, behind, whole := bytes.Cut(answer, []byte("\r\n\r\n")); whole {
			if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
				line, _, _ := bytes.Cut(head, []byte("\r\n"))
				return nil, fmt.Errorf("the server says %q", line)
			}
			return behind, conn.SetDeadline(time.Time{})
		}
		switch {
		case err == io.EOF:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case len(answer) == cap(answer):
			return nil, errors.New("the server's answer has no end")
		}
	}
}
