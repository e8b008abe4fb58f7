package gateway

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const (
	secondServer = "198.51.100.8:443"
	otherClient  = "10.0.0.11:40000"
)

func endpoint(addr string, port uint16) string { return addr + ":" + strconv.Itoa(int(port)) }

// hostOf and portOf take "10.0.0.10:40000" apart.
func hostOf(endpoint string) string {
	host, _, _ := strings.Cut(endpoint, ":")
	return host
}

func portOf(endpoint string) uint16 { return netip.MustParseAddrPort(endpoint).Port() }

// crosses sends a packet and wants it to come out on the other side with nothing
// changed but the TTL, one less unless the kernel routes, and what change says.
// It returns what came out.
func (r *rig) crosses(from nexthop.Side, ip []byte, change func(*packettest.View)) packettest.View {
	r.t.Helper()
	want := packettest.Fields(r.t, ip)
	if r.ports[from].hop == packet.TakeTTL {
		want.TTL--
	}
	got := r.pass(from, ip)
	change(&want)
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("not as sent (-want +got):\n%s", diff)
	}
	return got
}

// gone wants no flow left and every port given back.
func (r *rig) gone() {
	r.t.Helper()
	s := r.Snapshot()
	if s.Flows != 0 {
		r.t.Errorf("%d flows live", s.Flows)
	}
	for _, l := range s.Leases {
		for _, b := range l.Blocks {
			if b.Used != 0 {
				r.t.Errorf("%v has %d %v ports in use", l.Member, b.Used, l.Protocol)
			}
		}
	}
}

// lease returns the counters of a member's ports.
func (r *rig) lease(endpoint string, proto int) LeaseCounts {
	r.t.Helper()
	for _, l := range r.Snapshot().Leases {
		if l.Member.String() == hostOf(endpoint) && conntrack.ProtocolIndex(l.Protocol) == proto {
			return l
		}
	}
	r.t.Fatalf("%s has no lease", endpoint)
	return LeaseCounts{}
}

// owns says whether the lease holds the external endpoint.
func (l LeaseCounts) owns(external string) bool {
	for _, b := range l.Blocks {
		if d := int(portOf(external)) - int(b.First); b.Frontend.String() == hostOf(external) && d >= 0 && d < b.Count {
			return true
		}
	}
	return false
}

const (
	indexTCP = iota
	indexUDP
	indexICMP
)

// flows returns all living flows.
func (r *rig) flows() (all []conntrack.Flow) {
	r.Flows(0, func(f *conntrack.Flow) bool {
		all = append(all, *f)
		return true
	})
	return all
}
