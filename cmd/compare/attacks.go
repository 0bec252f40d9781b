package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

// attacker is the role of a client that has the token of one tracker and does with it whatever costs the relay most.
type attacker struct{}

func newAttacker() (*attacker, error) { return &attacker{}, nil }

// Attack is an attack of one kind on the relay at an address.
type Attack struct{ Kind, Addr, Token string }

// Begin begins an attack, which ends with the process. The kind "all" is one of each.
func (*attacker) Begin(a Attack, _ *struct{}) error {
	for kind, attack := range attacks {
		if a.Kind == kind || a.Kind == everyKind {
			go attack(a)
		}
	}
	return nil
}

const (
	everyKind = "all"
	// hostileDevice is the tracker whose token attackers have.
	hostileDevice = "hostile"
	// refusedPause is how long an attacker waits that was refused.
	refusedPause = 10 * time.Millisecond
	// longestMessage is what the relay accepts by default, and hugeMessage 16 times that, in bytes.
	longestMessage, hugeMessage = 64 << 10, 1 << 20
)

// attackKinds are the names of all attacks.
func attackKinds() []string { return append(slices.Sorted(maps.Keys(attacks)), everyKind) }

// attacks are what a client with the token of a tracker may do.
var attacks = map[string]func(Attack){
	// A hundred connections send the longest messages and read no echoes.
	"unread": func(a Attack) {
		for range 100 {
			go a.flood(clientFrame(textFrame, jsonText(longestMessage)), false)
		}
	},
	// Sixty clients ask for the track and do not read it.
	"tracks": func(a Attack) {
		for range 60 {
			go func() {
				for {
					conn, err := net.Dial("tcp", a.Addr)
					if err != nil {
						time.Sleep(refusedPause)
						continue
					}
					fmt.Fprintf(conn, "GET /api/v1/devices/%s/track.gpx HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", hostileDevice, a.Token)
					time.Sleep(2 * time.Second)
					_ = conn.Close()
				}
			}()
		}
	},
	"large":    func(a Attack) { a.flood(clientFrame(textFrame, jsonText(hugeMessage)), true) },
	"messages": func(a Attack) { a.flood(strings.Repeat(clientFrame(textFrame, hostileFix(1)), 100), true) },
	"pings":    func(a Attack) { a.flood(strings.Repeat(clientFrame(pingFrame, ""), 1000), true) },
	"fragments": func(a Attack) {
		a.flood(clientFrame(textFrame&^finalFrame, "")+strings.Repeat(clientFrame(0, ""), 10_000), true)
	},
	"garbage": func(a Attack) { a.flood(strings.Repeat("\xff", 4<<10), true) },
	// Ten clients guess tokens.
	"guesses": func(a Attack) {
		for range 10 {
			go func() {
				for i := 0; ; i++ {
					q, _ := http.NewRequest(http.MethodGet, "http://"+a.Addr+"/api/v1/status", nil) // its address is one
					q.Header.Set("Authorization", fmt.Sprintf("Bearer %020d", i))
					if answer, err := http.DefaultClient.Do(q); err == nil {
						_ = answer.Body.Close()
					}
				}
			}()
		}
	},
}

// flood sends the same bytes on one connection after the other, as fast as they are taken. With read it reads the answers.
func (a Attack) flood(bytes string, read bool) {
	for {
		conn, err := joinAs(a.Addr, hostileDevice, a.Token)
		if err != nil {
			time.Sleep(refusedPause)
			continue
		}
		if read {
			go io.Copy(io.Discard, conn.NetConn()) // ends with the connection
		}
		for err == nil {
			_, err = io.WriteString(conn.NetConn(), bytes)
		}
		_ = conn.Close()
	}
}

// joinAs joins the group of a device as a tracker.
func joinAs(addr, device, token string) (*websocket.Conn, error) {
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws/gps-tracking/"+device+"/", http.Header{"Authorization": {"Bearer " + token}})
	return conn, err
}

// finalFrame is the bit of a frame that ends its message.
const finalFrame = 0x80

// clientFrame is a frame as clients send it, with a mask of zeros.
func clientFrame(first byte, data string) string {
	head := []byte{first, masked | byte(min(len(data), 126))}
	switch n := len(data); {
	case n > math.MaxUint16:
		head[1]++ // 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	case n >= 126:
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	}
	return string(head) + "\x00\x00\x00\x00" + data
}

// jsonText is a JSON text of n bytes.
func jsonText(n int) string { return `"` + strings.Repeat("*", n-2) + `"` }

// hostileFix is a fix of a size as the daemon sends it.
func hostileFix(seq int) string {
	return fmt.Sprintf(`{"class":"TPV","run":"r","seq":%d,"mode":3,"time":%q,"lat":51.50336350,"lon":-0.12762480,"altMSL":11.2,"speed":13.89,"hdop":0.80}`,
		seq, time.Unix(int64(seq), 0).UTC().Format(time.RFC3339))
}
