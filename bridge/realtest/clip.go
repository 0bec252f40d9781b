package realtest

// clip cuts a feature at the edges of its tile, in the tile's units, and returns the parts that are inside. Points are
// not moved to the edge: that would bend what crosses it.
func clip(s shape, points []point) [][]point {
	const lo, hi = -tileBuffer, tileExtent + tileBuffer
	edges := []edge{
		{func(p point) float64 { return p.x - lo }},
		{func(p point) float64 { return hi - p.x }},
		{func(p point) float64 { return p.y - lo }},
		{func(p point) float64 { return hi - p.y }},
	}
	parts := [][]point{points}
	for _, e := range edges {
		var kept [][]point
		for _, part := range parts {
			switch s {
			case area:
				part = e.ring(part)
				if len(part) > 2 {
					kept = append(kept, part)
				}
			case line:
				kept = append(kept, e.runs(part)...)
			default:
				if e.inside(part[0]) >= 0 {
					kept = append(kept, part)
				}
			}
		}
		parts = kept
	}
	return parts
}

// edge is a side of the tile; inside is how far within it a point lies.
type edge struct{ inside func(point) float64 }

// crossing is where the way from a to b, one inside and one not, meets the edge.
func (e edge) crossing(a, b point) point {
	da, db := e.inside(a), e.inside(b)
	k := da / (da - db)
	return point{a.x + (b.x-a.x)*k, a.y + (b.y-a.y)*k}
}

// ring is what is inside of an area (Sutherland and Hodgman's way).
func (e edge) ring(points []point) []point {
	var out []point
	for i, p := range points {
		before := points[(i+len(points)-1)%len(points)]
		if (e.inside(p) >= 0) != (e.inside(before) >= 0) {
			out = append(out, e.crossing(before, p))
		}
		if e.inside(p) >= 0 {
			out = append(out, p)
		}
	}
	return out
}

// runs are the pieces of a line that are inside.
func (e edge) runs(points []point) [][]point {
	var out [][]point
	var run []point
	for i, p := range points {
		in := e.inside(p) >= 0
		if i > 0 && in != (e.inside(points[i-1]) >= 0) {
			run = append(run, e.crossing(points[i-1], p))
		}
		if in {
			run = append(run, p)
		} else if len(run) > 0 {
			out, run = append(out, run), nil
		}
	}
	if len(run) > 0 {
		out = append(out, run)
	}
	return out
}
