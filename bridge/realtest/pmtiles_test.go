package realtest

import (
	"bytes"
	"encoding/binary"
	"math"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The last is the example of the PMTiles specification.
func TestTileID(t *testing.T) {
	for _, tt := range []struct {
		z, x, y int
		want    uint64
	}{{0, 0, 0, 0}, {1, 0, 0, 1}, {1, 0, 1, 2}, {1, 1, 1, 3}, {1, 1, 0, 4}, {2, 0, 0, 5}, {12, 3423, 1763, 19078479}} {
		if got := tileID(tt.z, tt.x, tt.y); got != tt.want {
			t.Errorf("tile %d/%d/%d: %d, want %d", tt.z, tt.x, tt.y, got, tt.want)
		}
	}
}

// A line and an area that cross the edge are cut there, in the direction that they had.
func TestClip(t *testing.T) {
	const right = tileExtent + tileBuffer
	for _, tt := range []struct {
		name   string
		shape  shape
		points []point
		want   [][]point
	}{
		{"line out and in again", line, []point{{0, 0}, {2 * right, right}, {0, 2000}}, [][]point{
			{{0, 0}, {right, right / 2}}, {{right, 2000 + (right-2000)/2.0}, {0, 2000}}}},
		{"line past a corner", line, []point{{-1000, 500}, {500, -1000}}, nil},
		{"area", area, []point{{1000, 1000}, {1000 + 2*(right-1000), 1000}, {1000, 3000}}, [][]point{
			{{1000, 1000}, {right, 1000}, {right, 2000}, {1000, 3000}}}},
		{"dot outside", dot, []point{{-129, 5}}, nil},
		{"dot inside", dot, []point{{-128, 5}}, [][]point{{{-128, 5}}}},
	} {
		if d := cmp.Diff(tt.want, clip(tt.shape, tt.points), cmp.AllowUnexported(point{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

func TestClipStaysInside(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		axis := rapid.Float64Range(-3*tileExtent, 3*tileExtent)
		points := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) point { return point{axis.Draw(t, "x"), axis.Draw(t, "y")} }), 3, 12).Draw(t, "points")
		kind := rapid.SampledFrom([]shape{line, area}).Draw(t, "shape")
		for _, part := range clip(kind, points) {
			for _, p := range part {
				if off := max(-tileBuffer-p.x, p.x-tileExtent-tileBuffer, -tileBuffer-p.y, p.y-tileExtent-tileBuffer); off > 1e-6 {
					t.Fatalf("%v is %g beyond the edge", p, off)
				}
			}
		}
	})
}

func TestBasemapHeader(t *testing.T) {
	data, err := os.ReadFile(Basemap(t, 51.5, -0.12))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("PMTiles\x03")) || len(data) > 200_000 {
		t.Fatalf("%d bytes that begin with %q", len(data), data[:8])
	}
	at := func(i int) uint64 { return binary.LittleEndian.Uint64(data[i:]) }
	if end := at(56) + at(64); end != uint64(len(data)) {
		t.Errorf("the tiles end at %d of %d bytes", end, len(data))
	}
	for i, want := range []float64{-0.12 - 0.0289, 51.5 - 0.018, -0.12 + 0.0289, 51.5 + 0.018} { // 2 km
		if got := float64(int32(binary.LittleEndian.Uint32(data[102+4*i:]))) / 1e7; math.Abs(got-want) > 2e-4 {
			t.Errorf("bound %d: %f, want %f", i, got, want)
		}
	}
}
