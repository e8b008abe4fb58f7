package nat_test

import (
	"slices"
	"testing"

	"tidegate/nat"
	"tidegate/packet"

	"pgregory.net/rapid"
)

// model is what a Policy and its leases are compared with: a list of flows, and
// for each member the set of ports that it was dealt.
type model struct {
	policy *nat.Policy
	tr     *tracker
	now    int64
	paid   map[*nat.Lease]int64 // see refused
	refuse map[*nat.Lease]map[nat.Endpoint]int64
	flows  map[*nat.Lease][]flow
	opened map[*nat.Lease]uint64
	failed map[*nat.Lease]uint64
}

// TestModel opens and closes flows at random and compares with model.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"open": m.open, "open another": m.open, "open many": m.openMany,
			"close": m.close, "spend": m.spend, "wait": m.wait, "": m.compare,
		})
	})
}

func newModel(t *rapid.T) *model {
	frontends := []packet.Addr{public, second, third}[:rapid.IntRange(1, 3).Draw(t, "frontends")]
	rule := egress(frontends, members(rapid.IntRange(1, 3).Draw(t, "members")), 8*rapid.SampledFrom([]int{1, 2, 5, 8000}).Draw(t, "blocks"))
	var in []nat.InboundRule
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		in = append(in, inbound(frontends[0], rapid.Uint16Range(1000, 1100).Draw(t, "port"), packet.TCP))
	}
	p, err := nat.NewPolicy(nat.Rules{Frontends: frontends, Outbound: []nat.OutboundRule{rule}, Inbound: in})
	if err != nil {
		rule.Ports = 16
		if p, err = nat.NewPolicy(nat.Rules{Frontends: frontends, Outbound: []nat.OutboundRule{rule}, Inbound: in}); err != nil {
			t.Fatal(err)
		}
	}
	return &model{
		policy: p, tr: newTracker(), flows: make(map[*nat.Lease][]flow),
		paid: make(map[*nat.Lease]int64), refuse: make(map[*nat.Lease]map[nat.Endpoint]int64),
		opened: make(map[*nat.Lease]uint64), failed: make(map[*nat.Lease]uint64),
	}
}

func (m *model) pick(t *rapid.T) *nat.Lease {
	return rapid.SampledFrom(m.policy.Leases()).Draw(t, "lease")
}

func (m *model) open(t *rapid.T) {
	l := m.pick(t)
	m.openOne(t, l, tuple(l.Protocol, l.Member, rapid.Uint16Range(0, 20).Draw(t, "port"), remote(rapid.IntRange(0, 3).Draw(t, "remote"))))
}

func (m *model) openMany(t *rapid.T) {
	l, to := m.pick(t), remote(rapid.IntRange(0, 1).Draw(t, "remote"))
	for port := range rapid.Uint16Range(1, 50).Draw(t, "flows") {
		m.openOne(t, l, tuple(l.Protocol, l.Member, port, to))
	}
}

// openOne opens a flow unless that very one is open, which no lease is asked for.
func (m *model) openOne(t *rapid.T, l *nat.Lease, k packet.Tuple) {
	if slices.ContainsFunc(m.flows[l], func(f flow) bool { return f.original == k }) {
		return
	}
	ext, evict, ok := l.Allocate(&k, 0, m.tr, m.now)
	if l.Protocol == packet.TCP {
		m.checkTCP(t, l, k, ext, evict, ok)
	} else {
		m.checkMapping(t, l, k, ext, evict, ok)
	}
	if !ok {
		m.failed[l]++
		return
	}
	f := flow{k, ext}
	if !owns(l, ext) {
		t.Fatalf("%v gets %v, of which it has none", l.Member, ext)
	}
	if evict {
		m.end(l, slices.IndexFunc(m.flows[l], func(g flow) bool { return g.reply() == f.reply() }))
	}
	if _, taken := m.tr.flows[f.reply()]; taken {
		t.Fatalf("%v is in use", f.reply())
	}
	m.tr.flows[f.reply()] = false
	m.flows[l] = append(m.flows[l], f)
	m.opened[l]++
	l.Hold(ext, k.SrcPort)
}

func owns(l *nat.Lease, e nat.Endpoint) bool {
	return slices.ContainsFunc(l.Blocks, func(b nat.PortBlock) bool {
		return b.Frontend == e.Addr && e.Port >= b.First && int(e.Port) < int(b.First)+b.Count
	})
}

