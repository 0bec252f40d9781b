package spool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envWriter); dir != "" {
		fmt.Println("the writer has ended:", write(dir, os.Getenv(envWriter+"_TMPFS")))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// model is a spool without bound, as plain as it can be said: what each reader has not acknowledged.
type model struct {
	records map[uint64]string
	acked   map[string]map[uint64]bool
	last    uint64
}

func (m *model) next(reader string, after uint64) (uint64, string, bool) {
	for pos := after + 1; pos <= m.last; pos++ {
		if !m.acked[reader][pos] {
			return pos, m.records[pos], true
		}
	}
	return 0, "", false
}

// held counts the records that some reader has not acknowledged.
func (m *model) held(readers []string) (n int) {
	for pos := range m.records {
		if slices.ContainsFunc(readers, func(name string) bool { return !m.acked[name][pos] }) {
			n++
		}
	}
	return n
}

func (m *model) low(reader string) uint64 {
	pos, _, ok := m.next(reader, 0)
	if !ok {
		return m.last
	}
	return pos - 1
}

func TestSpoolAgreesWithModel(t *testing.T) {
	names := []string{"a", "b"}
	rapid.Check(t, func(t *rapid.T) {
		s, err := Open(Options{Readers: names})
		if err != nil {
			t.Fatal(err)
		}
		m := model{records: map[uint64]string{}, acked: map[string]map[uint64]bool{"a": {}, "b": {}}}
		reader := rapid.SampledFrom(names)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				data := fmt.Sprintf("record %d", m.last+1)
				pos, err := s.Append([]byte(data))
				m.last++
				if err != nil || pos != m.last {
					t.Fatalf("Append = %d, %v, want %d", pos, err, m.last)
				}
				m.records[pos] = data
			},
			"ack": func(t *rapid.T) {
				name := reader.Draw(t, "reader")
				pos := rapid.Uint64Range(0, m.last+1).Draw(t, "pos")
				s.Reader(name).Ack(pos)
				if pos > 0 && pos <= m.last {
					m.acked[name][pos] = true
				}
			},
			"": func(t *rapid.T) {
				for _, name := range names {
					if got, want := s.Reader(name).Acked(), m.low(name); got != want {
						t.Fatalf("%s: Acked = %d, want %d", name, got, want)
					}
					if got, want := s.Reader(name).Waiting(), uint64(m.held([]string{name})); got != want {
						t.Fatalf("%s: %d wait, want %d", name, got, want)
					}
					after := rapid.Uint64Range(0, m.last+1).Draw(t, "after")
					pos, data, ok := m.next(name, after)
					gotPos, gotData, err := s.Reader(name).Next(after)
					if err != nil || gotPos != pos || ok && string(gotData) != data {
						t.Fatalf("%s: next(%d) = %d %q %v, want %d %q", name, after, gotPos, gotData, err, pos, data)
					}
				}
				if got, want := s.Stats().Records, m.held(names); got != want {
					t.Fatalf("%d records held, want %d", got, want)
				}
			},
		})
	})
}

