// Package spool keeps records in order until everybody who must have them has acknowledged them.
//
// It is the one lossless queue of the daemon: the receiver's goroutine appends to it and never waits, each uplink
// reads from it through a Reader of its own. Reading removes nothing; Ack does. A record leaves when every Reader has
// acknowledged it, or when the spool is full, and then it is counted.
//
//	Append ──▶ [ 41 | 42 | 43 | 44 | 45 ] ◀── Next(after), Ack(pos)   Reader "fleet"
//	             ▲ oldest           ▲ newest ◀── Next(after), Ack(pos)   Reader "backup"
//
// Positions count from 1 in steps of 1 and are never used twice. A Reader's place is an argument of Next, not a state
// of the spool, so starting again after a lost connection is asking again from Acked.
//
// The records are held in memory: they survive the server and the network, not the process. The package knows
// nothing of what a record says or where it goes.
package spool
