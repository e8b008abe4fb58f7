// Package nat decides how a flow is translated: which rule it belongs to, which
// frontend address and port it gets, and who owns which ports.
//
// It is asked once per flow, not per packet. A Policy is not safe for concurrent
// use; its owner serialises calls as it does for the flow table, which this
// package never imports: whether a tuple is in use is asked through Tracker.
//
// Mapping and filtering are named as in RFC 4787: UDP and ICMP have
// endpoint-independent mapping (REQ-1), TCP reuses a port for every destination
// that can be told apart (RFC 5382 §4, address and port-dependent mapping), and
// filtering is address and port-dependent for all. Port parity and contiguity
// are not kept (REQ-4 is only a recommendation; a member's ports would halve).
package nat
