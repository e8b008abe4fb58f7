package server

import (
	"strconv"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/packet"
)

// matcher is a Filter in the gateway's own terms, so that a million flows can be
// asked in a fraction of a second: the costly questions come last.
type matcher struct {
	api.Filter
	id        conntrack.ID // of the one flow that can match, if api.Filter.ID is set
	now       int64        // when the question was asked
	rules     []bool       // by rule number: has the name
	frontends map[packet.Addr]bool
	address   span // the same key, read as an address
	byAddress bool // it can be

	internal, backend, external, remote span
}

func (s *Server) matcher(f api.Filter) *matcher {
	m := &matcher{
		Filter: f, now: s.Gateway.Now(), frontends: make(map[packet.Addr]bool),
		internal: spanOf(f.Internal), backend: spanOf(f.Backend), external: spanOf(f.External), remote: spanOf(f.Remote),
	}
	for _, r := range s.Gateway.Rules() {
		m.rules = append(m.rules, r.Name == f.Rule)
	}
	for addr, name := range s.Gateway.Frontends() {
		m.frontends[addr] = name == f.Frontend
	}
	if id, err := strconv.ParseUint(f.ID, 16, 64); err == nil {
		m.id = conntrack.ID(id)
	}
	if e, err := api.ParseEndpoints(f.Frontend); err == nil {
		m.address, m.byAddress = spanOf(e), true
	}
	return m
}

// matches says whether all that the filter asks for holds.
func (m *matcher) matches(f *conntrack.Flow) bool {
	switch {
	case m.ID != "" && m.id != f.ID,
		m.Proto != "" && f.Tuple[0].Proto.String() != m.Proto,
		m.State != "" && f.State.String() != m.State,
		m.Rule != "" && !m.named(f.Rule),
		m.IdleOver != 0 && idle(f, m.now) <= m.IdleOver:
		return false
	}
	return m.matchesEnds(endsOf(f))
}

// named says whether a rule has the name. One that is newer than the matcher is one
// that the filter didn't mean.
func (m *matcher) named(rule uint16) bool { return int(rule) < len(m.rules) && m.rules[rule] }

func (m *matcher) matchesEnds(e ends) bool {
	return m.internal.has(e.internal) && m.backend.has(e.internal) && m.external.has(e.external) && m.remote.has(e.remote) &&
		(m.Frontend == "" || m.frontends[e.external.addr] || m.byAddress && m.address.has(e.external))
}

// ends are conntrack.Ends without the way to netip's types, which a million flows feel.
type ends struct{ internal, external, remote point }

type point struct {
	addr packet.Addr
	port uint16
}

func endsOf(f *conntrack.Flow) ends {
	original, reply := &f.Tuple[conntrack.Original], &f.Tuple[conntrack.Reply]
	if f.Inbound() {
		return ends{
			internal: point{f.Backend(), reply.SrcPort},
			external: point{original.Dst, original.DstPort}, remote: point{original.Src, original.SrcPort},
		}
	}
	return ends{
		internal: point{original.Src, original.SrcPort},
		external: point{reply.Dst, reply.DstPort}, remote: point{original.Dst, original.DstPort},
	}
}

// span is api.Endpoints likewise.
type span struct {
	first, last packet.Addr
	port        uint16
	anyPort     bool
}

func spanOf(e api.Endpoints) span {
	prefix, port, hasPort := e.Prefix()
	switch {
	case e == api.Endpoints{}:
		return span{last: ^packet.Addr(0), anyPort: true}
	case !prefix.Addr().Is4():
		return span{first: 1} // no flow has such an address
	}
	first := packet.AddrFrom(prefix.Addr())
	return span{first: first, last: first | ^packet.Addr(0)>>prefix.Bits(), port: port, anyPort: !hasPort}
}

func (s span) has(e point) bool {
	return s.first <= e.addr && e.addr <= s.last && (s.anyPort || s.port == e.port)
}
