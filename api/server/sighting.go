package server

import (
	"fmt"
	"time"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
)

// sieve selects packets by a filter for flows. The gateway asks it under its lock.
type sieve struct {
	server *Server
	filter api.Filter
	flows  *matcher
	stale  int64 // on the gateway's clock: when rules and names are to be looked at again
}

// sieveLife is how long a changed configuration may stay unnoticed.
const sieveLife = int64(time.Second)

func (s *Server) sieve(f api.Filter) *sieve {
	return &sieve{server: s, filter: f, flows: s.matcher(f), stale: s.Gateway.Now() + sieveLife}
}

// matches says whether a packet is to be shown. Those for the host itself are not: they
// would be, among others, those that carry the capture away.
func (v *sieve) matches(x *gateway.Sighting) bool {
	if x.At >= v.stale {
		v.flows, v.stale = v.server.matcher(v.filter), x.At+sieveLife
	}
	switch {
	case x.Verdict == gateway.LeftToHost:
		return false
	case v.filter.Empty():
		return true
	case x.Known:
		return v.flows.matches(&x.Flow)
	}
	return v.matchesAddresses(x)
}

// matchesAddresses decides on a packet of no flow.
func (v *sieve) matchesAddresses(x *gateway.Sighting) bool {
	f := &v.filter
	var p packet.Parsed
	if f.ID != "" || f.Rule != "" || f.State != "" || f.IdleOver != 0 || packet.Decode(x.Packet, &p) != packet.FaultNone {
		return false
	}
	return (f.Proto == "" || p.Proto.String() == f.Proto) && v.flows.matchesEnds(wireEnds(x, &p))
}

// wireEnds are the ends of a packet as they can be told from the cable that it is on:
// inside there is a backend at the far end of it; outside a remote, who writes to a
// frontend, or to a backend past it.
func wireEnds(x *gateway.Sighting, p *packet.Parsed) ends {
	far, other := point{p.Src, p.SrcPort}, point{p.Dst, p.DstPort}
	if x.After {
		far, other = other, far
	}
	if x.Side == nexthop.Inside {
		return ends{internal: far, remote: other}
	}
	return ends{internal: other, external: other, remote: far}
}

// comment says in one line what a packet is of, and what became of it.
func (s *Server) comment(x *gateway.Sighting) string {
	of := "no flow"
	if x.Known {
		state := x.Flow.State.String()
		if x.Flow.State == conntrack.Tombstone {
			state = "given up"
		}
		of = fmt.Sprintf("flow %016x %s %s", uint64(x.Flow.ID), s.Gateway.Rules()[x.Flow.Rule].Name, state)
	}
	return of + ": " + fate(x)
}

func fate(x *gateway.Sighting) string {
	switch {
	case x.Own:
		return fmt.Sprintf("made by the gateway (%s), to the %v", x.Cause, x.Side)
	case x.After:
		return fmt.Sprintf("forwarded, to the %v", x.Side)
	case x.Verdict.Drop():
		return fmt.Sprintf("dropped (%v), from the %v", x.Verdict, x.Side)
	}
	return fmt.Sprintf("%v, from the %v", x.Verdict, x.Side)
}
