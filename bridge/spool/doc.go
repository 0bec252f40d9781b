// Package spool keeps records in order until every reader has acknowledged them.
//
// It is the one lossless queue of the daemon: the receiver's goroutine appends to it and does not wait for a disk that keeps
// up, and each uplink reads from it through a Reader of its own. Reading removes nothing; Ack does. A record leaves when
// every Reader has acknowledged it, or when the spool is full and thins its oldest part, and then it is counted.
//
//	Append ──▶ [ 41 | 42 | 43 | 44 | 45 ] ◀── Next(after), Ack(pos)   Reader "fleet"
//	             ▲ oldest           ▲ newest ◀── Next(after), Ack(pos)   Reader "backup"
//
// Positions count from 1 in steps of 1 and are never used twice. After a power cut that may have lost the newest of them
// they go on at the next multiple of 2^32. A Reader's place is an argument of Next, not a state of the spool: after a lost
// connection the uplink asks again from Acked.
//
// The package does not know what a record contains or where it goes. README.md describes the files and the guarantees.
package spool
