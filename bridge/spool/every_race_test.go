//go:build race

package spool

// everyByte under the race detector, which makes a byte ten times as dear, is each seventh; .ci/run does all of them without.
const everyByte = 7
