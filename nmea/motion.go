package nmea

// parseVTG: track true, T, track magnetic, M, knots, N, km/h, K, FAA mode. NMEA
// 1.x has the four numbers without the letters between.
func parseVTG(r *reading) {
	if !r.require(4) {
		return
	}
	kn, kph := 4, 6
	if len(r.Fields) < 8 && r.letter(1) != 'T' {
		kn, kph = 2, 3
	}
	mode := r.letter(8)
	if mode == 'N' {
		return
	}
	r.track = r.number(0, 0, 360)
	if v := r.number(kn, 0, maxSpeed/knot); v.Set {
		r.speed = some(v.V * knot)
	} else if v := r.number(kph, 0, maxSpeed/kmh); v.Set {
		r.speed = some(v.V * kmh)
	}
}

// parseZDA: time, day, month, year, zone hours, zone minutes.
func parseZDA(r *reading) {
	if !r.require(4) {
		return
	}
	r.clock(0)
	if blank(r.field(1)) && blank(r.field(2)) && blank(r.field(3)) {
		return
	}
	day := r.number(1, 1, 31)
	month := r.number(2, 1, 12)
	year := r.number(3, 1980, 2200)
	d, ok := makeDate(int(year.V), int(month.V), int(day.V))
	if !ok {
		r.flaws.add(flawDate)
		return
	}
	r.date = d
}
