// Package bridge is the daemon: it puts the parts together and owns what runs between them. README.md in this directory
// has the picture, and where to change what.
//
// daemon.go constructs, runs and stops the whole; device.go one device ID's receivers, feed and spool; link.go the way to one
// server. The packages config (what can be configured), pipeline (from bytes to messages) and observe (status, health,
// metrics, watchdog) belong to it. It does not know how its parts work inside: no sentence, no socket, no disk format.
package bridge
