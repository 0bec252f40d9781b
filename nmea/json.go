package nmea

import (
	"math"
	"strconv"
	"time"
)

// AppendMembers appends the members of f as JSON without the braces, so that a
// message can add its own. It is never empty: the mode is always there.
func (f *Fix) AppendMembers(dst []byte) []byte {
	dst = append(dst, `"mode":`...)
	dst = strconv.AppendUint(dst, uint64(f.Mode), 10)
	if f.Status != StatusUnknown {
		dst = append(dst, `,"status":`...)
		dst = strconv.AppendUint(dst, uint64(f.Status), 10)
	}
	dst = appendTime(dst, f.Time, f.LeapSecond)
	places := int(min(max(f.decimals, 8), 10))
	dst = appendValue(dst, `,"lat":`, f.Lat, places)
	dst = appendValue(dst, `,"lon":`, f.Lon, places)
	dst = appendValue(dst, `,"altMSL":`, f.AltMSL, 3)
	dst = appendValue(dst, `,"altHAE":`, f.AltHAE, 3)
	dst = appendValue(dst, `,"geoidSep":`, f.GeoidSep, 3)
	dst = appendValue(dst, `,"speed":`, f.Speed, 3)
	dst = appendValue(dst, `,"track":`, f.Track, 2)
	dst = appendValue(dst, `,"climb":`, f.Climb, 2)
	dst = appendValue(dst, `,"magvar":`, f.MagVar, 1)
	dst = appendValue(dst, `,"hdop":`, f.HDOP, 2)
	dst = appendValue(dst, `,"vdop":`, f.VDOP, 2)
	dst = appendValue(dst, `,"pdop":`, f.PDOP, 2)
	dst = appendValue(dst, `,"eph":`, f.Eph, 2)
	dst = appendValue(dst, `,"epv":`, f.Epv, 2)
	dst = appendValue(dst, `,"uSat":`, f.USat, 0)
	return appendValue(dst, `,"nSat":`, f.NSat, 0)
}

// AppendJSON appends f as one JSON object of gpsd's class TPV.
func (f *Fix) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"class":"TPV",`...)
	return append(f.AppendMembers(dst), '}')
}

// AppendMembers appends the members of s as JSON without the braces. It is
// never empty.
func (s *Sky) AppendMembers(dst []byte) []byte {
	start := len(dst)
	dst = appendTime(dst, s.Time, s.LeapSecond)
	dst = append(dst, `,"satellites":[`...)
	for i := range s.Satellites {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = s.Satellites[i].append(dst)
	}
	dst = append(dst, ']')
	dst = appendValue(dst, `,"hdop":`, s.HDOP, 2)
	dst = appendValue(dst, `,"vdop":`, s.VDOP, 2)
	dst = appendValue(dst, `,"pdop":`, s.PDOP, 2)
	dst = append(dst, `,"nSat":`...)
	dst = strconv.AppendInt(dst, int64(s.NSat), 10)
	dst = append(dst, `,"uSat":`...)
	dst = strconv.AppendInt(dst, int64(s.USat), 10)
	return append(dst[:start], dst[start+1:]...) // without the first comma
}

// AppendJSON appends s as one JSON object of gpsd's class SKY.
func (s *Sky) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"class":"SKY",`...)
	return append(s.AppendMembers(dst), '}')
}

// append appends the satellite as a JSON object.
func (s *Satellite) append(dst []byte) []byte {
	dst = append(dst, `{"gnssid":`...)
	dst = strconv.AppendUint(dst, uint64(s.GNSSID), 10)
	dst = append(dst, `,"svid":`...)
	dst = strconv.AppendInt(dst, int64(s.SVID), 10)
	dst = append(dst, `,"PRN":`...)
	dst = strconv.AppendInt(dst, int64(s.PRN), 10)
	dst = appendValue(dst, `,"el":`, s.El, 0)
	dst = appendValue(dst, `,"az":`, s.Az, 0)
	dst = appendValue(dst, `,"ss":`, s.SS, 0)
	dst = append(dst, `,"used":`...)
	return append(strconv.AppendBool(dst, s.Used), '}')
}

// appendTime appends the member time in RFC 3339 with milliseconds, nothing for
// the zero time. A leap second is second 60, as RFC 3339 has it.
func appendTime(dst []byte, t time.Time, leapSecond bool) []byte {
	if t.IsZero() {
		return dst
	}
	if leapSecond {
		t = t.Add(-time.Second)
	}
	dst = append(dst, `,"time":"`...)
	dst = t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	if leapSecond {
		copy(dst[len(dst)-len("59.000Z"):], "60")
	}
	return append(dst, '"')
}

// scales holds the integer powers of ten by which appendValue scales.
var scales = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}

// appendValue appends a member with fixed decimals. What is absent or is no
// finite number, which JSON cannot say, is left out.
func appendValue(dst []byte, name string, v Value, decimals int) []byte {
	if !v.Set || math.IsNaN(v.V) || math.IsInf(v.V, 0) {
		return dst
	}
	dst = append(dst, name...)
	scaled := math.Round(v.V * scales[decimals])
	if math.Abs(scaled) >= 1<<53 {
		return strconv.AppendFloat(dst, v.V, 'f', decimals, 64)
	}
	n := int64(scaled)
	if n < 0 {
		dst, n = append(dst, '-'), -n
	}
	one := int64(scales[decimals])
	dst = strconv.AppendInt(dst, n/one, 10)
	if decimals == 0 {
		return dst
	}
	dst = append(dst, '.')
	for frac := n % one; one > 1; {
		one /= 10
		dst = append(dst, byte('0'+frac/one))
		frac %= one
	}
	return dst
}
