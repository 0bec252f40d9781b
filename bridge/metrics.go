package bridge

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// registry is where the daemon's numbers and those of the process are asked for, as they are then; the relay adds its own.
func (d *Daemon) registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collector{d}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// family is one metric with the labels that it has.
func family(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gpsbridge_"+name, help, labels, nil)
}

// The labels of what is counted for each receiver, device ID, and uplink.
var (
	ofReceiver = []string{"device_id", "source"}
	ofDevice   = []string{"device_id"}
	ofUplink   = []string{"device_id", "uplink"}
)

// number is one metric of T: a receiver, a spool, an uplink. A value that is not known is left out.
type number[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(T) (v float64, known bool)
}

func counter[T any](desc *prometheus.Desc, value func(T) float64) number[T] {
	return number[T]{desc, prometheus.CounterValue, func(t T) (float64, bool) { return value(t), true }}
}

func gauge[T any](desc *prometheus.Desc, value func(T) float64) number[T] {
	return number[T]{desc, prometheus.GaugeValue, func(t T) (float64, bool) { return value(t), true }}
}

// maybe is a gauge of what may not be known.
func maybe[T any](desc *prometheus.Desc, value func(T) *float64) number[T] {
	return number[T]{desc, prometheus.GaugeValue, func(t T) (float64, bool) {
		if v := value(t); v != nil {
			return *v, true
		}
		return 0, false
	}}
}

// errorsSeen is a counter that not every driver keeps.
func errorsSeen[T any](desc *prometheus.Desc, value func(T) *uint64) number[T] {
	return number[T]{desc, prometheus.CounterValue, func(t T) (float64, bool) {
		if v := value(t); v != nil {
			return float64(*v), true
		}
		return 0, false
	}}
}

// give sends the numbers of one of them.
func give[T any](to chan<- prometheus.Metric, numbers []number[T], of T, labels ...string) {
	for _, n := range numbers {
		if v, known := n.value(of); known {
			to <- prometheus.MustNewConstMetric(n.desc, n.kind, v, labels...)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
