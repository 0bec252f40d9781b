package bridge

import (
	"github.com/prometheus/client_golang/prometheus"

	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/spool"
	"gpsbridge/bridge/uplink"
)

var (
	buildInfo  = family("build_info", "Always 1; the version is a label.", "version")
	startTime  = family("start_time_seconds", "Unix time at which the daemon was started, by the system's clock then.")
	takeovers  = family("takeovers_total", "Times that another receiver took over feeding the device ID.", ofDevice...)
	reported   = family("reported_total", "Messages made for the tracking servers.", ofDevice...)
	byType     = family("sentences_type_total", "Sentences with a right checksum, by talker and type.", "device_id", "source", "type")
	receivers  = receiverNumbers()
	spools     = spoolNumbers()
	uplinks    = uplinkNumbers()
	ownNumbers = []*prometheus.Desc{buildInfo, startTime, takeovers, reported, byType}
)

func receiverNumbers() []number[ReceiverStatus] {
	of := func(name, help string) *prometheus.Desc { return family(name, help, ofReceiver...) }
	count := func(name, help string, v func(ReceiverStatus) uint64) number[ReceiverStatus] {
		return counter(of(name, help), func(r ReceiverStatus) float64 { return float64(v(r)) })
	}
	type rs = ReceiverStatus
	return []number[rs]{
		gauge(of("receiver_reading", "1 while bytes come from the receiver."), func(r rs) float64 { return truth(r.State == receiver.Reading) }),
		gauge(of("receiver_active", "1 for the receiver that feeds the device ID."), func(r rs) float64 { return truth(r.Active) }),
		count("receiver_opens_total", "Times that the port was opened.", func(r rs) uint64 { return r.Opens }),
		count("receiver_bytes_total", "Bytes read.", func(r rs) uint64 { return r.Bytes }),
		maybe(of("receiver_last_byte_age_seconds", "Time since the last byte."), func(r rs) *float64 { return r.LastByteAge }),
		maybe(of("receiver_line_use_ratio", "Share of what the line can carry that is used."), func(r rs) *float64 { return r.LineUse }),
		errorsSeen(of("receiver_framing_errors_total", "Bytes without a stop bit, since the port was opened."), func(r rs) *uint64 { return r.FramingErrors }),
		errorsSeen(of("receiver_overruns_total", "Bytes lost by the UART, since the port was opened."), func(r rs) *uint64 { return r.Overruns }),
		errorsSeen(of("receiver_parity_errors_total", "Bytes with a wrong parity, since the port was opened."), func(r rs) *uint64 { return r.ParityErrors }),
		errorsSeen(of("receiver_breaks_total", "Breaks of the line, since the port was opened."), func(r rs) *uint64 { return r.Breaks }),
		count("sentences_total", "Sentences with a right checksum.", func(r rs) uint64 { return r.Sentences }),
		count("sentences_bad_checksum_total", "Sentences with a wrong checksum.", func(r rs) uint64 { return r.BadChecksum }),
		count("sentences_no_checksum_total", "Sentences without a checksum.", func(r rs) uint64 { return r.NoChecksum }),
		count("sentences_refused_total", "Sentences with a malformed or implausible value.", func(r rs) uint64 { return r.Refused }),
		count("noise_bytes_total", "Bytes that belong to no sentence.", func(r rs) uint64 { return r.NoiseBytes }),
		count("fixes_total", "Epochs, with a position or without.", func(r rs) uint64 { return r.Fixes }),
		gauge(of("fix_mode", "Mode of the last epoch: 1 no fix, 2 two-dimensional, 3 three-dimensional."), func(r rs) float64 { return float64(r.Mode) }),
		maybe(of("fix_age_seconds", "Time since the last position."), func(r rs) *float64 { return r.FixAge }),
		maybe(of("satellites_used", "Satellites in the solution."), func(r rs) *float64 { return r.USat }),
		maybe(of("satellites_seen", "Satellites in view."), func(r rs) *float64 { return r.NSat }),
	}
}

