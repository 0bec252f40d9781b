package sim

import "math"

// dilution of precision: how the geometry of the satellites widens an error of the ranges. 99.99, which receivers send for
// none, where there is no fix.
type dilution struct {
	pdop, hdop, vdop float64
}

var noDilution = dilution{99.99, 99.99, 99.99}

// dilutionOf computes it as receivers do, from the cofactors (HᵀH)⁻¹ of the directions to the satellites in use and one
// clock. It needs four satellites.
func dilutionOf(sats []Satellite) dilution {
	var normal [4][4]float64
	n := 0
	for _, sat := range sats {
		if !sat.Used {
			continue
		}
		n++
		sinE, cosE := math.Sincos(float64(sat.Elevation) * math.Pi / 180)
		sinA, cosA := math.Sincos(float64(sat.Azimuth) * math.Pi / 180)
		h := [4]float64{cosE * sinA, cosE * cosA, sinE, 1}
		for i := range h {
			for j := range h {
				normal[i][j] += h[i] * h[j]
			}
		}
	}
	if n < 4 {
		return noDilution
	}
	q, ok := inverseDiagonal(normal)
	if !ok {
		return noDilution
	}
	return dilution{
		pdop: math.Sqrt(q[0] + q[1] + q[2]),
		hdop: math.Sqrt(q[0] + q[1]),
		vdop: math.Sqrt(q[2]),
	}
}

// inverseDiagonal returns the diagonal of a symmetric positive matrix's inverse, by elimination. It is not ok when the
// matrix has no inverse.
func inverseDiagonal(a [4][4]float64) (d [4]float64, ok bool) {
	var inv [4][4]float64
	for i := range inv {
		inv[i][i] = 1
	}
	for k := range a {
		pivot := a[k][k]
		if pivot < 1e-9 {
			return d, false
		}
		for j := range a {
			a[k][j] /= pivot
			inv[k][j] /= pivot
		}
		for i := range a {
			if i == k {
				continue
			}
			f := a[i][k]
			for j := range a {
				a[i][j] -= f * a[k][j]
				inv[i][j] -= f * inv[k][j]
			}
		}
	}
	for i := range d {
		d[i] = inv[i][i]
	}
	return d, true
}
