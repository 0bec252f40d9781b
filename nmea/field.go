package nmea

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// maxDecimals bounds the digits after the point that count: 10 decimals of a minute are 0.2 micrometres, and more would overflow
// the integers below.
const maxDecimals = 10

// pow10 holds the exact powers that scale decimals.
var pow10 = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}

// decimal is an unsigned decimal number as written: the digits without the point, and how many of them stand after it.
type decimal struct {
	digits   int64
	decimals int
}

// parseDecimal reads digits with at most one point. Signs, exponents, NaN and infinities are refused.
func parseDecimal(s string) (d decimal, ok bool) {
	point := false
	for i := 0; i < len(s); i++ {
		if s[i] == '.' && !point {
			point = true
			continue
		}
		digit := s[i] - '0'
		if digit > 9 { // bytes below '0' wrap around
			return decimal{}, false
		}
		if d.decimals == maxDecimals {
			continue
		}
		if d.digits >= 1e17 { // more would overflow
			return decimal{}, false
		}
		d.digits = d.digits*10 + int64(digit)
		if point {
			d.decimals++
		}
		ok = true
	}
	return d, ok
}

// blank reports whether f holds nothing but spaces, with which some receivers pad.
func blank(f string) bool { return trim(f) == "" }

// trim cuts white space off both ends. Almost no field has any, and to see that takes less than strings.TrimSpace does.
func trim(s string) string {
	if s == "" || s[0] > ' ' && s[len(s)-1] > ' ' {
		return s
	}
	return strings.TrimSpace(s)
}

// parseNumber reads a decimal number with an optional sign, and returns the number of its decimals too.
func parseNumber(s string) (v float64, decimals int, ok bool) {
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative, s = s[0] == '-', s[1:]
	}
	d, ok := parseDecimal(s)
	v = float64(d.digits) / pow10[d.decimals]
	if negative && d.digits != 0 {
		v = -v
	}
	return v, d.decimals, ok
}

// parseAngle reads degrees and minutes, (d)ddmm.mmmm, and returns degrees and the number of decimals of the minutes. Minutes of
// 60 are 59.99996 that a receiver has rounded. The quotient of two exact integers is the float64 next to what the receiver
// wrote.
func parseAngle(s string) (degrees float64, decimals int, ok bool) {
	d, ok := parseDecimal(trim(s))
	if !ok {
		return 0, 0, false
	}
	one := int64(pow10[d.decimals])
	whole := d.digits / (100 * one)
	minutes := d.digits - whole*100*one
	if minutes > 60*one {
		return 0, 0, false
	}
	return float64(whole*60*one+minutes) / float64(60*one), d.decimals, true
}

// timeOfDay is a UTC time of day as written.
type timeOfDay struct {
	tod          time.Duration
	timeDecimals int // of the second
}

// parseTimeOfDay reads hhmmss with an optional fraction. A second 60 is the leap second at 23:59:60, and at any other minute a
// clock that rounds up.
func parseTimeOfDay(s string) (t timeOfDay, ok bool) {
	d, ok := parseDecimal(s)
	if !ok || len(s) < 6 || strings.IndexByte(s, '.') != 6 && len(s) != 6 {
		return timeOfDay{}, false
	}
	one := int64(pow10[d.decimals])
	v := d.digits / one
	h, m, sec := v/10000, v/100%100, v%100
	if h > 23 || m > 59 || sec > 60 {
		return timeOfDay{}, false
	}
	fraction := math.Round(float64(d.digits-v*one) / float64(one) * 1e9)
	return timeOfDay{time.Duration((h*60+m)*60+sec)*time.Second + time.Duration(fraction), d.decimals}, true
}

// parseDate reads ddmmyy. GPS began in 1980, so 80 to 99 are of the last century.
func parseDate(s string) (d date, ok bool) {
	v, err := strconv.ParseUint(s, 10, 32)
	if err != nil || len(s) != 6 {
		return date{}, false
	}
	year := 2000 + int(v)%100
	if v%100 >= 80 {
		year -= 100
	}
	return makeDate(year, int(v)/100%100, int(v)/10000)
}

// date is a day of the Gregorian calendar. The zero date is none.
type date struct{ year, month, day int }

// makeDate checks that the day exists.
func makeDate(year, month, day int) (date, bool) {
	if month < 1 || month > 12 || day < 1 || year < 1980 || year > 2200 {
		return date{}, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	return date{year, month, day}, t.Day() == day
}
