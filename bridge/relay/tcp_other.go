//go:build !linux

package relay

import "time"

func kernelRoundTrip(uintptr) time.Duration { return 0 }

func delayAcks(uintptr) {}
