package nmea

import (
	"math"
	"strings"
	"testing"
	"time"

	gonmea "github.com/adrianmo/go-nmea"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// say parses one sentence given without `$` and checksum.
func say(t *testing.T, text string) *reading {
	t.Helper()
	r, _ := newParser().parse([]byte(strings.TrimSpace(sentence(text))))
	return r
}

const nine = 9 * time.Hour

func TestParse(t *testing.T) {
	tests := []struct {
		name, in string
		want     reading
	}{
		{"RMC 2.0", "GPRMC,090000,A,5130.2018,N,00007.6575,W,027.0,084.4,231126,003.1,W", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, date: date{2026, 11, 23},
			lat: some(51.50336333), lon: some(-0.127625), decimals: 4, values: values{speed: some(13.89), track: some(84.4), magVar: some(-3.1)}}},
		{"RMC 4.1", "GNRMC,090000.25,A,5130.20181,N,00007.65752,W,0.0,,231126,,,R,V", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine + 250*time.Millisecond, 2}, verdict: valid, status: StatusRTKFixed,
			date: date{2026, 11, 23}, lat: some(51.5033635), lon: some(-0.12762533), decimals: 5, values: values{speed: some(0)}}},
		{"RMC without a fix", "GPRMC,,V,,,,,,,,,,N", reading{kind: kindRMC, verdict: void}},
		{"RMC without a fix, with a position", "GPRMC,090000,V,5130.2018,N,00007.6575,W,027.0,084.4,231126,,,N", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: void, date: date{2026, 11, 23}}},
		{"RMC, mode in the place of a direction", "GPRMC,090000,A,5130.0,N,00030.0,E,0.0,0.0,231126,,D", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusDGPS, date: date{2026, 11, 23},
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{speed: some(0), track: some(0)}}},
		{"RMC with a broken date", "GPRMC,090000,A,5130.0,N,00030.0,E,0.0,0.0,2208-1,,,A", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS, flaws: flawDate,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{speed: some(0), track: some(0)}}},
		{"RMC out of this world", "GPRMC,996060,A,36000.0000,N,72000.0000,E,3900.0,400.0,310226,,,A", reading{
			kind: kindRMC, verdict: valid, status: StatusGPS, flaws: flawTime | flawRange | flawDate}},
		{"RMC with words", "GPRMC,090000,A,nan,N,Inf,E,0x1p4,1e3,231126,,,A", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS, date: date{2026, 11, 23}, flaws: flawPosition | flawNumber}},
		{"RMC with status D, of Unicore", "GNRMC,090000.00,D,5130.0,N,00030.0,E,0.0,0.0,231126,,,R,V", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 2}, verdict: valid, status: StatusRTKFixed, date: date{2026, 11, 23},
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{speed: some(0), track: some(0)}}},
		{"RMC with status A and mode N", "GNRMC,090000,A,5130.0,N,00030.0,E,0.0,0.0,231126,,,N", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: void, date: date{2026, 11, 23}}},
		{"RMC of dead reckoning beyond its limits", "GNRMC,090000,V,5130.0,N,00030.0,E,19.44,0.0,231126,,,E", reading{
			kind: kindRMC, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: unsaid, status: StatusDeadReckoning, date: date{2026, 11, 23},
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{speed: some(10.0008), track: some(0)}}},
		{"RMC too short", "GPRMC,090000,A", reading{kind: kindRMC, flaws: flawFields}},
		{"GGA", "GPGGA,090000.00,5130.2018,S,00007.6575,E,2,09,0.8,11.2,M,-46.7,M,3.0,0120", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 2}, verdict: valid, status: StatusDGPS,
			lat: some(-51.50336333), lon: some(0.127625), decimals: 4, values: values{altMSL: some(11.2), geoidSep: some(-46.7), hdop: some(0.8), uSat: some(9)}}},
		{"GGA simulated", "GPGGA,090000,5130.0,N,00030.0,E,8,10,2.0,268.8,M,-33.9,M,,", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusSimulated,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{altMSL: some(268.8), geoidSep: some(-33.9), hdop: some(2), uSat: some(10)}}},
		{"GGA without a fix", "GPGGA,,,,,,0,00,99.99,,,,,,", reading{kind: kindGGA, verdict: void, values: values{uSat: some(0)}}},
		{"GGA without a fix, with a position", "GPGGA,090000,5130.0,N,00030.0,E,0,0,,137.000,M,13.000,M,,", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: void, values: values{uSat: some(0)}}},
		{"GGA that ends early", "GPGGA,090000,5130.0,N,00030.0,E,2,,,,,,", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusDGPS, lat: some(51.5), lon: some(0.5), decimals: 1}},
		{"GGA padded with spaces", "GPGGA,090000,5130.0,N,00030.0,E,1, 8, 1.0,  35.5,M, ,M,,", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{altMSL: some(35.5), hdop: some(1), uSat: some(8)}}},
		{"GGA with hemispheres exchanged", "GPGGA,090000,5130.0,E,00030.0,N,1,08,1.0,35.5,M,,M,,", reading{
			kind: kindGGA, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS, flaws: flawPosition, values: values{altMSL: some(35.5), hdop: some(1), uSat: some(8)}}},
		{"GNS", "GNGNS,090000.0,5130.0,N,00030.0,E,NA,13,0.9,25.6,45.0,,", reading{
			kind: kindGNS, timed: true, timeOfDay: timeOfDay{nine, 1}, verdict: valid, status: StatusGPS,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{altMSL: some(25.6), geoidSep: some(45), hdop: some(0.9), uSat: some(13)}}},
		{"GNS without a fix", "GNGNS,090000.0,,,,,NN,00,,,,,", reading{kind: kindGNS, timed: true, timeOfDay: timeOfDay{nine, 1}, verdict: void, values: values{uSat: some(0)}}},
		{"GNS of one constellation beside that of all", "GPGNS,090000.0,,,,,,7,,,,5.2,23,V", reading{kind: kindGNS, timed: true, timeOfDay: timeOfDay{nine, 1}}},
		{"GLL", "GPGLL,5130.0,N,00030.0,E,090000.00,A,D", reading{
			kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 2}, verdict: valid, status: StatusDGPS, lat: some(51.5), lon: some(0.5), decimals: 1}},
		{"GLL with status D", "GPGLL,5130.0,N,00030.0,E,090000,D,R", reading{
			kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusRTKFixed, lat: some(51.5), lon: some(0.5), decimals: 1}},
		{"GLL with signs beside its letters", "GNGLL,-5130.0,S,-00030.0,W,090000,A,A", reading{
			kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS, lat: some(-51.5), lon: some(-0.5), decimals: 1}},
		{"GLL with a sign against its letter", "GNGLL,5130.0,N,-00030.0,E,090000,A,A", reading{
			kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS, flaws: flawPosition}},
		{"GNS that is unsafe", "GNGNS,090000,5130.0,N,00030.0,E,A,13,0.9,,,,,U", reading{
			kind: kindGNS, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid, status: StatusGPS,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{hdop: some(0.9), uSat: some(13)}}},
		{"GLL 1.5", "GPGLL,5130.0,N,00030.0,E", reading{kind: kindGLL, verdict: valid, lat: some(51.5), lon: some(0.5), decimals: 1}},
		{"GLL with status N", "GPGLL,5130.0,N,00030.0,E,090000,N,V", reading{kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: void}},
		{"GSA 4.1", "GNGSA,A,3,65,66,,,,,,,,,,,1.4,0.8,1.1,2", reading{
			kind: kindGSA, dim: Mode3D, gnss: gnssGLONASS,
			sats: []Satellite{{GNSSID: 6, SVID: 1, PRN: 65}, {GNSSID: 6, SVID: 2, PRN: 66}}, values: values{pdop: some(1.4), hdop: some(0.8), vdop: some(1.1)}}},
		{"GSA of 24 channels", "GPGSA,A,3,23,13," + strings.Repeat(",", 21) + ",9.2,7.2,5.7", reading{
			kind: kindGSA, dim: Mode3D, gnss: gnssGPS,
			sats: []Satellite{{SVID: 23, PRN: 23}, {SVID: 13, PRN: 13}}, values: values{pdop: some(9.2), hdop: some(7.2), vdop: some(5.7)}}},
		{"GSA with a number for the system", "GPGSA,A,3,25,,,,,,,,,,,,5.1,1.3,4.9,3.3", reading{
			kind: kindGSA, dim: Mode3D, gnss: gnssGPS, sats: []Satellite{{SVID: 25, PRN: 25}}, values: values{pdop: some(5.1), hdop: some(1.3), vdop: some(4.9)}}},
		{"GSA estimated", "GPGSA,A,E,,,,,,,,,,,,,99.9,99.9,99.9", reading{kind: kindGSA, gnss: gnssGPS}},
		{"VTG", "GPVTG,084.4,T,,M,027.0,N,050.0,K,A", reading{kind: kindVTG, values: values{track: some(84.4), speed: some(13.89)}}},
		{"VTG 1.5", "GPVTG,084.4,081.3,027.0,050.0", reading{kind: kindVTG, values: values{track: some(84.4), speed: some(13.89)}}},
		{"VTG 2.0 with its letters left out", "GPVTG,084.4,,,,027.0,,050.0,", reading{kind: kindVTG, values: values{track: some(84.4), speed: some(13.89)}}},
		{"VTG km/h alone", "GPVTG,,T,,M,,N,050.0,K,A", reading{kind: kindVTG, values: values{speed: some(13.88888889)}}},
		{"VTG without a fix", "GPVTG,0.0,T,,M,0.0,N,0.0,K,N", reading{kind: kindVTG}},
		{"ZDA", "GPZDA,090000.00,23,11,2026,00,00", reading{kind: kindZDA, timed: true, timeOfDay: timeOfDay{nine, 2}, date: date{2026, 11, 23}}},
		{"ZDA without zone", "GPZDA,090000,23,11,2026", reading{kind: kindZDA, timed: true, timeOfDay: timeOfDay{nine, 0}, date: date{2026, 11, 23}}},
		{"ZDA with a month 13", "GPZDA,090000,23,13,2026,,", reading{kind: kindZDA, timed: true, timeOfDay: timeOfDay{nine, 0}, flaws: flawRange | flawDate}},
		{"ZDA without a date", "GPZDA,090000,,,,,", reading{kind: kindZDA, timed: true, timeOfDay: timeOfDay{nine, 0}}},
		{"GST", "GPGST,090000,1.2,,,,3.0,4.0,5.0", reading{kind: kindGST, timed: true, timeOfDay: timeOfDay{nine, 0}, values: values{eph: some(10), epv: some(10)}}},
		{"GSV 4.1", "GAGSV,1,1,02,04,51,210,43,09,,,,7", reading{kind: kindGSV, gnss: gnssGalileo, part: 1, parts: 1, signal: '7',
			sats: []Satellite{{GNSSID: 2, SVID: 4, PRN: 304, El: some(51), Az: some(210), SS: some(43)}, {GNSSID: 2, SVID: 9, PRN: 309}}}},
		{"GSV with Quectel's numbers", "GAGSV,1,1,02,104,51,210,43,125,,,", reading{kind: kindGSV, gnss: gnssGalileo, part: 1, parts: 1,
			sats: []Satellite{{GNSSID: 2, SVID: 4, PRN: 304, El: some(51), Az: some(210), SS: some(43)}, {GNSSID: 2, SVID: 25, PRN: 325}}}},
		{"GSA with numbers of many ranges", "GNGSA,A,3,32,46,133,88,305,412,209,195,174,905,,,1.4,0.8,1.1", reading{
			kind: kindGSA, dim: Mode3D, gnss: -1,
			sats: []Satellite{{SVID: 32, PRN: 32}, {GNSSID: 1, SVID: 133, PRN: 133}, {GNSSID: 1, SVID: 133, PRN: 133}, {GNSSID: 6, SVID: 24, PRN: 88},
				{GNSSID: 2, SVID: 5, PRN: 305}, {GNSSID: 3, SVID: 12, PRN: 412}, {GNSSID: 3, SVID: 9, PRN: 409}, {GNSSID: 5, SVID: 3, PRN: 195},
				{GNSSID: 4, SVID: 2, PRN: 174}, {GNSSID: 7, SVID: 5, PRN: 505}}, values: values{pdop: some(1.4), hdop: some(0.8), vdop: some(1.1)}}},
		{"PQGSV", "PQGSV,1,1,01,05,12,120,33,0,4", reading{kind: kindGSV, gnss: gnssBeiDou, part: 1, parts: 1, signal: '0',
			sats: []Satellite{{GNSSID: 3, SVID: 5, PRN: 405, El: some(12), Az: some(120), SS: some(33)}}}},
		{"PUBX,00", "PUBX,00,090000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,-0.5,,0.8,1.1,0.6,9,0,0", reading{
			kind: kindUBX, timed: true, timeOfDay: timeOfDay{nine, 2}, verdict: valid, status: StatusGPS, dim: Mode3D,
			lat: some(51.5), lon: some(0.5), decimals: 1, values: values{altHAE: some(57.9), eph: some(5), epv: some(10), speed: some(10), track: some(84.4), climb: some(0.5), hdop: some(0.8), vdop: some(1.1), uSat: some(9)}}},
		{"PUBX,00 without a fix", "PUBX,00,090000.00,,,,,0.0,NF,5.0,5.0,0.0,0.0,0.0,,99.9,99.9,99.9,0,0,0", reading{
			kind: kindUBX, timed: true, timeOfDay: timeOfDay{nine, 2}, verdict: void}},
		{"PQGSV of QZSS", "PQGSV,1,1,01,05,12,120,33,0,5", reading{kind: kindGSV, gnss: gnssQZSS, part: 1, parts: 1, signal: '0',
			sats: []Satellite{{GNSSID: 5, SVID: 5, PRN: 197, El: some(12), Az: some(120), SS: some(33)}}}},
		{"GLL without a status", "GPGLL,5130.0,N,00030.0,E,090000", reading{kind: kindGLL, timed: true, timeOfDay: timeOfDay{nine, 0}, verdict: valid,
			lat: some(51.5), lon: some(0.5), decimals: 1}},
		{"GSA without a fix", "GNGSA,A,1,,,,,,,,,,,,,,,", reading{kind: kindGSA, dim: ModeNone, gnss: unknownGNSS}},
		{"GSA of another dimension", "GNGSA,A,4,,,,,,,,,,,,,,,", reading{kind: kindGSA, gnss: unknownGNSS}},
		{"PUBX,04", "PUBX,04,090000.00,231126,120000.00,2400,18,0,0.0,21", reading{
			kind: kindZDA, timed: true, timeOfDay: timeOfDay{nine, 2}, date: date{2026, 11, 23}}},
		{"PUBX,03", "PUBX,03,01,23,U,040,40,31,064", reading{}},
		{"QZSS by its own numbers", "GQGSV,1,1,02,193,12,120,33,202,12,120,33", reading{kind: kindGSV, gnss: gnssQZSS, part: 1, parts: 1,
			sats: []Satellite{{GNSSID: 5, SVID: 1, PRN: 193, El: some(12), Az: some(120), SS: some(33)}, {GNSSID: 5, SVID: 10, PRN: 202, El: some(12), Az: some(120), SS: some(33)}}}},
		{"PGRME", "PGRME,15.0,M,22.5,M,15.0,M", reading{kind: kindRME, values: values{eph: some(30), epv: some(45)}}},
		{"PGRMZ", "PGRMZ,100,f,3", reading{kind: kindRMZ, values: values{altMSL: some(30.48)}}},
		{"PGRMZ entered by hand", "PGRMZ,100,f,2", reading{kind: kindRMZ}},
		{"PGRMZ without a fix", "PGRMZ,,f,1", reading{kind: kindRMZ}},
		{"HDG", "HCHDG,98.3,0.0,E,12.6,W", reading{kind: kindHDG, values: values{magVar: some(-12.6)}}},
		{"HDG with NaN", "HCHDG,98.3,0.0,E,nan,W", reading{kind: kindHDG, flaws: flawNumber}},
		{"HDT", "GPHDT,274.07,T", reading{kind: kindHDT, values: values{heading: some(274.07)}}},
		{"HDT at 360", "HEHDT,360.00,T", reading{kind: kindHDT, values: values{heading: some(0)}}},
		{"HDT without a heading", "GPHDT,,T", reading{kind: kindHDT}},
		{"THS", "GPTHS,77.52,E", reading{kind: kindTHS, values: values{heading: some(77.52)}}},
		{"THS without a heading", "GPTHS,77.52,V", reading{kind: kindTHS}},
		{"TXT", "GPTXT,01,01,02,ANTSTATUS=OK", reading{kind: kindTXT, text: "ANTSTATUS=OK"}},
		{"TXT on which the library panics", "GPTXT,DEFAULT PVT CONFIGURATION", reading{kind: kindTXT, text: "DEFAULT PVT CONFIGURATION"}},
		{"a type on which the library panics", "IIALC", reading{flaws: flawPanic}},
		{"refused by the library", "SDDPT,x,0.0", reading{flaws: flawLibrary}},
		{"RMC without a talker", "PRMC,090000,A,5130.0,N,00030.0,E,0.0,0.0,231126,,,A", reading{}},
	}
	opts := cmp.Options{
		cmp.AllowUnexported(reading{}, timeOfDay{}, date{}), cmpopts.EquateApprox(0, 1e-8), cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(reading{}, "BaseSentence"), cmpopts.IgnoreFields(Value{}, "stated"), // TestDigits is about those
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := *say(t, tt.in)
			if tt.want.kind != kindGSA && tt.want.kind != kindGSV {
				tt.want.gnss = -1
			}
			if d := cmp.Diff(tt.want, got, opts); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestLibraryPanics shows why parse recovers. When the library no longer panics the test fails.
func TestLibraryPanics(t *testing.T) {
	for _, text := range []string{"GPTXT,DEFAULT PVT CONFIGURATION", "IIALC"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("go-nmea reads %q: take it off the list", text)
				}
			}()
			p := gonmea.SentenceParser{}
			_, _ = p.Parse(strings.TrimSpace(sentence(text)))
		}()
	}
}

