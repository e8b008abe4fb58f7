package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidegate/api"
)

// backend returns the row of one backend.
func (r *rig) backend(pool, probe, address string) api.Backend {
	r.Helper()
	for _, row := range answer[api.Backends](r, "backends").Rows {
		if row.Pool == pool && row.Probe == probe && row.Backend.String() == address {
			return row
		}
	}
	r.Fatalf("backends shows no %s of %s by %s", address, pool, probe)
	return api.Backend{}
}

// awaitBackend waits until some row of a backend says that it takes new flows.
func (r *rig) awaitBackend(pool, address string) {
	r.Helper()
	r.eventually(4*time.Second, address+" takes new flows", func() bool {
		for _, row := range answer[api.Backends](r, "backends").Rows {
			if row.Pool == pool && row.Backend.String() == address && row.TakesNewFlows {
				return true
			}
		}
		return false
	})
}

func TestCLIBackends(t *testing.T) {
	onEach(t, settings{rules: probed}, func(r *rig) {
		h1, h2 := r.probedServices()
		r.awaitProbed(h1, h2)
		r.wantBackends(r.Servers[0], frontend+":80", "h1", "h2")
		h1.status.Store(http.StatusServiceUnavailable)
		time.Sleep(probeTakes)
		ill, well := r.backend("vms", "well", "10.0.0.10"), r.backend("vms", "well", "10.0.0.11")
		if ill.Up || ill.TakesNewFlows || !ill.Known || !strings.Contains(ill.Result, "503") || ill.Failed == 0 || ill.Succeeded == 0 || time.Since(ill.Since) > 3*time.Second {
			r.Errorf("h1 is shown as %+v", ill)
		}
		if !well.Up || !well.TakesNewFlows || !strings.Contains(well.Result, "200") || well.Succeeded <= ill.Succeeded {
			r.Errorf("h2 is shown as %+v", well)
		}
		if n := ill.NewFlows + well.NewFlows; n != r.status().Totals.Created || ill.NewFlows == 0 {
			r.Errorf("%d new flows are shown", n)
		}
		r.wantTable([]string{"backends"}, "10.0.0.10", "10.0.0.11", "vms", "well", "hopeful", "up", "down", "503")
		m := r.metrics()
		for series, want := range map[string]float64{
			`tidegate_backend_up{backend="10.0.0.10",pool="vms",probe="well"}`: 0,
			`tidegate_backend_up{backend="10.0.0.11",pool="vms",probe="well"}`: 1,
		} {
			if got, there := m[series]; !there || got != want {
				r.Errorf("%s is %v (there: %t), want %v", series, got, there, want)
			}
		}
	})
}

func TestCLIBackendsShowDrain(t *testing.T) {
	onEach(t, pools("10.0.0.10", "10.0.0.10", "10.0.0.10"), func(r *rig) {
		r.reload(pools("10.0.0.12", down, down))
		left, set := r.backend("leaving", "", "10.0.0.10"), r.backend("disabled", "", "10.0.0.10")
		if !left.Left || !left.Draining || left.DrainSeconds <= 0 || left.DrainSeconds > 2 || left.TakesNewFlows {
			r.Errorf("who has left is shown as %+v", left)
		}
		if set.Left || !set.Draining || set.AdminState != "Down" || set.TakesNewFlows {
			r.Errorf("who is set down is shown as %+v", set)
		}
		if calm := r.backend("calm", "", "10.0.0.10"); calm.Draining || calm.TakesNewFlows {
			r.Errorf("where there is no drain period it is shown as %+v", calm)
		}
	})
}

// explain asks what would happen once the neighbours are known: after makeKnown the
// gateway hears of them within a moment.
func (r *rig) explain(proto, from, to string, side ...string) (e api.Explanation) {
	r.Helper()
	args := []string{"explain", proto, from, to}
	for _, s := range side {
		args = append(args, "--side", s)
	}
	r.eventually(soon, "known neighbours", func() bool {
		e = answer[api.Explanation](r, args...)
		return e.Verdict != "waiting"
	})
	return e
}

