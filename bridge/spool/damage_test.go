package spool

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// written is a log in two segments: 1 to 12 in the first, sealed, and 13 to 20 in the second; 1 to 3 and 7 are
// acknowledged.
func written(t *testing.T) (*machine, map[uint64]string) {
	m := newMachine()
	m.open(t, "r")
	want := map[uint64]string{}
	for i := uint64(1); i <= 20; i++ {
		data := fmt.Sprintf("record %d %s", i, strings.Repeat("x", int(i)))
		if _, err := m.spool.Append([]byte(data)); err != nil {
			t.Fatal(err)
		}
		want[i] = data
		if i != 12 && i != 20 {
			continue
		}
		if err := m.spool.flush(false); err != nil {
			t.Fatal(err)
		}
		if i == 12 { // the next record begins a segment
			m.spool.disk.active.end = m.spool.disk.capacity()
		}
	}
	for _, pos := range []uint64{1, 2, 3, 7} {
		m.spool.Reader("r").Ack(pos)
		delete(want, pos)
	}
	if err := m.spool.flush(false); err != nil {
		t.Fatal(err)
	}
	m.disk.sync()
	return m, want
}

// copied returns a machine in which only the disk is left, as it was.
func copied(m *machine) *machine {
	c := &machine{disk: newSimDirectory(), tmpfs: newSimDirectory(), boot: m.boot + 1}
	for name, f := range m.disk.names {
		c.disk.names[name] = &simFile{directory: c.disk, name: name, b: slices.Clone(f.b), synced: slices.Clone(f.b)}
	}
	return c
}

// extents returns of each record of a segment file where it begins and ends.
func extents(b []byte) (all [][2]int) {
	scan(b[segmentHeader:], func(off int, r record) {
		all = append(all, [2]int{segmentHeader + off, segmentHeader + off + r.size()})
	})
	return all
}

// checkDamaged opens a damaged copy: it must give what is wanted, and perhaps what was acknowledged; take another
// record; and give the same with it when opened again.
func checkDamaged(t *testing.T, c *machine, want map[uint64]string, what string) {
	t.Helper()
	opened, before := map[string]*simFile{}, map[string][]byte{} // the damaged one; it may be replaced, but not changed
	for name, f := range c.disk.names {
		if strings.Contains(what, name) {
			opened[name], before[name] = f, slices.Clone(f.b)
		}
	}
	c.open(t, "r")
	got := contents(t, c.spool.Reader("r"))
	if lost := without(want, got); len(lost) > 0 {
		t.Fatalf("%s: lost %v", what, lost)
	}
	for _, pos := range without(got, want) {
		if pos > 3 && pos != 7 || !strings.HasPrefix(got[pos], fmt.Sprintf("record %d x", pos)) {
			t.Fatalf("%s: given %q at %d", what, got[pos], pos)
		}
	}
	pos, err := c.spool.Append([]byte("more"))
	if err != nil || pos <= 20 {
		t.Fatalf("%s: Append = %d, %v", what, pos, err)
	}
	if err := c.spool.Close(); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for name, f := range opened {
		if !bytes.Equal(f.b, before[name]) {
			t.Fatalf("%s: it was written to", what)
		}
	}
	got[pos] = "more"
	c.tmpfs = newSimDirectory()
	c.open(t, "r")
	if diff := cmp.Diff(got, contents(t, c.spool.Reader("r"))); diff != "" {
		t.Fatalf("%s, opened again: %s", what, diff)
	}
}

