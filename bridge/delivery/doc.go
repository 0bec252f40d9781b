// Package delivery holds the deterministic simulation of the sending side: real spool, real uplink and real messages against
// a seeded world of servers, networks and devices, in simulated time. It has tests only.
package delivery