// TestParseAngle holds that a coordinate is the float64 nearest to what the receiver wrote.
func TestParseAngle(t *testing.T) {
	tests := []struct {
		in       string
		want     float64
		decimals int
		ok       bool
	}{
		{"5130.2018", 51 + 30.2018/60, 4, true},
		{"00007.6575", 7.6575 / 60, 4, true},
		{"4404.12379620", 44 + 4.1237962/60, 8, true},
		{"17959.9999999999", 180, 10, true},
		{"07959.99999999990123456789", 80, 10, true},
		{"5130", 51.5, 0, true},
		{"8960.0000", 90, 4, true},
		{"8960.0001", 0, 0, false},
		{"-5130.0", 0, 0, false},
		{"51.30.0", 0, 0, false},
		{"1e3", 0, 0, false},
		{"", 0, 0, false},
		{strings.Repeat("9", 40), 0, 0, false},
	}
	for _, tt := range tests {
		got, decimals, ok := parseAngle(tt.in)
		if ok != tt.ok || decimals != tt.decimals || math.Abs(got-tt.want) > 1e-11 {
			t.Errorf("parseAngle(%q) = %v, %d, %v, want %v, %d, %v", tt.in, got, decimals, ok, tt.want, tt.decimals, tt.ok)
		}
	}
}

