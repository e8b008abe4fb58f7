package server

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// explain asks by "PROTO SRC DST", or with a side behind that.
func (r *rig) explain(words string) api.Explanation {
	r.t.Helper()
	w := append(strings.Fields(words), "")
	e, err := r.client.Explain(r.t.Context(), api.ExplainRequest{Protocol: w[0], Source: w[1], Destination: w[2], Side: w[3]})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

// An outbound connection, all of it.
func TestExplainShape(t *testing.T) {
	r := newBalancedRig(t)
	body := strings.NewReader(`{"protocol":"tcp","source":"10.0.0.10:40000","destination":"198.51.100.7:443"}`)
	a := r.requestWith(body, "POST", "/v1/explain", "Content-Type", "application/json")
	var got map[string]any
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 {
		t.Fatalf("%v: %+v", err, a)
	}
	translated, _ := got["translated"].(map[string]any)
	port, _ := translated["source"].(string)
	if ap, err := netip.ParseAddrPort(port); err != nil || ap.Addr().String() != "203.0.113.5" {
		t.Fatalf("translated to %v", got["translated"])
	}
	want := map[string]any{
		"verdict": "forwarded", "summary": "A new tcp flow of outboundRule egress leaves on the outside as " + port + " > 198.51.100.7:443.",
		"side": "inside", "leaves": "outside", "rule": "egress", "ruleType": "outboundRule", "frontend": "public", "backend": "10.0.0.10",
		"original":   map[string]any{"source": "10.0.0.10:40000", "destination": "198.51.100.7:443"},
		"translated": map[string]any{"source": port, "destination": "198.51.100.7:443"},
		"snat":       map[string]any{"member": "10.0.0.10", "total": 8.0, "used": 0.0},
		"tcpReset":   true, "idleTimeoutSeconds": 240.0,
		"steps": []any{
			"The packet comes from the inside (a guess: the source is a backend).",
			"10.0.0.10 is a backend, 198.51.100.7 is no address of the gateway's.",
			"The outboundRule egress is for tcp of 10.0.0.10.",
			"The packet gets source " + port + " in place of 10.0.0.10:40000 and keeps destination 198.51.100.7:443.",
			"The port is one of 10.0.0.10, which has 8, 0 of them in use; one in use can serve another destination too; the one shown is one that it might get.",
			"Once ESTABLISHED and silent for 4m0s, both ends get a RST.",
			"It leaves on the outside, towards 198.51.100.7.",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// What every kind of rule does, and every kind of drop. A step of the answer has
// to hold the words.
var cases = []struct{ packet, outcome, step string }{
	{"tcp 198.51.100.9:5000 203.0.113.5:443", "forwarded web loadBalancingRule public 10.0.0.10 198.51.100.9:5000>10.0.0.10:8443 inside 300 reset",
		"Out of pool vms it chooses backend 10.0.0.10, by client and frontend address, both ports and the protocol"},
	{"tcp 198.51.100.9:5000 203.0.113.5:443", "forwarded web loadBalancingRule public 10.0.0.10 198.51.100.9:5000>10.0.0.10:8443 inside 300 reset",
		"silent for 5m0s, both ends are asked with a keepalive, and get a RST unless both answer"},
	{"tcp 10.0.0.11:5000 203.0.113.5:443", "forwarded web loadBalancingRule public 10.0.0.10 203.0.113.5:*>10.0.0.10:8443 inside 300 reset",
		"The port is one of 10.0.0.11, which has 8, 0 of them in use"},
	{"udp 198.51.100.9:5000 203.0.113.5:53", "forwarded dns loadBalancingRule public * 198.51.100.9:5000>*:53 inside 180",
		"silent for 3m0s (timers.udpLoadBalanced: the rule's idle timeout is not for UDP)"},
	{"udp 198.51.100.9:5000 203.0.113.5:53", "forwarded dns loadBalancingRule public * 198.51.100.9:5000>*:53 inside 180", "(loadDistribution SourceIP)"},
	{"tcp 10.0.0.77:5000 10.0.0.4:8080", "forwarded ha loadBalancingRule internal 10.0.0.12 10.0.0.4:*>10.0.0.12:8080 inside 300", "every port of 10.0.0.4 that no other rule has (HA ports)"},
	{"tcp 10.0.0.77:5000 10.0.0.4:8080", "forwarded ha loadBalancingRule internal 10.0.0.12 10.0.0.4:*>10.0.0.12:8080 inside 300",
		"one of the frontend (for flows that stay inside)"},
	{"tcp 198.51.100.9:5000 203.0.113.5:80", "forwarded direct loadBalancingRule public 10.0.0.12 198.51.100.9:5000>203.0.113.5:80 inside 300",
		"keeps destination 203.0.113.5:80; it is handed to 10.0.0.12 (floating IP), which answers the client itself"},
	{"tcp 198.51.100.9:5000 203.0.113.5:2222", "forwarded listed inboundNatRule public 10.0.0.10 198.51.100.9:5000>10.0.0.10:22 inside 240",
		"Entry 100 of its endpointACL permits 198.51.100.9."},
	{"tcp 198.51.100.9:5000 203.0.113.5:2222", "forwarded listed inboundNatRule public 10.0.0.10 198.51.100.9:5000>10.0.0.10:22 inside 240",
		"Once ESTABLISHED it is forgotten, without a word, when it has been silent for 4m0s (enableTcpReset is off). A segment that comes later gets a RST (lateTcpReset)."},
	{"tcp 198.51.100.9:5000 203.0.113.9:25", "forwarded pip0 instancePublicIP pip0 10.0.0.20 198.51.100.9:5000>10.0.0.20:25 inside 240 reset",
		"The instancePublicIP pip0 gives every port of that address to its backend."},
	{"udp 10.0.0.20:53 198.51.100.9:53", "forwarded pip0 instancePublicIP pip0 10.0.0.20 203.0.113.9:53>198.51.100.9:53 outside 240",
		"is this backend's own, and comes before outbound rules"},
	{"icmp 10.0.0.11:7 198.51.100.9", "forwarded egress outboundRule public 10.0.0.11 203.0.113.5:*>198.51.100.9:0 outside 0", "silent for timers.icmp"},
	{"icmp 198.51.100.9:7 203.0.113.9", "forwarded pip0 instancePublicIP pip0 10.0.0.20 198.51.100.9:7>10.0.0.20:0 inside 0",
		"goes to 10.0.0.20 in place of 203.0.113.9."},

	{"tcp 198.51.100.66:5000 203.0.113.5:2222", "acl-denied listed inboundNatRule public", "Entry 50 of its endpointACL denies 198.51.100.66."},
	{"tcp 192.0.2.1:5000 203.0.113.5:2222", "acl-denied listed inboundNatRule public", "No entry of its endpointACL is for 192.0.2.1"},
	{"tcp 10.0.0.99:5000 198.51.100.9:443", "not-a-member", "10.0.0.99 is in no backend pool; add it to one."},
	{"tcp 10.0.0.12:5000 198.51.100.9:443", "no-rule", "no rule gives it a port for tcp to 198.51.100.9:443; add an outbound rule"},
	{"tcp 198.51.100.9:5000 203.0.113.5:444", "no-flow public", "no rule is for tcp to 203.0.113.5:444"},
	{"tcp 198.51.100.9:5000 198.51.100.10:444 outside", "not-ours", "198.51.100.10 is no frontend address that is answered on the outside"},
	{"tcp 198.51.100.9:5000 10.0.0.4:444 outside", "not-ours internal", "an address of frontend internal"},
	{"tcp 127.0.0.1:5000 198.51.100.9:444", "martian", "No packet from 127.0.0.1 to 198.51.100.9 can truly come from the inside"},
	{"tcp 10.0.0.10:5000 203.0.113.5:443 outside", "martian public", "the source belongs to the gateway or the other side"},
	{"udp 10.0.0.10:5000 224.0.0.1:5353", "left-to-host", "224.0.0.1 is a multicast or broadcast address or the host's own"},
	{"udp 10.0.0.10:5000 192.0.2.200:53", "left-to-host", "192.0.2.200 is a multicast"},
	{"icmp 198.51.100.9 203.0.113.5", "answered public", "The gateway itself answers a ping"},
	{"udp 10.0.0.10:5000 192.0.2.66:53", "unreachable egress outboundRule public 10.0.0.10 203.0.113.5:*>192.0.2.66:53 outside 240", "does not answer ARP"},
	{"udp 10.0.0.10:5000 192.0.2.77:53", "no-route egress outboundRule public 10.0.0.10 203.0.113.5:*>192.0.2.77:53 outside 240",
		"no route to 192.0.2.77 that leaves on the outside; add one"},
	{"udp 10.0.0.10:5000 192.0.2.88:53", "waiting egress outboundRule public 10.0.0.10 203.0.113.5:*>192.0.2.88:53 outside 240",
		"as soon as the next hop towards 192.0.2.88 has answered ARP"},
}

// outcome is an answer in one line. What chance decides is a star in want.
func outcome(e *api.Explanation) string {
	words := []string{e.Verdict, e.Rule, e.RuleType, e.Frontend, e.Backend}
	if e.Translated != nil {
		words = append(words, e.Translated.Source.String()+">"+e.Translated.Destination.String(), e.Leaves, fmt.Sprint(e.IdleTimeoutSeconds))
	}
	if e.TCPReset {
		words = append(words, "reset")
	}
	return strings.Join(strings.Fields(strings.Join(words, " ")), " ")
}

// agrees compares piece by piece, a star being anything without a space.
func agrees(got, want string) bool {
	g, w := strings.FieldsFunc(got, apart), strings.FieldsFunc(want, apart)
	for i := range w {
		if i >= len(g) || w[i] != "*" && w[i] != g[i] {
			return false
		}
	}
	return len(g) == len(w)
}

func apart(c rune) bool { return strings.ContainsRune(" :>", c) }

func TestExplainCases(t *testing.T) {
	r := newBalancedRig(t)
	r.probeFinds(true, false)
	for _, tt := range cases {
		e := r.explain(tt.packet)
		if got := outcome(&e); !agrees(got, tt.outcome) {
			t.Errorf("%s: %s\nwant %s", tt.packet, got, tt.outcome)
		}
		if steps := strings.Join(e.Steps, "\n"); !strings.Contains(steps, tt.step) {
			t.Errorf("%s: no step says %q:\n%s", tt.packet, tt.step, steps)
		}
		if strings.ContainsAny(e.Summary, "{}") || !strings.HasSuffix(e.Summary, ".") {
			t.Errorf("%s: %s", tt.packet, e.Summary)
		}
	}
	if n := r.gateway.Len(); n != 0 {
		t.Errorf("explaining has made %d flows", n)
	}
}

// Every backend down: nobody is chosen.
func TestExplainNoBackend(t *testing.T) {
	r := newBalancedRig(t)
	e := r.explain("tcp 198.51.100.9:5000 203.0.113.5:443")
	if e.Verdict != "no-backend" || e.Rule != "web" || e.Backend != "" || !strings.Contains(e.Summary, "tidegate backends") {
		t.Errorf("%+v", e)
	}
}

func TestExplainExhausted(t *testing.T) {
	r := newBalancedRig(t)
	for i := range 8 {
		r.datagram(fmt.Sprintf("10.0.0.11:%d", 1+i), "198.51.100.7:53")
	}
	e := r.explain("udp 10.0.0.11:9 198.51.100.7:53")
	want := &api.SNAT{Member: "10.0.0.11", Total: 8, Used: 8}
	if diff := cmp.Diff(want, e.SNAT); diff != "" || e.Verdict != "snat-exhausted" || e.Translated != nil ||
		!strings.Contains(e.Summary, "give rule egress more ports") || e.Steps[3] != "The port is one of 10.0.0.11, which has 8, 8 of them in use." {
		t.Errorf("%+v %s", e, diff)
	}
	if known := r.explain("udp 10.0.0.11:8 198.51.100.7:53"); known.Verdict != "forwarded" || known.Flow == nil {
		t.Errorf("the flow with the last port: %+v", known)
	}
}

// Of a known flow both directions are told, and the side they must come from.
func TestExplainKnown(t *testing.T) {
	r := newBalancedRig(t)
	r.probeFinds(true, false)
	r.clientSYN("198.51.100.9:5000", "203.0.113.5:443")
	flow := r.flows().Flows[0]
	tests := []struct{ packet, outcome, step string }{
		{"tcp 198.51.100.9:5000 203.0.113.5:443", "forwarded web loadBalancingRule public 10.0.0.10 198.51.100.9:5000>10.0.0.10:8443 inside 300 reset",
			"It is of flow " + flow.ID + " of loadBalancingRule web, which is SYN_SENT; 198.51.100.9 is the end that began it."},
		{"tcp 10.0.0.10:8443 198.51.100.9:5000", "forwarded web loadBalancingRule public 10.0.0.10 203.0.113.5:443>198.51.100.9:5000 outside 300 reset",
			"10.0.0.10 is the end that was asked."},
		{"tcp 198.51.100.9:5000 203.0.113.5:443 inside", "wrong-side web loadBalancingRule public 10.0.0.10", "its sender is on the outside"},
	}
	for _, tt := range tests {
		e := r.explain(tt.packet)
		if got := outcome(&e); !agrees(got, tt.outcome) || !strings.Contains(strings.Join(e.Steps, "\n"), tt.step) {
			t.Errorf("%s: %s\n%s", tt.packet, got, strings.Join(e.Steps, "\n"))
		}
		if e.Flow == nil || e.Flow.ID != flow.ID {
			t.Errorf("%s: of flow %+v", tt.packet, e.Flow)
		}
	}
}

// What is explained is what happens: each packet is sent, counted as foretold, and
// leaves so.
func TestExplainAgreesWithTheDataPath(t *testing.T) {
	sides := map[string]nexthop.Side{api.Inside: nexthop.Inside, api.Outside: nexthop.Outside}
	for _, tt := range cases {
		r := newBalancedRig(t)
		r.probeFinds(true, false)
		e := r.explain(tt.packet)
		r.in[sides[e.Side]] <- frame(&e)
		waitFor(t, func() bool { return r.verdicts()[e.Verdict] == 1 })
		if e.Verdict != "forwarded" {
			continue
		}
		v := r.take(sides[e.Leaves])
		if got, want := v.Src+" > "+v.Dst, foretold(e.Translated); !agrees(got, want) {
			t.Errorf("%s: left as %s, foretold as %s", tt.packet, got, want)
		}
	}
}

// foretold has a star for a port that is drawn. An echo has no ports.
func foretold(t *api.Tuple) string {
	source, destination := t.Source.String(), t.Destination.String()
	switch a := t.Source.Addr().String(); {
	case t.Destination.Port() == 0:
		return a + " > " + t.Destination.Addr().String()
	case a == "203.0.113.5" || a == "10.0.0.4":
		source = a + ":*"
	}
	return source + " > " + destination
}

// frame is the first packet of the flow that was asked for.
func frame(e *api.Explanation) []byte {
	src, dst := e.Original.Source, e.Original.Destination
	switch {
	case dst.Port() == 0:
		return packettest.EchoRequest(packettest.Echo{Src: src.Addr().String(), Dst: dst.Addr().String(), Ident: src.Port()})
	case dst.Port() == 53 || dst.Port() == 5353:
		return packettest.UDP(packettest.Datagram{Src: src.String(), Dst: dst.String(), Payload: "?"})
	}
	return packettest.TCP(packettest.Segment{Src: src.String(), Dst: dst.String(), Seq: 1, Flags: packet.SYN})
}

func (r *rig) verdicts() map[string]uint64 {
	counted := make(map[string]uint64)
	for v, n := range r.gateway.Snapshot().Counters.Verdicts {
		counted[gateway.Verdict(v).String()] += n
	}
	return counted
}

// Every verdict has its sentence, and every drop its remedy.
func TestRemarks(t *testing.T) {
	r := newBalancedRig(t)
	s := New(r.options)
	if n := len(gateway.Counters{}.Verdicts); len(remarks) != n {
		t.Fatalf("%d remarks for %d verdicts", len(remarks), n)
	}
	for v := range remarks {
		e := gateway.Explanation{Verdict: gateway.Verdict(v), Rule: egressRule}
		text := s.account(&e, false).remark()
		if len(text) < 10 || strings.ContainsAny(text, "{}") || e.Verdict.Drop() != strings.Contains(text, ";") {
			t.Errorf("%v: %s", e.Verdict, text)
		}
	}
}

// Letter case does not count, and an empty side is none.
func TestExplainAnyCase(t *testing.T) {
	r := newBalancedRig(t)
	tests := []struct{ protocol, side, step string }{
		{"udp", "inside", "The packet comes from the inside (as asked)."},
		{"UDP", "Inside", "The packet comes from the inside (as asked)."},
		{"Udp", "OUTSIDE", "The packet comes from the outside (as asked)."},
		{"udp", "", "The packet comes from the inside (a guess: the source is a backend)."},
	}
	for _, tt := range tests {
		body := fmt.Sprintf(`{"protocol":%q,"source":"10.0.0.10:40000","destination":"198.51.100.7:443","side":%q}`, tt.protocol, tt.side)
		a := r.requestWith(strings.NewReader(body), "POST", "/v1/explain", "Content-Type", "application/json")
		var e api.Explanation
		if err := json.Unmarshal([]byte(a.body), &e); err != nil || a.status != 200 || e.Steps[0] != tt.step {
			t.Errorf("%s: %d %v\nwant %s", body, a.status, a.body, tt.step)
		}
	}
}

// The document lists the words that a client writes, and the errors it meets.
func TestExplainDocumented(t *testing.T) {
	a := newRig(t).get("/openapi.json")
	var document struct {
		Paths      map[string]map[string]struct{ Responses map[string]any }
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Enum []string }
			}
		}
	}
	if err := json.Unmarshal([]byte(a.body), &document); err != nil {
		t.Fatal(err)
	}
	request := document.Components.Schemas["ExplainRequest"].Properties
	got := append(request["protocol"].Enum, request["side"].Enum...)
	if diff := cmp.Diff([]string{"tcp", "udp", "icmp", "inside", "outside"}, got); diff != "" {
		t.Error(diff)
	}
	for _, status := range []string{"200", "400", "422"} {
		if document.Paths["/v1/explain"]["post"].Responses[status] == nil {
			t.Errorf("status %s is not documented", status)
		}
	}
}

func TestExplainProblems(t *testing.T) {
	r := newBalancedRig(t)
	tests := []struct {
		body   string
		status int
		says   string
	}{
		{`{"protocol":"tcp","source":"10.0.0.10","destination":"198.51.100.7:443"}`, 400, `explain source: "10.0.0.10" has no port; give ADDR:PORT`},
		{`{"protocol":"tcp","source":"10.0.0.10:1","destination":"example.com:443"}`, 400, `explain destination: "example.com:443" is no ADDR:PORT`},
		{`{"protocol":"icmp","source":"10.0.0.10","destination":"198.51.100.7:443"}`, 400, "explain destination: \"198.51.100.7:443\" has a port, and icmp has none"},
		{`{"protocol":"tcp","source":"[2001:db8::1]:1","destination":"198.51.100.7:443"}`, 400, "2001:db8::1 is IPv6"},
		{`{"protocol":"sctp","source":"10.0.0.10:1","destination":"198.51.100.7:443"}`, 400, `explain protocol: "sctp" is not one of tcp, udp, icmp`},
		{`{"protocol":"tcp","source":"10.0.0.10:1","destination":"198.51.100.7:443","side":"left"}`, 400, `explain side: "left" is not one of inside, outside; leave it out to have it guessed`},
		{`{"protocol":7,"source":"10.0.0.10:1","destination":"198.51.100.7:443"}`, 422, "body.protocol: expected string"},
		{`{"protocol":"tcp","source":"10.0.0.10:1"}`, 422, "body: expected required property destination to be present"},
		{`{"protocol":"tcp","source":"10.0.0.10:1","destination":"198.51.100.7:443","port":1}`, 422, "body.port: unexpected property"},
		{`{"protocol":`, 400, "unexpected end of JSON input"},
		{``, 400, "request body is required"},
	}
	for _, tt := range tests {
		a := r.requestWith(strings.NewReader(tt.body), "POST", "/v1/explain", "Content-Type", "application/json")
		p := problem(t, a)
		if a.status != tt.status || !strings.Contains(p.Error(), tt.says) {
			t.Errorf("%s: %d %s\nwant %d %s", tt.body, a.status, p.Error(), tt.status, tt.says)
		}
	}
}
