package main

import (
	"math"
	"math/bits"
	"time"
)

// histogram counts delays by their leading seven bits, so it is exact to 1.6 % and as small for a million of them as for
// ten.
type histogram map[int]int

// add counts one delay. One below zero, of a clock that was set back meanwhile, counts as none.
func (h histogram) add(d time.Duration) { h[bucketOf(d)]++ }

// merge adds what another one has counted.
func (h histogram) merge(other histogram) {
	for b, n := range other {
		h[b] += n
	}
}

func (h histogram) count() int {
	total := 0
	for _, n := range h {
		total += n
	}
	return total
}

// percentile is the delay that p (0 to 1) of all deliveries kept to, of which there should have been expected: one that
// did not come at all is late for ever, and ok is false where the rank is one of those.
func (h histogram) percentile(p float64, expected int) (d time.Duration, ok bool) {
	rank := max(1, int(math.Ceil(p*float64(expected))))
	if expected == 0 || rank > h.count() {
		return 0, false
	}
	for b := 0; ; b++ { // ends: the ranks up to the count are all in some bucket
		if rank -= h[b]; rank <= 0 {
			return delayOf(b), true
		}
	}
}

// bucketOf numbers delays: one by one in nanoseconds up to 128, then in 64 steps for each power of two.
func bucketOf(d time.Duration) int {
	n := uint64(max(0, d))
	shift := max(0, bits.Len64(n)-7)
	return shift<<6 + int(n>>shift)
}

// delayOf is the middle of a bucket.
func delayOf(bucket int) time.Duration {
	shift := max(0, bucket>>6-1)
	return time.Duration(bucket-shift<<6)<<shift + time.Duration(1<<shift/2)
}
