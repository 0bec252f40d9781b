package doctor

import (
	"cmp"

	"gpsbridge/bridge/deflate"
	"gpsbridge/bridge/problem"
	"gpsbridge/bridge/receiver/source"
	"gpsbridge/bridge/uplink"
)

// State is how a link was found.
type State string

// The states of a link.
const (
	OK      State = "ok"
	Broken  State = "broken"
	Skipped State = "skipped" // not in use here, or it cannot be checked while an earlier link is broken
	Warning State = "warning" // works, but not always or not for long
)

// Link is one place of the chain.
type Link struct {
	Name  string       `json:"name"`
	State State        `json:"state"`
	Seen  string       `json:"seen"` // what was found, in half a line
	Code  problem.Code `json:"code"` // of the problem; "" where there is none
	Fix   string       `json:"fix"`  // what to do, in half a line; "" where there is nothing to do
}

// Text is what was found and the fix, in one line.
func (l Link) Text() string {
	return (&problem.Problem{Cause: l.Seen, Fix: l.Fix}).Text()
}

func ok(name, seen string) Link                    { return Link{Name: name, State: OK, Seen: seen} }
func skipped(name, why string) Link                { return Link{Name: name, State: Skipped, Seen: why} }
func blocked(name, by string) Link                 { return skipped(name, "not checked: "+by+" is broken") }
func broken(name string, p *problem.Problem) Link  { return withProblem(name, Broken, p) }
func warning(name string, p *problem.Problem) Link { return withProblem(name, Warning, p) }

func withProblem(name string, s State, p *problem.Problem) Link {
	return Link{Name: name, State: s, Seen: p.Cause, Code: p.Code, Fix: p.Fix}
}

// FirstBroken returns the first broken link of a chain. It is false when none is.
func FirstBroken(links []Link) (Link, bool) { return first(links, Broken) }

// FirstWarning returns the first link of a chain that warns. It is false when none does.
func FirstWarning(links []Link) (Link, bool) { return first(links, Warning) }

func first(links []Link, s State) (Link, bool) {
	for _, l := range links {
		if l.State == s {
			return l, true
		}
	}
	return Link{}, false
}

// chain collects links in their order.
type chain struct {
	links []Link
	each  func(Link) // nil for none
}

func (c *chain) add(l Link) {
	c.links = append(c.links, l)
	if c.each != nil {
		c.each(l)
	}
}

// The links of a receiver, in their order.
var (
	portLinks = []string{"port", "permission", "console", "holder", "modemmanager"}
	lineLinks = []string{"bytes", "baud", "sentences", "satellites", "fix"}
)

// serverLinks are the links of the way to a server, in their order.
var serverLinks = []string{"dns", "tcp", "tls", "upgrade", "echo"}

// Codes of what only the doctor finds.
const (
	DaemonUnclear problem.Code = "daemon-unclear" // what answers is not a tracker, or does not let itself be asked
	OtherDaemon   problem.Code = "daemon-of-another-device"
	ModemManager  problem.Code = "modemmanager-probes-port"

	NoSentences problem.Code = "no-sentence" // bytes, and no NMEA sentence among them
	NoChecksums problem.Code = "no-checksums"
	Damaged     problem.Code = "many-damaged-sentences"
	NoSatellite problem.Code = "no-satellite"
	NoSignal    problem.Code = "no-signal" // the receiver lists satellites and receives none
	Antenna     problem.Code = "antenna"   // the receiver reports that it is open or shorted
	NoFix       problem.Code = "no-fix"

	ClockNotSet problem.Code = "clock-not-set" // before the build of the program
	ClockOff    problem.Code = "clock-off"     // from the receiver's
	ClockFree   problem.Code = "clock-not-synchronised"

	NoPong         problem.Code = "server-no-pong"
	EchoMissing    problem.Code = "echo-missing"     // ack = "echo", and the message did not come back
	NoDelivery     problem.Code = "no-delivery"      // the daemon sends, and nothing is acknowledged
	GroupNotShared problem.Code = "group-not-shared" // the sender gets its fixes back, other members do not
	NotConnected   problem.Code = "not-connected"    // the daemon, for no reason that it reports

	SpoolNotWritable problem.Code = "spool-not-writable"
	SpoolDamaged     problem.Code = "spool-damaged"
	SpoolDropped     problem.Code = "spool-dropped"
	DiskUnreadable   problem.Code = "disk-unreadable"
	DiskLow          problem.Code = "disk-low" // less is free than is to be left to others
)

// linkOfCode holds the link that a problem of package receiver or uplink breaks. The codes of timeouts are not here: see
// trail.linkOf.
var linkOfCode = map[problem.Code]string{
	source.Unknown: "port", source.InvalidOption: "port",
	source.NoPort: "port", source.DebugPort: "port", source.PortMissing: "port", source.NotAPort: "port", source.NoHardware: "port", source.PortLost: "port",
	source.PortFailed: "port",
	source.IsGPSD:     "port", source.HostUnknown: "port", source.LookupFailed: "port", source.Refused: "port", source.Unreachable: "port", source.NoAnswer: "port",
	source.ConnectFailed: "port", source.Closed: "port", source.Lost: "port",
	source.ListenTaken: "port", source.ListenDenied: "port", source.ListenForeign: "port", source.ListenFailed: "port",
	source.NotGPSD: "port", source.GPSDError: "port", source.GPSDNoDevice: "port", source.GPSDNoGPS: "port", source.GPSDDeviceUnknown: "port",
	source.FileMissing: "port", source.NotALog: "port", source.FileFailed: "port", source.StdinFailed: "port",

	source.Permission: "permission", source.DevicePolicy: "permission",
	source.Console: "console",
	source.Held:    "holder",

	source.Silent: "bytes", source.Empty: "bytes",

	source.Speed: "baud", source.NoSentence: "baud", source.NoSentenceAt: "baud", source.SentencesStopped: "baud",
	source.SevenBits: "baud",

	source.NotNMEA: "sentences", source.BinaryUBX: "sentences", source.BinarySiRF: "sentences", source.NoSentenceInLog: "sentences",
	source.BinaryRTCM3: "sentences", source.BinarySBF: "sentences", source.BinaryGarmin: "sentences", source.BinaryTSIP: "sentences",
	source.OnlyAIS: "sentences", source.NoPosition: "sentences", source.NoFix: "fix",

	source.LineOverrun: "baud", source.LineFull: "baud", source.LineDamaged: "baud", source.LineBreaks: "baud",
	source.SentencesDamaged: "sentences", source.OtherSenders: "sentences",

	uplink.NameNotFound: "dns",
	uplink.Refused:      "tcp", uplink.NoRoute: "tcp", uplink.ProxyProblem: "tcp",
	uplink.Untrusted: "tls", uplink.CertTime: "tls", uplink.ClientCert: "tls", uplink.WrongTLS: "tls",
	uplink.Unauthorized: "upgrade", uplink.Forbidden: "upgrade", uplink.NotFound: "upgrade", uplink.Redirect: "upgrade",
	uplink.ServerError: "upgrade", uplink.BadStatus: "upgrade", uplink.HandshakeSize: "upgrade", deflate.BadAnswer: "upgrade",
}

// linkOf is the link of a receiver that a problem breaks, "" for no problem.
func linkOf(p *problem.Problem) string {
	if p == nil {
		return ""
	}
	return cmp.Or(linkOfCode[p.Code], "port")
}
