package nmea

import (
	"math"
	"strconv"
	"time"
)

// AppendMembers appends the members of f that are in a set as JSON without the
// braces, so that a message can add its own. The mode is in every set: without
// it the loss of the fix would not be seen.
func (f *Fix) AppendMembers(dst []byte, set Members) []byte {
	dst = append(dst, `"mode":`...)
	dst = strconv.AppendUint(dst, uint64(f.Mode), 10)
	if f.Status != StatusUnknown && set.has(memberStatus) {
		dst = append(dst, `,"status":`...)
		dst = strconv.AppendUint(dst, uint64(f.Status), 10)
	}
	if set.has(memberTime) {
		dst = appendTime(dst, f.Time, f.LeapSecond)
	}
	if set.has(memberLat) {
		dst = appendValue(dst, `,"lat":`, f.Lat, f.Lat.stated.or(angleDecimals))
	}
	if set.has(memberLon) {
		dst = appendValue(dst, `,"lon":`, f.Lon, f.Lon.stated.or(angleDecimals))
	}
	for q := range quantities {
		if set.has(memberQuantities << q) {
			dst = quantity(q).append(dst, *quantities[q].field(f))
		}
	}
	return dst
}

// AppendJSON appends f as one JSON object of gpsd's class TPV.
func (f *Fix) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"class":"TPV",`...)
	return append(f.AppendMembers(dst, 0), '}')
}

// AppendMembers appends the members of s as JSON without the braces. It is never empty.
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
	dst = hdop.append(dst, s.HDOP)
	dst = vdop.append(dst, s.VDOP)
	dst = pdop.append(dst, s.PDOP)
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

// angleDecimals is how many decimals of a degree a message has at most: 10 are 0.01 mm.
const angleDecimals = 10

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
	t = t.UTC()
	dst = t.AppendFormat(dst, time.RFC3339) // which package time has a fast path for, other than a layout with milliseconds
	ms := t.Nanosecond() / int(time.Millisecond)
	dst = append(dst[:len(dst)-1], '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
	if leapSecond {
		copy(dst[len(dst)-len("59.000Z"):], "60")
	}
	return append(dst, '"')
}

// appendValue appends a member with fixed decimals. What is absent, or not a finite number, which JSON does not have, is left
// out.
func appendValue(dst []byte, name string, v Value, decimals int) []byte {
	if !v.Set || math.IsNaN(v.V) || math.IsInf(v.V, 0) {
		return dst
	}
	dst = append(dst, name...)
	scaled := math.Round(v.V * pow10[decimals])
	if math.Abs(scaled) >= 1<<53 {
		return strconv.AppendFloat(dst, v.V, 'f', decimals, 64)
	}
	n := uint64(math.Abs(scaled))
	var text [24]byte // from the last digit to the first
	i := len(text)
	for place := 0; n > 0 || place <= decimals; place++ {
		if place == decimals && decimals > 0 {
			i--
			text[i] = '.'
		}
		i--
		text[i] = byte('0' + n%10)
		n /= 10
	}
	if scaled < 0 {
		i--
		text[i] = '-'
	}
	return append(dst, text[i:]...)
}
