//go:build !race

package spool

const raced = false
