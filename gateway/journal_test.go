package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

// events returns what is kept of a kind, oldest first.
func (r *rig) events(kind EventKind) (all []Event) {
	buf := make([]Event, 3) // less than there are: what is read in pieces is all there
	for after := uint64(0); ; {
		n, _ := r.Events(after, buf)
		if n == 0 {
			return all
		}
		for _, e := range buf[:n] {
			if e.Kind == kind {
				all = append(all, e)
			}
		}
		after = buf[n-1].Seq
	}
}

func TestFlowEvents(t *testing.T) {
	r := newRig(t)
	p := r.dial(nexthop.Inside, 1, 2)
	begun := r.events(FlowCreated)
	if len(begun) != 1 || begun[0].Flow.State != conntrack.SynSent || begun[0].Flow.Packets != [2]uint64{1, 0} || begun[0].Rule != ruleEgress {
		t.Fatalf("%+v", begun)
	}
	p.expire()
	over := r.events(FlowClosed)
	if len(over) != 1 || over[0].Reason != conntrack.Idle || !over[0].Reset || over[0].Flow.ID != begun[0].Flow.ID || over[0].Seq != 2 || over[0].At <= begun[0].At {
		t.Fatalf("%+v", over)
	}
	for d, tuple := range over[0].Flow.Tuple {
		e, at, ok := r.Obituary(tuple)
		if !ok || at != conntrack.Direction(d) || e.Seq != 2 {
			t.Errorf("the end of %v: %v %v %+v", tuple, ok, at, e)
		}
	}
	if _, _, ok := r.Obituary(packet.Tuple{}); ok {
		t.Error("a flow that never was has ended")
	}
}

// A member that runs out of ports is named, with where it wanted to go, once a second.
func TestExhaustionEvent(t *testing.T) {
	r := newRig(t)
	r.use(server)
	for range 5 {
		r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	}
	r.control.reportExhaustion()
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	r.control.reportExhaustion()
	all := r.events(SNATExhausted)
	if len(all) != 1 {
		t.Fatalf("it is said %d times in one moment", len(all))
	}
	want := "Member 10.0.0.10 has no tcp port left of the 16 that rule egress gives it: 5 flows refused, the last towards 198.51.100.7:443."
	if e := all[0]; e.Message != want || e.Count != 5 || e.Rule != ruleEgress {
		t.Errorf("%+v", e)
	}
	r.clock += int64(time.Second)
	r.control.reportExhaustion()
	r.clock += int64(time.Second)
	r.control.reportExhaustion() // nothing new
	if all := r.events(SNATExhausted); len(all) != 2 || all[1].Count != 1 {
		t.Errorf("later: %+v", all)
	}
}

// fill writes flows down until n have begun and ended.
func (j *journal) fill(n int) {
	for i := range n {
		j.last++
		*j.begun.add() = flowEvent{seq: j.last, at: int64(i)}
		j.ended(&conntrack.Ended{Flow: conntrack.Flow{ID: conntrack.ID(i)}}, int64(i))
	}
}

// A flood of flows displaces nothing but flows, and who reads learns how many are lost.
func TestJournalKeeps(t *testing.T) {
	j := newJournal()
	j.note(Notice{Kind: BackendDown, Rule: -1, Message: "a backend is down"}, 0)
	j.fill(keptFlows + 100)
	var got []Event
	lost, buf := uint64(0), make([]Event, 100)
	for after := uint64(0); ; {
		n, missed := j.read(after, buf, true)
		lost += missed
		got = append(got, buf[:n]...)
		if n == 0 {
			break
		}
		after = buf[n-1].Seq
	}
	if len(got) != 2*keptFlows+1 || lost != 200 || got[0].Kind != BackendDown || got[len(got)-1].Seq != j.last {
		t.Fatalf("%d events, %d lost, first %+v", len(got), lost, got[0])
	}
	for i := range got[1:] {
		if got[i+1].Seq <= got[i].Seq {
			t.Fatalf("event %d comes after %d", got[i+1].Seq, got[i].Seq)
		}
	}
	if first := got[1]; first.Kind != FlowCreated || first.At != 100 {
		t.Errorf("the first flow kept is %+v", first)
	}
}

func TestFollow(t *testing.T) {
	r := newRig(t)
	r.Note(Notice{Kind: ConfigReloaded, Rule: -1, Message: "before"})
	from := r.LastEvent()
	for range 2 * followBatch {
		r.Note(Notice{Kind: ConfigReloaded, Rule: -1, Message: "after"})
	}
	enough, n := errors.New("enough"), 0
	err := r.Follow(t.Context(), from, nil, func(events []Event, missed uint64) error {
		for _, e := range events {
			if e.Message != "after" || missed != 0 {
				t.Errorf("%d missed, %+v", missed, e)
			}
		}
		if n += len(events); n == 2*followBatch {
			return enough
		}
		return nil
	})
	if err != enough {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Follow(ctx, r.LastEvent(), nil, nil); err != nil {
		t.Error(err)
	}
}

// Who wants no beginnings gets none, and is told of nothing missed for their want.
func TestWithoutBeginnings(t *testing.T) {
	j := newJournal()
	j.fill(100)
	buf := make([]Event, 300)
	if n, missed := j.read(0, buf, false); n != 100 || missed != 0 || buf[99].Kind != FlowClosed || buf[99].Seq != 200 {
		t.Errorf("%d events, %d missed, last %+v", n, missed, buf[99])
	}
	j.fill(keptFlows + 50)
	if _, missed := j.read(0, buf, false); missed < 150 {
		t.Errorf("%d missed where 150 ends are", missed)
	}
}

func TestEventNames(t *testing.T) {
	var names []string
	for k := range numEventKinds {
		names = append(names, k.String())
	}
	want := []string{"flow.created", "flow.closed", "snat.exhausted", "backend.up", "backend.down", "config.reloaded", "config.rejected"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}
