// Package packet reads and writes IPv4, TCP, UDP and ICMP headers in place.
//
// Headers are views over bytes that the caller owns: Decode checks every length
// once and yields offsets and a Tuple, the rest of the package trusts them.
// Nothing here copies payload, allocates, keeps a slice after it returns, or
// knows of flows, rules or sockets. A malformed packet is a Fault, not an error.
//
// Checksums are updated incrementally (RFC 1624 equation 3). Numbers are host
// byte order everywhere outside the bytes of a packet.
package packet