func TestFlippedBytesCostTheirRecord(t *testing.T) {
	m, want := written(t)
	for name, f := range m.disk.names {
		if name == spareName {
			continue
		}
		records := extents(f.b)
		ends := records[len(records)-1][1]
		if name == segmentName(1) {
			ends = records[len(records)-2][1]
		}
		for i := range f.b {
			if i%everyByte() != 0 || i > ends+50 && i < len(f.b)-sealSize-50 && i%997 != 0 {
				continue // zeros are all alike
			}
			c := copied(m)
			c.disk.names[name].b[i] ^= 1 << (i % 8)
			expect := maps.Clone(want)
			for _, x := range records {
				if r, _ := parseRecord(f.b[x[0]:]); i >= x[0] && i < x[1] && r.kind == kindData {
					delete(expect, r.pos)
				}
			}
			checkDamaged(t, c, expect, fmt.Sprintf("byte %d of %s flipped", i, name))
		}
	}
}

// everyByte is the step of those tests that damage a file at each byte. The race detector makes a byte ten times as dear.
func everyByte() int {
	switch {
	case testing.Short():
		return 23
	case raced:
		return 7
	}
	return 1
}

func TestCutFilesCostWhatIsCutOff(t *testing.T) {
	m, want := written(t)
	for name, f := range m.disk.names {
		if name == spareName {
			continue
		}
		records := extents(f.b)
		for n := range f.b {
			if n%everyByte() != 0 || n > records[len(records)-1][1]+50 && n%997 != 0 || n > 3000 && n < len(f.b)-sealSize && n%997 != 0 {
				continue
			}
			c := copied(m)
			c.disk.names[name].b = c.disk.names[name].b[:n]
			expect := maps.Clone(want)
			for _, x := range records {
				if r, _ := parseRecord(f.b[x[0]:]); x[1] > n && r.kind == kindData {
					delete(expect, r.pos)
				}
			}
			checkDamaged(t, c, expect, fmt.Sprintf("%s cut to %d bytes", name, n))
		}
	}
}

// TestDamagedRecentLog flips each byte of what is not on the disk yet, and cuts it there, in the same boot and in the next:
// without a tmpfs it lies on the card.
func TestDamagedRecentLog(t *testing.T) {
	m := newMachine()
	m.open(t, "r")
	want := map[uint64]string{}
	for range 8 {
		data := fmt.Sprintf("record %d", len(want)+1)
		want[mustAppend(t, m.spool, data)] = data
	}
	for _, pos := range []uint64{1, 2, 5} {
		m.spool.Reader("r").Ack(pos)
	}
	all := maps.Clone(want)
	maps.DeleteFunc(want, func(pos uint64, _ string) bool { return pos <= 2 || pos == 5 })
	for name, f := range m.tmpfs.names {
		records := extents(f.b)
		for i := 0; i < records[len(records)-1][1]+50; i += everyByte() {
			for _, cut := range []bool{false, true} {
				for later := range byte(2) {
					c := copied(m)
					c.boot = m.boot + later
					b := slices.Clone(f.b)
					if cut {
						b = b[:i]
					} else {
						b[i] ^= 1 << (i % 8)
					}
					c.tmpfs.names[name] = &simFile{directory: c.tmpfs, name: name, b: b}
					c.open(t, "r")
					got := contents(t, c.spool.Reader("r"))
					if wrong := without(got, all); len(wrong) > 0 {
						t.Fatalf("byte %d, cut %t, boot %d: given what never was: %v", i, cut, later, wrong)
					}
					for _, pos := range without(want, got) {
						x := records[slices.IndexFunc(records, func(x [2]int) bool {
							r, _ := parseRecord(f.b[x[0]:])
							return r.kind == kindData && r.pos == pos
						})]
						if i >= x[1] || !cut && i < x[0] {
							t.Fatalf("byte %d, cut %t, boot %d: lost %d, which is in bytes %v", i, cut, later, pos, x)
						}
					}
					if pos := mustAppend(t, c.spool, "more"); pos <= 8 && !cut {
						t.Fatalf("byte %d, boot %d: positions go on with %d", i, later, pos)
					}
				}
			}
		}
	}
}

