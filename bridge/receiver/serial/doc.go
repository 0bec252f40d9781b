// Package serial reads receivers on serial ports. A port is found, and its speed, by listening alone: nothing is written.
//
//	auto.go   looks through the ports            port.go    one port: opens it, reads it
//	list.go   which ports there are, best first  hardware.go  what sysfs has about them
//	held.go   consoles, and which program holds a port
//	memory.go what worked last                   hunt.go    listens at one speed after another
//	speed.go  what a wrong speed shows of the right one
//	health.go a line that is being read: full, damaged, without sentences
//	gate_linux.go  a descriptor that can be left alone for a while
package serial
