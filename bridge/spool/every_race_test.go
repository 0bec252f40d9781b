//go:build race

package spool

const raced = true