func TestZeroedStretchesAndLostFiles(t *testing.T) {
	m, want := written(t)
	for _, name := range []string{segmentName(1), segmentName(13)} {
		records := extents(m.disk.names[name].b)
		c := copied(m)
		clear(c.disk.names[name].b[records[4][0]-10 : records[6][0]])
		expect := maps.Clone(want)
		for _, x := range records[3:6] {
			r, _ := parseRecord(m.disk.names[name].b[x[0]:])
			delete(expect, r.pos)
		}
		checkDamaged(t, c, expect, "a stretch of zeros in "+name)

		c = copied(m)
		delete(c.disk.names, name)
		expect = maps.Clone(want)
		maps.DeleteFunc(expect, func(pos uint64, _ string) bool { return pos <= 12 == (name == segmentName(1)) })
		checkDamaged(t, c, expect, "without "+name)
	}
}

// TestRecordsDamagedLater reads records that were whole when the spool was opened.
func TestRecordsDamagedLater(t *testing.T) {
	m, want := written(t)
	c := copied(m)
	c.open(t, "r")
	f := c.disk.names[segmentName(1)]
	x := extents(f.b)[5]
	r, _ := parseRecord(f.b[x[0]:])
	f.b[x[1]-1] ^= 1
	delete(want, r.pos)
	if diff := cmp.Diff(want, contents(t, c.spool.Reader("r"))); diff != "" {
		t.Error(diff)
	}
	if st := c.spool.Stats(); st.Damaged != 1 || st.Records != len(want) {
		t.Errorf("%+v, want 1 damaged and %d held", st, len(want))
	}
}

// TestOtherFormatsAreLeftAlone has a segment of another version among those of this one, where the next would have its name, and alone,
// as an upgrade finds it.
func TestOtherFormatsAreLeftAlone(t *testing.T) {
	m, _ := written(t)
	for _, tc := range []struct {
		base  uint64
		alone bool
	}{{40, false}, {21, false}, {1, true}} {
		c := copied(m)
		if tc.alone {
			clear(c.disk.names)
		}
		name, other := segmentName(tc.base), encodeHeader(tc.base, 0, minSegment)
		other[8] = Format + 1
		binary.LittleEndian.PutUint32(other[28:], crc32.Checksum(other[:28], castagnoli))
		c.disk.names[name] = &simFile{directory: c.disk, b: append(other, "whatever comes to mind"...)}
		before := slices.Clone(c.disk.names[name].b)
		c.open(t, "r")
		pos, err := c.spool.Append([]byte("x"))
		if err != nil || pos < reserved {
			t.Errorf("%+v: Append beside an unknown format = %d, %v", tc, pos, err)
		}
		if err := c.spool.Close(); err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
		if f := c.disk.names[name]; f == nil || !bytes.Equal(f.b, before) {
			t.Errorf("%+v: a segment in another format was changed", tc)
		}
		c.open(t, "r")
		if got := contents(t, c.spool.Reader("r")); got[pos] != "x" {
			t.Errorf("%+v: after a restart %v wait, want x at %d", tc, got, pos)
		}
	}
}

