package observe

import (
	"net/http"

	"gpsbridge/bridge/pipeline"
	"gpsbridge/bridge/receiver"
	"gpsbridge/bridge/relay"
	"gpsbridge/bridge/uplink"
)

// TrackerMetrics answers GET /metrics of a daemon with the numbers of its status, of its relay and of the process.
func TrackerMetrics(status func() Status, relayMetrics func() []relay.Metric) http.Handler {
	return metricsPage(func(x *exposition) {
		st := status()
		x.build(st.Version)
		x.metric(kindGauge, "start_time_seconds", "Unix time at which the daemon was started, by the system's clock then.")
		x.sample(float64(st.Started.UnixMilli()) / 1000)
		give(x, receiverNumbers, st.Receivers, func(r pipeline.ReceiverStatus) []string {
			return []string{"device_id", r.DeviceID, "source", r.Source}
		})
		writeTypes(x, st.Receivers)
		give(x, deviceNumbers, st.Devices, func(d DeviceStatus) []string { return []string{"device_id", d.DeviceID} })
		give(x, uplinkNumbers, st.Uplinks, func(u UplinkStatus) []string {
			return []string{"device_id", u.DeviceID, "uplink", u.Name}
		})
		writeRelay(x, relayMetrics())
		writeProcess(x)
	})
}

// ServerMetrics answers GET /metrics of a tracking server with the numbers of its relay and of the process.
func ServerMetrics(version string, relayMetrics func() []relay.Metric) http.Handler {
	return metricsPage(func(x *exposition) {
		x.build(version)
		writeRelay(x, relayMetrics())
		writeProcess(x)
	})
}

func (x *exposition) build(version string) {
	x.metric(kindGauge, "build_info", "Always 1; the version is a label.")
	x.sample(1, "version", version)
}

var receiverNumbers = func() []number[pipeline.ReceiverStatus] {
	type r = pipeline.ReceiverStatus
	return []number[r]{
		gauge("receiver_reading", "1 while bytes come from the receiver.", func(r r) float64 { return truth(r.State == receiver.Reading) }),
		gauge("receiver_active", "1 for the receiver that feeds the device ID.", func(r r) float64 { return truth(r.Active) }),
		counter("receiver_opens_total", "Times that the port was opened.", func(r r) uint64 { return r.Opens }),
		counter("receiver_bytes_total", "Bytes read.", func(r r) uint64 { return r.Bytes }),
		gaugeIf("receiver_last_byte_age_seconds", "Time since the last byte.", func(r r) *float64 { return r.LastByteAge }),
		gaugeIf("receiver_line_use_ratio", "Share of what the line can carry that is used.", func(r r) *float64 { return r.LineUse }),
		counterIf("receiver_framing_errors_total", "Bytes without a stop bit, since the port was opened.", func(r r) *uint64 { return r.FramingErrors }),
		counterIf("receiver_overruns_total", "Bytes lost by the UART, since the port was opened.", func(r r) *uint64 { return r.Overruns }),
		counterIf("receiver_parity_errors_total", "Bytes with a wrong parity, since the port was opened.", func(r r) *uint64 { return r.ParityErrors }),
		counterIf("receiver_breaks_total", "Breaks of the line, since the port was opened.", func(r r) *uint64 { return r.Breaks }),
		counter("sentences_total", "Sentences with a right checksum.", func(r r) uint64 { return r.Sentences }),
		counter("sentences_bad_checksum_total", "Sentences with a wrong checksum.", func(r r) uint64 { return r.BadChecksum }),
		counter("sentences_no_checksum_total", "Sentences without a checksum.", func(r r) uint64 { return r.NoChecksum }),
		counter("sentences_refused_total", "Sentences with a malformed or implausible value.", func(r r) uint64 { return r.Refused }),
		counter("noise_bytes_total", "Bytes that belong to no sentence.", func(r r) uint64 { return r.NoiseBytes }),
		counter("fixes_total", "Epochs, with a position or without.", func(r r) uint64 { return r.Fixes }),
		gauge("fix_mode", "Mode of the last epoch: 1 no fix, 2 two-dimensional, 3 three-dimensional.", func(r r) float64 { return float64(r.Mode) }),
		gaugeIf("epoch_age_seconds", "Time since the last epoch.", func(r r) *float64 { return r.EpochAge }),
		gaugeIf("fix_age_seconds", "Time since the last position.", func(r r) *float64 { return r.FixAge }),
		gaugeIf("satellites_used", "Satellites in the solution.", func(r r) *float64 { return r.USat }),
		gaugeIf("satellites_seen", "Satellites in view.", func(r r) *float64 { return r.NSat }),
	}
}()

