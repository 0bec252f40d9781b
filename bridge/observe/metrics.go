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
		x.metric("start_time_seconds", "Unix time at which the daemon was started, by the system's clock then.")
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

// ServerMetrics answers GET /metrics of a tracking server with the numbers of its relay, of its layer (nil for none) and of the process.
func ServerMetrics(version string, relayMetrics func() []relay.Metric, layerStatus func() *LayerStatus) http.Handler {
	return metricsPage(func(x *exposition) {
		x.build(version)
		writeRelay(x, relayMetrics())
		if s := layerStatus(); s != nil {
			give(x, layerNumbers, []*LayerStatus{s}, func(*LayerStatus) []string { return nil })
		}
		writeProcess(x)
	})
}

var layerNumbers = []number[*LayerStatus]{
	{"layer_ready", "1 while the layer carries messages.", func(s *LayerStatus) any { return s.Problem == nil }},
	{"layer_published_total", "Messages published to the groups of all nodes.", func(s *LayerStatus) any { return s.Published }},
	{"layer_refused_total", "Messages that could not be stored as durably as is configured.", func(s *LayerStatus) any { return s.Refused }},
	{"layer_losses_total", "Times that Redis had lost stored fixes.", func(s *LayerStatus) any { return s.Losses }},
	{"layer_received_total", "Messages received from them, own ones included.", func(s *LayerStatus) any { return s.Received }},
	{"layer_undecodable_total", "Messages of a group that were none.", func(s *LayerStatus) any { return s.Undecodable }},
	{"layer_dropped_total", "Messages that came faster than this node handled them.", func(s *LayerStatus) any { return s.Dropped }},
	{"layer_over_capacity_total", "Messages that a queue of the Django application had no room for.", func(s *LayerStatus) any { return s.OverCapacity }},
	{"layer_sessions_total", "Connections to Redis begun; one more for each failover.", func(s *LayerStatus) any { return s.Sessions }},
	{"layer_groups", "Groups joined.", func(s *LayerStatus) any { return s.Groups }},
}

func (x *exposition) build(version string) {
	x.metric("build_info", "Always 1; the version is a label.")
	x.sample(1, "version", version)
}

var receiverNumbers = []number[pipeline.ReceiverStatus]{
	{"receiver_reading", "1 while bytes come from the receiver.", func(r pipeline.ReceiverStatus) any { return r.State == receiver.Reading }},
	{"receiver_active", "1 for the receiver that feeds the device ID.", func(r pipeline.ReceiverStatus) any { return r.Active }},
	{"receiver_opens_total", "Times that the port was opened.", func(r pipeline.ReceiverStatus) any { return r.Opens }},
	{"receiver_bytes_total", "Bytes read.", func(r pipeline.ReceiverStatus) any { return r.Bytes }},
	{"receiver_last_byte_age_seconds", "Time since the last byte.", func(r pipeline.ReceiverStatus) any { return r.LastByteAge }},
	{"receiver_line_use_ratio", "Share of what the line can carry that is used.", func(r pipeline.ReceiverStatus) any { return r.LineUse }},
	{"receiver_framing_errors_total", "Bytes without a stop bit, since the port was opened.", func(r pipeline.ReceiverStatus) any { return r.FramingErrors }},
	{"receiver_overruns_total", "Bytes lost by the UART, since the port was opened.", func(r pipeline.ReceiverStatus) any { return r.Overruns }},
	{"receiver_parity_errors_total", "Bytes with a wrong parity, since the port was opened.", func(r pipeline.ReceiverStatus) any { return r.ParityErrors }},
	{"receiver_breaks_total", "Breaks of the line, since the port was opened.", func(r pipeline.ReceiverStatus) any { return r.Breaks }},
	{"sentences_total", "Sentences with a right checksum.", func(r pipeline.ReceiverStatus) any { return r.Sentences }},
	{"sentences_bad_checksum_total", "Sentences with a wrong checksum.", func(r pipeline.ReceiverStatus) any { return r.BadChecksum }},
	{"sentences_no_checksum_total", "Sentences without a checksum.", func(r pipeline.ReceiverStatus) any { return r.NoChecksum }},
	{"sentences_refused_total", "Sentences with a malformed or implausible value.", func(r pipeline.ReceiverStatus) any { return r.Refused }},
	{"noise_bytes_total", "Bytes that belong to no sentence.", func(r pipeline.ReceiverStatus) any { return r.NoiseBytes }},
	{"fixes_total", "Epochs, with a position or without.", func(r pipeline.ReceiverStatus) any { return r.Fixes }},
	{"fix_mode", "Mode of the last epoch: 1 no fix, 2 two-dimensional, 3 three-dimensional.", func(r pipeline.ReceiverStatus) any { return r.Mode }},
	{"epoch_age_seconds", "Time since the last epoch.", func(r pipeline.ReceiverStatus) any { return r.EpochAge }},
	{"fix_age_seconds", "Time since the last position.", func(r pipeline.ReceiverStatus) any { return r.FixAge }},
	{"satellites_used", "Satellites in the solution.", func(r pipeline.ReceiverStatus) any { return r.USat }},
	{"satellites_seen", "Satellites in view.", func(r pipeline.ReceiverStatus) any { return r.NSat }},
}

