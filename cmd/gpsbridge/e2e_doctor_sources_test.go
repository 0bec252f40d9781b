package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gpsbridge/bridge/doctor"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
)

const ais = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\r\n"

// aGPSD greets and answers as gpsd does that has an AIS receiver and nothing else.
func aGPSD(c net.Conn) {
	fmt.Fprint(c, `{"class":"VERSION","release":"3.22","proto_major":3,"proto_minor":14}`+"\r\n")
	for in := bufio.NewScanner(c); in.Scan(); {
		if strings.HasPrefix(in.Text(), "?DEVICES") {
			fmt.Fprint(c, `{"class":"DEVICES","devices":[{"class":"DEVICE","path":"/dev/ttyUSB0","driver":"AIVDM","flags":9,"activated":"2026-11-23T09:00:00.000Z"}]}`+"\r\n")
		}
	}
}

// sendsToEach sends a text again and again.
func sendsToEach(text string) func(net.Conn) {
	return func(c net.Conn) {
		for {
			if _, err := fmt.Fprint(c, text); err != nil {
				return
			}
			time.Sleep(500 * time.Millisecond) // its pace
		}
	}
}

// TestDoctorFindsTheServersOfAReceiverAtFault: what is at the other end of a connection that should have a receiver's sentences.
func TestDoctorFindsTheServersOfAReceiverAtFault(t *testing.T) {
	for _, f := range []struct {
		name, scheme string
		talk         func(net.Conn)
		link         string
		code         problem.Code
		fix          string
	}{
		{"gpsd on AIS", "gpsd://", aGPSD, "port", source.GPSDNoGPS, "plug one in"},
		{"gpsd as TCP", "tcp://", aGPSD, "port", source.IsGPSD, "gpsd://"},
		{"TCP as gpsd", "gpsd://", sendsToEach(string(newVehicle().epochs(0, 1))), "port", source.NotGPSD, "tcp://"},
		{"AIS over TCP", "tcp://", sendsToEach(ais), "sentences", source.OnlyAIS, "name the port of a GPS receiver"},
		{"RTCM3 over TCP", "tcp://", sendsToEach(rtcm3(400)), "sentences", source.BinaryRTCM3, "NMEA"},
		{"text over TCP", "tcp://", sendsToEach("220 mail.example ESMTP ready\r\n"), "sentences", source.NotNMEA, ""},
		{"silent TCP", "tcp://", func(net.Conn) {}, "bytes", source.Silent, "check the receiver behind it"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			device := f.scheme + strings.TrimPrefix(accepts(f.talk)(t), "ws://")
			t.Run("alone", func(t *testing.T) {
				oneFault(t, aloneDoctor(t, "--device", device), f.link, f.code, f.fix)
			})
			t.Run("beside", func(t *testing.T) {
				d := startDaemon(t, "--device", device)
				oneFault(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--device", device), f.link, f.code, f.fix)
			})
		})
	}
}

// TestDoctorOnCutDatagrams: a forwarder of a serial port cuts the sentences anywhere, and nothing is wrong with that.
func TestDoctorOnCutDatagrams(t *testing.T) {
	t.Parallel()
	const address = "127.0.0.1:47117"
	c, err := net.Dial("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		v := newVehicle()
		for i := 0; ; i++ {
			for epoch := v.epochs(i, i+1); len(epoch) > 0; epoch = epoch[min(30, len(epoch)):] {
				_, _ = c.Write(epoch[:min(30, len(epoch))]) // refused while nothing listens
			}
			select {
			case <-time.After(time.Second):
			case <-end:
				return
			}
		}
	})
	t.Cleanup(func() { close(end); running.Wait(); c.Close() })
	names := []string{"port", "bytes", "sentences", "fix"}
	allWell(t, aloneDoctor(t, "--device", "udp://"+address), names...)
	d := startDaemon(t, "--device", "udp://"+address)
	allWell(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--device", "udp://"+address), names...)
}

// TestDoctorOnIdleStandardInput: only the daemon reads it, and it has sent nothing.
func TestDoctorOnIdleStandardInput(t *testing.T) {
	t.Parallel()
	links, _ := consult(t, aloneDoctor(t, "--device", "-"))
	if broken, found := doctor.FirstBroken(links); found || links[2].Name != "port" || links[2].State != doctor.Skipped {
		t.Errorf("alone: %+v; port: %+v", broken, links[2])
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	run := gpsbridge(t, "run", "--device-id", deviceID, "--listen", "127.0.0.1:0", "--device", "-")
	run.Stdin = in
	d := startDaemonCmd(t, run)
	oneFault(t, gpsbridge(t, "doctor", "--device-id", deviceID, "--listen", d.addr, "--device", "-"), "bytes", source.Silent, "")
}
