package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// events asks for the recent ones.
func (r *rig) events(q api.EventQuery) []api.Event {
	r.t.Helper()
	l, err := r.client.Events(r.t.Context(), q)
	if err != nil {
		r.t.Fatal(err)
	}
	return l.Events
}

// closed waits for so many ends of flows.
func (r *rig) closed(n int) []api.Event {
	r.t.Helper()
	var all []api.Event
	waitFor(r.t, func() bool {
		all = r.events(api.EventQuery{Types: []string{api.FlowClosed}})
		return len(all) >= n
	})
	return all
}

// What a flow's beginning and end say, field by field.
func TestFlowEvents(t *testing.T) {
	r := newRig(t)
	external := r.open("10.0.0.10:40000", server)
	r.clock.Add(int64(testIdle + 5*time.Second))
	r.closed(1)
	all := r.events(api.EventQuery{})
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	begun, over := all[0], all[1]
	if d := over.Time.Sub(begun.Time); d < testIdle || d > testIdle+10*time.Second || time.Since(over.Time).Abs() > 10*time.Second {
		t.Errorf("it began at %v and ended at %v", begun.Time, over.Time)
	}
	if f := over.Flow; f == nil || f.IdleSeconds < 240 || f.ExpiresInSeconds != 0 || f.State != "ESTABLISHED" || f.External.String() != external ||
		f.Created.Sub(begun.Flow.Created).Abs() > 10*time.Second || f.ID != begun.Flow.ID || begun.Flow.State != "SYN_SENT" || begun.Flow.PacketsOut != 1 {
		t.Errorf("%+v\n%+v", begun.Flow, over.Flow)
	}
	for _, e := range []*api.Event{&begun, &over} {
		e.Time, e.Flow = time.Time{}, nil
	}
	course := "The TCP flow 10.0.0.10:40000 > " + external + " > 198.51.100.7:443 of outboundRule egress "
	want := []api.Event{
		{Seq: 1, Type: "flow.created", Rule: "egress", Message: course + "began."},
		{Seq: 2, Type: "flow.closed", Rule: "egress", Reason: "idle", Resets: []string{"client", "server"}, Message: course + "was idle for 4m0s; both ends got a RST."},
	}
	if diff := cmp.Diff(want, []api.Event{begun, over}); diff != "" {
		t.Error(diff)
	}
}

// Every way in which a flow of this rig ends, in words.
func TestObituaries(t *testing.T) {
	tests := []struct {
		name, want string
		end        func(r *rig) // begins a flow and has it end
		wait       time.Duration
	}{
		{"never answered", "was not established within 30s.", func(r *rig) { r.syn("10.0.0.10:1", server) }, 31 * time.Second},
		{"closed", "was closed by both ends, and held for 1m5s.", func(r *rig) {
			r.finish("10.0.0.10:1", server, r.open("10.0.0.10:1", server))
		}, 67 * time.Second},
		{"reset", "was reset by an end, and held for 16s.", func(r *rig) {
			r.open("10.0.0.10:1", server)
			r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{Src: "10.0.0.10:1", Dst: server, Seq: 1001, Flags: packet.RST}))
		}, 18 * time.Second},
		{"killed", "was killed by an operator; both ends got a RST.", func(r *rig) {
			r.open("10.0.0.10:1", server)
			r.request("DELETE", "/v1/flows?rule=egress")
		}, 0},
		{"a rule without resets", "was idle for 4m0s; neither end was told.", func(r *rig) { r.open("10.0.0.20:1", server) }, testIdle + 6*time.Second},
		{"udp", "was idle for 4m0s.", func(r *rig) { r.datagram("10.0.0.10:1", "198.51.100.7:53") }, testIdle + 6*time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			tt.end(r)
			r.clock.Add(int64(tt.wait))
			e := r.closed(1)[0]
			if !strings.HasSuffix(e.Message, tt.want) || strings.Contains(e.Message, "RST") != (e.Resets != nil) {
				t.Errorf("%+v\nwant … %s", e, tt.want)
			}
		})
	}
}

