package realtest

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// atOnce is how many tests of a package run at a time, unless go test -parallel names another number. They wait for sockets,
// pseudo-terminals and servers most of the time, so that one for each CPU would leave the CPUs idle.
const atOnce = "8"

// Main is the TestMain of packages whose tests wait for real parts. The run fails when it leaves a goroutine behind.
func Main(m *testing.M, options ...goleak.Option) {
	if err := flag.Set("test.parallel", atOnce); err != nil {
		panic(err) // package testing has that flag
	}
	goleak.VerifyTestMain(m, options...)
}
