package nexthop

import (
	"cmp"
	"slices"

	"tidegate/packet"
)

// target is what a route says. The zero target says nothing: the search goes on
// in the next table, and there is no route when that was the last.
type target struct {
	status  Status      // Resolved: hand it to a neighbour on that leg; otherwise the answer
	local   bool        // the host's own address
	leg     uint16      // index into routes.legs
	gateway packet.Addr // 0: the destination is the neighbour
}

func (t target) neighbour(dst packet.Addr) packet.Addr {
	if t.gateway != 0 {
		return t.gateway
	}
	return dst
}

// leg is an interface with the MTU that a route allows on it.
type leg struct {
	side Side
	mtu  int
}

// span is a run of addresses with one target: from start to the next span.
type span struct {
	start packet.Addr
	to    target
}

// routes is the routing table flattened into spans that cover all addresses,
// ascending. Longest-prefix match becomes one binary search.
type routes struct {
	spans    []span
	legs     []leg
	gateways []neighbourKey // each gateway once
}

func (r *routes) find(dst packet.Addr) target {
	s := r.spans
	for len(s) > 1 {
		if half := len(s) / 2; s[half].start <= dst {
			s = s[half:]
		} else {
			s = s[:half]
		}
	}
	return s[0].to
}

func (r *routes) same(o routes) bool {
	return slices.Equal(r.legs, o.legs) && slices.Equal(r.spans, o.spans)
}

// legOf returns the number of that leg and adds it if it is new.
func (r *routes) legOf(l leg) uint16 {
	i := slices.Index(r.legs, l)
	if i < 0 {
		i = len(r.legs)
		r.legs = append(r.legs, l)
	}
	return uint16(i)
}

// route is one usable route of one table.
type route struct {
	start  packet.Addr
	bits   int
	metric int
	to     target
}

// last is the highest address that the route covers.
func (r route) last() packet.Addr { return r.start | packet.Addr(uint64(1)<<(32-r.bits)-1) }

// flatten turns the routes of one table into spans. Of routes for the same
// prefix the one with the lowest metric counts, and of equals the first.
func flatten(table []route) []span {
	slices.SortStableFunc(table, func(a, b route) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.bits, b.bits), cmp.Compare(a.metric, b.metric))
	})
	out := []span{{}}
	var open []route // the prefixes around the current address, innermost last
	for i, r := range table {
		if i > 0 && table[i-1].start == r.start && table[i-1].bits == r.bits {
			continue
		}
		out, open = closeBefore(out, open, r.start)
		out, open = appendSpan(out, r.start, r.to), append(open, r)
	}
	for len(open) > 0 {
		out, open = closeInnermost(out, open)
	}
	return out
}

func closeBefore(out []span, open []route, at packet.Addr) ([]span, []route) {
	for len(open) > 0 && open[len(open)-1].last() < at {
		out, open = closeInnermost(out, open)
	}
	return out, open
}

// closeInnermost ends the innermost prefix; what surrounds it goes on.
func closeInnermost(out []span, open []route) ([]span, []route) {
	next := open[len(open)-1].last() + 1
	open = open[:len(open)-1]
	if next == 0 { // it reached the highest address
		return out, open
	}
	var to target
	if len(open) > 0 {
		to = open[len(open)-1].to
	}
	return appendSpan(out, next, to), open
}

// appendSpan adds a span that is not before the last one: one with the same
// start replaces it, one with the same target as its forerunner is left out.
func appendSpan(out []span, start packet.Addr, to target) []span {
	if n := len(out); n > 0 && out[n-1].start == start {
		out = out[:n-1]
	}
	if n := len(out); n > 0 && out[n-1].to == to {
		return out
	}
	return append(out, span{start: start, to: to})
}

// overlay is upper where it says something and lower where it does not: the
// order in which the kernel asks its tables.
func overlay(upper, lower []span) (out []span) {
	for {
		start, to := max(upper[0].start, lower[0].start), upper[0].to
		if to == (target{}) {
			to = lower[0].to
		}
		out = appendSpan(out, start, to)
		u, l := end(upper), end(lower)
		if u > lastAddr && l > lastAddr {
			return out
		}
		if u <= l {
			upper = upper[1:]
		}
		if l <= u {
			lower = lower[1:]
		}
	}
}

const lastAddr = 1<<32 - 1

// end is the address after the first of spans.
func end(spans []span) uint64 {
	if len(spans) == 1 {
		return lastAddr + 1
	}
	return uint64(spans[1].start)
}