func TestFullSpoolThinsItsOldestPart(t *testing.T) {
	s, err := Open(Options{Max: MinMax, Readers: []string{"r"}})
	if err != nil {
		t.Fatal(err)
	}
	const n = 4 * MinMax / 1000 // four times what fits
	for range n {
		if _, err := s.Append(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	got := positions(t, s.Reader("r"))
	st := s.Stats()
	if len(got) != st.Records || uint64(st.Records)+st.Dropped != n || st.Bytes > MinMax || st.Records < MinMax/2000 {
		t.Fatalf("%d read of %d: %+v", len(got), n, st)
	}
	if last := got[len(got)-1]; got[0] != 1 || last != n {
		t.Errorf("held from %d to %d, want 1 to %d", got[0], last, n)
	}
	gap := uint64(0)
	for i := range got[1:] {
		gap = max(gap, got[i+1]-got[i])
	}
	// Half of the bound holds what is as it was, at the most; the other seven parts of eight are evenly in the rest.
	if gap > 16 {
		t.Errorf("%d positions in a row are lost", gap-1)
	}
	for _, pos := range got[len(got)-MinMax/4000:] {
		if pos < n-MinMax/3000 {
			t.Fatalf("the newest part was thinned: %d is among the last %d", pos, MinMax/4000)
		}
	}

	r := s.Reader("r")
	if waiting := r.Waiting(); waiting != uint64(st.Records) {
		t.Errorf("%d wait of %d held", waiting, st.Records)
	}
	if _, err := s.Append(make([]byte, minSegment)); !errors.Is(err, errTooLarge) {
		t.Errorf("a record over the bound: %v, want %v", err, errTooLarge)
	}
	if now := s.Stats(); now.Records != st.Records || now.Dropped != st.Dropped+1 {
		t.Errorf("after a record over the bound: %+v", now)
	}
	r.Ack(2) // an echo that comes after its record was dropped
	if pos, _, _ := r.Next(0); pos != 1 || r.Acked() != 0 {
		t.Errorf("after a late acknowledgement Next = %d, Acked = %d, want 1 and 0", pos, r.Acked())
	}
	for _, pos := range got {
		r.Ack(pos)
	}
	if r.Acked() != n || s.Stats().Records != 0 || s.Stats().Bytes != 0 {
		t.Errorf("all acknowledged: up to %d, %+v", r.Acked(), s.Stats())
	}
}

// positions reads everything that a reader has not acknowledged.
func positions(t testing.TB, r *Reader) (all []uint64) {
	t.Helper()
	for after := uint64(0); ; {
		pos, _, err := r.Next(after)
		if err != nil {
			t.Fatal(err)
		}
		if pos == 0 {
			return all
		}
		all = append(all, pos)
		after = pos
	}
}

func TestWithoutReadersNothingIsKept(t *testing.T) {
	s, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := s.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if st := s.Stats(); st.Records != 0 || st.Bytes != 0 || st.Appended != 3 {
		t.Errorf("held %d records of %d bytes after %d, want none after 3", st.Records, st.Bytes, st.Appended)
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Options{Readers: []string{"r"}})
		if err != nil {
			t.Fatal(err)
		}
		type answer struct {
			pos uint64
			err error
		}
		ask := func(ctx context.Context, after uint64) <-chan answer {
			c := make(chan answer, 1)
			go func() {
				pos, _, err := await(ctx, s.Reader("r"), after)
				c <- answer{pos, err}
			}()
			synctest.Wait()
			return c
		}
		arrival := ask(t.Context(), 0)
		if len(arrival) != 0 {
			t.Fatal("Next did not wait for a record")
		}
		time.Sleep(5 * time.Second)
		if _, err := s.Append(nil); err != nil { // an empty record is a record
			t.Fatal(err)
		}
		if a := <-arrival; a != (answer{1, nil}) {
			t.Errorf("Next = %v, want 1", a)
		}

		ctx, cancel := context.WithCancel(t.Context())
		cancelled := ask(ctx, 1)
		cancel()
		if a := <-cancelled; a != (answer{0, context.Canceled}) {
			t.Errorf("Next with a cancelled context = %v", a)
		}

		time.Sleep(3 * time.Second) // the bubble's clock
		if got := s.Stats().Oldest; got != 3 {
			t.Errorf("oldest record is %g s old, want 3", got)
		}

		closed := ask(t.Context(), 1)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if a := <-closed; a != (answer{0, ErrClosed}) {
			t.Errorf("Next on a closed spool = %v", a)
		}
		if _, err := s.Append([]byte("x")); err != ErrClosed {
			t.Errorf("Append to a closed spool: %v", err)
		}
	})
}

func TestDrainedWaitsForTheLastAcknowledgement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(Options{Readers: []string{"r"}})
		if err != nil {
			t.Fatal(err)
		}
		r := s.Reader("r")
		if err := r.Drained(t.Context()); err != nil {
			t.Fatalf("an empty spool is not drained: %v", err)
		}
		for range 2 {
			s.Append([]byte("x"))
		}
		drained := make(chan error, 1)
		go func() { drained <- r.Drained(t.Context()) }()
		r.Ack(2)
		synctest.Wait()
		if len(drained) > 0 {
			t.Fatal("drained with the first record unacknowledged")
		}
		r.Ack(1)
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

