package observe

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"pgregory.net/rapid"
)

// TestLabelsHoldAnything reads back what a label holds as Prometheus does.
func TestLabelsHoldAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "label")
		var x exposition
		x.metric("test", "A test.")
		x.sample(1.5, "a", "b", "source", want)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(x.b))
		if err != nil {
			t.Fatalf("%q: %v", x.b, err)
		}
		m := families["gpsbridge_test"].GetMetric()[0]
		if got := m.GetLabel()[1].GetValue(); got != strings.ToValidUTF8(want, "\uFFFD") || m.GetGauge().GetValue() != 1.5 {
			t.Fatalf("%q became %v", want, m)
		}
	})
}
