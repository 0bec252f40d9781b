package observe

import (
	"net/http"
	"strconv"
	"strings"
)

// exposition is a page of metrics in Prometheus' text format, version 0.0.4. Its own library would be a sixth of the
// program, for its protobuf format, and 2 MB of resident memory.
type exposition struct {
	b      []byte
	family string
}

// The kinds of a metric.
const (
	kindCounter = "counter" // only grows, until the daemon starts again
	kindGauge   = "gauge"
)

// metric begins a family: its samples follow.
func (x *exposition) metric(kind, name, help string) {
	x.family = "gpsbridge_" + name
	if strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_") {
		x.family = name // named alike for every program
	}
	for _, s := range []string{"# HELP ", x.family, " ", help, "\n# TYPE ", x.family, " ", kind, "\n"} {
		x.b = append(x.b, s...)
	}
}

// labelEscapes are those of the format: a source may hold any of them.
var labelEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// sample gives one value of the family; labels are names and values alternately.
func (x *exposition) sample(v float64, labels ...string) {
	x.b = append(x.b, x.family...)
	for i := 0; i+1 < len(labels); i += 2 {
		x.b = append(x.b, ","[:min(i, 1)]...)
		if i == 0 {
			x.b = append(x.b, '{')
		}
		x.b = append(x.b, labels[i]...)
		x.b = append(x.b, `="`...)
		x.b = append(x.b, labelEscapes.Replace(strings.ToValidUTF8(labels[i+1], "\uFFFD"))...)
		x.b = append(x.b, '"')
	}
	if len(labels) > 1 {
		x.b = append(x.b, '}')
	}
	x.b = append(x.b, ' ')
	x.b = append(strconv.AppendFloat(x.b, v, 'g', -1, 64), '\n')
}

// number is one metric of T: a receiver, a spool, an uplink. A value that is not known is left out.
type number[T any] struct {
	kind, name, help string
	value            func(T) (v float64, known bool)
}

// give writes the numbers of all of them, with the labels of each.
func give[T any](x *exposition, numbers []number[T], all []T, labels func(T) []string) {
	for _, n := range numbers {
		x.metric(n.kind, n.name, n.help)
		for _, one := range all {
			if v, known := n.value(one); known {
				x.sample(v, labels(one)...)
			}
		}
	}
}

func gauge[T any](name, help string, value func(T) float64) number[T] {
	return number[T]{kindGauge, name, help, func(t T) (float64, bool) { return value(t), true }}
}

func counter[T any](name, help string, value func(T) uint64) number[T] {
	return number[T]{kindCounter, name, help, func(t T) (float64, bool) { return float64(value(t)), true }}
}

// gaugeIf is of what may not be known.
func gaugeIf[T any](name, help string, value func(T) *float64) number[T] {
	return number[T]{kindGauge, name, help, func(t T) (float64, bool) { return known(value(t)) }}
}

// counterIf is a counter that some do not have.
func counterIf[T any](name, help string, value func(T) *uint64) number[T] {
	return number[T]{kindCounter, name, help, func(t T) (float64, bool) { return known(value(t)) }}
}

func known[N float64 | uint64](v *N) (float64, bool) {
	if v == nil {
		return 0, false
	}
	return float64(*v), true
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// metricsPage answers GET /metrics with what write writes.
func metricsPage(write func(x *exposition)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		var x exposition
		write(&x)
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Write(x.b) // a client that is gone does not read it
	})
}
