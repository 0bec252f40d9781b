package observe

import (
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// exposition is a page of metrics in Prometheus' text format, version 0.0.4. Its own library would be a sixth of the
// program, for its protobuf format, and 2 MB of resident memory.
type exposition struct {
	b      []byte
	family string
}

// metric begins a family: its samples follow. By its name it is a counter, which only grows until the daemon starts again, or
// a gauge.
func (x *exposition) metric(name, help string) {
	kind := "gauge"
	if strings.HasSuffix(name, "_total") {
		kind = "counter"
	}
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

// number is one metric of T: a receiver, a spool, an uplink. Its value is a number, a bool, or a pointer to a number, which is
// nil where the number is not known, and then left out.
type number[T any] struct {
	name, help string
	value      func(T) any
}

// give writes the numbers of all of them, with the labels of each.
func give[T any](x *exposition, numbers []number[T], all []T, labels func(T) []string) {
	for _, n := range numbers {
		x.metric(n.name, n.help)
		for _, one := range all {
			v := reflect.Indirect(reflect.ValueOf(n.value(one)))
			switch {
			case !v.IsValid(): // not known
			case v.CanInt():
				x.sample(float64(v.Int()), labels(one)...)
			case v.CanUint():
				x.sample(float64(v.Uint()), labels(one)...)
			case v.CanFloat():
				x.sample(v.Float(), labels(one)...)
			case v.Bool():
				x.sample(1, labels(one)...)
			default:
				x.sample(0, labels(one)...)
			}
		}
	}
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
