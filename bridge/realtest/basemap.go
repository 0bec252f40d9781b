package realtest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Basemap writes a PMTiles archive with the map of a hamlet around a place, in degrees, and returns its path: a park with
// a pond, a road through it from south to north, and a layer that no base map has. It is removed when the test ends.
func Basemap(t testing.TB, lat, lon float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hamlet.pmtiles")
	if err := os.WriteFile(path, archive(lat, lon), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mapLayer is a layer of the map whose features share one tag. Points are metres east and north of the place.
type mapLayer struct {
	name, key, value string
	features         [][][2]float64 // of one point, the ends of a line, or the corners of an area, clockwise
}

var hamlet = []mapLayer{
	{"earth", "kind", "earth", [][][2]float64{{{-1600, -1600}, {-1600, 1600}, {1600, 1600}, {1600, -1600}}}},
	{"landuse", "kind", "park", [][][2]float64{{{-700, 60}, {-620, 640}, {-90, 690}, {-60, 60}}}},
	{"water", "kind", "lake", [][][2]float64{{{-480, 250}, {-420, 360}, {-260, 340}, {-240, 240}}}},
	{"roads", "kind", "major_road", [][][2]float64{{{0, -1600}, {0, 1600}}}},
	{"sensors", "name", "loop", [][][2]float64{{{120, 60}, {120, 480}}, {{120, 300}}}},
}

const (
	mapZoom    = 14   // the only zoom: browsers scale it
	tileExtent = 4096 // units of a tile's side
	mapMargin  = 1600 // metres that the map reaches from the place
)

// mercator returns the place in Web Mercator, in tiles of mapZoom from the west and from the north.
func mercator(lat, lon float64) (x, y float64) {
	tiles := math.Exp2(mapZoom)
	return (lon + 180) / 360 * tiles, (0.5 - math.Atanh(math.Sin(lat*math.Pi/180))/(2*math.Pi)) * tiles
}

// archive is the archive as bytes (PMTiles specification, version 3): header, directory, metadata, tiles.
func archive(lat, lon float64) []byte {
	perTile := 40_075_016.7 / math.Exp2(mapZoom) * math.Cos(lat*math.Pi/180) // metres
	x0, y0 := mercator(lat, lon)
	reach := mapMargin / perTile
	type tile struct {
		id   uint64
		data []byte
	}
	var tiles []tile
	for x := int(x0 - reach); x <= int(x0+reach); x++ {
		for y := int(y0 - reach); y <= int(y0+reach); y++ {
			tiles = append(tiles, tile{tileID(mapZoom, x, y), compress(encodeTile(x0-float64(x), y0-float64(y), perTile))})
		}
	}
	slices.SortFunc(tiles, func(a, b tile) int { return cmp.Compare(a.id, b.id) })

	// The directory lists its columns one after the other: the distance from the ID before, how many tiles the entry
	// stands for, the length, and the offset, where 0 means "after the one before" and the first is 0 plus 1.
	ids, runs, lengths, offsets := []byte(nil), []byte(nil), []byte(nil), []byte{1}
	var data []byte
	last := uint64(0)
	for i, t := range tiles {
		ids = binary.AppendUvarint(ids, t.id-last)
		last = t.id
		runs = append(runs, 1)
		lengths = binary.AppendUvarint(lengths, uint64(len(t.data)))
		if i > 0 {
			offsets = append(offsets, 0)
		}
		data = append(data, t.data...)
	}
	directory := compress(slices.Concat(binary.AppendUvarint(nil, uint64(len(tiles))), ids, runs, lengths, offsets))
	metadata := compress([]byte(`{"attribution":"<a href=\"https://www.openstreetmap.org/copyright\">&copy; OpenStreetMap</a>"}`))

	h := append([]byte("PMTiles"), 3)
	at := uint64(127) // the header's length
	for _, section := range [][]byte{directory, metadata, nil, data} {
		h = binary.LittleEndian.AppendUint64(h, at)
		h = binary.LittleEndian.AppendUint64(h, uint64(len(section)))
		at += uint64(len(section))
	}
	for range 3 { // tiles, entries, contents
		h = binary.LittleEndian.AppendUint64(h, uint64(len(tiles)))
	}
	h = append(h, 1, 2, 2, 1, mapZoom, mapZoom) // clustered, gzip, gzip, vector tiles, zooms
	dLat, dLon := mapMargin/111_200.0, mapMargin/(111_200*math.Cos(lat*math.Pi/180))
	corner := func(lat, lon float64) {
		h = binary.LittleEndian.AppendUint32(h, uint32(int32(lon*1e7)))
		h = binary.LittleEndian.AppendUint32(h, uint32(int32(lat*1e7)))
	}
	corner(lat-dLat, lon-dLon)
	corner(lat+dLat, lon+dLon)
	h = append(h, mapZoom)
	corner(lat, lon)
	return slices.Concat(h, directory, metadata, data)
}

// encodeTile returns the hamlet as a Mapbox Vector Tile (specification 2.1) whose north-west corner is x and y tiles west
// and north of the place. Nothing is clipped at the tile's edge: the browser does that.
func encodeTile(x, y, metresPerTile float64) []byte {
	var out []byte
	for _, l := range hamlet {
		layer := field([]byte{15 << 3, 2}, 1, []byte(l.name)) // version 2
		for _, points := range l.features {
			kind := byte(min(len(points), 3))                       // 1 point, 2 line, 3 area
			feature := field([]byte{3 << 3, kind}, 2, []byte{0, 0}) // tagged with the first key and the first value
			layer = field(layer, 2, field(feature, 4, encodeGeometry(x, y, metresPerTile, points)))
		}
		layer = field(field(layer, 3, []byte(l.key)), 4, field(nil, 1, []byte(l.value)))
		out = field(out, 3, binary.AppendUvarint(append(layer, 5<<3), tileExtent))
	}
	return out
}

// encodeGeometry returns the commands that draw a feature in whole units of the tile, each from where the last one ended.
func encodeGeometry(x, y, metresPerTile float64, points [][2]float64) []byte {
	const moveTo, lineTo, closePath = 1, 2, 7
	var out []byte
	var pen [2]int64
	for i, p := range points {
		switch i {
		case 0:
			out = binary.AppendUvarint(out, 1<<3|moveTo)
		case 1:
			out = binary.AppendUvarint(out, uint64(len(points)-1)<<3|lineTo)
		}
		for k, v := range [2]float64{x + p[0]/metresPerTile, y - p[1]/metresPerTile} {
			at := int64(math.Round(v * tileExtent))
			out = binary.AppendVarint(out, at-pen[k])
			pen[k] = at
		}
	}
	if len(points) > 2 {
		out = binary.AppendUvarint(out, 1<<3|closePath)
	}
	return out
}

// field appends a field of a protocol buffer that has a length.
func field(out []byte, number byte, data []byte) []byte {
	return append(binary.AppendUvarint(append(out, number<<3|2), uint64(len(data))), data...)
}

// tileID is the tile's number on the Hilbert curve of its zoom, after all tiles of the zooms before.
func tileID(z, x, y int) uint64 {
	id := (uint64(1)<<(2*z) - 1) / 3
	for s := 1 << z / 2; s > 0; s /= 2 {
		rx, ry := min(x&s, 1), min(y&s, 1)
		id += uint64(s) * uint64(s) * uint64((3*rx)^ry)
		if ry == 0 { // the curve turns in this quarter
			if rx == 1 {
				x, y = s-1-x, s-1-y
			}
			x, y = y, x
		}
	}
	return id
}

func compress(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data) // memory takes it all
	_ = w.Close()
	return b.Bytes()
}