// TestFormat pins the bytes that doc.go draws.
func TestFormat(t *testing.T) {
	const at = 1700000000000
	st := state{last: 44, dropped: 5, boot: [16]byte([]byte("0123456789abcdef")), again: 3, readers: map[string]ranges{
		"fleet": {{0, 41}, {43, 43}}, "b": {{0, 44}},
	}}.encode()
	st.at = at
	sealed := segment{count: 3, total: 300, last: 44}
	for name, test := range map[string]struct {
		b    []byte
		want string
	}{
		"header": {encodeHeader(42, 1, 1<<20),
			"67707373706f6f6c 02000000 00001000 2a00000000000000 01000000 d344d908"},
		"data": {appendRecord(nil, record{kind: kindData, pos: 42, at: at, data: []byte("fix")}),
			"4c0df288 030000 01 2a00000000000000 0068e5cf8b010000 666978"},
		"ack": {appendRecord(nil, record{kind: kindAck, pos: 43, data: []byte("fleet")}),
			"71d0e0d3 050000 02 2b00000000000000 0000000000000000 666c656574"},
		"state": {appendRecord(nil, st),
			"e4a53bd5 600000 03 2c00000000000000 0068e5cf8b010000 0500000000000000 30313233343536373839616263646566 0300000000000000" +
				"01 62 01000000 0000000000000000 2c00000000000000" +
				"05 666c656574 02000000 0000000000000000 2900000000000000 2b00000000000000 2b00000000000000"},
		"seal": {sealed.encodeSeal(),
			"996ed345 080000 04 2c00000000000000 0000000000000000 03000000 2c010000"},
	} {
		want := strings.ReplaceAll(test.want, " ", "")
		if got := hex.EncodeToString(test.b); got != want {
			t.Errorf("%s is\n%s, want\n%s", name, got, want)
		}
	}
	r, ok := parseRecord(appendRecord(nil, st))
	back, err := decodeState(r)
	if !ok || err != nil || !maps.EqualFunc(back.readers, map[string]ranges{"fleet": {{0, 41}, {43, 43}}, "b": {{0, 44}}}, slices.Equal) ||
		back.last != 44 || back.dropped != 5 || string(back.boot[:]) != "0123456789abcdef" {
		t.Errorf("state read back: %+v, %v", back, err)
	}
}

// TestScanCountsPlaces: a place is a stretch of bytes without a record, however long. Zeros are free space at the end and before
// the seal, and damage between records.
func TestScanCountsPlaces(t *testing.T) {
	one, two := appendRecord(nil, record{kind: kindData, pos: 1, data: []byte("fix")}), appendRecord(nil, record{kind: kindAck, pos: 1, data: []byte("r")})
	seal := (&segment{count: 1, total: 27, last: 1}).encodeSeal()
	zeros, garbage := make([]byte, 40), []byte("garbage that is no record at all and longer than a header")
	for name, tc := range map[string]struct {
		parts            [][]byte
		records, damaged int
		end              int // of the last record but the seal
	}{
		"nothing":                         {nil, 0, 0, 0},
		"records":                         {[][]byte{one, two}, 2, 0, len(one) + len(two)},
		"free space":                      {[][]byte{one, two, zeros}, 2, 0, len(one) + len(two)},
		"free space before the seal":      {[][]byte{one, zeros, seal}, 2, 0, len(one)},
		"sealed and full":                 {[][]byte{one, two, seal}, 3, 0, len(one) + len(two)},
		"zeros between records":           {[][]byte{one, zeros, two}, 2, 1, len(one) + len(zeros) + len(two)},
		"garbage first":                   {[][]byte{garbage, one}, 1, 1, len(garbage) + len(one)},
		"garbage twice":                   {[][]byte{one, garbage, two, garbage}, 2, 2, len(one) + len(garbage) + len(two)},
		"garbage before the seal":         {[][]byte{one, zeros, garbage, seal}, 2, 1, len(one)},
		"a zero and garbage at the end":   {[][]byte{one, {0}, garbage}, 1, 1, len(one)},
		"one byte at the end":             {[][]byte{one, {1}}, 1, 1, len(one)},
		"a header cut off":                {[][]byte{one, two[:recordHeader-1]}, 1, 1, len(one)},
		"a payload cut off":               {[][]byte{one, one[:len(one)-1]}, 1, 1, len(one)},
		"a header whose record is beyond": {[][]byte{one[:recordHeader], two}, 1, 1, recordHeader + len(two)},
	} {
		b := bytes.Join(tc.parts, nil)
		records := 0
		end, damaged := scan(b, func(off int, r record) {
			if got, ok := parseRecord(b[off:]); !ok || got.pos != r.pos || got.kind != r.kind {
				t.Errorf("%s: no such record at %d: %+v", name, off, r)
			}
			records++
		})
		if records != tc.records || damaged != tc.damaged || end != tc.end {
			t.Errorf("%s: %d records, %d places, end %d; want %d, %d, %d", name, records, damaged, end, tc.records, tc.damaged, tc.end)
		}
	}
}