func writeTypes(x *exposition, receivers []pipeline.ReceiverStatus) {
	x.metric(kindCounter, "sentences_type_total", "Sentences with a right checksum, by talker and type.")
	for _, r := range receivers {
		for name, of := range r.Types {
			x.sample(float64(of.Count), "device_id", r.DeviceID, "source", r.Source, "type", name)
		}
	}
}

var deviceNumbers = func() []number[DeviceStatus] {
	type d = DeviceStatus
	return []number[d]{
		counter("reported_total", "Messages made for the tracking servers.", func(d d) uint64 { return d.Reported }),
		counter("takeovers_total", "Times that another receiver took over feeding the device ID.", func(d d) uint64 { return uint64(d.Takeovers) }),
		gauge("spool_records", "Messages held.", func(d d) float64 { return float64(d.Spool.Records) }),
		gauge("spool_bytes", "Bytes held.", func(d d) float64 { return float64(d.Spool.Bytes) }),
		gauge("spool_max_bytes", "Bound of the bytes held.", func(d d) float64 { return float64(d.Spool.MaxBytes) }),
		gauge("spool_oldest_age_seconds", "Age of the oldest message held.", func(d d) float64 { return d.Spool.Oldest }),
		gauge("spool_fault", "1 while messages do not get to the disk.", func(d d) float64 { return truth(d.Spool.Problem != nil) }),
		counter("spool_appended_total", "Messages appended.", func(d d) uint64 { return d.Spool.Appended }),
		counter("spool_dropped_total", "Messages dropped for want of room, ever.", func(d d) uint64 { return d.Spool.Dropped }),
		counter("spool_damaged_total", "Records that the disk did not give back.", func(d d) uint64 { return d.Spool.Damaged }),
	}
}()

var uplinkNumbers = func() []number[UplinkStatus] {
	type u = UplinkStatus
	return []number[u]{
		gauge("uplink_connected", "1 while there is a connection.", func(u u) float64 { return truth(u.State == uplink.Connected) }),
		counter("uplink_connects_total", "Connections made.", func(u u) uint64 { return u.Connects }),
		gauge("uplink_behind", "Messages not acknowledged.", func(u u) float64 { return float64(u.Behind) }),
		gauge("uplink_window", "Limit of messages on the way.", func(u u) float64 { return float64(u.Window) }),
		gauge("uplink_outstanding", "Messages on the way.", func(u u) float64 { return float64(u.Outstanding) }),
		gauge("uplink_round_trip_seconds", "From sending to acknowledgement, smoothed; 0 until measured.", func(u u) float64 { return u.RTT }),
		gaugeIf("uplink_last_ack_age_seconds", "Time since the last acknowledgement.", func(u u) *float64 { return u.LastAckAge }),
		counter("uplink_acked_total", "Messages acknowledged.", func(u u) uint64 { return u.Acked }),
		counter("uplink_sent_total", "Frames sent, repeats included.", func(u u) uint64 { return u.Sent }),
		counter("uplink_resent_total", "Frames that were repeats.", func(u u) uint64 { return u.Resent }),
		counter("uplink_lost_total", "Messages seen lost by the server, and sent again.", func(u u) uint64 { return u.Lost }),
		counter("uplink_backlog_total", "Frames sent late.", func(u u) uint64 { return u.Backlog }),
		counter("uplink_quarantined_total", "Messages quarantined because the server does not accept them.", func(u u) uint64 { return u.Quarantined }),
		counter("uplink_sent_bytes_total", "Bytes sent, handshakes and framing included.", func(u u) uint64 { return u.SentBytes }),
		counter("uplink_received_bytes_total", "Bytes received, handshakes and framing included.", func(u u) uint64 { return u.ReceivedBytes }),
		gauge("uplink_bytes_per_day", "Bytes a day, both ways, projected; 0 in the first minute.", func(u u) float64 { return u.BytesPerDay }),
	}
}()

func writeRelay(x *exposition, metrics []relay.Metric) {
	for _, m := range metrics {
		kind := kindGauge
		if m.Counter {
			kind = kindCounter
		}
		x.metric(kind, "relay_"+m.Name, m.Help)
		for _, s := range m.Samples {
			x.sample(s.Value, s.Labels...)
		}
	}
}
