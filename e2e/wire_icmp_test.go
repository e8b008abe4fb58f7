package e2e

import (
	"testing"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

// A socket whose datagram nobody wants is told so by whom it wrote to, whichever rule
// the datagram went by.
func TestPortUnreachable(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		h1, h3, s1 := r.Hosts[0], r.Hosts[2], r.Servers[0]
		for _, c := range []struct {
			from     *lab.Host
			to, port string
		}{
			{h1, s1.Addr.String(), ":9"},
			{h3, s1.Addr.String(), ":9"},
			{s1, frontend, ":" + inboundPort},
			{s1, second, ":53"},
			{s1, third, ":9"},
			{h1, third, ":9"},
			{h3, private, ":9"},
		} {
			want := told{unix.ECONNREFUSED, c.to}
			if got := r.datagramTold(c.from, c.to+c.port, 0); got != want {
				r.Errorf("%s is told about %s: %v, want %v", c.from.Name, c.to, got, want)
			}
		}
		r.wantNothingOfInside()
		if len(r.icmpErrors(r.inside)) != 4 || len(r.icmpErrors(r.outside)) != 3 {
			r.Errorf("errors inside: %v, outside: %v", r.icmpErrors(r.inside), r.icmpErrors(r.outside))
		}
	})
}

// A member's traceroute shows the gateway and then the router. With tun the kernel is
// a hop before the gateway, and one behind it.
func TestTraceroute(t *testing.T) {
	onEach(t, settings{rules: everyWay}, func(r *rig) {
		const gateway, router = "10.0.0.1", "203.0.113.254"
		hops := map[string][]string{"packet": {gateway, router}, "tun": {gateway, "203.0.113.1", router}}[r.datapath]
		to := r.Servers[0].Addr.String()
		for _, from := range []*lab.Host{r.Hosts[0], r.Hosts[2]} {
			for i, hop := range hops {
				want := told{unix.EHOSTUNREACH, hop}
				if got := r.datagramTold(from, to+":33434", i+1); got != want {
					r.Errorf("%s is told about a datagram with TTL %d: %v, want %v", from.Name, i+1, got, want)
				}
			}
			want := told{unix.ECONNREFUSED, to}
			if got := r.datagramTold(from, to+":33434", len(hops)+1); got != want {
				r.Errorf("%s is told about one that arrives: %v, want %v", from.Name, got, want)
			}
		}
		// From outside the way ends at the frontend, however many hops are behind it.
		for ttl := 2; ttl <= len(hops)+1; ttl++ {
			got := r.datagramTold(r.Servers[0], frontend+":"+inboundPort, ttl)
			if got.by != "203.0.113.1" && got.by != frontend {
				r.Errorf("s1 is told about a datagram with TTL %d: %v", ttl, got)
			}
		}
		r.wantNothingOfInside()
	})
}
