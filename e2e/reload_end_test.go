package e2e

import (
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// A shorter timeout ends what is idle in the new time, at once if that is over; a
// longer one lets live past the old time.
func TestReloadChangesTimeouts(t *testing.T) {
	onEach(t, settings{rules: withTimeouts("10m", idle.String())}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		echo := must(lab.ServeUDPEcho(s1, ":7"))(r)
		datagrams := must(h1.Dial(r.Context(), "udp4", echo.Addr.String()))(r)
		defer datagrams.Close()
		r.check(say(datagrams, datagrams))
		overdue := r.connect(h1, s1)
		time.Sleep(1500 * time.Millisecond)
		lengthened, shortened := r.connectInbound(), r.connect(h1, s1)
		time.Sleep(time.Second)

		r.bySignal(settings{rules: withTimeouts(idle.String(), "10m")})
		for _, conn := range overdue.ends() {
			if _, err := lab.WaitReset(conn, grace(idle)); err != nil {
				r.Errorf("idle for longer than the new timeout: %v", err)
			}
		}
		r.wantNoFlow(time.Second, "proto=udp")
		r.wantReset(shortened, idle)
		time.Sleep(time.Second)
		r.exchange(lengthened)
		r.wantOpen(lengthened)
		if flows := r.flows("proto=tcp"); len(flows) != 1 || flows[0].Rule != "ssh" {
			r.Errorf("only the flow of ssh is left: %+v", flows)
		}
	})
}

// withTimeouts is living with one idle timeout for what goes out, and another for
// what comes in.
func withTimeouts(out, in string) string {
	before, after, _ := strings.Cut(living, "inboundNatRules:")
	return strings.ReplaceAll(before, "IDLE", out) + "inboundNatRules:" + strings.ReplaceAll(after, "IDLE", in)
}

// single has one member, so that every connection is its.
var single = edited("10.0.0.10, 10.0.0.11", "10.0.0.10")

// A rule that is removed takes its connections with it, and no others; when it is
// back it works as before.
func TestReloadRemovesRule(t *testing.T) {
	onEach(t, settings{rules: single}, func(r *rig) {
		web := r.listen(":8080", r.Hosts[0])
		open := map[string]func() pair{
			"egress": func() pair { return r.connect(r.Hosts[0], r.Servers[0]) },
			"ssh":    r.connectInbound,
			"web":    func() pair { return web.connectTo(r.Hosts[0], r.Servers[0], frontend+":80") },
		}
		names := []string{"egress", "ssh", "web"}
		pairs := map[string]pair{}
		for _, name := range names {
			pairs[name] = open[name]()
		}
		for _, name := range names {
			r.removeRule(name, pairs[name])
			r.wantNoWayBy(name)
			for _, other := range names {
				if other != name {
					r.exchange(pairs[other])
					r.wantOpen(pairs[other])
				}
			}
			r.bySignal(settings{rules: single})
			pairs[name] = open[name]()
		}
	})
}

// without is single less a rule.
func without(name string) settings {
	var kept []string
	gone := false
	for l := range strings.Lines(single) {
		if !strings.HasPrefix(l, "      ") { // the rest of a rule is indented further
			gone = strings.HasPrefix(l, "  - { name: "+name+",")
		}
		if !gone {
			kept = append(kept, l)
		}
	}
	return settings{rules: strings.Join(kept, "")}
}

// removeRule reloads without a rule, which has one connection, and checks who is told.
func (r *rig) removeRule(name string, p pair) {
	r.Helper()
	n, id := r.numbersOf(p), r.flows("rule="+name, "state=ESTABLISHED")[0].ID
	r.bySignal(without(name))
	for _, conn := range p.ends() {
		r.wantTold(conn, 0)
	}
	time.Sleep(settle)
	r.wantOneReset(r.inside, p.inside, n.inside.RcvNxt, 0)
	r.wantOneReset(r.outside, p.outside, n.outside.RcvNxt, 0)
	events := must(r.client.Events(r.Context(), api.EventQuery{Types: []string{api.FlowClosed}}))(r).Events
	at := slices.IndexFunc(events, func(e api.Event) bool { return e.Flow.ID == id })
	if at < 0 {
		r.Fatalf("no event tells of the end of flow %s: %+v", id, events)
	}
	if e := events[at]; e.Reason != "rule-removed" || e.Rule != name || !slices.Equal(e.Resets, []string{"client", "server"}) {
		r.Errorf("the event is %+v", e)
	}
	m := r.metrics()
	for _, series := range []string{
		`tidegate_flows_closed_total{protocol="tcp",reason="rule-removed",rule="` + name + `"}`,
		`tidegate_tcp_resets_sent_total{reason="rule-removed",rule="` + name + `",side="client"}`,
		`tidegate_tcp_resets_sent_total{reason="rule-removed",rule="` + name + `",side="server"}`,
	} {
		if m[series] != 1 {
			r.Errorf("%s is %v, want 1", series, m[series])
		}
	}
	r.wantNoFlow(time.Second, "rule="+name)
}

// A frontend address that goes takes the flows on it along, though their rule stands.
func TestReloadRemovesFrontend(t *testing.T) {
	rules := edited("FRONTEND }", "FRONTEND }\n  - { name: second, publicIPAddress: 203.0.113.6 }",
		"inboundNatRules:", `inboundNatRules:
  - { name: moved, frontendIPConfiguration: second, protocol: Tcp, frontendPort: 2223,
      backendAddress: 10.0.0.11, backendPort: 23, enableTcpReset: true }`)
	onEach(t, settings{rules: rules}, func(r *rig) {
		h2, s1 := r.Hosts[1], r.Servers[0]
		l := r.listen(":23", h2)
		gone, _ := l.connect(s1, second+":2223")
		outbound, inbound := r.connect(r.Hosts[0], s1), r.connectInbound()
		n := r.numbersOf(gone)
		r.bySignal(settings{rules: strings.NewReplacer("\n  - { name: second, publicIPAddress: 203.0.113.6 }", "",
			"name: moved, frontendIPConfiguration: second", "name: moved, frontendIPConfiguration: public").Replace(rules)})
		for _, conn := range gone.ends() {
			r.wantTold(conn, 0)
		}
		time.Sleep(settle)
		r.wantOneReset(r.inside, gone.inside, n.inside.RcvNxt, 0)
		r.wantOneReset(r.outside, gone.outside, n.outside.RcvNxt, 0)
		if c := r.metrics()[`tidegate_flows_closed_total{protocol="tcp",reason="rule-removed",rule="moved"}`]; c != 1 {
			r.Errorf("%v flows of the rule are counted as closed, want 1", c)
		}
		l.connect(s1, frontend+":2223")
		r.exchange(outbound)
		r.exchange(inbound)
	})
}

// wantNoWayBy checks that what only a rule that is removed lets through is dropped.
func (r *rig) wantNoWayBy(name string) {
	r.Helper()
	switch name {
	case "egress":
		r.wantDropped(r.Hosts[0], net.JoinHostPort(r.Servers[0].Addr.String(), "80"), "no-rule")
	case "ssh":
		r.wantDropped(r.Servers[0], frontend+":2222", "no-flow")
	case "web":
		r.wantDropped(r.Servers[0], frontend+":80", "no-flow")
	}
}
