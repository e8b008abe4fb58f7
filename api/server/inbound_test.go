package server

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// shown is a flow in one line, packets from backend to client first.
func shown(f *api.Flow) string {
	return fmt.Sprintln(f.Direction, f.Rule, f.RuleType, f.Frontend, f.Internal, f.External, f.Remote, f.PacketsOut, f.PacketsIn)
}

// Whichever way a flow goes, internal is the backend's end, external what the
// client asks, remote the client's.
func TestInboundFlows(t *testing.T) {
	tests := []struct {
		name   string
		client nexthop.Side
		syn    packettest.Segment
		want   string
	}{
		{"load-balanced", nexthop.Outside, packettest.Segment{Src: "198.51.100.9:5000", Dst: "203.0.113.5:443"},
			"inbound web loadBalancingRule public 10.0.0.10:8443 203.0.113.5:443 198.51.100.9:5000 1 1"},
		{"turned around with the client's port", nexthop.Inside, packettest.Segment{Src: "10.0.0.11:5000", Dst: "203.0.113.5:443"},
			"inbound web loadBalancingRule public 10.0.0.10:8443 203.0.113.5:443 10.0.0.11:5000 1 1"},
		{"turned around with the frontend's port", nexthop.Inside, packettest.Segment{Src: "10.0.0.77:5000", Dst: "10.0.0.4:8080"},
			"inbound ha loadBalancingRule internal 10.0.0.12:8080 10.0.0.4:8080 10.0.0.77:5000 1 1"},
		{"to an instance-level address", nexthop.Outside, packettest.Segment{Src: "198.51.100.9:5000", Dst: "203.0.113.9:25"},
			"inbound pip0 instancePublicIP pip0 10.0.0.20:25 203.0.113.9:25 198.51.100.9:5000 1 1"},
	}
	for _, tt := range tests {
		r := newBalancedRig(t)
		r.probeFinds(true, false)
		tt.syn.Seq, tt.syn.Flags = 1, packet.SYN
		r.in[tt.client] <- packettest.TCP(tt.syn)
		there := r.take(nexthop.Inside)
		r.in[nexthop.Inside] <- packettest.TCP(packettest.Segment{Src: there.Dst, Dst: there.Src, Seq: 1, Ack: 2, Flags: packet.SYN | packet.ACK})
		if back := r.take(tt.client); back.Src != tt.syn.Dst || back.Dst != tt.syn.Src {
			t.Fatalf("%s: answered as %s > %s", tt.name, back.Src, back.Dst)
		}
		if diff := cmp.Diff(tt.want, strings.TrimSpace(shown(&r.flows().Flows[0]))); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
		f := r.flows().Flows[0]
		words := []string{"internal=" + f.Internal.String(), "external=" + f.External.String(), "remote=" + f.Remote.String(), "frontend=" + f.Frontend}
		if l := r.flows(words...); l.Total != 1 {
			t.Errorf("%s: not found by what it shows", tt.name)
		}
	}
}

// The backend of a floating rule is not in the tuple, and shows nevertheless.
func TestFloatingFlow(t *testing.T) {
	r := newBalancedRig(t)
	r.clientSYN("198.51.100.9:5000", "203.0.113.5:80")
	want := "inbound direct loadBalancingRule public 10.0.0.12:80 203.0.113.5:80 198.51.100.9:5000 0 1"
	if diff := cmp.Diff(want, strings.TrimSpace(shown(&r.flows("backend=10.0.0.12").Flows[0]))); diff != "" {
		t.Error(diff)
	}
}

// An instance-level address is a frontend in the other direction too.
func TestInstanceOutward(t *testing.T) {
	r := newBalancedRig(t)
	r.datagram("10.0.0.20:5353", "198.51.100.9:53")
	want := "outbound pip0 instancePublicIP pip0 10.0.0.20:5353 203.0.113.9:5353 198.51.100.9:53 1 0"
	if diff := cmp.Diff(want, strings.TrimSpace(shown(&r.flows().Flows[0]))); diff != "" {
		t.Error(diff)
	}
}

// Ports for hairpin flows are no pool member's, and no outbound rule's.
func TestHairpinPorts(t *testing.T) {
	r := newBalancedRig(t)
	before := r.ports(api.ByRule)
	r.in[nexthop.Inside] <- packettest.TCP(packettest.Segment{Src: "10.0.0.77:5000", Dst: "10.0.0.4:8080", Seq: 1, Flags: packet.SYN})
	r.take(nexthop.Inside)
	owned := false
	r.gateway.Flows(0, func(f *conntrack.Flow) bool { owned = f.Owner != 0; return true })
	if after := r.ports(api.ByRule); !owned || before != after || strings.Contains(r.ports(api.ByFrontend), "internal") {
		t.Errorf("owned %v, by rule %s, by frontend %s", owned, after, r.ports(api.ByFrontend))
	}
	for line := range strings.Lines(r.get("/metrics").body) {
		if strings.HasPrefix(line, "tidegate_snat") && (strings.Contains(line, "internal") || strings.Contains(line, `backend="0.0.0.0"`)) {
			t.Error(line)
		}
	}
}
