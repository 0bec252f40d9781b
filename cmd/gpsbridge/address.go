package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"

	"rsc.io/qr"

	"gpsbridge/bridge/config"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/secret"
	"gpsbridge/cmd/internal/command"
)

const pageLocal problem.Code = "page-for-this-machine-only"

// printPage prints the addresses of the relay's page, and the first of them as a QR code if that is wanted and a phone can reach it.
// The viewers' token is in the fragment, which a browser sends to no server.
func printPage(w io.Writer, c config.Relay, deviceID string, code bool) error {
	if c.Off() {
		return nil
	}
	addresses, err := pageAddresses(c, deviceID)
	if err != nil {
		return err
	}
	if len(addresses) == 0 {
		fmt.Fprintln(w, "Page: this machine has no address in a network; gpsbridge status --qr shows it later")
		return nil
	}
	for _, a := range addresses {
		fmt.Fprintln(w, "Page:", a)
	}
	if !code || onlyLocal(c.Listen) {
		return nil
	}
	text, err := qrCode(addresses[0])
	if err != nil {
		return err
	}
	if t, ok := command.TerminalOf(w); ok {
		return t.Control(text)
	}
	_, err = io.WriteString(w, text)
	return err
}

// pageAddresses are those at which the page can be opened, best first.
func pageAddresses(c config.Relay, deviceID string) (all []string, err error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return nil, err
	}
	hosts := []string{host}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		hosts = ownAddresses()
	}
	page := url.URL{Scheme: "http", Path: "/", RawQuery: url.Values{"device": {deviceID}}.Encode()}
	if c.CertFile != "" {
		page.Scheme = "https"
	}
	fragment := ""
	if c.TokenFile != "" {
		if err := readable(c.TokenFile); err != nil {
			return nil, err
		}
		token, err := secret.Read(c.TokenFile)
		if err != nil {
			return nil, problem.Of(err).In("relay.token_file")
		}
		fragment = "#" + url.Values{"token": {token}}.Encode()
	}
	for _, h := range hosts {
		page.Host = net.JoinHostPort(h, port)
		all = append(all, page.String()+fragment)
	}
	return all, nil
}

// ownAddresses are the addresses of this machine that others in its networks reach. Those of Wi-Fi come first: phones use that,
// and the other networks of a vehicle are most often the modem's. IPv4 alone: the setup has the relay listen there.
func ownAddresses() (all []string) {
	interfaces, _ := net.Interfaces()
	wireless := func(i net.Interface) int {
		if strings.HasPrefix(i.Name, "wl") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(interfaces, func(a, b net.Interface) int { return cmp.Compare(wireless(a), wireless(b)) })
	for _, i := range interfaces {
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			n, ok := a.(*net.IPNet)
			if ok && i.Flags&net.FlagUp != 0 && i.Flags&net.FlagPointToPoint == 0 && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
				all = append(all, n.IP.String())
			}
		}
	}
	return all
}

// qrCode draws a QR code for a terminal, two modules a character. Its black and white are those of the palette that does not
// depend on the terminal's theme (16 and 231 of 256), and it has the margin of four modules that readers need (ISO/IEC 18004).
func qrCode(text string) (string, error) {
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return "", err
	}
	const margin = 4
	var b strings.Builder
	for y := -margin; y < code.Size+margin; y += 2 {
		b.WriteString("\x1b[38;5;16;48;5;231m")
		for x := -margin; x < code.Size+margin; x++ {
			switch above, below := code.Black(x, y), code.Black(x, y+1); {
			case above && below:
				b.WriteRune('█')
			case above:
				b.WriteRune('▀')
			case below:
				b.WriteRune('▄')
			default:
				b.WriteRune(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// showPage is status --qr.
func showPage(w io.Writer, c config.Relay, deviceID string) error {
	if onlyLocal(c.Listen) {
		return &problem.Problem{Code: pageLocal, Key: "relay.listen", Cause: "only this machine reaches the page at " + c.Listen,
			Fix: "sudo gpsbridge setup --phones serves it to phones in the vehicle"}
	}
	return printPage(w, c, deviceID, true)
}