// TestSealIsRead from the end of a file, of the least size too; without a valid one the records have to be read.
func TestSealIsRead(t *testing.T) {
	seal := (&segment{count: 3, total: 300, last: 44}).encodeSeal()
	other := appendRecord(nil, record{kind: kindAck, pos: 44, data: make([]byte, 8)})
	short := appendRecord(nil, record{kind: kindSeal, pos: 44, data: make([]byte, 7)})
	const least = segmentHeader + sealSize
	for name, tc := range map[string]struct {
		size int64
		end  []byte
		ok   bool
	}{
		"sealed":               {4096, seal, true},
		"nothing but the seal": {least, seal, true},
		"too small":            {least - 1, seal, false},
		"not sealed":           {4096, make([]byte, sealSize), false},
		"damaged":              {4096, append(seal[:sealSize-1:sealSize-1], 'x'), false},
		"another record":       {4096, other, false},
		"a shorter one":        {4096, append([]byte{0}, short...), false},
	} {
		f := &memFile{size: tc.size}
		_, _ = f.WriteAt(tc.end, tc.size-int64(len(tc.end)))
		s := segment{size: tc.size, count: -1}
		want := segment{size: tc.size, count: -1}
		if tc.ok {
			want = segment{size: tc.size, count: 3, total: 300, last: 44}
		}
		if ok := s.readSeal(f); ok != tc.ok || s.count != want.count || s.total != want.total || s.last != want.last {
			t.Errorf("%s: %t, %d records of %d bytes to %d", name, ok, s.count, s.total, s.last)
		}
	}
}

