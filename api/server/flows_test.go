package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const server = "198.51.100.7:443"

// The example of the documentation, field by field.
func TestFlowShape(t *testing.T) {
	r := newRig(t)
	external := r.open("10.0.0.10:40000", server)
	r.clock.Add(int64(3200 * time.Millisecond))
	a := r.get("/v1/flows")
	var got struct {
		Flows []map[string]any `json:"flows"`
		Next  *string          `json:"next"`
		Total int              `json:"total"`
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || a.status != 200 || len(got.Flows) != 1 || got.Total != 1 || got.Next == nil || *got.Next != "" {
		t.Fatalf("%v: %+v", err, a)
	}
	flow := got.Flows[0]
	checkCreated(t, flow["created"], 3200*time.Millisecond)
	if id, _ := flow["id"].(string); !regexp.MustCompile("^[0-9a-f]{16}$").MatchString(id) {
		t.Errorf("its id is %q", id)
	}
	delete(flow, "created")
	delete(flow, "id") // it begins anywhere
	want := map[string]any{
		"protocol": "tcp", "state": "ESTABLISHED", "direction": "outbound",
		"rule": "egress", "ruleType": "outboundRule", "frontend": "public",
		"internal": "10.0.0.10:40000", "external": external, "remote": server,
		"idleSeconds": 3.2, "expiresInSeconds": 236.8,
		"packetsOut": 2.0, "packetsIn": 1.0, "bytesOut": 80.0, "bytesIn": 40.0, "offloaded": false,
	}
	if diff := cmp.Diff(want, flow); diff != "" {
		t.Error(diff)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type is %s", ct)
	}
}

func checkCreated(t *testing.T, created any, ago time.Duration) {
	t.Helper()
	text, _ := created.(string)
	at, err := time.Parse("2006-01-02T15:04:05.999Z", text) // UTC, milliseconds
	if err != nil {
		t.Fatal(err)
	}
	if d := time.Since(at) - ago; d < -time.Second || d > 10*time.Second {
		t.Errorf("created %s is %v off", text, d)
	}
}

func TestNoFlows(t *testing.T) {
	if a := newRig(t).get("/v1/flows"); a.body != `{"flows":[],"next":"","total":0}`+"\n" {
		t.Error(a.body)
	}
}

func TestInboundFlow(t *testing.T) {
	r := newRig(t)
	syn := packettest.TCP(packettest.Segment{Src: "198.51.100.9:5000", Dst: "203.0.113.5:2222", Seq: 1, Flags: packet.SYN})
	if v := r.pass(nexthop.Outside, syn); v.Dst != "10.0.0.10:22" {
		t.Fatalf("%+v", v)
	}
	f := r.flows().Flows[0]
	got := []any{f.Direction, f.Rule, f.RuleType, f.Frontend, f.Internal.String(), f.External.String(), f.Remote.String(), f.State, f.PacketsOut, f.PacketsIn}
	want := []any{"inbound", "ssh", "inboundNatRule", "public", "10.0.0.10:22", "203.0.113.5:2222", "198.51.100.9:5000", "SYN_SENT", uint64(0), uint64(1)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestICMPFlow(t *testing.T) {
	r := newRig(t)
	v := r.pass(nexthop.Inside, packettest.EchoRequest(packettest.Echo{Src: "10.0.0.11", Dst: "198.51.100.7", Ident: 4711}))
	f := r.flows("proto=icmp").Flows[0]
	got := []any{f.Protocol, f.State, f.Internal.String(), f.External.String(), f.Remote.String()}
	want := []any{"icmp", "ACTIVE", "10.0.0.11:4711", fmt.Sprintf("203.0.113.5:%d", v.Ident), "198.51.100.7:0"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if l := r.flows("remote=198.51.100.7:0"); l.Total != 1 {
		t.Error("the flow is not found by what it shows")
	}
}

// A flow that is due and not swept yet does not expire in the past.
func TestNeverNegative(t *testing.T) {
	r := newRig(t)
	r.datagram("10.0.0.10:53", "198.51.100.7:53")
	at := r.gateway.Now()
	r.gateway.Flows(0, func(f *conntrack.Flow) bool {
		f.ExpiresIn, f.LastSeen = -5, at+5
		if got := New(r.options).flow(f); got.ExpiresInSeconds != 0 || got.IdleSeconds != 0 {
			t.Errorf("expires in %v s, idle for %v s", got.ExpiresInSeconds, got.IdleSeconds)
		}
		return true
	})
}

func TestFilters(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:1", "198.51.100.7:443")
	r.clock.Add(int64(time.Minute))
	udp := r.datagram("10.0.0.11:2", "198.51.100.8:53")
	r.syn("10.0.0.20:3", "192.0.2.1:80")
	r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: "198.51.100.9:4", Dst: "203.0.113.5:2222", Flags: packet.SYN}))
	wide := r.flows("rule=wide").Flows[0]
	tests := []struct{ filter, ports string }{
		{"", "1 2 3 4"},
		{"proto=tcp", "1 3 4"}, {"proto=udp", "2"}, {"proto=icmp", ""},
		{"state=ESTABLISHED", "1"}, {"state=SYN_SENT", "3 4"}, {"state=ACTIVE", "2"}, {"state=CLOSED", ""},
		{"rule=egress", "1 2"}, {"rule=ssh", "4"}, {"rule=none", ""},
		{"internal=10.0.0.10", "1 4"}, {"internal=10.0.0.10:22", "4"}, {"internal=10.0.0.10/31", "1 2 4"},
		{"backend=10.0.0.11", "2"}, {"backend=10.0.0.20:3", "3"},
		{"external=203.0.113.5", "1 2 4"}, {"external=" + udp, "2"}, {"external=203.0.112.0/24", ""}, {"external=203.0.112.0/23", "1 2 3 4"},
		{"remote=198.51.100.0/24", "1 2 4"}, {"remote=192.0.2.1:80", "3"}, {"remote=192.0.2.1:81", ""},
		{"frontend=public", "1 2 4"}, {"frontend=none", ""}, {"frontend=" + wide.Frontend, "3"}, {"frontend=203.0.113.5", "1 2 4"},
		{"frontend=" + wide.External.String(), "3"}, {"frontend=10.0.0.10", ""},
		{"idle>30s", "1"}, {"idle>2m", ""}, {"idle>1ns", "1"},
		{"proto=tcp remote=198.51.100.0/24", "1 4"}, {"proto=tcp idle>30s rule=ssh", ""},
	}
	for _, tt := range tests {
		l := r.flows(strings.Fields(tt.filter)...)
		if got := clientPorts(l.Flows); got != tt.ports || l.Total != len(l.Flows) {
			t.Errorf("%s: %s of %d, want %s", tt.filter, got, l.Total, tt.ports)
		}
	}
}

// clientPorts names flows by the port of the end that began them.
func clientPorts(flows []api.Flow) string {
	var ports []string
	for _, f := range flows {
		end := f.Internal
		if f.Direction == api.Inbound {
			end = f.Remote
		}
		ports = append(ports, fmt.Sprint(end.Port()))
	}
	slices.Sort(ports)
	return strings.Join(ports, " ")
}

func TestPages(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.datagram("10.0.0.10:5353", fmt.Sprintf("198.51.100.7:%d", 1+i))
		r.datagram("10.0.0.11:5353", fmt.Sprintf("198.51.100.7:%d", 1+i))
	}
	for words, want := range map[string]int{"": 14, "internal=10.0.0.10": 7} {
		for _, limit := range []int{1, 2, 7, 14, 15} {
			seen, pages := r.turnPages(api.FlowQuery{Filter: mustFilter(t, words), Limit: limit}, want)
			if wantPages := (want + limit - 1) / limit; len(seen) != want || pages != wantPages {
				t.Errorf("%s by %d: %d flows on %d pages, want %d on %d", words, limit, len(seen), pages, want, wantPages)
			}
		}
	}
}

