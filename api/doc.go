// Package api is what Tidegate says over HTTP: the types that cross the wire, the
// filter that selects flows, and a Client that asks a running gateway.
//
// It is a leaf: it imports nothing of the gateway, so that a program which only
// talks to one links none of it. The server is in api/server.
//
// Endpoints are netip.AddrPort; for ICMP the port of the end that asks, and of the
// frontend that stands for it, is the echo identifier, and that of the other is 0.
// Durations are seconds, sizes are bytes of IP packets, times are UTC. Errors
// are RFC 9457 problem details. Unknown fields of an answer are ignored, so an
// older client understands a newer gateway.
package api