// TestMalformedStates: a state whose checksum holds, and which another program has written.
func TestMalformedStates(t *testing.T) {
	whole := state{last: 44, readers: map[string]ranges{"fleet": {{0, 41}, {43, 43}}}}.encode()
	changed := func(at int, b byte) []byte {
		data := append([]byte(nil), whole.data...)
		data[at] = b
		return data
	}
	const spans = stateHeader + 1 + 5 // the number of them
	for name, data := range map[string][]byte{
		"cut in the fixed part":             whole.data[:stateHeader-1],
		"cut in a name":                     whole.data[:stateHeader+3],
		"cut in the number of spans":        whole.data[:spans+3],
		"cut in a span":                     whole.data[:len(whole.data)-1],
		"more spans than there are":         changed(spans, 3),
		"a longer name than there is":       changed(stateHeader, 255),
		"a span that ends before it begins": changed(spans+4, 42),
		"a span beyond the last":            changed(spans+4+16+8, 45),
	} {
		if st, err := decodeState(record{kind: kindState, pos: 44, data: data}); err == nil {
			t.Errorf("%s: no error: %+v", name, st)
		}
	}
	for name, data := range map[string][]byte{"whole": whole.data, "of one position": changed(spans+4, 41), "without readers": whole.data[:stateHeader], "up to the last": changed(spans+4+16+8, 44)} {
		if _, err := decodeState(record{kind: kindState, pos: 44, data: data}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzScan reads anything as a segment.
func FuzzScan(f *testing.F) {
	b := appendRecord(encodeHeader(1, 0, 4096), state{last: 3, readers: map[string]ranges{"r": {{0, 1}}}}.encode())
	for i := range uint64(3) {
		b = appendRecord(b, record{kind: kindData, pos: i + 1, data: []byte("data")})
	}
	f.Add(append(b, (&segment{count: 3, total: 84, last: 3}).encodeSeal()...))
	f.Add(b[:len(b)-3])
	f.Add(append(make([]byte, 40), b...))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := newMachine()
		m.disk.names[segmentName(1)] = &simFile{directory: m.disk, b: b}
		m.open(t, "r")
		contents(t, m.spool.Reader("r"))
		pos, err := m.spool.Append([]byte("more"))
		if err != nil {
			t.Fatal(err)
		}
		if got := contents(t, m.spool.Reader("r")); got[pos] != "more" {
			t.Fatalf("a record appended beside damage is not given: %v", got)
		}
	})
}

// TestDamageIsCountedAtOpening in the log and in Stats. What is in a file twice, or in the next one too, is no damage and counts
// once.
func TestDamageIsCountedAtOpening(t *testing.T) {
	m, want := written(t)
	newest := func(d *simDirectory) []byte { return d.names[slices.Max(slices.Collect(maps.Keys(d.names)))].b }
	flip := func(b []byte, record int) { b[extents(b)[record][1]-1] ^= 1 }
	add := func(b []byte, r record) { // after what has been written
		all := extents(b)
		end := all[len(all)-1][1]
		if end == len(b) { // before the seal
			end = all[len(all)-2][1]
		}
		copy(b[end:], appendRecord(nil, r))
	}
	for name, test := range map[string]struct {
		damage func(c *machine)
		places uint64
		lost   int // records
	}{
		"whole":          {func(*machine) {}, 0, 0},
		"a record":       {func(c *machine) { flip(c.disk.names[segmentName(13)].b, 2) }, 1, 1},
		"two records":    {func(c *machine) { b := c.disk.names[segmentName(13)].b; flip(b, 5); flip(b, 2) }, 2, 2},
		"a header":       {func(c *machine) { c.disk.names[segmentName(13)].b[0] ^= 1 }, 1, 0},
		"the recent log": {func(c *machine) { newest(c.tmpfs)[0] ^= 1 }, 1, 0},
		"a malformed state": {func(c *machine) {
			add(c.disk.names[segmentName(13)].b, record{kind: kindState, pos: 20, data: make([]byte, 23)})
		}, 1, 0},
		"a record twice": {func(c *machine) {
			add(c.disk.names[segmentName(13)].b, record{kind: kindData, pos: 20, data: []byte("again")})
		}, 0, 0},
		"a record of the next segment": {func(c *machine) {
			add(c.disk.names[segmentName(1)].b, record{kind: kindData, pos: 13, data: []byte("again")})
		}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c := copied(m)
			for name, f := range m.tmpfs.names {
				c.tmpfs.names[name] = &simFile{directory: c.tmpfs, name: name, b: slices.Clone(f.b)}
			}
			test.damage(c)
			var logged strings.Builder
			s := runOn(t, c.disk, c.tmpfs, slog.NewTextHandler(&logged, nil), "r")
			defer mustClose(t, s)
			if st := s.Stats(); st.Damaged != test.places || st.Records != len(want)-test.lost {
				t.Errorf("%+v, want %d damaged and %d records", st, test.places, len(want)-test.lost)
			}
			if got := contents(t, s.Reader("r")); len(got) != len(want)-test.lost || len(without(got, want)) > 0 {
				t.Errorf("given %v", got)
			}
			if said := strings.Contains(logged.String(), fmt.Sprintf("places=%d\n", test.places)); said != (test.places > 0) {
				t.Errorf("%d places, logged:\n%s", test.places, logged.String())
			}
		})
	}
}

// TestStateIsBounded by what fits into a quarter of the smallest segment, whatever was acknowledged ahead of older records.
func TestStateIsBounded(t *testing.T) {
	var acked ranges
	for pos := uint64(0); pos < 2*maxSpans; pos += 2 {
		acked.add(pos, pos)
	}
	st := state{last: 2 * maxSpans, readers: map[string]ranges{"a": acked, "b": acked, "c": nil, "d": nil}}
	back, err := decodeState(st.encode())
	if err != nil || len(back.readers) != 4 || len(back.readers["a"]) != maxSpans/4 || len(back.readers["b"]) != maxSpans/4 || len(back.readers["c"]) != 0 {
		t.Errorf("%d spans each, want %d: %v", len(back.readers["a"]), maxSpans/4, err)
	}
}
