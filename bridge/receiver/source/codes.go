package source

import "gpsbridge/bridge/problem"

// Codes of a configuration: their problems have the key "source".
const (
	Unknown       problem.Code = "source-unknown"        // not a form of source that exists
	InvalidOption problem.Code = "source-option-invalid" // of a source: its address, path or ?name=value
)

// Codes of a port or an address that cannot be opened, or that was lost.
const (
	NoPort       problem.Code = "no-port"               // auto has found none
	PortMissing  problem.Code = "port-missing"          // the one named does not exist
	NotAPort     problem.Code = "not-a-port"            // a directory, a file, something that is not serial
	NoHardware   problem.Code = "port-without-hardware" // the device file has no device
	PortLost     problem.Code = "port-lost"             // it failed while it was open
	PortFailed   problem.Code = "port-failed"           // it cannot be opened for another reason
	Permission   problem.Code = "port-permission"       // its file mode keeps this user out
	DevicePolicy problem.Code = "port-device-policy"    // the service's device policy keeps it out
	DebugPort    problem.Code = "port-debug"            // a Raspberry Pi 5's debug connector, and not its GPIO pins
	Console      problem.Code = "port-console"          // the system console is on it
	Held         problem.Code = "port-held"             // another program holds it
	Speed        problem.Code = "port-speed"            // the driver does not know the speed

	HostUnknown   problem.Code = "source-host-unknown"
	LookupFailed  problem.Code = "source-lookup-failed" // the name server does not answer
	Refused       problem.Code = "source-refused"       // the machine answers and no program listens
	Unreachable   problem.Code = "source-unreachable"
	NoAnswer      problem.Code = "source-no-answer"
	ConnectFailed problem.Code = "source-connect-failed" // for another reason
	Closed        problem.Code = "source-closed"         // by the server
	Lost          problem.Code = "source-lost"           // the connection broke

	ListenTaken   problem.Code = "udp-port-taken"
	ListenDenied  problem.Code = "udp-port-denied"  // below 1024
	ListenForeign problem.Code = "udp-not-our-host" // not an address of this machine
	ListenFailed  problem.Code = "udp-listen-failed"

	NotGPSD           problem.Code = "gpsd-not-gpsd"
	GPSDError         problem.Code = "gpsd-error" // it reports an error, or answers in another way than it should
	GPSDNoDevice      problem.Code = "gpsd-no-device"
	GPSDNoGPS         problem.Code = "gpsd-no-gps" // only AIS receivers and corrections
	GPSDDeviceUnknown problem.Code = "gpsd-device-unknown"

	FileMissing problem.Code = "file-missing"
	NotALog     problem.Code = "file-not-a-log" // a directory, a pipe, a device
	FileFailed  problem.Code = "file-failed"    // it cannot be opened or read
	StdinFailed problem.Code = "stdin-failed"
)

// Codes of a source that is open.
const (
	Silent           problem.Code = "receiver-silent"
	NoFix            problem.Code = "receiver-without-fix" // and another port may have one with a fix
	NoSentence       problem.Code = "no-sentence-at-any-speed"
	NoSentenceAt     problem.Code = "no-sentence-at-speed"  // at the speed that the configuration fixes
	SentencesStopped problem.Code = "sentences-stopped"     // the port is opened again to find its speed
	NotNMEA          problem.Code = "text-without-sentence" // such as a modem's control port
	BinaryUBX        problem.Code = "binary-ubx"            // and no NMEA, as for all of these
	BinarySiRF       problem.Code = "binary-sirf"
	BinaryRTCM3      problem.Code = "binary-rtcm3"
	BinarySBF        problem.Code = "binary-sbf"
	BinaryGarmin     problem.Code = "binary-garmin"
	BinaryTSIP       problem.Code = "binary-tsip"
	SevenBits        problem.Code = "seven-bits"     // NMEA with 7 data bits and parity
	OnlyAIS          problem.Code = "only-ais"       // NMEA of ships around, and no position
	NoPosition       problem.Code = "no-position"    // NMEA of another instrument
	IsGPSD           problem.Code = "source-is-gpsd" // read as a plain server of NMEA
	Empty            problem.Code = "log-empty"
	NoSentenceInLog  problem.Code = "log-without-sentence"
)

// Codes of warnings about a source that works.
const (
	LineOverrun      problem.Code = "line-overrun" // the machine reads too slowly
	LineFull         problem.Code = "line-full"
	LineDamaged      problem.Code = "line-damaged" // framing or parity
	LineBreaks       problem.Code = "line-breaks"
	SentencesDamaged problem.Code = "sentences-damaged"
	OtherSenders     problem.Code = "udp-other-senders" // more than one sends; one is read
)
