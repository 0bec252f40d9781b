// Command hostile plays those that a daemon must survive: "hostile server ADDRESS" is a tracking server that sends without bounds,
// one way for each path, "hostile viewers ADDRESS" are clients of its relay that take all they can and read nothing, for a time.
// "hostile receiver ADDRESS" is a receiver that sends fast, so that there is much to take.
package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"gpsbridge/bridge/receiver/sim"
)

// attackFor is how long viewers attack.
const attackFor = 20 * time.Second

func main() {
	play := map[string]func(address string) error{"server": serve, "viewers": view, "receiver": receive}[os.Args[1]]
	if err := play(os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

// serve answers a daemon's connections by their path, for ever.
func serve(address string) error {
	endless := func(text string) func(io.Writer) {
		return func(w io.Writer) {
			for {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			}
		}
	}
	zeros := strings.Repeat("0", 64<<10)
	const accepted = "HTTP/1.1 101 Switching Protocols\r\n"
	for path, attack := range map[string]func(io.Writer){
		"/line/":    func(w io.Writer) { io.WriteString(w, accepted+"X-A: "); endless(zeros)(w) },
		"/headers/": func(w io.Writer) { io.WriteString(w, accepted); endless("X-A: b\r\n")(w) },
		"/status/":  endless(zeros),
		"/body/": func(w io.Writer) {
			io.WriteString(w, "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n")
			endless("10000\r\n" + zeros + "\r\n")(w)
		},
	} {
		http.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				go io.Copy(io.Discard, conn)
				attack(conn)
				conn.Close()
			}
			log.Print("attacked by ", path)
		})
	}
	huge := frame(0x81, `"`+strings.Repeat("x", 3<<20)+`"`)
	for path, text := range map[string]string{
		"/messages/": huge, "/message/": "\x81\x7f\x00\x00\x00\x10\x00\x00\x00\x00" + zeros, "/fragments/": frame(0x01, "") + strings.Repeat(frame(0, "x"), 4096),
		"/pings/": strings.Repeat(frame(0x89, "x"), 4096), "/deflate/": frame(0xc1, zeros), "/small/": strings.Repeat(frame(0x81, `{"run":"x","seq":1}`), 4096),
	} {
		http.HandleFunc(path, func(w http.ResponseWriter, q *http.Request) {
			up := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
			conn, err := up.Upgrade(w, q, nil)
			if err == nil {
				go io.Copy(io.Discard, conn.NetConn())
				endless(text)(conn.NetConn())
				conn.Close()
			}
			log.Print("attacked by ", path)
		})
	}
	return http.ListenAndServe(address, nil)
}

// frame is a frame of a server.
func frame(first byte, data string) string {
	head := binary.BigEndian.AppendUint64([]byte{first, 127}, uint64(len(data)))
	if n := len(data); n < 126 {
		head = []byte{first, byte(n)}
	}
	return string(head) + data
}

// view attacks a relay.
func view(address string) error {
	join := func(query string) net.Conn {
		conn, _, err := websocket.DefaultDialer.Dial("ws://"+address+"/ws/gps-tracking/van_7/"+query, nil)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			return nil
		}
		return conn.NetConn()
	}
	// A frame of 100 MB, or less where it is refused.
	large := append([]byte{0x81, 0xff, 0, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("x"), 1<<20)...)
	pings := bytes.Repeat([]byte{0x89, 0x80, 0, 0, 0, 0}, 10_000)
	over := func(do func()) {
		go func() {
			for {
				do()
			}
		}()
	}
	send := func(text []byte) func() {
		return func() {
			if conn := join(""); conn != nil {
				conn.Write(text)
				conn.Close()
			}
		}
	}
	for range 120 { // tracks that are not read
		over(func() {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "GET /api/v1/devices/van_7/track.gpx HTTP/1.1\r\nHost: localhost\r\n\r\n")
			time.Sleep(5 * time.Second)
			conn.Close()
		})
	}
	for range 200 { // all of the history, which is not read
		over(func() {
			if conn := join("?history=100000&sky=1&nmea=1"); conn != nil {
				time.Sleep(5 * time.Second)
				conn.Close()
			}
		})
	}
	for range 20 {
		over(send(large))
		over(send(pings))
		over(func() {
			if conn, err := net.Dial("tcp", address); err == nil {
				io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\nX-A: "+strings.Repeat("x", 1<<20))
				conn.Close()
			}
		})
	}
	time.Sleep(attackFor)
	return nil
}

// receive sends 20,000 epochs as fast as they are read, and then ten a second.
func receive(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	receiver, err := sim.New(sim.Config{Start: time.Now().UTC().Add(-time.Hour), Rate: 10})
	if err != nil {
		return err
	}
	for i := 0; err == nil; i++ {
		if i > 20_000 {
			time.Sleep(100 * time.Millisecond)
		}
		_, err = conn.Write(receiver.Epoch())
	}
	return err
}