// checkTCP knows that a port serves each destination once.
func (m *model) checkTCP(t *rapid.T, l *nat.Lease, k packet.Tuple, ext nat.Endpoint, evict, ok bool) {
	to := nat.Endpoint{Addr: k.Dst, Port: k.DstPort}
	taken, spent := 0, 0
	for _, f := range m.flows[l] {
		if f.original.Dst == k.Dst && f.original.DstPort == k.DstPort {
			taken++
			if m.tr.flows[f.reply()] {
				spent++
			}
		}
	}
	switch full := taken == l.Total(); {
	case full && spent == 0 && ok:
		t.Fatalf("a port %v where all are in use for %v", ext, to)
	case full && spent == 0:
		if m.now >= m.refuse[l][to] {
			m.refused(l, to)
		}
	case !ok && m.now < m.refuse[l][to]: // it was full a moment ago
	case !ok:
		t.Fatalf("no port where %d of %d are in use for %v, %d of them spent", taken, l.Total(), to, spent)
	case evict && !m.tr.flows[(&flow{k, ext}).reply()]:
		t.Fatalf("%v for %v is to be evicted and is not spent", ext, to)
	case evict && !full && l.Used() < l.Total():
		t.Fatalf("%v is to be evicted where there are ports without any flow", ext)
	case full && !evict:
		t.Fatalf("%v is taken unevicted where all are in use for %v", ext, to)
	}
}

// refused notes that a destination was found full, which stands for 10 µs a port;
// those of several destinations add up.
func (m *model) refused(l *nat.Lease, to nat.Endpoint) {
	if m.refuse[l] == nil {
		m.refuse[l] = make(map[nat.Endpoint]int64)
	}
	m.paid[l] = max(m.paid[l], m.now) + int64(l.Total())*10_000
	m.refuse[l][to] = m.paid[l]
}

// checkMapping knows that a member's port has one external endpoint, of its own,
// whatever the destination (RFC 4787 REQ-1).
func (m *model) checkMapping(t *rapid.T, l *nat.Lease, k packet.Tuple, ext nat.Endpoint, evict, ok bool) {
	ports := make(map[nat.Endpoint]bool)
	for _, f := range m.flows[l] {
		if same := f.original.SrcPort == k.SrcPort; same && ok && f.ext != ext {
			t.Fatalf("port %d goes out by %v and by %v", k.SrcPort, f.ext, ext)
		} else if !same && ok && f.ext == ext {
			t.Fatalf("ports %d and %d go out by %v", f.original.SrcPort, k.SrcPort, ext)
		} else if same && !ok {
			t.Fatalf("port %d has %v and is refused", k.SrcPort, f.ext)
		}
		ports[f.ext] = true
	}
	if !ok && len(ports) < l.Total() {
		t.Fatalf("no port where %d of %d are in use", len(ports), l.Total())
	}
	if evict {
		t.Fatal("a mapping is to be evicted")
	}
}

func (m *model) close(t *rapid.T) {
	l := m.pick(t)
	for range rapid.IntRange(1, 20).Draw(t, "flows") {
		if n := len(m.flows[l]); n > 0 {
			m.end(l, rapid.IntRange(0, n-1).Draw(t, "flow"))
		}
	}
}

func (m *model) end(l *nat.Lease, i int) {
	f := m.flows[l][i]
	m.flows[l] = slices.Delete(m.flows[l], i, i+1)
	m.tr.close(l, f)
}

// spend has a TCP flow be over and held.
func (m *model) spend(t *rapid.T) {
	l := m.pick(t)
	if l.Protocol == packet.TCP && len(m.flows[l]) > 0 {
		f := rapid.SampledFrom(m.flows[l]).Draw(t, "flow")
		m.tr.flows[f.reply()] = true
	}
}

func (m *model) wait(t *rapid.T) {
	m.now += rapid.SampledFrom([]int64{1, 50_000, 80_000, 1_000_000, 1_000_000_000}).Draw(t, "ns")
}

// compare holds the counters against the list of flows.
func (m *model) compare(t *rapid.T) {
	for _, l := range m.policy.Leases() {
		ports := make(map[nat.Endpoint]bool)
		for _, f := range m.flows[l] {
			ports[f.ext] = true
		}
		if l.Used() != len(ports) || l.Opened() != m.opened[l] || l.Failed != m.failed[l] {
			t.Fatalf("%v %v: used %d opened %d failed %d, want %d %d %d", l.Member, l.Protocol,
				l.Used(), l.Opened(), l.Failed, len(ports), m.opened[l], m.failed[l])
		}
		for _, b := range l.Blocks {
			n := 0
			for p := range ports {
				if p.Addr == b.Frontend && p.Port >= b.First && int(p.Port) < int(b.First)+b.Count {
					n++
				}
			}
			if b.Used != n {
				t.Fatalf("block %+v: %d used", b, n)
			}
		}
	}
}
