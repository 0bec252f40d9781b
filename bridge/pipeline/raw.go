package pipeline

import (
	"strconv"
	"unicode/utf8"
)

// Hub is the part of the relay that raw bytes need.
type Hub interface {
	Wants(device, class string) bool // any viewer of a device asks for messages of a class
	Publish(device, class string, msg []byte)
}

// RawViewers shows bytes as they came to the viewers that ask for them (?nmea=1), and costs next to nothing while there is
// none. A chunk is one message, cut wherever the reading was; a byte that is no UTF-8 becomes the replacement character.
func RawViewers(hub Hub, deviceID, source string) func(p []byte) {
	head := `{"class":"NMEA","device_id":` + strconv.Quote(deviceID) + `,"receiver":` + jsonString(source) + `,"data":`
	return func(p []byte) {
		if !hub.Wants(deviceID, "NMEA") {
			return
		}
		b := append(make([]byte, 0, len(head)+len(p)+64), head...)
		hub.Publish(deviceID, "NMEA", append(appendJSON(b, p), '}'))
	}
}

func jsonString(s string) string { return string(appendJSON(nil, []byte(s))) }

// appendJSON appends bytes as a JSON string (RFC 8259, section 7), whatever they are.
func appendJSON(dst, p []byte) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for len(p) > 0 {
		c, size := utf8.DecodeRune(p)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', byte(c))
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = utf8.AppendRune(dst, c)
		}
		p = p[size:]
	}
	return append(dst, '"')
}
