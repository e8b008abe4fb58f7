// Package conntrack remembers flows: who talks to whom, translated how, in what
// TCP state, last seen when.
//
// A Table is not safe for concurrent use; its owner serialises every call (the
// gateway holds one lock for a whole batch of packets). Nothing here reads a
// clock, sends a packet, chooses a port or knows why a flow was allowed: time
// is an argument, monotonic nanoseconds, and what ended is handed back.
//
// Flow entries hold no pointers and live in anonymous mapped memory, so the
// garbage collector neither walks nor counts them. One flow is two 64-byte
// halves, one per direction, two 8-byte index entries, and 32 bytes of
// bookkeeping that a packet of a known flow does not touch.
//
// TCP is tracked as RFC 9293 §3.10 has it, seen from the middle; the window
// check that keeps strangers' segments from moving the numbers is the one of
// Guido van Rooij, "Real Stateful TCP Packet Filtering in IP Filter" (2000).
package conntrack
