package realtest

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// point is a place in Web Mercator, 0 to 1 from west to east and from north to south.
type point struct{ x, y float64 }

func mercator(lat, lon float64) point {
	return point{(lon + 180) / 360, 0.5 - math.Atanh(math.Sin(lat*math.Pi/180))/(2*math.Pi)}
}

func (p point) longitude() float64 { return p.x*360 - 180 }
func (p point) latitude() float64  { return math.Asin(math.Tanh((0.5-p.y)*2*math.Pi)) * 180 / math.Pi }

// shape is how the points of a feature are joined; the values are those of Mapbox Vector Tiles.
type shape uint64

const (
	dot shape = 1 + iota
	line
	area // one ring, the last point is not the first again
)

// feature is a thing on the map.
type feature struct {
	layer  string
	shape  shape
	points []point
	tags   map[string]string
}

type features []feature

// bounds are the corners of the box round all points.
func (fs features) bounds() (lo, hi point) {
	lo, hi = point{1, 1}, point{0, 0}
	for _, f := range fs {
		for _, p := range f.points {
			lo, hi = point{min(lo.x, p.x), min(lo.y, p.y)}, point{max(hi.x, p.x), max(hi.y, p.y)}
		}
	}
	return lo, hi
}

// Units of a tile, and how far beyond its edges features go, so that no line ends visibly there.
const (
	tileExtent = 4096
	tileBuffer = 128
)

// tile encodes what lies in a tile as a Mapbox Vector Tile (version 2 of its specification), nil when nothing does.
func (fs features) tile(z, x, y int) []byte {
	scale := math.Exp2(float64(z)) * tileExtent
	layers := map[string]*tileLayer{}
	for _, f := range fs {
		var local []point
		for _, p := range f.points {
			local = append(local, point{p.x*scale - float64(x*tileExtent), p.y*scale - float64(y*tileExtent)})
		}
		if layers[f.layer] == nil {
			layers[f.layer] = &tileLayer{keys: map[string]uint64{}, values: map[string]uint64{}}
		}
		for _, part := range clip(f.shape, local) {
			layers[f.layer].add(f, part)
		}
	}
	var out []byte
	for _, name := range slices.Sorted(maps.Keys(layers)) {
		if l := layers[name]; len(l.features) > 0 {
			out = appendField(out, 3, l.encode(name))
		}
	}
	return out
}

// tileLayer gathers the features of a layer and their words, each once.
type tileLayer struct {
	features     []byte
	keys, values map[string]uint64
}

func (l *tileLayer) add(f feature, part []point) {
	geometry := commands(f.shape, part)
	if geometry == nil {
		return
	}
	var tags []byte
	for _, key := range slices.Sorted(maps.Keys(f.tags)) {
		tags = binary.AppendUvarint(tags, numbered(l.keys, key))
		tags = binary.AppendUvarint(tags, numbered(l.values, f.tags[key]))
	}
	var out []byte
	out = appendField(out, 2, tags)
	out = appendNumber(out, 3, uint64(f.shape))
	out = appendField(out, 4, geometry)
	l.features = appendField(l.features, 2, out)
}

// numbered gives word its number in words, the next when it is new.
func numbered(words map[string]uint64, word string) uint64 {
	n, known := words[word]
	if !known {
		n = uint64(len(words))
		words[word] = n
	}
	return n
}

func (l *tileLayer) encode(name string) []byte {
	out := appendNumber(nil, 15, 2) // version
	out = appendField(out, 1, []byte(name))
	out = append(out, l.features...)
	for _, key := range inOrder(l.keys) {
		out = appendField(out, 3, []byte(key))
	}
	for _, value := range inOrder(l.values) {
		out = appendField(out, 4, appendField(nil, 1, []byte(value)))
	}
	return appendNumber(out, 5, tileExtent)
}

func inOrder(words map[string]uint64) []string {
	list := make([]string, len(words))
	for word, n := range words {
		list[n] = word
	}
	return list
}

// appendField and appendNumber write a field of a protocol buffer.
func appendField(out []byte, field uint64, data []byte) []byte {
	out = binary.AppendUvarint(out, field<<3|2)
	out = binary.AppendUvarint(out, uint64(len(data)))
	return append(out, data...)
}

func appendNumber(out []byte, field, n uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(out, field<<3), n)
}

// commands draws with a pen on whole units: move to the first point, lines to the others, close. It is nil for what is
// too small to be drawn.
func commands(s shape, part []point) []byte {
	type place struct{ x, y int64 }
	var places []place
	for _, p := range part {
		at := place{int64(math.Round(p.x)), int64(math.Round(p.y))}
		if len(places) == 0 || places[len(places)-1] != at {
			places = append(places, at)
		}
	}
	if len(places) < int(s) { // a dot has one point, a line two, an area three
		return nil
	}
	const moveTo, lineTo, closePath = 1, 2, 7
	var out []byte
	var pen place
	for i, p := range places {
		switch i {
		case 0:
			out = binary.AppendUvarint(out, 1<<3|moveTo)
		case 1:
			out = binary.AppendUvarint(out, uint64(len(places)-1)<<3|lineTo)
		}
		for _, d := range []int64{p.x - pen.x, p.y - pen.y} {
			out = binary.AppendUvarint(out, uint64(d<<1)^uint64(d>>63)) // zigzag
		}
		pen = p
	}
	if s == area {
		out = binary.AppendUvarint(out, 1<<3|closePath)
	}
	return out
}