func TestParseTimeOfDay(t *testing.T) {
	tests := []struct {
		in   string
		want time.Duration
		ok   bool
	}{
		{"000000", 0, true},
		{"235959.99", 24*time.Hour - 10*time.Millisecond, true},
		{"235960.00", 24 * time.Hour, true},
		{"120060.0", 12*time.Hour + time.Minute, true},
		{"120000.", 12 * time.Hour, true},
		{"120000.0004999", 12*time.Hour + 499900*time.Nanosecond, true},
		{"240000", 0, false},
		{"126000", 0, false},
		{"12000", 0, false},
		{"1200000", 0, false},
		{"12:00:00", 0, false},
	}
	for _, tt := range tests {
		if got, ok := parseTimeOfDay(tt.in); got.tod != tt.want || ok != tt.ok {
			t.Errorf("parseTimeOfDay(%q) = %v, %v, want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}

// TestSatelliteRanges holds where each range of numbers ends, and to which constellation it belongs.
func TestSatelliteRanges(t *testing.T) {
	for _, tt := range []struct{ stated, n, gnss, svid int }{
		{unknownGNSS, 1, gnssGPS, 1}, {unknownGNSS, 32, gnssGPS, 32}, {gnssGPS, 33, gnssSBAS, 120}, {unknownGNSS, 64, gnssSBAS, 151},
		{unknownGNSS, 65, gnssGLONASS, 1}, {gnssGLONASS, 65, gnssGLONASS, 1}, {unknownGNSS, 99, gnssGLONASS, 35}, {unknownGNSS, 100, gnssGPS, 100},
		{gnssGLONASS, 1, gnssGLONASS, 1}, {gnssGLONASS, 32, gnssGLONASS, 32}, {unknownGNSS, 120, gnssSBAS, 120}, {unknownGNSS, 158, gnssSBAS, 158},
		{unknownGNSS, 173, gnssIMES, 1}, {unknownGNSS, 182, gnssIMES, 10}, {unknownGNSS, 193, gnssQZSS, 1}, {unknownGNSS, 200, gnssQZSS, 8},
		{unknownGNSS, 201, gnssBeiDou, 1}, {unknownGNSS, 263, gnssBeiDou, 63}, {gnssQZSS, 201, gnssQZSS, 9}, {gnssQZSS, 210, gnssQZSS, 18},
		{unknownGNSS, 301, gnssGalileo, 1}, {unknownGNSS, 336, gnssGalileo, 36}, {gnssGalileo, 101, gnssGalileo, 1}, {gnssGalileo, 136, gnssGalileo, 36},
		{unknownGNSS, 401, gnssBeiDou, 1}, {unknownGNSS, 463, gnssBeiDou, 63}, {unknownGNSS, 901, gnssNavIC, 1}, {unknownGNSS, 918, gnssNavIC, 18},
		{gnssBeiDou, 40, gnssBeiDou, 40}, {gnssGalileo, 33, gnssGalileo, 33}, {gnssNavIC, 14, gnssNavIC, 14},
	} {
		if s := satellite(tt.stated, tt.n); int(s.GNSSID) != tt.gnss || s.SVID != tt.svid {
			t.Errorf("%d in a sentence of %d: %d of %d, want %d of %d", tt.n, tt.stated, s.SVID, s.GNSSID, tt.svid, tt.gnss)
		}
	}
	for id, want := range map[string]int{"0": unknownGNSS, "1": gnssGPS, "2": gnssGLONASS, "3": gnssGalileo, "4": gnssBeiDou, "5": gnssQZSS, "6": gnssNavIC, "7": unknownGNSS} {
		if r := say(t, "GNGSA,A,3,,,,,,,,,,,,,1.4,0.8,1.1,"+id); r.gnss != want {
			t.Errorf("GSA of system %s is of %d, want %d", id, r.gnss, want)
		}
	}
}

// TestZeroHasNoSign holds that a place on the equator or on the meridian of Greenwich, and a climb of 0, are not -0.
func TestZeroHasNoSign(t *testing.T) {
	r := say(t, "GPGLL,0000.0,S,00000.0,W,090000,A")
	up := say(t, "PUBX,00,100000.00,5130.0,N,00030.0,E,57.9,G3,2.5,5.0,36.0,084.4,0.0,,0.8,1.1,0.6,9,0,0").values[climb]
	for _, v := range []Value{r.lat, r.lon, up} {
		if !v.Set || math.Signbit(v.V) {
			t.Errorf("%+v", v)
		}
	}
}

func TestMakeDate(t *testing.T) {
	for d, want := range map[date]bool{{1980, 1, 1}: true, {1979, 12, 31}: false, {2200, 12, 31}: true, {2201, 1, 1}: false, {2026, 12, 31}: true, {2026, 13, 1}: false, {2026, 2, 29}: false} {
		if _, ok := makeDate(d.year, d.month, d.day); ok != want {
			t.Errorf("%v: %t, want %t", d, ok, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	tests := []struct {
		in   string
		want date
		ok   bool
	}{
		{"231126", date{2026, 11, 23}, true},
		{"220899", date{1999, 8, 22}, true},
		{"060180", date{1980, 1, 6}, true},
		{"311279", date{2079, 12, 31}, true},
		{"290224", date{2024, 2, 29}, true},
		{"+11126", date{}, false},
		{"010026", date{}, false},
		{"011326", date{}, false},
		{"290225", date{}, false},
		{"310426", date{}, false},
		{"000026", date{}, false},
		{"2208-1", date{}, false},
		{"2311260", date{}, false},
	}
	for _, tt := range tests {
		if got, ok := parseDate(tt.in); ok != tt.ok || ok && got != tt.want {
			t.Errorf("parseDate(%q) = %v, %v, want %v, %v", tt.in, got, ok, tt.want, tt.ok)
		}
	}
}
