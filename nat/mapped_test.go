package nat_test

import (
	"testing"

	"pgregory.net/rapid"

	"tidegate/nat"
	"tidegate/packet"
)

// TestMapped opens and closes flows at random and compares with a search through
// them: whose endpoint a port stands for.
func TestMapped(t *testing.T) {
	for _, proto := range []packet.Protocol{packet.UDP, packet.ICMP} {
		rapid.Check(t, func(rt *rapid.T) {
			l, tr, flows := newLease(t, proto, 16), newTracker(), []flow(nil)
			rt.Repeat(map[string]func(*rapid.T){
				"open": func(rt *rapid.T) {
					src, dst := rapid.Uint16Range(1, 20).Draw(rt, "port"), rapid.IntRange(0, 3).Draw(rt, "remote")
					if f, _, ok := tr.open(l, tuple(proto, member, src, remote(dst)), 0); ok {
						flows = append(flows, f)
					}
				},
				"close": func(rt *rapid.T) {
					if len(flows) == 0 {
						return
					}
					i := rapid.IntRange(0, len(flows)-1).Draw(rt, "flow")
					tr.close(l, flows[i])
					flows = append(flows[:i], flows[i+1:]...)
				},
				"": func(rt *rapid.T) { sameMapped(rt, l, flows) },
			})
		})
	}
}

func sameMapped(t *rapid.T, l *nat.Lease, flows []flow) {
	for port := nat.FirstPort; port < nat.FirstPort+16; port++ {
		ext, want := nat.Endpoint{Addr: public, Port: uint16(port)}, nat.Endpoint{}
		for _, f := range flows {
			if f.ext == ext {
				want = nat.Endpoint{Addr: member, Port: f.original.SrcPort}
			}
		}
		if got, ok := l.Mapped(ext); ok != (want != nat.Endpoint{}) || ok && got != want {
			t.Fatalf("%v stands for %v, %t; want %v", ext, got, ok, want)
		}
	}
}

// TestMappedOfTCP: a port of TCP stands for as many endpoints as it has destinations.
func TestMappedOfTCP(t *testing.T) {
	l, tr := newLease(t, packet.TCP, 16), newTracker()
	f, _, _ := tr.open(l, tuple(packet.TCP, member, 1, remote(0)), 0)
	if got, ok := l.Mapped(f.ext); ok {
		t.Errorf("it stands for %v", got)
	}
}

// TestTenantOfEachProtocol: a port may be one member's for TCP and another's for UDP.
func TestTenantOfEachProtocol(t *testing.T) {
	rule := func(number uint16, m packet.Addr, proto packet.Protocol) nat.OutboundRule {
		return nat.OutboundRule{Rule: number, Name: "egress", Protocols: []packet.Protocol{proto}, Frontends: []packet.Addr{public}, Members: []packet.Addr{m}, Ports: 64}
	}
	p := policy(t, []packet.Addr{public}, []nat.OutboundRule{rule(0, member, packet.TCP), rule(1, another, packet.UDP)}, nil)
	e := nat.Endpoint{Addr: public, Port: nat.FirstPort}
	for proto, want := range map[packet.Protocol]packet.Addr{packet.TCP: member, packet.UDP: another, packet.ICMP: 0} {
		got := packet.Addr(0)
		if l := p.Tenant(e, proto); l != nil {
			got = l.Member
		}
		if got != want {
			t.Errorf("%v: %v of %v, want %v", e, proto, got, want)
		}
	}
}
