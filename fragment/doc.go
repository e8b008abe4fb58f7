// Package fragment follows IPv4 datagrams that come in pieces, without putting
// them together: virtual reassembly. Only the first fragment says which flow a
// datagram belongs to; the Table remembers that for the others, and keeps those
// that come before it.
//
// It also judges whether the pieces fit: a fragment that overlaps what has come
// already makes the datagram bad as a whole (the remedy of RFC 1858 and RFC 3128,
// and what RFC 5722 has for IPv6), one that adds nothing is a duplicate. Memory is
// bounded however many datagrams never come to an end: the oldest gives way.
//
// A Table is not safe for concurrent use. Time is an argument, monotonic
// nanoseconds. Nothing here knows flows, rewrites or sends.
package fragment
