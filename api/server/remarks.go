package server

import (
	"tidegate/gateway"
	"tidegate/nexthop"
)

// remarks say for each verdict what it means and, of a drop, what to do about it.
// {source}, {destination}, {client}, {frontend}, {protocol}, {from}, {other}, {out},
// {rule} and {hop} stand for the case at hand: account.remark. Each becomes a sentence.
var remarks = [...]string{
	gateway.Forwarded:  "it is sent on",
	gateway.Answered:   "the gateway itself answers a ping to its frontend",
	gateway.Reset:      "no flow has this tuple any more, and rule {rule} tells the sender so with a RST (lateTcpReset)",
	gateway.LeftToHost: "{frontend} is a multicast or broadcast address or the host's own here: the host's stack, if any, takes the packet",
	gateway.Waiting:    "it is sent on as soon as the next hop towards {hop} has answered ARP",

	gateway.DropTruncated:    "the packet is shorter than its headers say; look for what cuts it on the way, as a wrong MTU or a broken offload",
	gateway.DropNotIPv4:      "the packet is not IPv4, which is all that is translated; send it by another way",
	gateway.DropBadHeader:    "the IPv4 header is impossible; look at what {client} sends",
	gateway.DropBadChecksum:  "the checksum of the IPv4 header is wrong; look for what damages packets between {client} and here",
	gateway.DropBadTransport: "the TCP or UDP header is impossible; look at what {client} sends",
	gateway.DropSourceRoute:  "an IP option has {client} choose the way, which is refused; let it send without",
	gateway.DropMartian: "no packet from {client} to {frontend} can truly come from the {from}: one of them is reserved, " +
		"both are the same, or the source belongs to the gateway or the other side; correct the address, or the route to {client}",
	gateway.DropWrongSide: "a flow has this tuple, but its sender is on the {other}; correct the routing, or ask for the {other}",
	gateway.DropNotMember: "{client} is in no backend pool; add it to one",
	gateway.DropNoRule:    "{client} is in a pool, but no rule gives it a port for {protocol} to {destination}; add an outbound rule for its pool and {protocol}",
	gateway.DropProtocol:  "{protocol}, or this message of it, is not translated; use TCP, UDP or ICMP echo",
	gateway.DropFragment:  "it is a fragment that does not fit its datagram, or whose first one did not pass; look for what damages or loses packets on the way from {client}",
	gateway.DropICMPError: "it is an ICMP error about no flow; nothing is to be done",
	gateway.DropNotOurs:   "{frontend} is no frontend address that is answered on the {from}; route it elsewhere, or make it a frontend",
	gateway.DropNoFlow:    "it belongs to no flow and begins none: no rule is for {protocol} to {destination}; add an inbound rule, or correct the port",
	gateway.DropDenied:    "the endpointACL of rule {rule} does not permit {client}; add a Permit entry of lower order than what denies it",
	gateway.DropNoBackend: "no backend of rule {rule} takes new flows; see `tidegate backends` for what the probe found and for adminState",
	gateway.DropExhausted: "no SNAT port is left towards {destination}; give rule {rule} more ports (allocatedOutboundPorts) or frontends, or end idle flows sooner",
	gateway.DropTableFull: "the flow table is full; raise gateway.maxFlows",
	gateway.DropConflict:  "another flow has the tuple that the answers would carry; end it with `tidegate kill`, or use another source port",
	gateway.DropTTL:       "the TTL runs out here; look for a routing loop, or let {client} send with a higher one",
	gateway.DropTooBig:    "it is larger than the next link takes; {client} is told, and must let ICMP in",
	gateway.DropNoRoute:   "the host has no route to {hop} that leaves on the {out}; add one",
	gateway.DropUnreachable: "the next hop towards {hop} does not answer ARP, or its interface is down; " +
		"look whether it is up and on the {out}",
	gateway.DropUnresolved: "too many packets wait for the next hop towards {hop}, or this one has for too long; look whether it answers ARP",
}

// other is the side across the gateway.
func other(s nexthop.Side) nexthop.Side { return s ^ 1 }
