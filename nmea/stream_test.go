package nmea

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// sentence returns a sentence with its checksum and line end.
func sentence(text string) string {
	var sum byte
	for i := range len(text) {
		sum ^= text[i]
	}
	return fmt.Sprintf("$%s*%02X\r\n", text, sum)
}

// stream is what a made-up receiver sends. Its zero value drives north-east from
// 51.5 N 0.1 W on 23 November 2026.
type stream struct {
	bytes.Buffer
	void bool   // no fix
	date string // ddmmyy, 231126 when empty
}

// say adds sentences.
func (s *stream) say(texts ...string) {
	for _, t := range texts {
		s.WriteString(sentence(t))
	}
}

// clock returns a time of day in seconds as receivers write it.
func clock(sec float64) string {
	ms := int(math.Round(sec * 1000))
	h, m, s := ms/3600000, ms/60000%60, ms/1000%60
	if h == 24 { // the leap second
		h, m, s = 23, 59, 60
	}
	return fmt.Sprintf("%02d%02d%02d.%03d", h, m, s, ms%1000)
}

// latitude returns where the receiver is at a time of day, in minutes over 51 degrees.
func latitude(sec float64) float64 { return 30 + math.Mod(sec, 3600)/1000 }

// epoch adds the sentences of one epoch, by their types, at a time of day.
func (s *stream) epoch(sec float64, kinds ...string) {
	t := clock(sec)
	pos := fmt.Sprintf("51%08.5f,N,00006.%05d,W", latitude(sec), int(math.Mod(sec, 3600)*10))
	date := s.date
	if date == "" {
		date = "231126"
	}
	fix := map[string]string{
		"RMC": "GNRMC," + t + ",A," + pos + ",019.4,084.4," + date + ",,,A",
		"GGA": "GNGGA," + t + "," + pos + ",1,09,0.8,11.2,M,46.7,M,,",
		"GLL": "GNGLL," + pos + "," + t + ",A,A",
		"GNS": "GNGNS," + t + "," + pos + ",AN,09,0.8,11.2,46.7,,",
		"GSA": "GNGSA,A,3,01,02,03,04,05,06,07,08,09,,,,1.4,0.8,1.1",
		"VTG": "GNVTG,084.4,T,,M,019.4,N,035.9,K,A",
		"GSV": "GPGSV,1,1,02,01,40,083,46,02,17,308,41",
		"ZDA": "GNZDA," + t + "," + date[:2] + "," + date[2:4] + ",20" + date[4:] + ",00,00",
		"GST": "GNGST," + t + ",1.2,,,,3.0,4.0,5.0",
		"GBS": "GNGBS," + t + ",3.0,4.0,5.0,,,,",
	}
	none := map[string]string{
		"RMC": "GNRMC," + t + ",V,,,,,,," + date + ",,,N",
		"GGA": "GNGGA," + t + ",,,,,0,00,99.9,,,,,,",
		"GLL": "GNGLL,,,,," + t + ",V,N",
		"GNS": "GNGNS," + t + ",,,,,NN,00,99.9,,,,",
		"GSA": "GNGSA,A,1,,,,,,,,,,,,,99.9,99.9,99.9",
		"VTG": "GNVTG,,T,,M,,N,,K,N",
	}
	for _, k := range kinds {
		if text, ok := none[k]; ok && s.void {
			s.say(text)
		} else {
			s.say(fix[k])
		}
	}
}

// recorder keeps what an Assembler hands out.
type recorder struct {
	fixes []Fix
	skies []Sky
	after []int // sentences pushed before each fix left
	n     int
}

func (r *recorder) Fix(f *Fix) {
	r.fixes = append(r.fixes, *f)
	r.after = append(r.after, r.n)
}

func (r *recorder) Sky(s *Sky) {
	c := *s
	c.Satellites = append([]Satellite(nil), s.Satellites...)
	r.skies = append(r.skies, c)
}

// assemble runs a stream through Scanner and Assembler to its end.
func assemble(p []byte, o Options) *recorder {
	r := &recorder{}
	a := NewAssembler(r, o)
	var s Scanner
	s.Scan(p, func(p []byte) {
		r.n++
		a.Push(p)
	})
	a.Flush()
	return r
}

// times returns the times of the fixes, "-" where there is none.
func (r *recorder) times() string {
	var t []string
	for i := range r.fixes {
		s := "-"
		if f := &r.fixes[i]; !f.Time.IsZero() {
			s = f.Time.Format("02T15:04:05.00")
			if f.LeapSecond {
				s += "(leap)"
			}
		}
		t = append(t, s)
	}
	return strings.Join(t, " ")
}

// fullFix is a fix with every member.
func fullFix() *Fix {
	return &Fix{
		Mode: Mode3D, Status: StatusGPS, Time: time.Date(2026, 11, 23, 9, 0, 1, 200e6, time.UTC),
		Lat: some(51.5033635), Lon: some(-0.1276248), AltMSL: some(11.2), AltHAE: some(57.9), GeoidSep: some(46.7),
		Speed: some(13.89), Track: some(84.4), Heading: some(83.9), Climb: some(0.1), MagVar: some(0.6),
		HDOP: some(0.8), VDOP: some(1.1), PDOP: some(1.36), Eph: some(15.2), Epv: some(25.3),
		USat: some(9), NSat: some(14),
	}
}

// TestStream guards the maker of streams: its sentences must parse.
func TestStream(t *testing.T) {
	var s stream
	s.epoch(32401.2, "RMC", "GGA", "GLL", "GNS", "GSA", "VTG", "GSV", "ZDA", "GST", "GBS")
	var a = NewAssembler(&discard{}, Options{})
	var sc Scanner
	sc.Scan(s.Bytes(), a.Push)
	for typ, n := range a.Stats().Types {
		if n.Good != 1 || n.Refused != 0 {
			t.Errorf("%s: %+v", typ, n)
		}
	}
	if n := sc.Stats().Sentences; n != 10 {
		t.Errorf("%d sentences, want 10", n)
	}
}