func spoolNumbers() []number[spool.Stats] {
	of := func(name, help string) *prometheus.Desc { return family("spool_"+name, help, ofDevice...) }
	return []number[spool.Stats]{
		gauge(of("records", "Messages held."), func(s spool.Stats) float64 { return float64(s.Records) }),
		gauge(of("bytes", "Bytes held."), func(s spool.Stats) float64 { return float64(s.Bytes) }),
		gauge(of("max_bytes", "Bound of the bytes held."), func(s spool.Stats) float64 { return float64(s.MaxBytes) }),
		gauge(of("oldest_age_seconds", "Age of the oldest message held."), func(s spool.Stats) float64 { return s.Oldest }),
		gauge(of("fault", "1 while messages do not get to the disk."), func(s spool.Stats) float64 { return truth(s.Fault != "") }),
		counter(of("appended_total", "Messages appended."), func(s spool.Stats) float64 { return float64(s.Appended) }),
		counter(of("dropped_total", "Messages dropped for want of room, ever."), func(s spool.Stats) float64 { return float64(s.Dropped) }),
		counter(of("damaged_total", "Records that the disk did not give back."), func(s spool.Stats) float64 { return float64(s.Damaged) }),
	}
}

func uplinkNumbers() []number[UplinkStatus] {
	of := func(name, help string) *prometheus.Desc { return family("uplink_"+name, help, ofUplink...) }
	count := func(name, help string, v func(UplinkStatus) uint64) number[UplinkStatus] {
		return counter(of(name, help), func(u UplinkStatus) float64 { return float64(v(u)) })
	}
	type us = UplinkStatus
	return []number[us]{
		gauge(of("connected", "1 while there is a connection."), func(u us) float64 { return truth(u.State == uplink.Connected) }),
		count("connects_total", "Connections made.", func(u us) uint64 { return u.Connects }),
		gauge(of("behind", "Messages not acknowledged."), func(u us) float64 { return float64(u.Behind) }),
		gauge(of("window", "Limit of messages on the way."), func(u us) float64 { return float64(u.Window) }),
		gauge(of("outstanding", "Messages on the way."), func(u us) float64 { return float64(u.Outstanding) }),
		gauge(of("round_trip_seconds", "From sending to acknowledgement, smoothed; 0 until measured."), func(u us) float64 { return u.RTT }),
		maybe(of("last_ack_age_seconds", "Time since the last acknowledgement."), func(u us) *float64 { return u.LastAckAge }),
		count("acked_total", "Messages acknowledged.", func(u us) uint64 { return u.Acked }),
		count("sent_total", "Frames sent, repeats included.", func(u us) uint64 { return u.Sent }),
		count("resent_total", "Frames that were repeats.", func(u us) uint64 { return u.Resent }),
		count("lost_total", "Messages seen lost by the server, and sent again.", func(u us) uint64 { return u.Lost }),
		count("backlog_total", "Frames sent late.", func(u us) uint64 { return u.Backlog }),
		count("aside_total", "Messages set aside because the server does not take them.", func(u us) uint64 { return u.Aside }),
		count("sent_bytes_total", "Bytes sent, handshakes and framing included.", func(u us) uint64 { return u.SentBytes }),
		count("received_bytes_total", "Bytes received, handshakes and framing included.", func(u us) uint64 { return u.ReceivedBytes }),
		gauge(of("bytes_per_day", "Bytes a day, both ways, projected; 0 in the first minute."), func(u us) float64 { return u.BytesPerDay }),
	}
}

// collector gives the daemon's numbers.
type collector struct{ d *Daemon }

func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range ownNumbers {
		to <- d
	}
	describe(to, receivers)
	describe(to, spools)
	describe(to, uplinks)
}

func describe[T any](to chan<- *prometheus.Desc, numbers []number[T]) {
	for _, n := range numbers {
		to <- n.desc
	}
}

func (c collector) Collect(to chan<- prometheus.Metric) {
	one := func(desc *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(desc, kind, v, labels...)
	}
	st := c.d.Status()
	one(buildInfo, prometheus.GaugeValue, 1, st.Version)
	one(startTime, prometheus.GaugeValue, float64(st.Started.UnixMilli())/1000)
	for _, r := range st.Receivers {
		give(to, receivers, r, r.DeviceID, r.Source)
		for name, of := range r.Types {
			one(byType, prometheus.CounterValue, float64(of.Count), r.DeviceID, r.Source, name)
		}
	}
	for _, t := range c.d.tracks {
		feed := t.feed.status()
		one(takeovers, prometheus.CounterValue, float64(feed.taken), t.deviceID)
		one(reported, prometheus.CounterValue, float64(feed.reported), t.deviceID)
		give(to, spools, t.spool.Stats(), t.deviceID)
	}
	for _, u := range st.Uplinks {
		give(to, uplinks, u, u.DeviceID, u.Name)
	}
}
