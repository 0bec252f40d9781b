package main

// What packages, image and list of contents state about the project. This is the one place for it.
const (
	maintainer = "gpsbridge maintainers <gpsbridge@localhost.localdomain>"
	homepage   = "" // nothing is published yet
	summary    = "GPS receiver to tracking server bridge"
)
