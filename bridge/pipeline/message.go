package pipeline

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"

	"gpsbridge/nmea"
)

// Messages makes the JSON messages of one run of the daemon: what the receiver stated, with its origin. It is not safe
// for use by several goroutines.
type Messages struct {
	Run     string
	Seq     uint64 // of the last fix
	fixHead string // up to the first member
	tpvHead string // of a fix without run and seq, up to the first member
	skyHead string // up to the first member
	scratch []byte
}

// NewMessages starts a run: its ID is random, so that (device_id, run, seq) identifies a message for good and no other
// member of the group can guess the next.
func NewMessages(deviceID string) *Messages {
	var id [8]byte
	rand.Read(id[:]) // never fails
	run := hex.EncodeToString(id[:])
	return &Messages{
		Run:     run,
		fixHead: fmt.Sprintf(`{"class":"TPV","device_id":%q,"run":%q,`, deviceID, run),
		tpvHead: fmt.Sprintf(`{"class":"TPV","device_id":%q,`, deviceID),
		skyHead: fmt.Sprintf(`{"class":"SKY","device_id":%q,`, deviceID),
	}
}

// Fix returns the message of the next fix. Its one allocation is the message itself, which the spool, the uplinks and
// the relay share from here on.
func (m *Messages) Fix(f *nmea.Fix) []byte {
	m.Seq++
	return m.fix(f, 0)
}

// fix returns the message of the fix that Fix was called with last, with the members of a set. The number that always changes is at
// the end, where it divides nothing that a compressor finds in the message before: that saves 1.5 bytes of 27.
func (m *Messages) fix(f *nmea.Fix, set nmea.Members) []byte {
	b := f.AppendMembers(append(m.scratch[:0], m.fixHead...), set)
	b = append(b, `,"seq":`...)
	return m.finish(strconv.AppendUint(b, m.Seq, 10))
}

// unreported returns the message of a fix that only viewers in the vehicle get: it has no place in the run.
func (m *Messages) unreported(f *nmea.Fix) []byte {
	return m.finish(f.AppendMembers(append(m.scratch[:0], m.tpvHead...), 0))
}

// sky returns the message of the satellites in view. It has no seq: no echo of it is recognised.
func (m *Messages) sky(s *nmea.Sky) []byte {
	return m.finish(s.AppendMembers(append(m.scratch[:0], m.skyHead...)))
}

func (m *Messages) finish(b []byte) []byte {
	m.scratch = append(b, '}')
	return slices.Clone(m.scratch)
}

// Late marks a message that is sent late, after newer ones could have gone first. It stays the same message: run and seq are
// unchanged.
func Late(msg []byte) []byte {
	end := bytes.LastIndexByte(msg, '}')
	if end < 0 {
		return msg
	}
	return append(slices.Clip(msg[:end]), `,"backlog":true}`...)
}