// What is explained is what happens: the same backend for the same endpoints.
func TestExplainForetellsBackend(t *testing.T) {
	onEach(t, settings{rules: balancing}, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		r.serveNames(":5353", r.Hosts[:2]...)
		r.makeKnown()
		names := map[string]string{"10.0.0.10": "h1", "10.0.0.11": "h2"}
		for i := range 8 {
			local := netip.AddrPortFrom(r.Servers[0].Addr, uint16(41000+i))
			e := r.explain("tcp", local.String(), frontend+":80")
			if v := r.visitFrom(r.Servers[0], local, frontend+":80"); v.backend != names[e.Backend] || e.Verdict != "forwarded" || e.Rule != "web" {
				r.Errorf("from %v to %s; explained: %+v", local, v.backend, e)
			}
			e = r.explain("udp", local.String(), frontend+":53")
			if v := r.query(r.Servers[0], local, frontend+":53"); v.backend != names[e.Backend] || e.Rule != "dns" {
				r.Errorf("by UDP from %v to %s; explained: %+v", local, v.backend, e)
			}
		}
		if created := r.status().Totals.Created; created != 16 {
			r.Errorf("%d flows for 16 questions", created)
		}
	})
}

// makeKnown has the gateway's host resolve its neighbours, without which a packet waits.
func (r *rig) makeKnown() {
	r.Helper()
	for _, h := range append(r.Hosts[:len(r.Hosts):len(r.Hosts)], r.Servers[0]) {
		r.check(ping(r, r.Gateway, h.Addr.String()))
	}
}

func TestExplainVerdicts(t *testing.T) {
	cases := []struct {
		rules, proto, from, to, side string
		verdict, rule                string
	}{
		{guarded, "tcp", "198.51.100.7:4000", frontend + ":80", "outside", "forwarded", "web"},
		{guarded, "tcp", "192.0.2.9:4000", frontend + ":80", "outside", "acl-denied", "web"},
		{guarded, "tcp", "192.0.2.9:4000", frontend + ":81", "outside", "no-flow", ""},
		{guarded, "tcp", "10.0.0.10:4000", "198.51.100.7:80", "inside", "no-rule", ""},
		{guarded, "tcp", "10.0.0.12:4000", "198.51.100.7:80", "inside", "not-a-member", ""},
		{probed, "tcp", "198.51.100.7:4000", frontend + ":80", "outside", "no-backend", "web"},
		{probed, "tcp", "198.51.100.7:4000", frontend + ":81", "outside", "forwarded", "always"},
		{internalRules, "udp", "10.0.0.12:4000", private + ":999", "inside", "forwarded", "ha"},
		{internalRules, "tcp", "198.51.100.7:4000", private + ":999", "outside", "not-ours", ""},
		{instances, "tcp", "10.0.0.11:4000", "198.51.100.7:80", "inside", "forwarded", "pip0"},
		{instances, "tcp", "10.0.0.10:4000", "198.51.100.7:80", "inside", "forwarded", "egress"},
	}
	rules := []string{guarded, probed, internalRules, instances}
	for i, text := range rules {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "packet")
			r.start(settings{rules: text})
			r.makeKnown()
			for _, c := range cases {
				if c.rules != text {
					continue
				}
				if e := r.explain(c.proto, c.from, c.to, c.side); e.Verdict != c.verdict || e.Rule != c.rule || e.Summary == "" || len(e.Steps) == 0 {
					r.Errorf("%s %s %s %s: %+v, want %s by %q", c.proto, c.from, c.to, c.side, e, c.verdict, c.rule)
				}
			}
		})
	}
}

// A flow is listed with what each end knows of it, turned around inside or not, and
// ended by its backend's address.
func TestFlowsOfBackends(t *testing.T) {
	onEach(t, settings{rules: internalRules + `
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8081, disableOutboundSnat: true }
`}, func(r *rig) {
		h1, h2 := r.Hosts[0], r.Hosts[1]
		turned := r.listen(":8080", h1, h2).connectTo(h1, r.Hosts[2], normal+":80")
		l := r.listen(":8081", h1, h2)
		straight, other := l.connectTo(h1, r.Servers[0], frontend+":80"), l.connectTo(h2, r.Servers[0], frontend+":80")
		for rule, p := range map[string]pair{"normal": turned, "web": straight} {
			flows := r.flows("rule="+rule, "backend=10.0.0.10", "state=ESTABLISHED")
			if len(flows) != 1 {
				r.Fatalf("rule %s has the flows %+v", rule, flows)
			}
			f := flows[0]
			if f.Direction != "inbound" || f.RuleType != "loadBalancingRule" || f.Internal != addrPort(p.inside.LocalAddr()) ||
				f.External != addrPort(p.outside.RemoteAddr()) || f.Remote != addrPort(p.outside.LocalAddr()) {
				r.Errorf("listed as %+v", f)
			}
		}
		if o := r.cli("kill", "backend=10.0.0.10"); o.status != 0 {
			r.Errorf("kill: %+v", o)
		}
		for _, p := range []pair{turned, straight} {
			for _, conn := range p.ends() {
				r.wantTold(conn, 0)
			}
		}
		r.exchange(other)
	})
}
