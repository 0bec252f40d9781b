package nmea

import (
	"fmt"
	"strings"
	"testing"
)

// The tests of this file hold of which epoch a sentence is whose neighbours are lost, late, copied, or in another order. The
// values of an epoch show which it is.

func ggaOf(n int) string {
	return fmt.Sprintf("GNGGA,1000%02d,5130.0,N,00030.0,E,1,09,0.%d,%d.0,M,46.7,M,,", n, n%9+1, n)
}
func rmcOf(n int) string {
	return fmt.Sprintf("GNRMC,1000%02d,A,5130.0,N,00030.0,E,%d.0,20.0,231126,,,A", n, n)
}
func gllOf(n int) string { return fmt.Sprintf("GNGLL,5130.0,N,00030.0,E,1000%02d,A,A", n) }
func vtgOf(n int) string { return fmt.Sprintf("GNVTG,20.0,T,,M,%d.0,N,,K,A", n) }
func gsaOfEpoch(n int) string {
	return fmt.Sprintf("GNGSA,A,3,01,02,03,04,,,,,,,,,%d.0,0.%d,1.1", n, n%9+1)
}

// drive are the sentences of 20 epochs in an order, without those that are lost, such as "9RMC".
func drive(order, lost string) (sentences []string) {
	of := map[string]func(int) string{"GGA": ggaOf, "RMC": rmcOf, "GLL": gllOf, "VTG": vtgOf, "GSA": gsaOfEpoch, "pause": func(int) string { return "" }}
	gone := strings.Fields(lost)
	for n := range 20 {
		for kind := range strings.FieldsSeq(order) {
			if len(gone) > 0 && gone[0] == fmt.Sprint(n)+kind {
				gone = gone[1:]
				continue
			}
			sentences = append(sentences, of[kind](n))
		}
	}
	return sentences
}

// table shows fixes as second:speed/PDOP, "-" for what is absent; the first number counts them where no date is known.
func table(fixes []Fix) string {
	var b strings.Builder
	show := func(v Value, unit float64) {
		if v.Set {
			fmt.Fprintf(&b, "%.0f", v.V/unit)
		} else {
			b.WriteByte('-')
		}
	}
	for i := range fixes {
		f := &fixes[i]
		if f.Time.IsZero() {
			fmt.Fprintf(&b, " %d:", i)
		} else {
			b.WriteString(f.Time.Format(" 5:"))
		}
		show(f.Speed, knot)
		b.WriteByte('/')
		show(f.PDOP, 1)
	}
	return b.String()
}

// TestEpochsRunTogether holds that two epochs between which all sentences with a time are lost give each other no value.
func TestEpochsRunTogether(t *testing.T) {
	for _, tt := range []struct{ order, lost, want string }{
		{"GGA VTG GSA RMC", "", "8:8/8 9:9/9 10:10/10 11:11/11"},
		{"GGA VTG GSA RMC", "9RMC 10GGA", "8:8/8 9:9/9 10:10/- 11:11/11"},
		{"GGA VTG GSA RMC", "9GSA 9RMC 10GGA", "8:8/8 9:9/- 10:10/- 11:11/11"},
		{"GGA VTG GSA RMC", "9VTG 9RMC 10GGA", "8:8/8 9:-/9 10:10/- 11:11/11"},
		{"GGA VTG GSA RMC", "9VTG 9GSA 9RMC 10GGA 10VTG 10GSA", "8:8/8 9:-/- 10:10/- 11:11/11"},
		{"RMC VTG GSA GGA", "9GGA 10RMC", "8:8/8 9:9/9 10:-/10 11:11/11"},
	} {
		r := fixesOf(Options{}, drive(tt.order, tt.lost)...)
		if got := table(r.fixes); !strings.Contains(got, tt.want) {
			t.Errorf("%s without %s:%s, want %s", tt.order, tt.lost, got, tt.want)
		}
	}
}

// TestBeginsWithALoss holds that what comes before the first sentence with a time shows no order: it may be of two epochs.
func TestBeginsWithALoss(t *testing.T) {
	for _, order := range []string{"GSA RMC VTG GLL", "VTG RMC GSA"} {
		if got := table(fixesOf(Options{}, drive(order, "0RMC")...).fixes); !strings.Contains(got, "2:2/- 3:3/- 4:4/- 5:5/- 6:6/- 7:7/- 8:8/- 9:9/-") {
			t.Errorf("%s, and the first RMC lost: speed and PDOP by epoch:%s, want no PDOP", order, got)
		}
	}
}

// TestOrderChanges holds that a receiver that changes the order of its sentences is followed after three epochs.
func TestOrderChanges(t *testing.T) {
	before, after := drive("GGA VTG GSA GLL", ""), drive("GGA GSA VTG GLL", "")
	r := fixesOf(Options{}, append(before[:40:40], after[40:]...)...)
	if got := table(r.fixes); !strings.Contains(got, "9:9/9 10:-/10 11:-/11 12:-/12 13:13/13 14:14/14") {
		t.Errorf("speed and PDOP by epoch:%s, want no speed from 10 to 12", got)
	}
}

