package server

import (
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// known is a packet of a flow of rule egress; the others are of none.
var sightings = map[string]gateway.Sighting{
	"known": {Side: nexthop.Inside, Known: true, Packet: packettest.UDP(packettest.Datagram{Src: "10.0.0.10:7", Dst: "198.51.100.7:53"}),
		Flow: conntrack.Flow{ID: 0x100000000, State: conntrack.Active, Inside: true, Tuple: [2]packet.Tuple{
			packettest.Tuple(packet.UDP, "10.0.0.10:7", "198.51.100.7:53"), packettest.Tuple(packet.UDP, "198.51.100.7:53", "203.0.113.5:1024")}}},
	"refused":  {Side: nexthop.Inside, Verdict: gateway.DropExhausted, Packet: packettest.TCP(packettest.Segment{Src: "10.0.0.10:9", Dst: "198.51.100.7:443", Flags: packet.SYN})},
	"told":     {Side: nexthop.Inside, After: true, Own: true, Packet: packettest.TCP(packettest.Segment{Src: "198.51.100.7:443", Dst: "10.0.0.10:9", Flags: packet.RST})},
	"stranger": {Side: nexthop.Outside, Verdict: gateway.DropNoRule, Packet: packettest.UDP(packettest.Datagram{Src: "192.0.2.66:1", Dst: "203.0.113.6:9"})},
	"pong":     {Side: nexthop.Outside, After: true, Own: true, Packet: packettest.EchoReply(packettest.Echo{Src: "203.0.113.5", Dst: "192.0.2.66"})},
	"past us":  {Side: nexthop.Outside, Verdict: gateway.DropNotOurs, Packet: packettest.UDP(packettest.Datagram{Src: "192.0.2.66:1", Dst: "10.0.0.10:9"})},
	"broken":   {Side: nexthop.Outside, Verdict: gateway.DropBadHeader, Packet: []byte{0x4f}},
	"host":     {Side: nexthop.Outside, Verdict: gateway.LeftToHost, Packet: packettest.UDP(packettest.Datagram{Src: "192.0.2.66:1", Dst: "192.0.2.200:22"})},
}

// TestSieve: packets of flows as flows are filtered, the others by their addresses.
func TestSieve(t *testing.T) {
	r := newRig(t)
	server := New(r.options)
	for words, want := range map[string][]string{
		"":                                {"known", "refused", "told", "stranger", "pong", "past us", "broken"},
		"proto=udp":                       {"known", "stranger", "past us"},
		"proto=tcp":                       {"refused", "told"},
		"proto=icmp":                      {"pong"},
		"rule=egress":                     {"known"},
		"rule=ssh":                        {},
		"state=ACTIVE":                    {"known"},
		"idle>1s":                         {"known"},
		"internal=10.0.0.10":              {"known", "refused", "told", "past us"},
		"backend=10.0.0.10:9":             {"refused", "told", "past us"},
		"remote=198.51.100.7":             {"known", "refused", "told"},
		"remote=192.0.2.0/24":             {"stranger", "pong", "past us"},
		"external=203.0.113.6:9":          {"stranger"},
		"external=203.0.113.5":            {"known", "pong"},
		"frontend=second":                 {"stranger"},
		"frontend=203.0.113.5":            {"known", "pong"},
		"frontend=public proto=icmp":      {"pong"},
		"internal=10.0.0.10 rule=egress":  {"known"},
		"remote=192.0.2.66 state=ACTIVE":  {},
		"remote=192.0.2.66:1 proto=udp":   {"stranger", "past us"},
		"remote=192.0.2.200 proto=udp":    {},
		"external=192.0.2.200 proto=udp":  {},
		"id=0000000100000000":             {"known"},
		"id=0000000200000000 proto=udp":   {},
		"remote=198.51.100.7:443 idle>1s": {},
	} {
		f, err := api.ParseFilter(strings.Fields(words))
		if err != nil {
			t.Fatal(err)
		}
		sieve, chosen := server.sieve(f), map[string]bool{}
		for _, name := range want {
			chosen[name] = true
		}
		for name, s := range sightings {
			s.At = r.clock.Load()
			if got := sieve.matches(&s); got != chosen[name] {
				t.Errorf("%q: %s matches: %v", words, name, got)
			}
		}
	}
}

// TestSieveIsRenewed: rules and names are looked at again while a capture runs.
func TestSieveIsRenewed(t *testing.T) {
	r := newRig(t)
	sieve := New(r.options).sieve(api.Filter{Rule: "egress"})
	s := sightings["known"]
	sieve.flows.rules = nil // as if egress were new
	s.At = r.clock.Load()
	if sieve.matches(&s) {
		t.Error("an unknown rule matches")
	}
	if s.At += int64(time.Second); !sieve.matches(&s) {
		t.Error("a rule is unknown a second later")
	}
}

func TestComments(t *testing.T) {
	r := newRig(t)
	s := New(r.options)
	for want, change := range map[string]func(*gateway.Sighting){
		"flow 0000000100000000 egress ACTIVE: forwarded, from the inside":         func(*gateway.Sighting) {},
		"flow 0000000100000000 egress ACTIVE: dropped (too-big), from the inside": func(x *gateway.Sighting) { x.Verdict = gateway.DropTooBig },
		"flow 0000000100000000 egress ACTIVE: waiting, from the inside":           func(x *gateway.Sighting) { x.Verdict = gateway.Waiting },
		"flow 0000000100000000 egress ACTIVE: forwarded, to the outside":          func(x *gateway.Sighting) { x.After, x.Side = true, nexthop.Outside },
		"flow 0000000100000000 egress given up: made by the gateway (idle), to the outside": func(x *gateway.Sighting) {
			*x = gateway.Sighting{Known: true, Flow: x.Flow, After: true, Own: true, Cause: "idle", Side: nexthop.Outside}
			x.Flow.State = conntrack.Tombstone
		},
		"no flow: dropped (not-a-member), from the inside": func(x *gateway.Sighting) { x.Known, x.Verdict = false, gateway.DropNotMember },
		"no flow: answered, from the outside":              func(x *gateway.Sighting) { x.Known, x.Verdict, x.Side = false, gateway.Answered, nexthop.Outside },
	} {
		x := sightings["known"]
		change(&x)
		if got := s.comment(&x); got != want {
			t.Errorf("%q\nwant %q", got, want)
		}
	}
}