func writeTypes(x *exposition, receivers []pipeline.ReceiverStatus) {
	x.metric("sentences_type_total", "Sentences with a right checksum, by talker and type.")
	for _, r := range receivers {
		for name, of := range r.Types {
			x.sample(float64(of.Count), "device_id", r.DeviceID, "source", r.Source, "type", name)
		}
	}
}

var deviceNumbers = []number[DeviceStatus]{
	{"reported_total", "Messages made for the tracking servers.", func(d DeviceStatus) any { return d.Reported }},
	{"takeovers_total", "Times that another receiver took over feeding the device ID.", func(d DeviceStatus) any { return d.Takeovers }},
	{"spool_records", "Messages held.", func(d DeviceStatus) any { return d.Spool.Records }},
	{"spool_bytes", "Bytes held.", func(d DeviceStatus) any { return d.Spool.Bytes }},
	{"spool_max_bytes", "Bound of the bytes held.", func(d DeviceStatus) any { return d.Spool.MaxBytes }},
	{"spool_oldest_age_seconds", "Age of the oldest message held.", func(d DeviceStatus) any { return d.Spool.Oldest }},
	{"spool_fault", "1 while messages do not get to the disk.", func(d DeviceStatus) any { return d.Spool.Problem != nil }},
	{"spool_appended_total", "Messages appended.", func(d DeviceStatus) any { return d.Spool.Appended }},
	{"spool_dropped_total", "Messages dropped for want of room, ever.", func(d DeviceStatus) any { return d.Spool.Dropped }},
	{"spool_damaged_total", "Records that the disk did not give back.", func(d DeviceStatus) any { return d.Spool.Damaged }},
}

var uplinkNumbers = []number[UplinkStatus]{
	{"uplink_connected", "1 while there is a connection.", func(u UplinkStatus) any { return u.State == uplink.Connected }},
	{"uplink_connects_total", "Connections made.", func(u UplinkStatus) any { return u.Connects }},
	{"uplink_compressed", "1 while there is a connection on which messages are compressed.", func(u UplinkStatus) any { return u.Compressed }},
	{"uplink_behind", "Messages not acknowledged.", func(u UplinkStatus) any { return u.Behind }},
	{"uplink_held_back", "Of those, collected and not due yet.", func(u UplinkStatus) any { return u.HeldBack }},
	{"uplink_window", "Limit of messages on the way.", func(u UplinkStatus) any { return u.Window }},
	{"uplink_outstanding", "Messages on the way.", func(u UplinkStatus) any { return u.Outstanding }},
	{"uplink_round_trip_seconds", "From sending to acknowledgement, smoothed; 0 until measured.", func(u UplinkStatus) any { return u.RTT }},
	{"uplink_last_ack_age_seconds", "Time since the last acknowledgement.", func(u UplinkStatus) any { return u.LastAckAge }},
	{"uplink_acked_total", "Messages acknowledged.", func(u UplinkStatus) any { return u.Acked }},
	{"uplink_sent_total", "Frames sent, repeats included.", func(u UplinkStatus) any { return u.Sent }},
	{"uplink_resent_total", "Frames that were repeats.", func(u UplinkStatus) any { return u.Resent }},
	{"uplink_lost_total", "Messages seen lost by the server, and sent again.", func(u UplinkStatus) any { return u.Lost }},
	{"uplink_backlog_total", "Frames sent late.", func(u UplinkStatus) any { return u.Backlog }},
	{"uplink_quarantined_total", "Messages quarantined because the server does not accept them.", func(u UplinkStatus) any { return u.Quarantined }},
	{"uplink_sent_bytes_total", "Bytes sent, handshakes and framing included.", func(u UplinkStatus) any { return u.SentBytes }},
	{"uplink_received_bytes_total", "Bytes received, handshakes and framing included.", func(u UplinkStatus) any { return u.ReceivedBytes }},
	{"uplink_header_bytes_total", "Bytes of TCP and IP headers, both ways, and of what TCP sent again.", func(u UplinkStatus) any { return u.HeaderBytes }},
	{"uplink_bytes_per_day", "Bytes a day as a modem counts them, headers included, both ways, projected; 0 in the first minute.", func(u UplinkStatus) any { return u.BytesPerDay }},
	{"uplink_bytes_per_fix", "The same for each message acknowledged; 0 before the first.", func(u UplinkStatus) any { return u.BytesPerFix }},
}

func writeRelay(x *exposition, metrics []relay.Metric) {
	for _, m := range metrics {
		x.metric("relay_"+m.Name, m.Help)
		for _, s := range m.Samples {
			x.sample(s.Value, s.Labels...)
		}
	}
}
