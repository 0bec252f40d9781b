// Package sim is a simulated GPS receiver in a vehicle that drives round Hyde Park in London.
//
//	route (where, how fast) ──▶ vehicle ──┐
//	                                      ├──▶ Generator: the NMEA burst of each epoch ──▶ Receiver: a pseudo-terminal
//	satellites              ──▶ sky ──────┘
//
// A Generator is pure: the time comes in with Config.Start, and the same Config gives the same bytes. State is what is
// true of the epoch that was generated last, to compare with what a decoder makes of the bytes. A Receiver plays a
// Generator on a real pseudo-terminal by the wall clock, at the speed of a serial line. A UART is what is read there at
// another speed.
//
// The package does not know its readers.
package sim
