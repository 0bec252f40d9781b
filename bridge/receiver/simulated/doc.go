// Package simulated reads a simulated receiver (package sim) through a pseudo-terminal, as a serial port.
package simulated
