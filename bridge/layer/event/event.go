package event

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync/atomic"

	"gpsbridge/bridge/problem"
)

// CodeEvent is an event in which no message was recognised.
const CodeEvent problem.Code = "event-without-message"

// What the tracking server of bridge/django and the usual tutorials call an event and its member.
const (
	DefaultType  = "gps_update"
	DefaultField = "data"
)

// typeName and channelsName are the names of members that hold no message: the type, and the channels of those to whom channels_redis.core
// addressed the event.
const (
	typeName     = "type"
	channelsName = "__asgi_channel__"
)

// Format is how an application writes a message into an event.
type Format struct {
	// Type is the event's type, and Field the member that holds the message.
	Type, Field string
	// Text is set where the member is a string with the message's JSON text in it.
	Text bool
	// JSON is set where the event is JSON (serializer_format = "json" of channels_redis 4.2.1 and later) and not msgpack.
	JSON bool
}

// Append appends to dst the event that carries a message, one JSON text in UTF-8. As msgpack it is byte for byte what channels_redis writes
// for a Django consumer that has read the message with json.loads. An error is a problem with group.CodeNotCarried.
func (f Format) Append(dst, message []byte) ([]byte, error) {
	out := append(dst, msgFixMap|2)
	out = appendText(appendText(out, typeName), f.Type)
	out = appendText(out, f.Field)
	// The message is written even where the text is what counts: that is the check that every reader of it can read it.
	at := len(out)
	out, err := appendMsgpack(out, message)
	switch {
	case err != nil:
		return dst, err
	case f.JSON:
		return f.appendJSON(out[:len(dst)], message), nil
	case f.Text:
		return appendText(out[:at], message), nil
	}
	return out, nil
}

func (f Format) appendJSON(dst, message []byte) []byte {
	dst = append(appendQuoted(append(dst, `{"type": `...), f.Type), ", "...)
	dst = append(appendQuoted(dst, f.Field), ": "...)
	if f.Text {
		dst = appendQuoted(dst, message)
	} else {
		dst = append(dst, message...)
	}
	return append(dst, '}')
}

// Address appends to dst an event that Append wrote, addressed to members by the names of their channels, as channels_redis.core
// does it for each queue.
func Address(dst, event []byte, channels []string) []byte {
	if event[0] == '{' {
		dst = append(append(dst, event[:len(event)-1]...), `, "`+channelsName+`": [`...)
		for i, name := range channels {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendQuoted(dst, name)
		}
		return append(dst, "]}"...)
	}
	dst = append(append(dst, event[0]+1), event[1:]...)
	dst = appendHeader(appendText(dst, channelsName), len(channels), arrayCodes)
	for _, name := range channels {
		dst = appendText(dst, name)
	}
	return dst
}

// Application is what is known of the application's events. What is not configured is learnt from the first event with a
// message that is written in another way than by default: an event of the default format may come from a node that has not learnt
// yet. It may be used by several goroutines.
type Application struct {
	typ, field string // as configured
	learnt     func(Format)
	known      atomic.Pointer[known]
}

// known is a format; learnt is set once it is not the default.
type known struct {
	Format
	learnt bool
}

// NewApplication returns an Application with the type and the member of its events as configured, "" for what is to be learnt. learnt is
// called once, with what was.
func NewApplication(typ, field string, learnt func(Format)) *Application {
	a := &Application{typ: typ, field: field, learnt: learnt}
	a.known.Store(&known{Format: a.initial()})
	return a
}

func (a *Application) initial() Format {
	f := Format{Type: a.typ, Field: a.field}
	if f.Type == "" {
		f.Type = DefaultType
	}
	if f.Field == "" {
		f.Field = DefaultField
	}
	return f
}

// Format returns how the application writes its events, as far as is known.
func (a *Application) Format() Format { return a.known.Load().Format }

