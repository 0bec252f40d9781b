package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// kind is the kind of a record in a log.
type kind uint8

const (
	kindData  kind = 1 + iota // what was appended
	kindAck                   // one position, acknowledged by the reader that the payload names
	kindState                 // everything else that is to survive, see state
	kindSeal                  // the summary at the end of a segment that takes no more records
)

// recordHeader is what a record occupies beside its payload.
const recordHeader = 24

// record is an entry of a log. The meaning of pos and payload depends on the kind.
type record struct {
	kind kind
	pos  uint64
	at   int64  // Unix time in milliseconds by the system clock, which may have been wrong
	data []byte // in a decoded record a part of the buffer that it was decoded from
}

func (r record) size() int { return recordHeader + len(r.data) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// appendRecord appends the encoded record; doc.go draws it.
func appendRecord(dst []byte, r record) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(r.kind)<<24|uint32(len(r.data)))
	dst = binary.LittleEndian.AppendUint64(dst, r.pos)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(r.at))
	dst = append(dst, r.data...)
	binary.LittleEndian.PutUint32(dst[start:], crc32.Checksum(dst[start+4:], castagnoli))
	return dst
}

// parseRecord decodes the record at the beginning of b. It is not ok when there is none, whole and undamaged.
func parseRecord(b []byte) (r record, ok bool) {
	if len(b) < recordHeader {
		return r, false
	}
	v := binary.LittleEndian.Uint32(b[4:])
	r.kind = kind(v >> 24)
	size := recordHeader + int(v&0xffffff)
	if r.kind < kindData || r.kind > kindSeal || size > len(b) {
		return r, false
	}
	if crc32.Checksum(b[4:size], castagnoli) != binary.LittleEndian.Uint32(b) {
		return r, false
	}
	r.pos = binary.LittleEndian.Uint64(b[8:])
	r.at = int64(binary.LittleEndian.Uint64(b[16:]))
	r.data = b[recordHeader:size]
	return r, true
}

// scan gives every undamaged record of b with its offset. What does not decode is skipped byte by byte: it returns
// the number of such places, zeros before the seal and at the end left out, and the end of the last record.
func scan(b []byte, each func(off int, r record)) (end, damaged int) {
	for off := 0; off < len(b); {
		r, ok := parseRecord(b[off:])
		if !ok {
			skipped := off
			for off++; off < len(b); off++ {
				if off+7 < len(b) && b[off+7] == 0 { // not a kind: mostly these are the zeros of free space
					continue
				}
				if r, ok = parseRecord(b[off:]); ok {
					break
				}
			}
			if free := !ok || r.kind == kindSeal; !free || !allZero(b[skipped:off]) {
				damaged++
			}
			if !ok {
				break
			}
		}
		each(off, r)
		off += r.size()
		if r.kind != kindSeal {
			end = off
		}
	}
	return end, damaged
}

// allZero compares with itself one further: that is done by words.
func allZero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
