// Package spool keeps records in order until everybody who must have them has acknowledged them.
//
// It is the one lossless queue of the daemon: the receiver's goroutine appends to it and waits for no disk that keeps
// up with it, each uplink reads from it through a Reader of its own. Reading removes nothing; Ack does. A record leaves when every Reader has
// acknowledged it, or when the spool is full and thins its oldest part, and then it is counted.
//
//	Append ──▶ [ 41 | 42 | 43 | 44 | 45 ] ◀── Next(after), Ack(pos)   Reader "fleet"
//	             ▲ oldest           ▲ newest ◀── Next(after), Ack(pos)   Reader "backup"
//
// Positions count from 1 in steps of 1 and are never used twice; where nobody can know any more how many were given
// before a power cut they go on at the next multiple of 2^32. A Reader's place is an argument of Next, not a state of
// the spool, so starting again after a lost connection is asking again from Acked.
//
// The package knows nothing of what a record says or where it goes.
//
// # Two logs
//
// Without a folder everything is in one log in memory. With a folder there are two logs of the same format: a recent
// one on a tmpfs, which every record and every acknowledgement enters by one write, and one on the disk.
//
//	          write              stays unacknowledged for Options.Sync, or too much
//	Append ─────────▶ recent log ─────────────────────────────────────────────────▶ disk log
//	                    (tmpfs)         one write, one fdatasync for all of them
//
// So the daemon may be killed at any moment and nothing is lost; a power cut costs what was appended in the last Sync
// and not acknowledged; and while servers acknowledge in time nothing is written to the disk at all. The recent log is
// small: what a burst brings beyond half of it goes to the disk at once, and once it is full Append waits for that. It is
// thinned only when the disk has failed, or has not answered for 10 s; the disk log when it is full itself. Without a tmpfs
// the recent log is in a folder on the disk, where the kernel writes it when it likes. Close writes to the disk what is
// not acknowledged, since a machine that shuts down loses its tmpfs next.
//
// # Format
//
// A log is a folder of segments, files of one size that are reserved whole when they are begun and named by the first
// position that they may hold, 00000000000000000042.seg. All numbers are little-endian; CRC is CRC32C (Castagnoli).
// The first 32 bytes are the same in every version of the format; a program leaves versions alone that it does not know.
//
//	segment   0  8  "gpsspool"
//	          8  4  version, 1
//	         12  4  size of the file in bytes
//	         16  8  first position
//	         24  4  how often the records were thinned
//	         28  4  CRC of bytes 0 to 27
//	         32     records, the first a state
//	       size-32  the seal, once no more is written; zeros lie before it
//
//	record    0  4  CRC of all that follows
//	          4  3  length of the payload
//	          7  1  kind
//	          8  8  position
//	         16  8  time in milliseconds since 1970, signed
//	         24     payload
//
//	kind      position          payload
//	1 data    its own           as appended; positions rise
//	2 ack     acknowledged      name of the reader; in the recent log, until the next state
//	3 state   highest given     8 records dropped ever, 16 boot of the machine, and of each reader
//	                            1+n its name, 4 number of spans, each 8 from 8 to: acknowledged, both included
//	4 seal    last data record  4 number of data records, 4 their size in bytes
//
// # Damage
//
// Bytes that are no record are slid over to the next whose CRC holds, so damage costs the records it touches, and a
// damaged header, state or seal costs the time to read the segment, or to read the state of the one before; then some
// records are given again. Nothing is ever written behind damage, nor after a sync that failed: a new segment is begun.
// A record belongs to the segment with the highest first position that is not above its own. One found elsewhere as well
// is left over from a write that was repeated, or from thinning, which writes two segments as one under the name of
// the first before it removes the second.
//
// A file that the disk does not give (it does not open, or most of it does not read) is no damage: the stick may be plugged
// in again, the owner put right. It is passed over and kept, its records count as held, and they are given when a reader
// asks again from Acked; only a full spool lets go of it, first of all. On a disk that is read-only what it holds is given,
// and what comes is in the recent log alone.
package spool