// Open appends to dst the message of an event, as JSON, and returns the names of the channels that the event is addressed to, which lie in data
// or memory of their own. An error is a problem with CodeEvent: the event belongs to another type, or it is none.
func (a *Application) Open(dst, data []byte) (message []byte, channels [][]byte, err error) {
	asJSON := len(data) > 0 && data[0] == '{' // in msgpack that is the number 123
	if asJSON {
		if data, err = appendMsgpack(nil, data); err != nil {
			return dst, nil, noEvent("it is not JSON", "look what else writes to the group")
		}
	}
	e, ok := readEvent(data)
	if !ok {
		return dst, nil, noEvent("it is not msgpack", "write the symmetric_encryption_keys of CHANNEL_LAYERS if it has some, and no random_prefix_length there")
	}
	field, value := a.find(e)
	if value == nil {
		return dst, nil, noEvent("its type is "+string(appendQuoted(nil, e.typ[:min(len(e.typ), 80)])),
			"set event and field, if this type carries fixes; otherwise it is left out")
	}
	text, isText := jsonText(value)
	a.learn(Format{Type: string(e.typ), Field: field, Text: isText, JSON: asJSON})
	if isText {
		return append(dst, text...), e.channels, nil
	}
	if message, ok = appendJSON(dst, value); !ok {
		return dst, nil, noEvent("its message has values that JSON cannot express", "send what json.dumps writes with allow_nan=False")
	}
	return message, e.channels, nil
}

func noEvent(why, fix string) error {
	return &problem.Problem{Code: CodeEvent, Cause: "an event has no message that a viewer could read: " + why, Fix: fix}
}

// find returns the member of an event that holds its message, by the format that is known, or, as long as one may be learnt, the only
// member that is an object. value is nil where there is none.
func (a *Application) find(e event) (field string, value []byte) {
	known := a.known.Load()
	for _, f := range [2]Format{known.Format, a.initial()} { // nodes that have not learnt yet write the initial one
		if string(e.typ) != f.Type {
			continue
		}
		for _, m := range e.members {
			if string(m.name) == f.Field {
				return f.Field, m.value
			}
		}
	}
	if known.learnt || len(e.typ) == 0 || a.typ != "" && string(e.typ) != a.typ {
		return "", nil
	}
	for _, m := range e.members {
		if !isObject(m.value) || a.field != "" && string(m.name) != a.field {
			continue
		}
		if value != nil {
			return "", nil
		}
		field, value = string(m.name), m.value
	}
	return field, value
}

func (a *Application) learn(f Format) {
	if k := a.known.Load(); !k.learnt && k.Format != f && a.known.CompareAndSwap(k, &known{Format: f, learnt: true}) {
		a.learnt(f)
	}
}

// event is one event: its type, the channels that it is addressed to and its other members.
type event struct {
	typ      []byte
	channels [][]byte
	members  []named
}

type named struct{ name, value []byte }

func readEvent(data []byte) (e event, ok bool) {
	t, at, ok := readToken(data, 0)
	if !ok || t.kind != aMap {
		return e, false
	}
	for range t.n {
		name, start, ok := readText(data, at)
		if !ok {
			return e, false
		}
		if at, ok = skipValue(data, start); !ok {
			return e, false
		}
		switch value := data[start:at]; string(name) {
		case typeName:
			e.typ, _, _ = readText(value, 0)
		case channelsName:
			e.channels = readNames(value)
		default:
			e.members = append(e.members, named{name, value})
		}
	}
	return e, at == len(data)
}

// readNames reads a list of names, or one.
func readNames(value []byte) (names [][]byte) {
	n, at := 1, 0
	if t, after, ok := readToken(value, 0); ok && t.kind == anArray {
		n, at = t.n, after
	}
	names = make([][]byte, 0, n)
	for range n {
		name, after, ok := readText(value, at)
		if !ok {
			return nil
		}
		names, at = append(names, name), after
	}
	return slices.Clip(names)
}

// jsonText returns the string that a value is, where it is the JSON text of an object or an array.
func jsonText(value []byte) ([]byte, bool) {
	text, _, ok := readText(value, 0)
	if !ok {
		return nil, false
	}
	start := bytes.TrimLeft(text, " \t\r\n")
	return text, len(start) > 0 && (start[0] == '{' || start[0] == '[') && json.Valid(text)
}

// isObject reports whether a value is an object, or a string with the JSON text of one.
func isObject(value []byte) bool {
	if t, _, _ := readToken(value, 0); t.kind == aMap {
		return true
	}
	text, ok := jsonText(value)
	return ok && bytes.TrimLeft(text, " \t\r\n")[0] == '{'
}
