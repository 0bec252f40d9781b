package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/deflate/deflatetest"
	"gpsbridge/bridge/group"
)

// habits are how the application of a server is written.
type habits struct {
	form  form          // of an echo
	which which         // messages are echoed
	delay time.Duration // of the echo, in order
	twice bool          // each echo is sent two times
	acks  acks          // in place of echoes, where the device asks

	durable time.Duration // it stores fixes, and may lose those of so long: then it asks for them again; 0: it asks for nothing

	inflates bool          // it accepts compression
	each     time.Duration // that a message takes to be processed

	refusesMark refusal // of a message with the member backlog
	poison      int     // the application fails on each fix whose seq is a multiple; 0: on none
	fails       refusal // how it fails
	pongBehind  bool    // pings are answered in order with messages, and few messages are read ahead; else at once, and any number
}

// form is how an echo is written.
type form int

const (
	formSame form = iota
	formSpaced
	formData    // {"type":"fix","data":{...}}
	formMessage // {"message":{...}}
	formText    // {"message":"{...}"}
	formList    // [{...}]
	formBatch   // [{...},...] each batchWait
	formFloat   // "seq":12.0
	formString  // "seq":"12"
	forms
)

// batchWait is for how long a server collects echoes that it sends in one frame.
const batchWait = time.Second

func (f form) String() string {
	return [...]string{"as it came", "with spaces", "in data", "in message", "as text in message", "in a list", "in batches", "with seq as float", "with seq as string"}[f]
}

// which messages are echoed to their sender.
type which int

const (
	whichAll      which = iota
	whichThrottle       // one a second at the most
	whichNewer          // only what is newer than all before
	whichLive           // only what is not marked
	whichNone
	whiches
)

func (w which) String() string {
	return [...]string{"all", "at most one a second", "only those newer than all before", "only those not marked", "none"}[w]
}

// acks is what a server does with the subprotocol of short acknowledgements.
type acks int

const (
	acksNone  acks = iota // it does not know it
	acksBlind             // it accepts any, and echoes
	acksShort             // as a relay does
)

func (a acks) String() string {
	return [...]string{"", "; accepts any subprotocol", "; acknowledges in short where it is asked"}[a]
}

// As a relay does: it acknowledges the first message of a connection, one that comes twice in a row, and every fourth, and
// otherwise holds it back for a time.
const (
	ackProtocol = "gpsbridge.ack.v1"
	ackDelay    = 6 * time.Second
	ackMost     = 6
)

// refusal is how an application ends the connection on a message.
type refusal int

const (
	refusalNone      refusal = iota
	refusalException         // as Daphne does: 1011, up to a second later, and what was read after it is lost
	refusalAbort             // as Uvicorn does: the connection ends at once, without a close frame
	refusalPolicy            // close frame 1008
	refusals
)

func (r refusal) String() string {
	return [...]string{"accepts it", "exception, close 1011", "exception, connection ends", "close 1008"}[r]
}

func (h habits) String() string {
	s := fmt.Sprintf("echoes %s, %s", h.which, h.form)
	if h.delay > 0 {
		s += fmt.Sprintf(", %s late", h.delay)
	}
	s += h.acks.String()
	if h.durable > 0 {
		s += fmt.Sprintf("; stores fixes, and may ask for those of %s", h.durable)
	}
	if h.inflates {
		s += "; accepts compression"
	}
	if h.twice {
		s += ", twice"
	}
	s += fmt.Sprintf("; processes a fix in %s", h.each)
	if h.refusesMark != refusalNone {
		s += "; on a marked fix: " + h.refusesMark.String()
	}
	if h.poison > 0 {
		s += fmt.Sprintf("; on each %dth fix: %s", h.poison, h.fails)
	}
	if h.pongBehind {
		s += "; answers pings in order"
	}
	return s
}

// echoesAll reports whether a device should be able to rely on echoes alone.
func (h habits) echoesAll() bool {
	return h.which == whichAll && h.refusesMark == refusalNone && h.poison == 0
}

// server is a tracking server: WebSocket by gorilla, an application with habits, and faults that come and go.
type server struct {
	habits
	ledger *ledger
	http   *http.Server
	serve  chan struct{} // closed when http has ended
	conns  sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand
	open     map[*connection]bool
	count    int           // of connections
	stalled  chan struct{} // closed when the application goes on; nil while it does
	epoch    int           // of what is stored
	down     bool          // nothing can be stored: each connection on which a message comes is closed
	away     bool          // nothing can be stored: connections are answered 503 with Retry-After
	refuses  int           // HTTP status in place of a connection; 0: none
	breaks   int           // the connection is closed after so many messages; 0: not
	newest   map[string]int
	lastEcho time.Time
}

