package network

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "8") // the tests wait for lines and clocks, not for the processor
	goleak.VerifyTestMain(m)
}
