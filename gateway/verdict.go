package gateway

import "tidegate/packet"

// Verdict is what became of a packet: each is a counter.
type Verdict uint8

// The closed set of verdicts. Those from DropTruncated on are drops.
const (
	Forwarded  Verdict = iota // translated and sent on
	Answered                  // the gateway itself was meant: ICMP echo to a frontend
	Reset                     // of a flow given up: answered with RST
	LeftToHost                // for the host's own stack, which has its copy
	Waiting                   // held until the neighbour's address is known, or a fragment until its datagram's first has come

	DropTruncated    // shorter than its headers say
	DropNotIPv4      // the version field is not 4
	DropBadHeader    // impossible IPv4 header or total length
	DropBadChecksum  // the IPv4 header checksum is wrong
	DropBadTransport // impossible TCP or UDP header
	DropSourceRoute  // its sender chooses the way, by an IP option
	DropMartian      // a source that no packet can have on that side, or a destination that none is routed to
	DropWrongSide    // the tuple of a flow, from the side where its sender is not
	DropNotMember    // from the inside, but in no backend pool
	DropNoRule       // a pool member without an outbound rule for the protocol
	DropProtocol     // a protocol or ICMP message that is not translated
	DropFragment     // a fragment that does not fit its datagram, or whose first did not pass or come
	DropICMPError    // an ICMP error about no flow
	DropNotOurs      // from the outside, not to a frontend
	DropNoFlow       // belongs to no flow and may not begin one
	DropDenied       // the rule's access control list does not permit the client
	DropNoBackend    // every backend of the rule is down
	DropExhausted    // no SNAT port left
	DropTableFull    // gateway.maxFlows reached
	DropConflict     // another flow has the tuple that the answers would carry
	DropTTL          // TTL ran out here
	DropTooBig       // larger than the next link takes
	DropNoRoute      // the host has no route on that side
	DropUnreachable  // the next hop does not answer ARP
	DropUnresolved   // too many packets wait for that neighbour, or too long
	numVerdicts
)

// firstDrop divides what is fine from what is dropped.
const firstDrop = DropTruncated

var verdictNames = [numVerdicts]string{
	"forwarded", "answered", "reset", "left-to-host", "waiting",
	"truncated", "not-ipv4", "bad-header", "bad-checksum", "bad-transport", "source-route", "martian", "wrong-side",
	"not-a-member", "no-rule", "protocol", "fragment", "icmp-error", "not-ours", "no-flow",
	"acl-denied", "no-backend", "snat-exhausted", "table-full", "tuple-conflict", "ttl-exceeded", "too-big", "no-route",
	"unreachable", "unresolved",
}

// String returns the name that metrics use for it.
func (v Verdict) String() string { return verdictNames[v] }

// Drop says whether the packet went nowhere.
func (v Verdict) Drop() bool { return v >= firstDrop }

var faultVerdict = [...]Verdict{
	packet.FaultTruncated: DropTruncated,
	packet.FaultVersion:   DropNotIPv4,
	packet.FaultHeader:    DropBadHeader,
	packet.FaultChecksum:  DropBadChecksum,
	packet.FaultTransport: DropBadTransport,

	packet.FaultSourceRoute: DropSourceRoute,
}