// TestPauseTeaches holds that the place of a sentence that pauses have shown is known when there are none any more.
func TestPauseTeaches(t *testing.T) {
	for _, order := range []string{"VTG GGA", "GGA VTG"} {
		quiet, busy := drive(order+" pause", ""), drive(order, "")
		r := fixesOf(Options{}, append(quiet[:30:30], busy[20:]...)...)
		if got := table(r.fixes); !strings.Contains(got, "8:8/- 9:9/- 10:10/-") || !strings.Contains(got, "12:12/- 13:13/- 14:14/-") {
			t.Errorf("%s: speed by epoch:%s", order, got)
		}
	}
}

// TestWithoutATimeOfItsOwn holds for positions without a time, and for the lack of one, beside sentences with a time.
func TestWithoutATimeOfItsOwn(t *testing.T) {
	var old, cold []string
	for n := range 10 {
		old = append(old, "GPGLL,5130.0,N,00030.0,E", rmcOf(n))
		cold = append(cold, "GPRMC,,V,,,,,,,,,,N", fmt.Sprintf("GPRMC,1000%02d,V,,,,,,,231126,,,N", n))
	}
	if got := table(fixesOf(Options{}, old...).fixes); got != " 0:0/- 1:1/- 2:2/- 3:3/- 4:4/- 5:5/- 6:6/- 7:7/- 8:8/- 9:9/-" {
		t.Errorf("GLL of the first version, and RMC:%s, want one fix an epoch", got)
	}
	if got := fixesOf(Options{}, cold...).modes(); got != strings.Repeat("1", 20) {
		t.Errorf("RMC without a time, and with one, by turns: modes %s, want 20 fixes of mode 1", got)
	}
}

// TestCopies holds that a copy of a sentence, as networks make them, is no epoch.
func TestCopies(t *testing.T) {
	for _, text := range []string{"GNRMC,1000%02d,V,,,,,,,231126,,,N", "GNRMC,1000%02d,A,5130.0,N,00030.0,E,1.0,20.0,231126,,,A"} {
		var sentences []string
		for n := range 10 {
			s := fmt.Sprintf(text, n)
			sentences = append(sentences, s, s)
		}
		if got := len(fixesOf(Options{}, sentences...).fixes); got != 10 {
			t.Errorf("%s, each twice: %d fixes of 10 epochs", text, got)
		}
	}
}

// TestClockStepsBack holds that the time of the open epoch and of the four before is not reported again, and that an earlier one is
// believed.
func TestClockStepsBack(t *testing.T) {
	for back, want := range map[int]int{1: 11, 5: 11, 6: 17, 7: 18} {
		var sentences []string
		for n := range 10 {
			sentences = append(sentences, rmcOf(n))
		}
		for n := 10 - back; n <= 10; n++ {
			sentences = append(sentences, rmcOf(n))
		}
		if got := len(fixesOf(Options{}, sentences...).fixes); got != want {
			t.Errorf("back by %d: %d fixes, want %d", back, got, want)
		}
	}
}

// TestWholeSecondsOfGST holds for a receiver that writes fractions of a second in some sentences only: what the others state is
// about an epoch before, and ends none.
func TestWholeSecondsOfGST(t *testing.T) {
	var sentences []string
	for n := range 40 {
		at := clock(36000 + float64(n)/10)
		sentences = append(sentences, rmcAt(at, "231126"), "GNGST,"+at[:6]+",,,,,3,4,5", ggaAt(at))
	}
	r := fixesOf(Options{}, sentences...)
	r.oneEach(t, 40)
	for i, f := range r.fixes {
		if !f.Speed.Set || !f.AltMSL.Set || i > 0 && (!f.Eph.Set || f.Eph.V != 10) {
			t.Errorf("fix %d: %+v", i, f)
		}
	}
}

// TestLaterPosition holds that of two positions with as many digits the later one counts, and of others the one with more.
func TestLaterPosition(t *testing.T) {
	for _, tt := range []struct {
		first, second string
		lat           float64
	}{{"5130.0", "5131.2", 51.52}, {"5130.00", "5131.2", 51.5}, {"5130.0", "5131.20", 51.52}} {
		r := fixesOf(Options{}, "GNGLL,"+tt.first+",N,00030.0,E,100000,A,A", "GNGNS,100000,"+tt.second+",N,00030.0,E,A,09,0.8,11.2,46.7,,")
		if got := r.fixes[0].Lat.V; got != tt.lat {
			t.Errorf("%s and then %s: latitude %v, want %v", tt.first, tt.second, got, tt.lat)
		}
	}
}

// TestHeadingMissingBesideAFix holds that an empty HDT, which a receiver sends until its antennas have agreed, does not show in
// which epochs the fix was lost: the headings that follow are given to no other epoch.
func TestHeadingMissingBesideAFix(t *testing.T) {
	var sentences []string
	for n := range 60 {
		if n%20 >= 15 {
			sentences = append(sentences, fmt.Sprintf("GNGGA,1000%02d,,,,,0,00,,,,,,,", n))
			continue
		}
		heading := ""
		if n >= 40 {
			heading = fmt.Sprintf("%d.0", n)
		}
		sentences = append(sentences, ggaOf(n), "GNHDT,"+heading+",T")
	}
	for n, f := range fixesOf(Options{}, sentences...).fixes {
		if f.Heading.Set && f.Heading.V != float64(n) {
			t.Errorf("fix %d has the heading %.0f of another epoch", n, f.Heading.V)
		}
	}
}
