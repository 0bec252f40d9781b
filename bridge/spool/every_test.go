//go:build !race

package spool

// everyByte is the step of those tests that damage a file at each byte.
const everyByte = 1