// TestEverythingArrivesOnce runs one writer beside readers that acknowledge out of order.
func TestEverythingArrivesOnce(t *testing.T) {
	const n = 2000
	names := []string{"a", "b", "c"}
	s, err := Open(Options{Readers: names})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			r, window, after := s.Reader(name), []uint64{}, uint64(0)
			for after < n {
				pos, data, err := await(t.Context(), r, after)
				if err != nil || pos != after+1 || string(data) != fmt.Sprint(pos) {
					t.Errorf("%s: Next(%d) = %d %q %v", name, after, pos, data, err)
					return
				}
				after = pos
				if window = append(window, pos); len(window) == 5+i || pos == n {
					slices.Reverse(window)
					for _, pos := range window {
						r.Ack(pos)
					}
					window = window[:0]
				}
			}
		})
	}
	for i := 1; i <= n; i++ {
		if _, err := s.Append(fmt.Append(nil, i)); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if st := s.Stats(); st.Records != 0 || st.Bytes != 0 || st.Dropped != 0 {
		t.Errorf("left over: %+v", st)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"negative bound":      {Max: -1},
		"small bound":         {Max: MinMax - 1},
		"negative free space": {MinFree: -1},
		"negative sync":       {Sync: -1},
		"same name twice":     {Readers: []string{"a", "a"}},
		"long name":           {Readers: []string{strings.Repeat("a", 256)}},
		"directory in a file": {Dir: "spool_test.go/spool", Readers: []string{"a"}},
	} {
		if s, err := Open(o); err == nil {
			t.Errorf("%s: no error", name)
			s.Close()
		}
	}
}

func TestOpenTakesTheLeastAndTheMost(t *testing.T) {
	for name, o := range map[string]Options{
		"least bound":         {Max: MinMax},
		"no free space":       {MinFree: 0},
		"longest name":        {Readers: []string{strings.Repeat("a", 255)}},
		"shortest sync":       {Sync: 1},
		"readers of one name": {Readers: []string{"a", "A"}},
	} {
		s, err := Open(o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		mustClose(t, s)
	}
}

// A segment is a sixteenth of the bound in whole blocks, from 64 KiB to 1 MiB; the recent log is bounded by 8 MiB and by the bound.
func TestSizesFollowTheBound(t *testing.T) {
	for most, want := range map[int64]sizes{
		MinMax:               {64 << 10, 1 << 20},
		MinMax + 16*4096 - 1: {64 << 10, 1<<20 + 16*4096 - 1},
		MinMax + 16*4096:     {68 << 10, 1<<20 + 16*4096},
		4 << 20:              {256 << 10, 4 << 20},
		16 << 20:             {1 << 20, 8 << 20},
		256 << 20:            {1 << 20, 8 << 20},
	} {
		if got := (Options{Max: most}).sizes(); got != want {
			t.Errorf("max %d: %+v, want %+v", most, got, want)
		}
	}
}

// A record may fill half of a segment, and no more.
func TestLargestRecord(t *testing.T) {
	s := mustOpen(t, Options{Max: MinMax, Readers: []string{"a"}})
	defer s.Close()
	most := int(s.recent.capacity()/2) - recordHeader
	if _, err := s.Append(make([]byte, most+1)); !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), fmt.Sprint("takes ", most)) {
		t.Errorf("%d bytes: %v", most+1, err)
	}
	for range 3 {
		mustAppend(t, s, strings.Repeat("x", most))
	}
	if st := s.Stats(); st.Records != 3 || st.Dropped != 1 || st.Bytes != int64(3*(most+recordHeader)) || st.Problem != nil {
		t.Errorf("%+v", st)
	}
}

// await returns the first record after a position, and waits for it.
func await(ctx context.Context, r *Reader, after uint64) (pos uint64, data []byte, err error) {
	for {
		arrival := r.Arrival()
		if pos, data, err = r.Next(after); pos != 0 || err != nil {
			return pos, data, err
		}
		select {
		case <-arrival:
		case <-ctx.Done():
			return 0, nil, ctx.Err()
		}
	}
}