// turnPages lists page by page, each with that total, and returns the flows' IDs.
func (r *rig) turnPages(q api.FlowQuery, total int) (seen map[string]bool, pages int) {
	r.t.Helper()
	seen = make(map[string]bool)
	for pages == 0 || q.Cursor != "" {
		l, err := r.client.Flows(r.t.Context(), q)
		if err != nil {
			r.t.Fatal(err)
		}
		if l.Total != total || len(l.Flows) > q.Limit {
			r.t.Errorf("%+v: a page of %d, total %d", q, len(l.Flows), l.Total)
		}
		for _, f := range l.Flows {
			if seen[f.ID] {
				r.t.Errorf("%s is shown twice", f.ID)
			}
			seen[f.ID] = true
		}
		q.Cursor = l.Next
		pages++
	}
	return seen, pages
}

// crowd begins 60 flows of each of two members, and returns the first one's IDs.
func (r *rig) crowd() map[string]bool {
	r.t.Helper()
	for i := range 60 {
		r.datagram("10.0.0.10:1000", fmt.Sprintf("198.51.100.7:%d", 1+i))
		r.datagram("10.0.0.11:1000", fmt.Sprintf("198.51.100.7:%d", 1+i))
	}
	ids := make(map[string]bool)
	for _, f := range r.allFlows("internal=10.0.0.10") {
		ids[f.ID] = true
	}
	return ids
}

