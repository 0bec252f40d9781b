//go:build race

package main

const (
	raced        = true
	hoursOffline = 4
)