func newServer(h habits, n *network, l *ledger, random *rand.Rand) *server {
	s := &server{habits: h, ledger: l, random: random, serve: make(chan struct{}), open: map[*connection]bool{}, newest: map[string]int{}}
	s.http = &http.Server{Handler: s}
	go func() { defer close(s.serve); s.http.Serve(n) }()
	return s
}

func (s *server) stop() {
	s.http.Close()
	<-s.serve
	s.each(func(c *connection) { c.lose() })
	s.conns.Wait()
}

// stall has the application stand still, until goOn. Its server goes on to read and to answer pings.
func (s *server) stall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled == nil {
		s.stalled = make(chan struct{})
	}
}

func (s *server) goOn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stalled != nil {
		close(s.stalled)
		s.stalled = nil
	}
}

// crash loses what is in memory, and all connections.
func (s *server) crash() { s.each(func(c *connection) { c.lose() }) }

// closeAll ends all connections with a close frame; what was read is lost, as at a restart.
func (s *server) closeAll(code int) { s.each(func(c *connection) { c.closeWith(code) }) }

// forget is the groups losing their members: what is open stays open, and gets no echo any more.
func (s *server) forget() {
	s.each(func(c *connection) { c.setMember(false) })
}

// set changes how connections are treated.
func (s *server) set(refuses, breaks int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuses, s.breaks = refuses, breaks
}

// loseStored loses what was stored lately, and asks for it again: those that are connected now by the close frame, others by the epoch
// when they come.
func (s *server) loseStored() {
	s.mu.Lock()
	s.epoch++
	s.mu.Unlock()
	s.ledger.storeLost(s.durable)
	s.each(func(c *connection) {
		c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseServiceRestart, group.SendAgain), time.Now().Add(time.Second))
		c.lose()
	})
}

// storeDown has the store be down, or up again.
func (s *server) storeDown(down, refuses bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down, s.away = down && !refuses, down && refuses
}

func (s *server) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// each calls f for every connection, while nothing is held.
func (s *server) each(f func(*connection)) {
	s.mu.Lock()
	var all []*connection
	for c := range s.open {
		all = append(all, c)
	}
	s.mu.Unlock()
	for _, c := range all {
		f(c)
	}
}

const route = "/ws/gps-tracking/"

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	status, epoch := s.refuses, s.epoch
	if s.away {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "10")
	}
	s.mu.Unlock()
	if status != 0 {
		w.WriteHeader(status)
		return
	}
	var up websocket.Upgrader
	if s.acks != acksNone {
		up.Subprotocols = []string{ackProtocol}
	}
	var agreed *deflate.Params
	answer := http.Header{}
	if s.inflates {
		agreed = deflate.Accept(r.Header.Values(deflate.Header), deflate.WindowBits)
	}
	if agreed != nil {
		answer[deflate.Header] = []string{agreed.String()}
	}
	if s.durable > 0 {
		answer.Set(group.RetainHeader, fmt.Sprint(s.durable.Seconds()))
		answer.Set(group.EpochHeader, fmt.Sprint(epoch))
	}
	ws, err := up.Upgrade(deflatetest.Inflating{ResponseWriter: w, Agreed: agreed}, r, answer)
	if err != nil {
		return
	}
	device := strings.Trim(strings.TrimPrefix(r.URL.Path, route), "/")
	c := &connection{server: s, ws: ws, short: s.acks == acksShort && ws.Subprotocol() == ackProtocol, group: device, member: true, more: make(chan struct{}, 1), room: make(chan struct{}, 1), later: make(chan struct{}, 1), gone: make(chan struct{})}
	s.mu.Lock()
	s.count++
	c.number = s.count
	s.open[c] = true
	s.mu.Unlock()
	s.conns.Add(1)
	defer s.conns.Done()
	c.run()
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
}

// connection is one of the server's: one goroutine reads into its memory, one is the application's, one sends echoes.
type connection struct {
	server *server
	ws     *websocket.Conn
	short  bool // it gets short acknowledgements
	group  string
	number int
	more   chan struct{} // to the application
	room   chan struct{} // to the reader, where it waits for the application
	later  chan struct{} // to what sends echoes
	gone   chan struct{} // closed when the connection is over
	once   sync.Once

	mu     sync.Mutex
	member bool
	queue  []any // in memory: message, or the text of a ping to be answered in order
	echoes []echo
	held   held
}

// held is what is not acknowledged yet.
type held struct {
	last  key
	count int
	since time.Time // when the first of them was processed
}

type echo struct {
	frame []byte
	due   time.Time
}

