package serial

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/receivertest"
	"gpsbridge/bridge/receiver/source"
)

// ubx makes a message of u-blox.
func ubx(class, number byte, payload []byte) []byte {
	m := []byte{0xB5, 0x62, class, number}
	m = binary.LittleEndian.AppendUint16(m, uint16(len(payload)))
	m = append(m, payload...)
	var a, b byte
	for _, c := range m[2:] {
		a += c
		b += a
	}
	return append(m, a, b)
}

// rtcm3 makes a message of corrections.
func rtcm3(payload []byte) []byte {
	m := append([]byte{0xD3, byte(len(payload) >> 8), byte(len(payload))}, payload...)
	crc := uint32(0)
	for _, c := range m {
		crc ^= uint32(c) << 16
		for range 8 {
			if crc <<= 1; crc&0x1000000 != 0 {
				crc ^= 0x1864CFB
			}
		}
	}
	return append(m, byte(crc>>16), byte(crc>>8), byte(crc))
}

// sbf makes a block of Septentrio: a length that is a multiple of 4, and a sum of all behind it.
func sbf(number uint16, payload []byte) []byte {
	payload = payload[:len(payload)/4*4]
	m := binary.LittleEndian.AppendUint16(nil, number)
	m = binary.LittleEndian.AppendUint16(m, uint16(8+len(payload)))
	m = append(m, payload...)
	crc := uint16(0)
	for _, c := range m {
		crc ^= uint16(c) << 8
		for range 8 {
			if carry := crc & 0x8000; carry != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return append(binary.LittleEndian.AppendUint16([]byte("$@"), crc), m...)
}

func noise(size int) []byte {
	random := rand.New(rand.NewPCG(1, uint64(size)))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

// epochOf is what a receiver sends at once: sentences of a time.
func epochOf(i int) string {
	clock := fmt.Sprintf("%02d%02d%02d", 12+i/3600, i/60%60, i%60)
	return receivertest.RMC(clock) + receivertest.Sentence("GPGGA,%s,5130.202,N,00007.657,W,1,09,0.8,11.2,M,46.7,M,,", clock)
}

// TestBinaryBesideNMEA: receivers that send kilobytes of measurements or corrections in each epoch, before the sentences or
// after them, are found and read without a loss, and the port stays open.
func TestBinaryBesideNMEA(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	t.Parallel()
	rawx := ubx(0x02, 0x15, noise(3000))
	var msm []byte
	for range 5 {
		msm = append(msm, rtcm3(noise(900))...)
	}
	blocks := append(sbf(4027, noise(1800)), sbf(4007, noise(88))...) // MeasEpoch, PVTGeodetic
	for _, test := range []struct {
		name   string
		baud   int
		period time.Duration
		binary []byte
		first  bool // the binary messages come first
	}{
		{"mosaic at 115200", 115200, time.Second, blocks, true},
		{"mosaic at 115200, after", 115200, time.Second, blocks, false},
		{"mosaic at 460800", 460800, 200 * time.Millisecond, blocks, false},
		{"F9P at 460800, before", 460800, 200 * time.Millisecond, rawx, true},
		{"F9P at 460800, after", 460800, 200 * time.Millisecond, rawx, false},
		{"F9P at 115200, before", 115200, time.Second, rawx, true},
		{"LC29H(BS) at 115200", 115200, time.Second, msm, true},
		{"LC29H(BS) at 115200, after", 115200, time.Second, msm, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, test.baud)
			w.every(t, test.period, func(i int) []byte {
				if test.first {
					return append(append([]byte(nil), test.binary...), epochOf(i)...)
				}
				return append([]byte(epochOf(i)), test.binary...)
			})
			r, rec, stop := start(t, searched(w.path))
			defer stop()
			epochs := 25
			if test.period < time.Second {
				epochs = 75
			}
			rec.Wait(t, "epochs", func(data string) bool { return strings.Count(data, "$GPGGA,") >= epochs })
			data := rec.All()
			first, from := 0, strings.Index(data, "$GPRMC,")
			if _, err := fmt.Sscanf(data[from:], "$GPRMC,%d,", &first); err != nil {
				t.Fatal(err)
			}
			for i := range epochs - 2 { // the sentences before the first RMC may be of another epoch, and the last is under way
				at := first/10000*3600 + first/100%100*60 + first%100 - 12*3600 + i
				if !strings.Contains(data, epochOf(at)) {
					t.Errorf("epoch %d after the first is missing", i)
				}
			}
			if s := r.Status(); s.Opens != 1 || s.Baud != test.baud || s.Warning != nil {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

// TestSlowReceiverOnAPort: one whose epochs are further apart than the silence that opens a port again is read without a break
// soon, and none of its epochs is lost then.
func TestSlowReceiverOnAPort(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 15 s")
	}
	t.Parallel()
	for _, baud := range []int{0, 9600} { // searched, and fixed
		w := newWire(t, 9600)
		w.every(t, 1500*time.Millisecond, func(i int) []byte { return []byte(epochOf(i)) })
		_, rec, stop := receivertest.Start(t, fixed(w.path, baud), receiver.Config{Silence: 700 * time.Millisecond})
		sinceOpened := func() string {
			all := strings.Join(rec.What(), "")
			return strings.ReplaceAll(all[strings.LastIndex(all, "opened")+1:], "quiet", "")
		}
		rec.Wait(t, "five epochs without a break", func(string) bool { return strings.Count(sinceOpened(), "$GPGGA,") >= 6 })
		data, from := sinceOpened(), 0
		if _, err := fmt.Sscanf(data[strings.Index(data, "$GPRMC,"):], "$GPRMC,%d,", &from); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if !strings.Contains(data, epochOf(from-120000+i)) {
				t.Errorf("baud %d: epoch %d after the first is missing in %q", baud, i, data)
			}
		}
		stop()
	}
}

// TestWhatIsSentIsNamed: what comes in place of a GPS receiver's sentences is named by a code.
func TestWhatIsSentIsNamed(t *testing.T) {
	t.Parallel()
	garmin := []byte{0x10, 0x33, 2, 1, 2, 0, 0x10, 0x03}
	garmin[5] = -(garmin[1] + garmin[2] + garmin[3] + garmin[4])
	for _, test := range []struct {
		name  string
		burst []byte
		want  string
		slow  bool
	}{
		{"UBX", ubx(0x01, 0x07, noise(92)), string(source.BinaryUBX), false},
		{"SBF", sbf(4007, noise(88)), string(source.BinarySBF), false},
		{"RTCM3", rtcm3(noise(300)), string(source.BinaryRTCM3), true},
		{"Garmin", garmin, string(source.BinaryGarmin), true},
		{"TSIP", []byte{0x10, 0x46, 0, 0, 0x10, 0x03, 0x10, 0x4B, 1, 2, 3, 0x10, 0x03}, string(source.BinaryTSIP), true},
		{"AT port", []byte("\r\n+CREG: 0,1\r\n\r\nOK\r\n^RSSI: 18\r\n"), string(source.NotNMEA), true},
		{"AIS", []byte(ais), string(source.OnlyAIS), false},
		{"wind", []byte(receivertest.Sentence("WIMWV,214.8,R,0.1,K,A")), string(source.NoPosition), false},
		{"7E1", evenParity(epochOf(0)), string(source.SevenBits), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.slow && testing.Short() {
				t.Skip("takes 2 to 4 s")
			}
			t.Parallel()
			w := newWire(t, 9600)
			w.every(t, 500*time.Millisecond, func(int) []byte { return test.burst })
			m := newTree(t)
			m.plug("ttyUSB0", w.path)
			r, _, stop := start(t, &auto{finder: finder{system: m.system}})
			defer stop()
			receivertest.WaitStatus(t, r, test.want, func(s receiver.Status) bool { return s.Problem != nil && string(s.Problem.Code) == test.want })
		})
	}
}

const ais = "!AIVDM,1,1,,A,13HOI:0P0000VOHLCnHQKwvL05Ip,0*23\r\n"

func evenParity(text string) []byte {
	b := []byte(text)
	for i, c := range b {
		ones := 0
		for bit := range 7 {
			ones += int(c >> bit & 1)
		}
		b[i] = c | byte(ones%2)<<7
	}
	return b
}

// TestAutoPassesOtherInstrumentsOver: an AIS receiver on the first port does not keep the GPS receiver on the next from being
// read.
func TestAutoPassesOtherInstrumentsOver(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 3 s")
	}
	t.Parallel()
	m := newTree(t)
	first, second := newWire(t, 38400), newWire(t, 9600)
	first.every(t, 500*time.Millisecond, func(int) []byte { return []byte(ais) })
	second.every(t, time.Second, func(i int) []byte { return []byte(epochOf(i)) })
	m.plug("ttyUSB0", first.path)
	m.plug("ttyUSB1", second.path)
	r, rec, stop := start(t, &auto{finder: finder{system: m.system}})
	defer stop()
	rec.Wait(t, "epoch", func(data string) bool { return strings.Contains(data, "$GPGGA,") })
	if s := r.Status(); !strings.HasSuffix(s.Port, "ttyUSB1") || strings.Contains(rec.All(), "AIVDM") {
		t.Errorf("status: %+v", s)
	}
}

// TestFixlessReceiverYields: one that has never had a fix gives way to one on another port that has, and is read again when the
// other has none either.
func TestFixlessReceiverYields(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 6 s")
	}
	t.Parallel()
	void := []byte(receivertest.Sentence("GPRMC,120000,V,,,,,,,231126,,,N"))
	for _, other := range []struct {
		name  string
		burst []byte
	}{{"with a fix", []byte(epochOf(0))}, {"without one", void}} {
		t.Run(other.name, func(t *testing.T) {
			t.Parallel()
			m := newTree(t)
			first, second := newWire(t, 9600), newWire(t, 9600)
			first.every(t, 500*time.Millisecond, func(int) []byte { return void })
			second.every(t, 500*time.Millisecond, func(int) []byte { return other.burst })
			m.plug("ttyUSB0", first.path)
			m.plug("ttyUSB1", second.path)
			r, _, stop := start(t, &auto{finder: finder{system: m.system}, yields: 2 * time.Second})
			defer stop()
			reads := func(s receiver.Status) bool {
				return s.State == receiver.Reading && s.LastByteAge != nil && *s.LastByteAge < 1
			}
			if other.name == "with a fix" {
				receivertest.WaitStatus(t, r, "ttyUSB1", func(s receiver.Status) bool { return reads(s) && strings.HasSuffix(s.Port, "ttyUSB1") })
				return
			}
			// On a busy machine the first port may be passed over, for one that says nothing.
			var port string
			receivertest.WaitStatus(t, r, "a port", func(s receiver.Status) bool { port = s.Port; return reads(s) })
			receivertest.WaitStatus(t, r, port+" again", func(s receiver.Status) bool { return reads(s) && s.Opens > 1 && s.Port == port })
		})
	}
}
