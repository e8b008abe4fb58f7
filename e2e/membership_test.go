package e2e

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// withMembers is the same configuration with another pool.
func withMembers(addresses string) settings {
	return settings{rules: strings.Replace(probed, "10.0.0.10, 10.0.0.11", addresses, 1)}
}

// One backend leaves and another joins, and both go back, while connections keep
// coming: none fails, those that live go on, and who joins gets none before its
// probe has found it well.
func TestMembershipChangesUnderLoad(t *testing.T) {
	onEach(t, withMembers("10.0.0.10, 10.0.0.11"), func(r *rig) {
		h1, h2 := r.probedServices()
		h3 := r.Hosts[2]
		must(lab.ServeTCPEcho(h3, ":7007"))(r)
		r.serveWeb(":8080", h3)
		r.awaitProbed(h1, h2)
		busy, visits := r.keepBusy(8), r.keepVisiting()
		r.reload(withMembers("10.0.0.11, 10.0.0.12"))
		visits.cut()
		time.Sleep(time.Second)
		if got := visits.cut(); got["h2"] == 0 || len(got) != 1 {
			r.Errorf("h3 has not been found well, new flows went to %v", got)
		}
		health3 := r.serveHealth(":9000", h3)
		r.awaitProbed(health3)
		visits.cut()
		if got := visits.some(); got["h2"] == 0 || got["h3"] == 0 || got["h1"] != 0 {
			r.Errorf("h1 has left and h3 has joined, new flows went to %v", got)
		}
		busy.wantProgress()
		r.reload(withMembers("10.0.0.10, 10.0.0.11"))
		r.awaitProbed(h1)
		visits.cut()
		if got := visits.some(); got["h1"] == 0 || got["h2"] == 0 || got["h3"] != 0 {
			r.Errorf("h1 is back, new flows went to %v", got)
		}
		busy.wantProgress()
		busy.end()
		visits.end()
		r.wantNoneGivenUp()
	})
}

// A change of the pool moves hardly a client that has one backend by SourceIP, but
// for those of the backend that leaves.
func TestAffinitySurvivesMembershipChange(t *testing.T) {
	rules := func(addresses string) settings {
		return settings{rules: strings.Replace(affine, "10.0.0.10, 10.0.0.11", addresses, 1)}
	}
	onEach(t, rules("10.0.0.10, 10.0.0.11, 10.0.0.12"), func(r *rig) {
		r.serveNames(":5353", r.Hosts...)
		clients, before := r.moreClients(24), map[netip.Addr]string{}
		ask := func(c netip.Addr) string {
			return r.query(r.Servers[0], netip.AddrPortFrom(c, 0), frontend+":53").backend
		}
		for _, c := range clients {
			before[c] = ask(c)
		}
		r.reload(rules("10.0.0.11, 10.0.0.12"))
		moved := 0
		for _, c := range clients {
			now := ask(c)
			if now == "h1" {
				r.Errorf("%v still has h1", c)
			}
			if before[c] != "h1" && now != before[c] {
				moved++
			}
		}
		if moved > 2 {
			r.Errorf("%d of %d clients moved whose backend stayed", moved, len(clients))
		}
	})
}

// Who joins a pool is a member in every way, and who leaves is none any more.
func TestMembershipIsMoreThanTraffic(t *testing.T) {
	onEach(t, settings{rules: balancing}, func(r *rig) {
		r.serveWeb(":8080", r.Hosts...)
		r.wantBackends(r.Hosts[0], frontend+":80", "h1", "h2")
		r.reload(settings{rules: strings.Replace(balancing, "10.0.0.10, 10.0.0.11", "10.0.0.11, 10.0.0.12", 1)})
		for _, h := range r.Hosts[1:] {
			r.wantBackends(h, frontend+":80", "h2", "h3")
		}
		outside := r.Servers[0].Addr.String() + ":80"
		r.wantDropped(r.Hosts[2], outside, "no-rule")
		r.wantDropped(r.Hosts[0], outside, "not-a-member")
	})
}

// The flows of who leaves a pool go on, those of UDP too, as long as there is no drain
// period; those of UDP move away from who is set down, as from who is found to be down.
func TestUDPFlowsOfBackendThatLeaves(t *testing.T) {
	rules := func(addresses string) settings {
		return settings{rules: strings.Replace(balancing, "10.0.0.10, 10.0.0.11", addresses, 1)}
	}
	onEach(t, rules("10.0.0.10, 10.0.0.11"), func(r *rig) {
		r.serveNames(":5353", r.Hosts[:2]...)
		socket := r.socketTo("h1")
		for _, now := range []struct{ members, old string }{
			{"10.0.0.11", "h1"}, {"10.0.0.10, 10.0.0.11", "h1"}, {down + ", 10.0.0.11", "h2"},
		} {
			r.reload(rules(now.members))
			if v := must(queryOver(socket))(r); v.backend != now.old {
				r.Errorf("with %s a flow of h1 goes to %s", now.members, v.backend)
			}
			served := map[string]int{}
			for range 24 {
				served[r.query(r.Servers[0], netip.AddrPort{}, frontend+":53").backend]++
			}
			if h1Takes := strings.HasPrefix(now.members, "10.0.0.10"); (served["h1"] > 0) != h1Takes || served["h2"] == 0 {
				r.Errorf("with %s new flows go to %v", now.members, served)
			}
		}
	})
}