// key is what identifies a fix permanently.
type key struct {
	Run string `json:"run"`
	Seq int    `json:"seq"`
}

// message is what the server knows of a fix.
type message struct {
	key
	Device  string `json:"device_id"`
	Backlog bool   `json:"backlog"`
	frame   []byte
}

// readAhead is how many messages a server reads that answers pings in order before it waits for its application.
const readAhead = 36

func (c *connection) run() {
	var others sync.WaitGroup
	others.Go(c.apply)
	if c.short || c.server.later() {
		others.Go(c.sendEchoes)
	}
	if c.server.pongBehind {
		c.ws.SetPingHandler(func(payload string) error { c.keep(payload); return nil })
	}
	for n := 1; ; n++ {
		_, frame, err := c.ws.ReadMessage()
		if err != nil {
			break
		}
		m := message{frame: frame}
		if err := json.Unmarshal(frame, &m); err != nil {
			c.server.ledger.finding("frame", "%q is not JSON: %v", frame, err)
			break
		}
		c.server.ledger.received(m, c.group, c.number)
		c.keep(m)
		c.server.mu.Lock()
		breaks := c.server.breaks
		c.server.mu.Unlock()
		if breaks > 0 && n >= breaks {
			<-time.After(10 * time.Millisecond) // the application has processed them
			break
		}
	}
	c.lose()
	others.Wait()
}

// keep puts a message or ping into memory. A server that answers in order waits where it is too far ahead.
func (c *connection) keep(item any) {
	for {
		c.mu.Lock()
		if !c.server.pongBehind || len(c.queue) < readAhead {
			c.queue = append(c.queue, item)
			c.mu.Unlock()
			mark(c.more)
			return
		}
		c.mu.Unlock()
		select {
		case <-c.room:
		case <-c.gone:
			return
		}
	}
}

// lose ends the connection at once, with what is in memory.
func (c *connection) lose() {
	c.once.Do(func() { close(c.gone) })
	mark(c.later)
	c.ws.Close()
}

func (c *connection) closeWith(code int) {
	c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(time.Second))
	c.lose()
}

func (c *connection) setMember(is bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.member = is
}

// over reports whether the connection has ended.
func (c *connection) over() bool {
	select {
	case <-c.gone:
		return true
	default:
		return false
	}
}

// apply is the application: it processes one message after the other.
func (c *connection) apply() {
	for {
		item, ok := c.next()
		if !ok {
			return
		}
		if !c.pause() {
			return
		}
		if payload, is := item.(string); is {
			c.ws.WriteControl(websocket.PongMessage, []byte(payload), time.Now().Add(time.Second))
			continue
		}
		m := item.(message)
		if c.server.isDown() { // it waits for the store, and is given up then
			c.pause()
			c.closeWith(websocket.CloseServiceRestart)
			return
		}
		if how := c.server.refusal(m); how != refusalNone {
			c.fail(how)
			return
		}
		c.server.ledger.saw(m.key)
		switch {
		case c.short:
			c.acknowledge(m)
		case c.isMember() && c.server.wants(m, c.group):
			c.echo(m)
		}
	}
}

// next waits for the next thing in memory.
func (c *connection) next() (item any, ok bool) {
	for {
		if c.over() {
			return nil, false
		}
		c.mu.Lock()
		if len(c.queue) > 0 {
			item, c.queue = c.queue[0], c.queue[1:]
			c.mu.Unlock()
			mark(c.room)
			return item, true
		}
		c.mu.Unlock()
		select {
		case <-c.more:
		case <-c.gone:
		}
	}
}

// pause lasts as long as processing takes, and a stall; false: the connection has ended meanwhile.
func (c *connection) pause() bool {
	if each := c.server.habits.each; each > 0 {
		<-time.After(each)
	}
	for {
		c.server.mu.Lock()
		stalled := c.server.stalled
		c.server.mu.Unlock()
		if stalled == nil {
			return !c.over()
		}
		select {
		case <-stalled:
		case <-c.gone:
			return false
		}
	}
}

func (c *connection) isMember() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.member
}

// fail ends the connection as the application's failure does.
func (c *connection) fail(how refusal) {
	switch how {
	case refusalException:
		c.server.mu.Lock()
		checked := time.Duration(c.server.random.Int64N(int64(time.Second))) // Daphne looks once a second
		c.server.mu.Unlock()
		select {
		case <-time.After(checked):
		case <-c.gone:
		}
		c.closeWith(websocket.CloseInternalServerErr)
	case refusalPolicy:
		c.closeWith(websocket.ClosePolicyViolation)
	default:
		c.lose()
	}
}

