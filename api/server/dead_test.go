package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// rsts takes what the gateway sends to both ends of a flow, and returns for each the
// sequence numbers.
func (r *rig) rsts(n [2]int) (numbers [2][]uint32) {
	r.t.Helper()
	for side := range n {
		for range n[side] {
			v := r.take(nexthop.Side(side))
			if v.Flags&packet.RST == 0 {
				r.t.Errorf("no RST leaves: %+v", v)
			}
			numbers[side] = append(numbers[side], v.Seq)
		}
	}
	return numbers
}

// A flow that was given up is told about by either of its tuples, with the numbers
// that were really sent.
func TestExplainDead(t *testing.T) {
	r := newRig(t)
	external := r.open("10.0.0.10:40000", server)
	r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: "10.0.0.10:40000", Dst: server, Seq: 1001, Ack: 5001, Flags: packet.ACK, Payload: "12345"}))
	r.clock.Add(int64(testIdle + 5*time.Second))
	r.closed(1)
	sent := r.rsts([2]int{1, 2}) // what was sent to the server last was never acknowledged
	r.clock.Add(int64(2 * time.Minute))
	want := []string{
		fmt.Sprintf("RST with sequence number %d to the client 10.0.0.10:40000", sent[0][0]),
		fmt.Sprintf("RST with sequence number %d to the server 198.51.100.7:443", sent[1][0]),
		fmt.Sprintf("RST with sequence number %d to the server 198.51.100.7:443, in case the last bytes sent to it came", sent[1][1]),
	}
	for _, words := range []string{"tcp 10.0.0.10:40000 198.51.100.7:443", "tcp 198.51.100.7:443 " + external} {
		e := r.explain(words)
		d := e.Dead
		if d == nil || e.Flow != nil {
			t.Fatalf("%s: %+v", words, e)
		}
		if !slices.Equal(d.Resets, want) || d.Reason != "idle" || d.Timer != "the idle timeout of outboundRule egress" || d.TimerSeconds != 240 {
			t.Errorf("%+v\nwant %q", d, want)
		}
		if ago := time.Since(d.Ended); ago < 2*time.Minute-time.Millisecond || ago > 2*time.Minute+10*time.Second || d.Flow.State != "ESTABLISHED" || d.Flow.PacketsOut != 3 {
			t.Errorf("%v ago: %+v", ago, d)
		}
		steps := strings.Join(e.Steps, "\n")
		for _, step := range append(slices.Clone(want), "No flow has this tuple now; the last one ended 2m", d.Message, "The timer that ran out was the idle timeout of outboundRule egress, 4m0s.") {
			if !strings.Contains(steps, step) {
				t.Errorf("%s: no step is %q:\n%s", words, step, steps)
			}
		}
	}
	if e := r.explain("tcp 10.0.0.10:40000 198.51.100.7:443"); e.Verdict != "forwarded" {
		t.Errorf("what would happen now is not said any more: %+v", e)
	}
}

// Every timer by its name, with its setting, and the ends that no timer made.
func TestDeadTimers(t *testing.T) {
	tests := []struct {
		name, packet, timer string
		seconds             float64
		end                 func(r *rig)
		wait                time.Duration
	}{
		{"half-open", "tcp 10.0.0.10:1 198.51.100.7:443", "timers.tcpHalfOpen", 30, func(r *rig) { r.syn("10.0.0.10:1", server) }, 32 * time.Second},
		{"closed", "tcp 10.0.0.10:1 198.51.100.7:443", "timers.tcpFinHold", 65, func(r *rig) {
			r.finish("10.0.0.10:1", server, r.open("10.0.0.10:1", server))
		}, 67 * time.Second},
		{"reset", "tcp 10.0.0.10:1 198.51.100.7:443", "timers.tcpResetHold", 16, func(r *rig) {
			r.open("10.0.0.10:1", server)
			r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: "10.0.0.10:1", Dst: server, Seq: 1001, Flags: packet.RST}))
		}, 18 * time.Second},
		{"udp", "udp 10.0.0.10:1 198.51.100.7:53", "the idle timeout of outboundRule egress", 240, func(r *rig) {
			r.datagram("10.0.0.10:1", "198.51.100.7:53")
		}, testIdle + 6*time.Second},
		{"icmp", "icmp 10.0.0.10:7 198.51.100.7", "timers.icmp", 30, func(r *rig) {
			r.pass(nexthop.Inside, packettest.EchoRequest(packettest.Echo{Src: "10.0.0.10", Dst: "198.51.100.7", Ident: 7}))
		}, 32 * time.Second},
		{"killed", "tcp 10.0.0.10:1 198.51.100.7:443", "", 0, func(r *rig) {
			r.open("10.0.0.10:1", server)
			r.request(http.MethodDelete, "/v1/flows?rule=egress")
		}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.end(r)
			r.clock.Add(int64(tt.wait))
			r.closed(1)
			d := r.explain(tt.packet).Dead
			if d == nil || d.Timer != tt.timer || d.TimerSeconds != tt.seconds || (len(d.Resets) == 2) != (tt.name == "killed") {
				t.Errorf("%+v", d)
			}
		})
	}
}

