package bridge

import (
	"fmt"
	"os"
	"strings"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/receiver/record"
	"gpsbridge/bridge/receiver/share"
	"gpsbridge/bridge/relay"
	"gpsbridge/nmea"
)

func (r ReceiverConfig) build(d *Daemon, fd *feed) (*intake, error) {
	rec, err := receiver.New(receiver.Config{
		Source: r.Source, Silence: time.Duration(r.Silence), State: stateFolder(),
		Turn: d.loops.add("receiver " + r.Source).turn, Log: d.log,
	})
	if err != nil {
		return nil, err
	}
	in := &intake{receiver: rec, feed: fd, index: len(fd.names)}
	fd.names = append(fd.names, r.Source)
	if d.relay != nil {
		in.taps.viewers = rawViewers(d.relay, fd.deviceID, r.Source)
	}
	in.taps.record = record.Config{Path: r.Record, Source: r.Source, Total: int64(r.RecordMax), Log: d.log}
	in.taps.share = share.Config{Listen: r.NMEAListen, Open: r.NMEAOpen, Log: d.log}
	in.scanner.AllowNoChecksum = r.AllowNoChecksum
	in.assembler = nmea.NewAssembler(in, calendar(r.Rollover, rec.Finite(), d.started))
	return in, nil
}

func (r RelayConfig) build(d *Daemon) (*relay.Relay, error) {
	token, err := readSecret(r.Token)
	if err != nil {
		return nil, fmt.Errorf("relay.token_file: %w", err)
	}
	return relay.New(relay.Config{
		Listen: r.Listen, Open: r.Open, Token: token, Origins: r.Origins,
		History: kept(r.History), SlowTimeout: time.Duration(r.SlowTimeout), MaxConns: r.MaxConns, Basemap: r.Basemap,
		CertFile: r.Cert, KeyFile: r.Key, SelfSigned: r.TLS == selfSigned,
		Status: func() any { return d.Status() }, Ready: d.healthy, Log: d.log,
		Metrics: metricsPage(d.writeMetrics),
	})
}

// kept is a history as package relay counts it, whose 0 means its default: here 0 means none.
func kept(history int) int {
	if history == 0 {
		return -1
	}
	return history
}

// readSecret returns the one line of a file, "" when there is no file to read.
func readSecret(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(b))
	if secret == "" || strings.ContainsAny(secret, "\r\n\t ") {
		return "", fmt.Errorf("%s must hold one line with the secret and nothing else", path)
	}
	return secret, nil
}