// refusal is how the application fails on a message.
func (h habits) refusal(m message) refusal {
	switch {
	case m.Backlog && h.refusesMark != refusalNone:
		return h.refusesMark
	case h.poison > 0 && m.Seq%h.poison == 0:
		return h.fails
	}
	return refusalNone
}

// wants reports whether a message is sent to the group.
func (s *server) wants(m message, group string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.newest[group+m.Run]
	s.newest[group+m.Run] = max(newest, m.Seq)
	switch s.which {
	case whichThrottle:
		if time.Since(s.lastEcho) < time.Second {
			return false
		}
		s.lastEcho = time.Now()
	case whichNewer:
		return m.Seq > newest
	case whichLive:
		return !m.Backlog
	case whichNone:
		return false
	}
	return true
}

// acknowledge enters a message to be acknowledged, now or later.
func (c *connection) acknowledge(m message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &c.held
	first, repeat := h.last == key{}, h.last == m.key
	h.last = m.key
	if h.count++; h.count == 1 {
		h.since = time.Now()
	}
	if first || repeat || h.count == ackMost {
		c.ack()
	}
	mark(c.later)
}

// ack has what is held back go out. mu is held.
func (c *connection) ack() {
	c.held.count = 0
	frame := fmt.Appendf(nil, `{"ack":{"run":%q,"seq":%d}}`, c.held.last.Run, c.held.last.Seq)
	c.echoes = append(c.echoes, echo{frame, time.Now().Add(c.server.delay)})
}

// echo sends a message to its sender, now or later.
func (c *connection) echo(m message) {
	frame := c.server.form.write(m)
	if !c.server.later() {
		c.send(frame)
		return
	}
	c.mu.Lock()
	due := time.Now().Add(c.server.delay)
	if c.server.form == formBatch {
		due = due.Add(batchWait)
		if len(c.echoes) > 0 {
			due = c.echoes[0].due
		}
	}
	c.echoes = append(c.echoes, echo{frame, due})
	c.mu.Unlock()
	mark(c.later)
}

// later reports whether echoes are sent some time after the message was processed.
func (h habits) later() bool { return h.delay > 0 || h.form == formBatch }

func (c *connection) send(frame []byte) {
	times := 1
	if c.server.twice {
		times = 2
	}
	for range times {
		c.ws.SetWriteDeadline(time.Now().Add(20 * time.Second))
		if c.ws.WriteMessage(websocket.TextMessage, frame) != nil {
			c.lose()
			return
		}
	}
}

// sendEchoes sends those that are due, until the connection has ended.
func (c *connection) sendEchoes() {
	for !c.over() {
		frames, next := c.due()
		if c.server.form == formBatch && !c.short && len(frames) > 0 {
			frames = [][]byte{append(append([]byte("["), bytes.Join(frames, []byte(","))...), ']')}
		}
		for _, frame := range frames {
			c.send(frame)
		}
		if len(frames) == 0 {
			await(c.later, next)
		}
	}
}

// due takes the echoes to be sent now, or returns when the next is.
func (c *connection) due() (frames [][]byte, next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held.count > 0 {
		next = c.held.since.Add(ackDelay)
		if !time.Now().Before(next) {
			c.ack()
		}
	}
	for len(c.echoes) > 0 {
		if time.Now().Before(c.echoes[0].due) {
			if at := c.echoes[0].due; next.IsZero() || at.Before(next) {
				next = at
			}
			return frames, next
		}
		frames = append(frames, c.echoes[0].frame)
		c.echoes = c.echoes[1:]
	}
	return frames, next
}

// write is a message as an application writes it again.
func (f form) write(m message) []byte {
	wrap := func(before, after string) []byte { return append(append([]byte(before), m.frame...), after...) }
	seq := func(as string) []byte {
		return bytes.Replace(m.frame, fmt.Appendf(nil, `"seq":%d`, m.Seq), fmt.Appendf(nil, `"seq":`+as, m.Seq), 1)
	}
	switch f {
	case formSpaced:
		return bytes.ReplaceAll(bytes.ReplaceAll(m.frame, []byte(`":`), []byte(`": `)), []byte(`,"`), []byte(`, "`))
	case formData:
		return wrap(`{"type":"fix","data":`, `}`)
	case formMessage:
		return wrap(`{"message":`, `}`)
	case formText:
		text, _ := json.Marshal(string(m.frame)) // a string always can be
		return append(append([]byte(`{"message":`), text...), '}')
	case formList:
		return wrap(`[`, `]`)
	case formFloat:
		return seq("%d.0")
	case formString:
		return seq(`"%d"`)
	}
	return m.frame
}
