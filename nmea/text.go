package nmea

import "strings"

// parseTXT keeps the text of the sentence: parts, part, severity, text. ST's
// Teseo sends the text alone, on which the library panics.
func parseTXT(r *reading) {
	if len(r.Fields) < 4 {
		r.text = r.field(0)
		return
	}
	r.text = r.field(3)
}

// maxText bounds what is kept of a receiver's text.
const maxText = 80

// note keeps what a receiver's text says about its antenna and its firmware:
// u-blox sends ANTSTATUS=OK and FWVER=SPG 4.04, MediaTek and CASIC ANTENNA OK.
func (st *AssemblerStats) note(text string) {
	text = clean(text)
	upper := strings.ToUpper(text)
	switch {
	case strings.HasPrefix(upper, "ANTSTATUS="):
		st.Antenna = upper[len("ANTSTATUS="):]
	case strings.HasPrefix(upper, "ANTENNA "):
		st.Antenna = upper[len("ANTENNA "):]
	case strings.HasPrefix(upper, "FWVER="):
		st.Firmware = text[len("FWVER="):]
	}
}

// clean returns the printable part of a text, and not too much of it.
func clean(text string) string {
	text = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, text)
	return strings.TrimSpace(text[:min(len(text), maxText)])
}
