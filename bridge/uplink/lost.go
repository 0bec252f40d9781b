package uplink

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// The close codes with which applications refuse a client after having accepted
// the connection: 1008 (RFC 6455, "policy violation") and the private codes
// that are customary for HTTP's 401 and 403.
const (
	closeUnauthorized = 4401
	closeForbidden    = 4403
)

// brokenOff is an end of the connection that a record may have caused. A
// deafness may have been, too: Daphne with Redis was seen to get stuck while it
// ended the application that had failed, with the connection left open. So may
// an ordinary close frame, because that is how applications close what they do
// not like: with 1000 (Django Channels, unless told otherwise), with none (1005),
// with 1008 or with a code of their own.
type brokenOff struct {
	text string
	mute bool // no close frame said that something was wrong
}

func (e *brokenOff) Error() string { return e.text }

// errEnded is also what Uvicorn does when an application fails on a record.
var errEnded = &brokenOff{text: "connection ended without a close frame: server stopped or restarted", mute: true}

// pingTimeout is how Uvicorn words a 1011 that says nothing about records.
const pingTimeout = "keepalive ping timeout"

// explainLoss turns the error of a read into a reason that names the cause.
func (s *session) explainLoss(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return deadLink(time.Since(s.heard))
	}
	return ExplainLoss(err)
}

// ExplainLoss turns the error of a read from a connection that [Dial] has opened into one line that names the cause. A
// server that closed it because it does not want this client is a *Refusal.
func ExplainLoss(err error) error {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed):
		return explainClose(closed)
	case errors.Is(err, syscall.ECONNRESET):
		return &brokenOff{text: "connection reset by the server or a box between", mute: true}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errEnded
	}
	return fmt.Errorf("read from the server: %w", plain(err))
}

func deadLink(silent time.Duration) error {
	return fmt.Errorf("nothing heard from the server for %s, pings unanswered: the link is dead", silent.Round(time.Millisecond))
}

// plain is an error of the network without the addresses of both ends: they
// are in the log already, and the port of this end makes each one different.
func plain(err error) error {
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err
	}
	return err
}

// checkWho is the mend where a server does not want this client.
const checkWho = "check token_file, device_id and the server's log"

// explainClose names the cause of a close frame.
func explainClose(c *websocket.CloseError) error {
	said := fmt.Sprintf("server closed with code %d", c.Code)
	if text := oneLine(strings.TrimSpace(c.Text)); text != "" && c.Code != websocket.CloseAbnormalClosure {
		said += fmt.Sprintf(" (%s)", text)
	}
	switch c.Code {
	case closeUnauthorized, closeForbidden:
		return &Refusal{Kind: Forbidden, Text: said + ": token or device ID not accepted; " + checkWho, Err: c}
	case websocket.ClosePolicyViolation:
		return &Refusal{Kind: Forbidden, Text: said + ": token, device ID or a record not accepted; " + checkWho, Err: &brokenOff{text: said}}
	case websocket.CloseAbnormalClosure:
		return errEnded
	case websocket.CloseNormalClosure:
		return &brokenOff{text: said + ": it is stopping or restarting, limits the age of connections, or does not take a record; see the server's log", mute: true}
	case websocket.CloseGoingAway, websocket.CloseServiceRestart:
		return fmt.Errorf("%s: it is stopping, restarting or limits the age of connections", said)
	case websocket.CloseMessageTooBig:
		return &brokenOff{text: said + ": a record is longer than the server takes"}
	case websocket.CloseInternalServerErr:
		said += ": its application failed, its channel layer (Redis) is down, or its ping went unanswered; see the server's log"
		if strings.Contains(c.Text, pingTimeout) {
			return errors.New(said)
		}
		return &brokenOff{text: said}
	case websocket.CloseProtocolError, websocket.CloseUnsupportedData, websocket.CloseInvalidFramePayloadData:
		return &brokenOff{text: said + ": it does not take a record"}
	case websocket.CloseTryAgainLater:
		return fmt.Errorf("%s: it is overloaded", said)
	}
	return &brokenOff{text: said + "; see the server's log", mute: true}
}
