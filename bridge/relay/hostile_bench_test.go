package relay

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// BenchmarkBesideHostileTrackers measures a relay (in a process of its own) with 20 trackers at 10 Hz, alone and beside
// hostile ones (in another process): the time from a fix to its echo, and the relay's memory. All hostile ones have the token of
// one tracker. The two take turns, so that what else the machine does hits both.
//
//	go test -run '^$' -bench HostileTrackers -benchtime 1x ./bridge/relay
func BenchmarkBesideHostileTrackers(b *testing.B) {
	relay, address := startRole(b, "relay")
	trackers := make([]*benchTracker, 20)
	for i := range trackers {
		trackers[i] = newBenchTracker(b, address, fmt.Sprintf("van_%d", i))
	}
	measureTrackers(trackers, time.Second) // until all is warm
	b.ReportMetric(float64(memoryPeak(b, relay))/1e6, "MB-alone")
	kinds, rounds := append(slices.Sorted(maps.Keys(hostile)), "all"), 4
	if testing.Short() {
		kinds, rounds = kinds[len(kinds)-1:], 1
	}
	for _, kind := range kinds {
		var p50, p99 [2][]time.Duration // alone and attacked
		for range rounds {
			for i, role := range []string{"", "attack " + kind + " " + address} {
				var attackers *exec.Cmd
				if role != "" {
					attackers, _ = startRole(b, role)
				}
				measureTrackers(trackers, time.Second/2) // the start of a process costs others something too
				took := measureTrackers(trackers, 1500*time.Millisecond)
				p50[i], p99[i] = append(p50[i], percentile(took, 50)), append(p99[i], percentile(took, 99))
				if attackers != nil {
					attackers.Process.Kill()
					attackers.Wait()
				}
			}
		}
		// Medians of the rounds: what else the machine does is in some of them.
		alone, attacked := percentile(p99[0], 50), percentile(p99[1], 50)
		b.Logf("%-9s p50 %v, p99 %v; attacked p50 %v, p99 %v; ratio %.2f, peak %d MB", kind, percentile(p50[0], 50), alone,
			percentile(p50[1], 50), attacked, float64(attacked)/float64(alone), memoryPeak(b, relay)/1e6)
		b.ReportMetric(float64(attacked)/float64(alone), "p99-ratio-"+kind)
	}
	b.ReportMetric(float64(memoryPeak(b, relay))/1e6, "MB-attacked")
}

func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[len(d)*p/100]
}

// memoryPeak is the largest resident size of a process so far, in bytes.
func memoryPeak(b *testing.B, cmd *exec.Cmd) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	n, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		b.Fatal(err)
	}
	return n << 10
}

// benchTracker sends fixes of one device and waits for each echo.
type benchTracker struct {
	*websocket.Conn
	b   *testing.B
	seq int
}

const benchToken = "0123456789abcdef"

func newBenchTracker(b *testing.B, address, device string) *benchTracker {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/ws/gps-tracking/"+device+"/", bearer(benchToken+device))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return &benchTracker{Conn: conn, b: b}
}

// benchFix is a fix of a size as the daemon sends it.
func benchFix(seq int) []byte {
	return fmt.Appendf(nil, `{"class":"TPV","run":"r","seq":%d,"mode":3,"time":%q,"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"speed":13.89,"hdop":0.80}`,
		seq, time.Unix(int64(seq), 0).UTC().Format(time.RFC3339))
}

// fix sends one and returns the time to its echo.
func (t *benchTracker) fix() time.Duration {
	t.seq++
	began := time.Now()
	err := t.WriteMessage(websocket.TextMessage, benchFix(t.seq))
	if err == nil {
		_, _, err = t.ReadMessage()
	}
	if err != nil {
		t.b.Error(err)
	}
	return time.Since(began)
}

