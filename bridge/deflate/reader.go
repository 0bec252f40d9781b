package deflate

import (
	"bufio"
	"compress/flate"
	"errors"
	"io"
	"sync"
	"time"

	"gpsbridge/bridge/problem"
)

// Problems of what the other end sends, which a Reader returns.
const (
	BadData problem.Code = "compressed-data"     // what came cannot be inflated
	TooMuch problem.Code = "compressed-too-much" // what came would inflate to more than is allowed
)

const (
	// chunkSize is how much of a message goes into one frame, in bytes: messages of some hundred go into one each.
	chunkSize = 1 << 10
	// inputSize is how much is read at a time, in bytes.
	inputSize = 2 << 10
	// ratio, perSecond and allowance bound what is inflated, in bytes: ratio times what came compressed, perSecond beyond that, and at
	// most allowance of it at a time. Deflate reaches 1032. A fix that repeats the one before but for its time and number, as a server
	// sends them back after an outage as fast as it can, reaches 17, and 31 if it repeats all of it. What repeats more than that, as
	// texts of some kB with the same content do, comes each second and not as fast as it can. And a single message may be as long
	// as the longest that the uplink looks at, whatever it holds. So the other end has this machine inflate 32 times what the link
	// carries at most, where it could be a thousand times.
	ratio     = 32
	perSecond = 256 << 10
	allowance = 1 << 20
	// restart is what it costs to begin to inflate again within a message, in inflated bytes, window aside.
	restart = 1 << 10
	// maxQueued bounds the control frames that come in the middle of a message, in bytes: a few are usual.
	maxQueued = 4 << 10
)

// Reader inflates the frames that an end of a connection receives. What it returns is frames without compression: a
// message that came compressed in one frame or more, of at most 1 KiB each, and all others as they came, those that break the protocol
// included. A control frame in the middle of a compressed message comes out before the part of it that is inflated next. It needs some kB, the window of the other end, and 44 kB while it inflates.
//
// An error of the connection comes out after everything that was read before it. An error of Reader's own is a problem, after which the
// connection must be closed.
type Reader struct {
	// Set once.
	src    *bufio.Reader
	masked bool // what comes is
	keep   bool // the window, from message to message

	out        []byte // frames to be returned
	err        error  // after them
	pass       uint64 // bytes that follow as they are
	fragmented bool   // a message that is not compressed is not complete yet

	// Of a compressed message.
	inflater io.ReadCloser // nil: there is none
	window   window
	opcode   byte   // of the next frame that is returned of it
	frame    frame  // that is read
	left     uint64 // bytes of it
	at       int    // position in its payload, modulo 4
	tail     []byte // what is still to be read after the last frame
	invalid  bool   // a frame came that cannot be there
	failed   error  // of the connection
	queued   []byte // control frames that came meanwhile
	buf      [maxHeader + chunkSize]byte
	filled   int       // bytes of the chunk
	budget   int       // inflated bytes that are allowed now
	since    time.Time // when that was filled up
}

// NewReader returns a Reader of what an end of a connection with p receives from src.
func NewReader(src io.Reader, role Role, p Params) *Reader {
	return newReader(bufio.NewReaderSize(src, inputSize), role, p)
}

func newReader(src *bufio.Reader, role Role, p Params) *Reader {
	r := &Reader{src: src, masked: role == Server, budget: allowance, since: time.Now()}
	bits, noTakeover := p.ServerBits, p.ServerNoTakeover
	if role == Server {
		bits, noTakeover = p.ClientBits, p.ClientNoTakeover
	}
	if bits == 0 {
		bits = maxBits
	}
	if r.keep = !noTakeover; r.keep {
		r.window = newWindow(bits)
	}
	return r
}

// Read returns frames, or parts of them.
func (r *Reader) Read(p []byte) (n int, err error) {
	for len(p) > 0 {
		switch {
		case len(r.out) > 0:
			n = copy(p, r.out)
			r.out = r.out[n:]
			return n, nil
		case r.err != nil:
			return 0, r.err
		case r.pass > 0:
			n, r.err = r.src.Read(p[:min(uint64(len(p)), r.pass)])
			r.pass -= uint64(n)
			return n, r.err
		case r.inflater != nil:
			r.inflate()
		default:
			r.next()
		}
	}
	return 0, nil
}

// next reads the header of a frame. What is not the beginning of a compressed message goes on as it is.
func (r *Reader) next() {
	f, raw, err := peekFrame(r.src)
	if err != nil {
		r.out, r.err = append(r.buf[:0], raw...), err
		return
	}
	data := f.opcode() == text || f.opcode() == binaryData
	if data && f.reserved() == compressedBit && f.masked == r.masked && !r.fragmented {
		r.src.Discard(f.size)
		r.begin(f)
		return
	}
	r.out = append(r.buf[:0], raw...)
	r.src.Discard(f.size)
	r.pass = f.length
	if data || f.opcode() == continuation {
		r.fragmented = !f.fin()
	}
}

// inflaters are shared by all connections: each needs one for as long as a message takes.
var inflaters = sync.Pool{New: func() any { return flate.NewReader(nothing{}) }}

// nothing is a source without content.
type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, io.EOF }

