package nmeatest

import "testing"

// Long reports whether a test is to judge every stream: neither in a short run nor with the race detector, which needs
// ten times as long and has nothing to find where there is one goroutine.
func Long() bool { return !testing.Short() && !raced }