// UDP over a load-balancing rule has a timer that no rule sets.
func TestDeadBalancedUDP(t *testing.T) {
	r := newBalancedRig(t)
	r.pass(nexthop.Outside, packettest.UDP(packettest.Datagram{Src: "198.51.100.9:5000", Dst: "203.0.113.5:53", Payload: "?"}))
	if rules := r.idle().Rules; len(rules) != 0 {
		t.Errorf("another timeout of the rule would have ended it: %+v", rules)
	}
	r.clock.Add(int64(3*time.Minute + 5*time.Second))
	r.closed(1)
	d := r.explain("udp 198.51.100.9:5000 203.0.113.5:53").Dead
	if d == nil || d.Timer != "timers.udpLoadBalanced" || d.TimerSeconds != 180 {
		t.Errorf("%+v", d)
	}
}

func TestRulePosition(t *testing.T) {
	r, _ := withSettings(t)
	e := r.explain("tcp 10.0.0.10:1 198.51.100.7:443")
	if want := "The outboundRule egress (tidegate.yaml:23) is for tcp of 10.0.0.10."; e.RulePosition != "tidegate.yaml:23" || !slices.Contains(e.Steps, want) {
		t.Errorf("%+v", e)
	}
	r.open("10.0.0.10:1", server)
	if e := r.explain("tcp 10.0.0.10:1 198.51.100.7:443"); !strings.Contains(strings.Join(e.Steps, "\n"), "of outboundRule egress (tidegate.yaml:23), which is ESTABLISHED") {
		t.Errorf("%q", e.Steps)
	}
}

// A flow by its ID, and nothing else.
func TestFlowByID(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:1", server)
	r.open("10.0.0.10:2", server)
	id := r.flows("internal=10.0.0.10:2").Flows[0].ID
	if l := r.flows("id=" + strings.ToUpper(id)); l.Total != 1 || len(l.Flows) != 1 || l.Flows[0].ID != id || l.Next != "" {
		t.Errorf("%+v", l)
	}
	for _, words := range [][]string{{"id=" + id, "proto=udp"}, {"id=00000000ffffffff"}, {"id=0000000000000000"}} {
		if l := r.flows(words...); l.Total != 0 || l.Flows == nil {
			t.Errorf("%v: %+v", words, l)
		}
		f, err := api.ParseFilter(words)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := r.client.DeleteFlows(t.Context(), f); n != 0 || err != nil {
			t.Errorf("%v: %d killed, %v", words, n, err)
		}
	}
	if n, err := r.client.DeleteFlows(t.Context(), api.Filter{ID: id}); n != 1 || err != nil {
		t.Errorf("%d killed, %v", n, err)
	}
	r.rsts([2]int{1, 1})
	if l := r.flows(); l.Total != 1 || l.Flows[0].Internal.Port() != 1 {
		t.Errorf("%+v", l)
	}
}

// Without the walk nothing is said to be held, and all else is the same.
func TestPortsUncounted(t *testing.T) {
	r := newRig(t)
	r.finish("10.0.0.10:1", server, r.open("10.0.0.10:1", server))
	with, err := r.client.Ports(t.Context(), api.ByRule)
	if err != nil {
		t.Fatal(err)
	}
	without, err := r.client.PortsUncounted(t.Context(), api.ByRule)
	if err != nil || with.Rows[0].Held != 1 || without.Rows[0].Held != 0 {
		t.Errorf("%+v\n%+v, %v", with, without, err)
	}
	with.Rows[0].Held = 0
	if !slices.Equal(with.Rows, without.Rows) || !strings.Contains(r.get("/v1/ports?held=false").body, `"held":0`) {
		t.Errorf("%+v\n%+v", with, without)
	}
}

// An answer to a flow that was given up a moment ago does not begin one.
func TestExplainAnswerOfTheDead(t *testing.T) {
	r := newRig(t)
	external := r.open("10.0.0.10:1", "198.51.100.7:443")
	r.request(http.MethodDelete, "/v1/flows?rule=egress")
	e := r.explain("tcp 198.51.100.7:443 " + external)
	steps := strings.Join(e.Steps, "\n")
	if e.Verdict != "no-flow" || strings.Contains(steps, "for tcp of 198.51.100.7") || !strings.Contains(steps, "given up a moment ago") {
		t.Errorf("%s:\n%s", e.Verdict, steps)
	}
}
