package nmea_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"testing"
	"time"

	"gpsbridge/bridge/receiver/sim"
	"gpsbridge/nmea"
)

// TestDecodeGivesBackTheDrive holds what comes out against what a simulated vehicle did, epoch by epoch, over tunnels
// and at several rates and lines. The tolerances are half a digit of the sentences: 1e-5 minutes of arc, 0.1 m,
// 0.01 knots, 0.01 degrees.
func TestDecodeGivesBackTheDrive(t *testing.T) {
	const epochs = 1500
	for _, c := range []sim.Config{
		{Rate: 1, Seed: 1}, {Rate: 1, Baud: 4800, Seed: 2}, {Rate: 5, Seed: 3, Tunnel: true}, {Rate: 25, Seed: 4},
	} {
		t.Run(fmt.Sprintf("%d Hz at %d baud", c.Rate, c.Baud), func(t *testing.T) {
			g, err := sim.New(c)
			if err != nil {
				t.Fatal(err)
			}
			var stream, out bytes.Buffer
			var drive []sim.State
			for range epochs {
				stream.Write(g.Epoch())
				drive = append(drive, g.State)
			}
			if _, err := nmea.Decode(t.Context(), &out, &stream, nmea.DecodeOptions{}); err != nil {
				t.Fatal(err)
			}
			lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
			if len(lines) != epochs {
				t.Fatalf("%d fixes of %d epochs", len(lines), epochs)
			}
			for i, line := range lines {
				if err := same(line, drive[i]); err != nil {
					t.Fatalf("epoch %d: %v\n%s", i, err, line)
				}
			}
		})
	}
}

// same returns in what a fix differs from the truth.
func same(line []byte, want sim.State) error {
	var got struct {
		Mode                    int
		Time                    *time.Time
		Lat, Lon, AltMSL, Speed *float64
	}
	if err := json.Unmarshal(line, &got); err != nil {
		return err
	}
	if got.Time != nil && !got.Time.Equal(want.Time) {
		return fmt.Errorf("time %v, want %v", got.Time, want.Time)
	}
	if fix := got.Mode >= 2; fix != want.Fix {
		return fmt.Errorf("mode %d, and the vehicle sees sky: %t", got.Mode, want.Fix)
	}
	if !want.Fix {
		return nil
	}
	for _, v := range []struct {
		name        string
		got         *float64
		want, error float64
	}{
		{"lat", got.Lat, want.Lat, 0.5e-5/60 + 1e-8},
		{"lon", got.Lon, want.Lon, 0.5e-5/60 + 1e-8},
		{"altMSL", got.AltMSL, want.AltMSL, 0.051},
		{"speed", got.Speed, want.Speed, 0.0052},
	} {
		if v.got == nil || math.Abs(*v.got-v.want) > v.error {
			return fmt.Errorf("%s is not %g", v.name, v.want)
		}
	}
	return nil
}
