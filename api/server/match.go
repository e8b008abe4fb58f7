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
	id        conntrack.ID         // of the one flow that can match, if api.Filter.ID is set
	now       int64                // when the question was asked
	rules     []bool               // by rule number: has the name
	frontends map[packet.Addr]bool // has the name
	address   api.Endpoints        // the same key, read as an address
	byAddress bool                 // it can be
}

func (s *Server) matcher(f api.Filter) *matcher {
	m := &matcher{Filter: f, now: s.Gateway.Now(), frontends: make(map[packet.Addr]bool)}
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
		m.address, m.byAddress = e, true
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
	return m.matchesEnds(f)
}

// named says whether a rule has the name. One that is newer than the matcher is one
// that the filter didn't mean.
func (m *matcher) named(rule uint16) bool { return int(rule) < len(m.rules) && m.rules[rule] }

func (m *matcher) matchesEnds(f *conntrack.Flow) bool {
	e := f.Ends()
	return m.Internal.Contains(e.Internal) && m.Backend.Contains(e.Internal) &&
		m.External.Contains(e.External) && m.Remote.Contains(e.Remote) &&
		(m.Frontend == "" || m.frontends[f.Frontend()] || m.byAddress && m.address.Contains(e.External))
}