// An inbound flow is told from its client on.
func TestInboundCourse(t *testing.T) {
	r := newRig(t)
	r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: "198.51.100.9:5000", Dst: "203.0.113.5:2222", Seq: 1, Flags: packet.SYN}))
	want := "The TCP flow 198.51.100.9:5000 > 203.0.113.5:2222 > 10.0.0.10:22 of inboundNatRule ssh began."
	if e := r.events(api.EventQuery{}); len(e) != 1 || e[0].Message != want {
		t.Errorf("%+v", e)
	}
}

// note writes notices down, with their numbers as text.
func (r *rig) note(kind gateway.EventKind, rule, n int) {
	for i := range n {
		r.gateway.Note(gateway.Notice{Kind: kind, Rule: rule, Message: fmt.Sprintf("%d <b>", i+1)})
	}
}

func numbers(events []api.Event) (all []uint64) {
	for _, e := range events {
		all = append(all, e.Seq)
	}
	return all
}

func TestEventQueries(t *testing.T) {
	r := newRig(t)
	r.note(gateway.ConfigReloaded, -1, 2) // 1, 2
	r.note(gateway.SNATExhausted, 0, 2)   // 3, 4
	r.note(gateway.BackendDown, 1, 1)     // 5
	r.note(gateway.ConfigRejected, -1, 1) // 6
	tests := []struct {
		query api.EventQuery
		want  []uint64
	}{
		{api.EventQuery{}, []uint64{1, 2, 3, 4, 5, 6}},
		{api.EventQuery{Limit: 2}, []uint64{5, 6}},
		{api.EventQuery{After: 2, Limit: 2}, []uint64{3, 4}},
		{api.EventQuery{After: 5}, []uint64{6}},
		{api.EventQuery{After: 6}, nil},
		{api.EventQuery{After: 7}, []uint64{1, 2, 3, 4, 5, 6}}, // of a gateway before this one
		{api.EventQuery{Types: []string{api.ConfigReloaded, api.BackendDown}}, []uint64{1, 2, 5}},
		{api.EventQuery{Types: []string{api.ConfigReloaded, api.BackendDown}, Limit: 1}, []uint64{5}},
		{api.EventQuery{Rule: "egress"}, []uint64{3, 4}},
		{api.EventQuery{Rule: "egress", Types: []string{api.BackendDown}}, nil},
		{api.EventQuery{Rule: "nobody"}, nil},
	}
	for _, tt := range tests {
		if got := numbers(r.events(tt.query)); !slices.Equal(got, tt.want) {
			t.Errorf("%+v: %v, want %v", tt.query, got, tt.want)
		}
	}
	if e := r.events(api.EventQuery{Limit: 1})[0]; e.Message != "1 <b>" || e.Type != "config.rejected" || e.Rule != "" || e.Flow != nil {
		t.Errorf("%+v", e)
	}
}

// The last of more events than are taken at once, and more than are forgotten at once.
func TestManyEvents(t *testing.T) {
	r := newRig(t)
	r.note(gateway.ConfigReloaded, -1, 3000)
	got := numbers(r.events(api.EventQuery{Limit: 10}))
	if len(got) != 10 || got[0] != 2991 || got[9] != 3000 {
		t.Errorf("%v", got)
	}
	if got := numbers(r.events(api.EventQuery{Limit: api.MaxEvents})); len(got) != 1024 || got[0] != 3000-1023 {
		t.Errorf("%d from %d on", len(got), got[0])
	}
}

func TestEventsHead(t *testing.T) {
	r := newRig(t)
	for _, accept := range []string{"*/*", api.EventStream} {
		a := r.request(http.MethodHead, "/v1/events", "Accept", accept)
		if a.status != 200 || a.body != "" {
			t.Errorf("%s: %+v", accept, a)
		}
	}
}

// A moment is the same time of day whenever it is asked for, or one event would be two
// to who compares a list with a stream.
func TestTimesStay(t *testing.T) {
	r := newRig(t)
	s, began := New(r.options), time.Now()
	for at := range int64(200_000) {
		r.clock.Store(int64(time.Since(began)))
		first := s.wall(at * 50)
		r.clock.Store(int64(time.Since(began)))
		if again := s.wall(at * 50); !again.Equal(first) {
			t.Fatalf("the moment %d is %v, and then %v", at*50, first, again)
		}
	}
}