func measureTrackers(all []*benchTracker, lasts time.Duration) (took []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(lasts)
	for _, t := range all {
		wg.Go(func() {
			time.Sleep(rand.N(100 * time.Millisecond))
			for tick := time.NewTicker(100 * time.Millisecond); time.Now().Before(end) && !t.b.Failed(); <-tick.C {
				d := t.fix()
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return took
}

const roleEnv = "TEST_GPSBRIDGE_RELAY_ROLE"

// startRole starts TestRole in another process, and returns what it prints once it is ready.
func startRole(b *testing.B, role string) (*exec.Cmd, string) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestRole$")
	cmd.Env, cmd.Stderr = append(os.Environ(), roleEnv+"="+role), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return cmd, strings.TrimSpace(line)
}

// TestRole is what the benchmark's other processes do.
func TestRole(t *testing.T) {
	switch role := strings.Fields(os.Getenv(roleEnv) + " "); {
	case len(role) == 0:
		t.Skip("part of BenchmarkBesideHostileTrackers")
	case role[0] == "relay":
		tokens := map[string][]string{"hostile": {benchToken + "hostile"}}
		for i := range 20 {
			tokens[fmt.Sprintf("van_%d", i)] = []string{fmt.Sprintf("%svan_%d", benchToken, i)}
		}
		r, err := New(Config{DeviceTokens: tokens, History: 20_000})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 20_000 {
			r.Publish("hostile", classTPV, benchFix(i))
		}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(l.Addr())
		r.serve(t.Context(), boundedListener{elsewhere{l}, r.hub, r.remotes}) // until it is killed
	default:
		fmt.Println("attacking")
		var all sync.WaitGroup
		for kind, attack := range hostile {
			if role[1] == kind || role[1] == "all" {
				all.Go(func() { attack(role[2]) })
			}
		}
		all.Wait()
	}
}

// elsewhere is a listener to which the attackers come from an address of the network.
type elsewhere struct{ net.Listener }

func (l elsewhere) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && c.RemoteAddr().(*net.TCPAddr).IP.Equal(attackersAddress) {
		c = remoteConn{c, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: c.RemoteAddr().(*net.TCPAddr).Port}}
	}
	return c, err
}

var (
	attackersAddress = net.IPv4(127, 0, 0, 2)
	attackersDialer  = &net.Dialer{LocalAddr: &net.TCPAddr{IP: attackersAddress}}
)

// hostileJoin joins the hostile tracker's group; nil where it is refused.
func hostileJoin(address string) *websocket.Conn {
	conn, _, err := (&websocket.Dialer{NetDialContext: attackersDialer.DialContext}).Dial("ws://"+address+"/ws/gps-tracking/hostile/", bearer(benchToken+"hostile"))
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return nil
	}
	return conn
}

// flooding sends the same bytes on one connection after the other, as fast as they go. With read it reads the answers.
func flooding(bytes string, read bool) func(address string) {
	return func(address string) {
		for {
			conn := hostileJoin(address)
			if conn == nil {
				continue
			}
			if read {
				go io.Copy(io.Discard, conn.NetConn())
			}
			for {
				if _, err := io.WriteString(conn.NetConn(), bytes); err != nil {
					break
				}
			}
			conn.Close()
		}
	}
}

// hostile are what the holder of one tracker's token may do.
var hostile = map[string]func(address string){
	"unread": func(address string) { // a hundred connections send the largest messages and read no echoes
		for range 100 {
			go flooding(sent(fin|text, jsonText(DefaultMaxMessage)), false)(address)
		}
		select {}
	},
	"tracks": func(address string) { // sixty clients ask for the track and do not read it
		for range 60 {
			go func() {
				for {
					conn, err := attackersDialer.Dial("tcp", address)
					if err != nil {
						continue
					}
					fmt.Fprintf(conn, "GET /api/v1/devices/hostile/track.gpx HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %shostile\r\n\r\n", benchToken)
					time.Sleep(2 * time.Second)
					conn.Close()
				}
			}()
		}
		select {}
	},
	"large":     flooding(sent(fin|text, jsonText(1<<20)), true),
	"messages":  flooding(strings.Repeat(sent(fin|text, tpv(1)), 100), true),
	"pings":     flooding(strings.Repeat(sent(fin|pingOp, ""), 1000), true),
	"fragments": flooding(sent(text, "")+strings.Repeat(sent(cont, ""), 10_000), true),
	"garbage":   flooding(strings.Repeat("\xff", 4<<10), true),
	"guesses": func(address string) {
		client := http.Client{Transport: &http.Transport{DialContext: attackersDialer.DialContext}}
		for range 10 {
			go func() {
				for i := 0; ; i++ {
					q, _ := http.NewRequest("GET", "http://"+address+"/api/v1/status", nil)
					q.Header.Set("Authorization", fmt.Sprintf("Bearer %020d", i))
					if answer, err := client.Do(q); err == nil {
						answer.Body.Close()
					}
				}
			}()
		}
		select {}
	},
}