// While pages are turned, flows come and go; those that stay are shown once.
func TestPagesOfChangingTable(t *testing.T) {
	r := newRig(t)
	kill := func(word string) {
		if _, err := r.client.DeleteFlows(t.Context(), mustFilter(t, word)); err != nil {
			t.Fatal(err)
		}
	}
	stays, seen := r.crowd(), map[string]int{}
	port := 1
	for q := (api.FlowQuery{Limit: 7}); ; {
		l, err := r.client.Flows(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range l.Flows {
			seen[f.ID]++
		}
		if q.Cursor = l.Next; q.Cursor == "" {
			break
		}
		kill(fmt.Sprintf("remote=198.51.100.7:%d internal=10.0.0.11", port))
		kill(fmt.Sprintf("remote=198.51.100.7:%d internal=10.0.0.11", 61-port))
		r.datagram("10.0.0.11:1000", fmt.Sprintf("198.51.100.8:%d", port))
		port++
	}
	for id := range stays {
		if seen[id] != 1 {
			t.Errorf("%s was there all the time and is shown %d times", id, seen[id])
		}
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("%s is shown %d times", id, n)
		}
	}
}

func mustFilter(t *testing.T, words string) api.Filter {
	t.Helper()
	f, err := api.ParseFilter(strings.Fields(words))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (r *rig) allFlows(words string) []api.Flow {
	r.t.Helper()
	l, err := r.client.Flows(r.t.Context(), api.FlowQuery{Filter: mustFilter(r.t, words), Limit: api.MaxLimit})
	if err != nil {
		r.t.Fatal(err)
	}
	return l.Flows
}

func TestKill(t *testing.T) {
	r := newRig(t)
	external := r.open("10.0.0.10:40000", server)
	r.open("10.0.0.11:40000", server)
	r.datagram("10.0.0.10:53", "198.51.100.7:53")
	n, err := r.client.DeleteFlows(t.Context(), mustFilter(t, "internal=10.0.0.10"))
	if n != 2 || err != nil {
		t.Fatal(n, err)
	}
	inside, outside := r.take(nexthop.Inside), r.take(nexthop.Outside)
	checkReset(t, inside, server, "10.0.0.10:40000", 5001)
	checkReset(t, outside, external, server, 1001)
	for side, c := range r.out {
		if len(c) != 0 {
			t.Errorf("more than one packet left %v", nexthop.Side(side))
		}
	}
	if l := r.flows(); clientPorts(l.Flows) != "40000" || l.Flows[0].Internal.Addr().String() != "10.0.0.11" {
		t.Errorf("left are %+v", l.Flows)
	}
	s, err := r.client.Status(t.Context())
	if err != nil || s.Totals.Resets["killed"] != 2 || s.Totals.Closed != 2 {
		t.Errorf("%+v, %v", s.Totals, err)
	}
}

func checkReset(t *testing.T, v packettest.View, src, dst string, seq uint32) {
	t.Helper()
	if v.Src != src || v.Dst != dst || v.Seq != seq || v.Flags != packet.RST|packet.ACK {
		t.Errorf("%+v is no RST from %s to %s with %d", v, src, dst, seq)
	}
}

func TestKillNeedsFilter(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:40000", server)
	_, err := r.client.DeleteFlows(t.Context(), api.Filter{})
	p := problemOf(t, err)
	if p.Status != 400 || !strings.Contains(p.Detail, "a filter is required") || !strings.Contains(p.Detail, "remote=0.0.0.0/0") {
		t.Errorf("%+v", p)
	}
	if r.flows().Total != 1 {
		t.Error("it was killed nevertheless")
	}
	if n, err := r.client.DeleteFlows(t.Context(), mustFilter(t, "remote=0.0.0.0/0")); n != 1 || err != nil {
		t.Errorf("the remedy does not work: %d, %v", n, err)
	}
	if a := r.request(http.MethodDelete, "/v1/flows?rule=none"); a.status != 200 || a.body != `{"killed":0}`+"\n" {
		t.Errorf("%+v", a)
	}
}

// What is counted anyway is the same as what a walk through all flows finds.
func TestCountedTotals(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:1", "198.51.100.7:443")
	r.syn("10.0.0.10:2", "198.51.100.7:443")
	for port := range 3 {
		r.datagram(fmt.Sprintf("10.0.0.11:%d", 1+port), "198.51.100.7:53")
	}
	for words, want := range map[string]int{
		"": 5, "proto=tcp": 2, "proto=udp": 3, "proto=icmp": 0, "rule=egress": 5, "rule=ssh": 0, "rule=none": 0, "state=ESTABLISHED": 1,
		"state=ACTIVE": 3, "state=CLOSED": 0, "rule=egress proto=tcp state=SYN_SENT": 1, "proto=udp state=ESTABLISHED": 0,
	} {
		for _, limit := range []int{2, 10} {
			counted, err1 := r.client.Flows(t.Context(), api.FlowQuery{Filter: mustFilter(t, words), Limit: limit})
			walked, err2 := r.client.Flows(t.Context(), api.FlowQuery{Filter: mustFilter(t, words+" remote=0.0.0.0/0"), Limit: limit})
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if counted.Total != want || walked.Total != want || len(counted.Flows) != len(walked.Flows) || counted.Next != walked.Next {
				t.Errorf("%q, %d a page: %d of %d and %q, walked %d of %d and %q", words, limit,
					len(counted.Flows), counted.Total, counted.Next, len(walked.Flows), walked.Total, walked.Next)
			}
		}
	}
}