// begin begins a compressed message.
func (r *Reader) begin(f frame) {
	r.inflater = inflaters.Get().(io.ReadCloser)
	r.reset()
	now := time.Now()
	r.budget = min(allowance, r.budget+int(min(now.Sub(r.since), time.Minute).Seconds()*perSecond))
	r.since = now
	r.opcode, r.filled, r.tail, r.queued = f.opcode(), 0, endTail, r.queued[:0]
	r.enter(f)
}

// reset begins to inflate, after what the window holds.
func (r *Reader) reset() {
	r.inflater.(flate.Resetter).Reset((*payload)(r), r.window.data) // it does not fail
}

// end ends a compressed message, or what there is of it.
func (r *Reader) end() {
	r.inflater.(flate.Resetter).Reset(nothing{}, nil)
	inflaters.Put(r.inflater)
	r.inflater = nil
}

// enter begins a frame of the message.
func (r *Reader) enter(f frame) { r.frame, r.left, r.at = f, f.length, 0 }

// complete reports whether the last frame of the message was read.
func (r *Reader) complete() bool { return r.left == 0 && r.frame.fin() }

// inflate goes on until there is something to be returned. Where the message may take long to go on, that is what there is.
func (r *Reader) inflate() {
	for {
		n, err := r.inflater.Read(r.buf[maxHeader+r.filled:])
		r.window.add(r.buf[maxHeader+r.filled:][:n])
		r.filled += n
		r.budget = min(r.budget, allowance) - n
		switch {
		case r.invalid: // what comes next is for gorilla to report
			r.end()
			r.emit(false)
			r.fragmented = true
			return
		case err == io.EOF && r.complete():
			r.end()
			r.emit(true)
			return
		case err == io.EOF: // a block that is marked as the last one may come before the end (RFC 7692, 7.2.3.5)
			r.budget -= restart + len(r.window.data)
			r.reset()
		case err != nil:
			r.end()
			r.out, r.err = r.queued, r.explain(err)
			return
		}
		switch {
		case r.budget < 0:
			r.end()
			r.out, r.err = r.queued, &problem.Problem{Code: TooMuch, Cause: "a compressed message grows to more than any but a hostile one does"}
			return
		case r.filled == chunkSize, r.filled > 0 && !r.frame.fin():
			r.emit(false)
			return
		}
	}
}

// emit puts the chunk into a frame, after the control frames that came before.
func (r *Reader) emit(fin bool) {
	first := r.opcode
	if fin {
		first |= finBit
	}
	var key []byte
	if r.masked {
		key = make([]byte, 4) // with it the payload stays as it is
	}
	var header [maxHeader]byte
	h := appendHeader(header[:0], first, r.filled, key)
	r.out = r.buf[maxHeader-len(h) : maxHeader+r.filled]
	copy(r.out, h)
	if len(r.queued) > 0 {
		r.out = append(r.queued, r.out...)
		r.queued = nil
	}
	r.opcode, r.filled = continuation, 0
}

// explain is the error of the connection, or a problem with what came.
func (r *Reader) explain(err error) error {
	if r.failed != nil {
		return r.failed
	}
	return &problem.Problem{Code: BadData, Cause: "a compressed message cannot be inflated: the other end or something in between is at fault (" + err.Error() + ")", Err: err}
}

// endTail is what the payload of a message lacks: the end of what was flushed (RFC 7692, 7.2.2), and a last block without content,
// with which the inflater ends.
var endTail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// payload is a Reader as the source of its inflater: the payload of the message, without the borders and masks of its frames.
type payload Reader

var (
	errInvalid = errors.New("frame that cannot be in the middle of a message")
	errQueued  = errors.New("too many control frames in the middle of a message")
)

func (p *payload) ReadByte() (byte, error) {
	r := (*Reader)(p)
	for r.left == 0 {
		if r.frame.fin() {
			if len(r.tail) == 0 {
				return 0, io.EOF
			}
			b := r.tail[0]
			r.tail = r.tail[1:]
			return b, nil
		}
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	b, err := r.src.ReadByte()
	if err != nil {
		r.failed = unexpected(err)
		return 0, r.failed
	}
	b ^= r.frame.key[r.at&3]
	r.at++
	r.left--
	r.budget += ratio
	return b, nil
}

// Read is there for [io.Reader]: the inflater reads single bytes.
func (p *payload) Read(b []byte) (n int, err error) {
	if len(b) == 0 {
		return 0, nil
	}
	if b[0], err = p.ReadByte(); err != nil {
		return 0, err
	}
	return 1, nil
}

// advance goes on to the next frame of the message.
func (r *Reader) advance() error {
	for {
		f, _, err := peekFrame(r.src)
		switch {
		case err != nil:
			r.failed = unexpected(err)
			return r.failed
		case f.opcode() == continuation && f.reserved() == 0 && f.masked == r.masked:
			r.src.Discard(f.size)
			r.enter(f)
			return nil
		case f.opcode()&controlBit == 0 || f.length > maxControl:
			r.invalid = true
			return errInvalid
		case len(r.queued) > maxQueued:
			return errQueued
		}
		raw, err := r.src.Peek(f.size + int(f.length))
		if err != nil {
			r.failed = unexpected(err)
			return r.failed
		}
		r.queued = append(r.queued, raw...)
		r.src.Discard(len(raw))
	}
}

// unexpected is the end of the connection in the middle of a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
