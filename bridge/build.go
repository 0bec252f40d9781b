package bridge

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/uplink"
	"gpsbridge/nmea"
)

func (r ReceiverConfig) build(d *Daemon, show func(device, class string, msg []byte)) (*intake, error) {
	rec, err := receiver.New(receiver.Config{Source: r.Source, Silence: time.Duration(r.Silence), Log: d.log})
	if err != nil {
		return nil, err
	}
	in := &intake{
		receiver: rec, deviceID: d.config.DeviceID, keep: d.spool.Append, keepSky: d.config.Report.Sky, show: show,
		messages: newMessages(d.config.DeviceID), report: reporter{limits: d.config.Report}, log: d.log,
	}
	in.scanner.AllowNoChecksum = r.AllowNoChecksum
	in.assembler = nmea.NewAssembler(in, calendar(r.Rollover, rec.Finite(), d.started))
	return in, nil
}

func (u UplinkConfig) build(d *Daemon) (*uplink.Uplink, error) {
	ack, err := uplink.ParseAckMode(u.Ack)
	if err != nil {
		return nil, err
	}
	order, err := uplink.ParseOrder(u.Order)
	if err != nil {
		return nil, err
	}
	changed := make(chan struct{}, 1)
	d.networkChanged = append(d.networkChanged, changed)
	header := http.Header{}
	for name, value := range u.Headers {
		header.Set(name, value)
	}
	return uplink.New(uplink.Config{
		Name: u.Name, URL: u.endpoint, Origin: u.Origin, Header: header,
		TokenFile: u.Token, CAFile: u.CA, CertFile: u.Cert, KeyFile: u.Key,
		Ack: ack, Order: order, Window: u.Window, Ping: time.Duration(u.Ping),
		Key: messageKey, Backlog: lateMessage, Aside: d.setAside, Changed: changed, Clock: d.certificateTime, Log: d.log,
	}, d.spool.Reader(u.Name))
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
