package layer

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/rueidis"

	"gpsbridge/bridge/group"
)

// waiting is a master in memory that stores what it is given, and answers WAIT a time after it has come.
type waiting struct {
	mu     sync.Mutex
	late   time.Duration // of the replica
	stored []string      // RUN:SEQ
	calls  int           // of the script
}

func (w *waiting) set(late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.late = late
}

// serve answers commands as Redis does.
func (w *waiting) serve(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		var words, size int
		if _, err := fmt.Fscanf(in, "*%d\r\n", &words); err != nil {
			return
		}
		command := make([]string, words)
		for i := range command {
			fmt.Fscanf(in, "$%d\r\n", &size)
			text := make([]byte, size+2)
			if _, err := io.ReadFull(in, text); err != nil {
				return
			}
			command[i] = string(text[:size])
		}
		if _, err := io.WriteString(conn, w.answer(command)); err != nil {
			return
		}
	}
}

func (w *waiting) answer(command []string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch command[0] {
	case "EVALSHA":
		w.calls++
		keys, _ := strconv.Atoi(command[2])
		for fix := range slices.Chunk(command[3+keys+2:], argsOfFix) {
			w.stored = append(w.stored, fix[1]+":"+fix[2])
		}
		return "*2\r\n$1\r\n0\r\n$1\r\n1\r\n"
	case "WAIT":
		most, _ := strconv.Atoi(command[2])
		late, limit, confirmed := w.late, time.Duration(most)*time.Millisecond, 1
		if late > limit {
			late, confirmed = limit, 0
		}
		w.mu.Unlock()
		time.Sleep(late)
		w.mu.Lock()
		return fmt.Sprintf(":%d\r\n", confirmed)
	}
	return "+OK\r\n"
}

// startWaiting runs the commits of a store on a master whose replica is late.
func startWaiting(t *testing.T) (w *waiting, n *storing) {
	w, n = &waiting{}, newStoring(t, Config{Durable: replicated}, 1)
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress: []string{"redis"}, AlwaysRESP2: true, DisableCache: true, DisableRetry: true, ForceSingleClient: true,
		DialCtxFn: func(context.Context, string, *net.Dialer, *tls.Config) (net.Conn, error) {
			here, there := net.Pipe()
			go w.serve(there)
			return here, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	n.s = &session{hosts: []*host{{address: "redis", client: client}}}
	n.s.ctx, n.s.end = context.WithCancelCause(t.Context())
	sh := n.st.shards[0]
	sh.epoch.Store("epoch")
	sh.proof.Store(&proof{mode: replicated, replicas: 1})
	ended := make(chan error)
	go func() { ended <- sh.serve(n.s.ctx, n.s, n.s.hosts[0]) }()
	n.end = func() {
		n.s.end(context.Canceled)
		<-ended
		client.Close()
	}
	return w, n
}

// published is how a publisher fared that waits as long as a relay lets it.
type published struct {
	err  error
	took time.Duration
}

func (n *storing) publish(run string, seq uint64) chan published {
	done := make(chan published, 1)
	go func() {
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		err := n.st.commit(ctx, n.s, "van_7", []group.Message{fixOf(run, seq)})
		done <- published{err, time.Since(began)}
	}()
	return done
}

// A replica that confirms late costs no publisher its connection, and those that come meanwhile are stored together, in their order.
func TestReplicaIsLate(t *testing.T) {
	for late := time.Second; late < 10*time.Second; late += time.Second {
		synctest.Test(t, func(t *testing.T) {
			w, n := startWaiting(t)
			defer n.end()
			w.set(late)
			all := []chan published{n.publish("a", 1)}
			synctest.Wait()
			w.set(time.Millisecond)
			for seq := range uint64(3) {
				all = append(all, n.publish("a", seq+2))
				synctest.Wait()
			}
			for i, one := range all {
				if p := <-one; p.err != nil || p.took > late+10*time.Millisecond || i == 0 && p.took < late {
					t.Errorf("%v late: fix %d after %v: %v", late, i+1, p.took, p.err)
				}
			}
			if want := []string{"a:1", "a:2", "a:3", "a:4"}; !slices.Equal(w.stored, want) || w.calls != 2 {
				t.Errorf("%v late: stored %v by %d calls, want %v by 2", late, w.stored, w.calls, want)
			}
		})
	}
}

// Where the replica does not confirm, nothing is acknowledged: each publisher gets the reason when its own time is over, and not before.
func TestReplicaNeverConfirms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, n := startWaiting(t)
		defer n.end()
		w.set(time.Hour)
		var all []chan published
		for seq := range uint64(5) {
			all = append(all, n.publish("a", seq+1))
			time.Sleep(3 * time.Second)
		}
		for _, one := range all {
			p := <-one
			codeOf(t, p.err, CodeNotReplicated)
			if p.took != 10*time.Second || !strings.Contains(fmt.Sprint(p.err), "redis") {
				t.Errorf("refused after %v: %v", p.took, p.err)
			}
		}
		w.set(0)
		if p := <-n.publish("a", 6); p.err != nil {
			t.Errorf("with the replica back: %v", p.err)
		}
	})
}
