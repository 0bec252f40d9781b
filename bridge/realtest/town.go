package realtest

import (
	"fmt"
	"math"
)

// town invents the map of a town round a place: streets in blocks, an avenue, a motorway, a railway, a river, a park,
// houses, names, and a layer of a kind that no basemap has.
func town(lat, lon float64) features {
	t := &builder{lat: lat, lon: lon}
	t.area("earth", "earth", [2]float64{-2000, -2000}, [2]float64{-2000, 2000}, [2]float64{2000, 2000}, [2]float64{2000, -2000})
	t.area("landuse", "park", [2]float64{-700, 60}, [2]float64{-620, 640}, [2]float64{-90, 690}, [2]float64{-60, 60})
	t.area("landuse", "industrial", [2]float64{900, -1500}, [2]float64{900, -900}, [2]float64{1700, -900}, [2]float64{1700, -1500})
	t.area("water", "lake", [2]float64{-480, 250}, [2]float64{-420, 360}, [2]float64{-260, 340}, [2]float64{-240, 240})
	t.river()
	t.blocks()
	t.line("roads", map[string]string{"kind": "major_road", "kind_detail": "primary", "name": "West Avenue"}, [2]float64{-2000, 0}, [2]float64{0, 0}, [2]float64{2000, 0})
	t.line("roads", map[string]string{"kind": "major_road", "kind_detail": "primary", "name": "North Road"}, [2]float64{0, -2000}, [2]float64{0, 0}, [2]float64{0, 2000})
	t.line("roads", map[string]string{"kind": "highway", "kind_detail": "motorway", "name": "M 1"}, [2]float64{-2000, -1400}, [2]float64{0, -1150}, [2]float64{2000, -1700})
	t.line("roads", map[string]string{"kind": "rail"}, [2]float64{-2000, 1200}, [2]float64{-300, 1050}, [2]float64{2000, 1500})
	t.line("roads", map[string]string{"kind": "path"}, [2]float64{-690, 80}, [2]float64{-350, 400}, [2]float64{-80, 680})
	t.dot("places", map[string]string{"kind": "locality", "kind_detail": "town", "name": "Testing"}, 240, 240)
	t.dot("places", map[string]string{"kind": "neighbourhood", "name": "Eastend"}, 1200, 400)
	t.dot("landuse", map[string]string{"kind": "park", "name": "Hill Park"}, -400, 520)
	t.line("sensors", map[string]string{"name": "Loop"}, [2]float64{120, 60}, [2]float64{120, 480})
	t.dot("sensors", map[string]string{"name": "Post 12"}, 120, 300)
	return t.features
}

// builder adds features in metres east and north of a place.
type builder struct {
	lat, lon float64
	features features
}

func (t *builder) add(layer string, s shape, tags map[string]string, metres ...[2]float64) {
	const perDegree = 111_200 // m a degree of latitude; this town needs no more exactness
	f := feature{layer: layer, shape: s, tags: tags}
	for _, m := range metres {
		f.points = append(f.points, mercator(t.lat+m[1]/perDegree, t.lon+m[0]/(perDegree*math.Cos(t.lat*math.Pi/180))))
	}
	t.features = append(t.features, f)
}

// area takes its corners clockwise, as outer rings of a tile run.
func (t *builder) area(layer, kind string, metres ...[2]float64) {
	t.add(layer, area, map[string]string{"kind": kind}, metres...)
}

func (t *builder) line(layer string, tags map[string]string, metres ...[2]float64) {
	t.add(layer, line, tags, metres...)
}

func (t *builder) dot(layer string, tags map[string]string, east, north float64) {
	t.add(layer, dot, tags, [2]float64{east, north})
}

// river winds from the south to the north-east, 70 m wide.
func (t *builder) river() {
	var left, right [][2]float64
	for i := range 41 {
		north := -2000 + float64(i)*100
		east := riverAt(north)
		left = append(left, [2]float64{east - 35, north})
		right = append([][2]float64{{east + 35, north}}, right...)
	}
	t.area("water", "river", append(left, right...)...)
}

// riverAt is how far east the middle of the river is.
func riverAt(north float64) float64 { return 700 + 250*math.Sin(north/600) }

// blocks are streets each 160 m, with houses between them, except in the park and in the river.
func (t *builder) blocks() {
	const block, most = 160.0, 1280.0
	for i, at := 1, -most; at <= most; i, at = i+1, at+block {
		t.line("roads", map[string]string{"kind": "minor_road", "name": fmt.Sprintf("%d Street", i)}, [2]float64{at, -960}, [2]float64{at, 0})
		t.line("roads", map[string]string{"kind": "minor_road", "name": fmt.Sprintf("%d Row", i)}, [2]float64{0, at}, [2]float64{most, at})
		for north := -900.0; north < 900; north += block {
			if at < 0 && north > -block {
				continue // the park and its side of the town have no houses
			}
			for k := range 3 {
				east, north, deep := at+20+float64(k)*46, north+20, 30+15*math.Abs(math.Sin(at+float64(k)))
				if math.Abs(east+18-riverAt(north)) < 80 {
					continue
				}
				t.area("buildings", "building", [2]float64{east, north}, [2]float64{east, north + deep}, [2]float64{east + 36, north + deep}, [2]float64{east + 36, north})
			}
		}
	}
}
