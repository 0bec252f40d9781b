package nmea_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gpsbridge/nmea"
	"gpsbridge/nmea/nmeatest"
)

// kept keeps the fixes that an Assembler hands out.
type kept struct{ fixes []nmea.Fix }

func (k *kept) Fix(f *nmea.Fix) { k.fixes = append(k.fixes, *f) }
func (k *kept) Sky(*nmea.Sky)   {}

// drive returns the fixes of a trip: through Decode without pauses, and with a Flush in each pause.
func drive(t *testing.T, tr *nmeatest.Trip) []nmea.Fix {
	t.Helper()
	if !tr.Pauses {
		var stream []byte
		for burst := range tr.Bursts() {
			stream = append(stream, bytes.Join(burst, nil)...)
		}
		return decoded(t, stream)
	}
	k := &kept{}
	a := nmea.NewAssembler(k, nmea.Options{})
	var s nmea.Scanner
	for burst := range tr.Bursts() {
		for _, sentence := range burst {
			s.Scan(sentence, a.Push)
		}
		a.Flush()
	}
	return k.fixes
}

// decoded returns the fixes that Decode writes of a stream.
func decoded(t *testing.T, stream []byte) []nmea.Fix {
	t.Helper()
	var out bytes.Buffer
	if _, err := nmea.Decode(t.Context(), &out, bytes.NewReader(stream), nmea.DecodeOptions{}); err != nil {
		t.Fatal(err)
	}
	fixes, err := nmeatest.ReadFixes(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return fixes
}

// judge drives a trip and reports whether nothing is wrong with its fixes.
func judge(t *testing.T, tr *nmeatest.Trip) bool {
	t.Helper()
	wrong := tr.Judge(drive(t, tr))
	if len(wrong) > 0 {
		t.Errorf("%v: %d faults: %s", tr, len(wrong), strings.Join(wrong[:min(3, len(wrong))], "; "))
	}
	return len(wrong) == 0
}

// TestEveryOrder judges every order of two to five sentences at 1 to 25 Hz, with pauses between the epochs and without; three in
// a short run. No value may be another epoch's, and there is one fix an epoch.
func TestEveryOrder(t *testing.T) {
	most := 5
	if !nmeatest.Long() {
		most = 3
	}
	streams := 0
	for order := range nmeatest.Orders(most) {
		for _, pauses := range []bool{false, true} {
			trips := []*nmeatest.Trip{}
			for _, hz := range []float64{1, 5, 10, 25} {
				trips = append(trips, &nmeatest.Trip{Hz: hz})
			}
			for skip := 1; skip < len(order) && len(order) <= 4; skip++ { // a reader that begins in the middle of an epoch
				trips = append(trips, &nmeatest.Trip{Hz: 1, Skip: skip})
			}
			for _, tr := range trips {
				tr.Order, tr.Pauses, tr.Epochs = order, pauses, 14
				if streams++; !judge(t, tr) && testing.Short() {
					t.FailNow()
				}
			}
		}
	}
	t.Logf("%d streams", streams)
}

// TestLosses judges drives on which sentences are lost, among them two in a row, in a pattern that looks like a rhythm: a fix
// has what was heard of its epoch.
func TestLosses(t *testing.T) {
	seeds := uint64(20)
	if !nmeatest.Long() {
		seeds = 1
	}
	for _, order := range []string{
		"RMC VTG GGA GSA GSV GLL", "RMC VTG GGA GSA GSV GLL GST ZDA", "GGA GSA GSV RMC", "GGA GSA GSV RMC VTG", "GSV GSA VTG RMC GGA", "RMC GGA",
		"GGA RMC", "VTG GGA", "GGA VTG", "RMC GGA GSA", "GSA RMC GGA", "GGA GLL GSA GST ZDA VTG", "GST VTG RMC GGA ZDA", "RMC", "GLL",
	} {
		for _, hz := range []float64{1, 10} {
			for seed := range seeds {
				judge(t, &nmeatest.Trip{Order: strings.Fields(order), Hz: hz, Loss: 0.05, Seed: seed, Epochs: 400})
				judge(t, &nmeatest.Trip{Order: strings.Fields(order), Hz: hz, Pauses: true, Loss: 0.1, Seed: seed, Epochs: 400})
			}
		}
	}
}

// TestRandomOrders judges drives in random orders of four to eight sentences, with losses. While the place of a sentence is being
// learned a loss may still be taken for evidence, so values are judged from the eighth epoch on.
func TestRandomOrders(t *testing.T) {
	seeds := uint64(6000)
	if !nmeatest.Long() {
		seeds = 300
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 77))
		order := slices.Clone(nmeatest.Kinds)
		r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		order = order[:4+r.IntN(5)]
		if !slices.ContainsFunc(order, func(k string) bool { return k == "RMC" || k == "GGA" || k == "GLL" }) {
			continue
		}
		tr := &nmeatest.Trip{Order: order, Hz: []float64{1, 5, 10}[r.IntN(3)], Pauses: r.IntN(2) == 0, Loss: []float64{0, 0.02, 0.05, 0.1}[r.IntN(4)]}
		tr.Seed, tr.Epochs, tr.Skip, tr.From = seed, 60, r.IntN(3), 7
		judge(t, tr)
	}
}

// TestLogs judges what Decode makes of every recorded log.
func TestLogs(t *testing.T) {
	nmeatest.JudgeLogs(t, func(_ string, raw []byte) []nmea.Fix { return decoded(t, raw) })
}
