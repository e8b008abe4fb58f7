package probe

import (
	"net/netip"
	"testing"
	"time"
)

// A prober that takes over keeps what was known, and adds nothing of strangers.
func TestProberGoesOn(t *testing.T) {
	spec := Spec{Name: "tcp", Protocol: TCP, Port: 80, Interval: time.Second, Timeout: time.Second, Threshold: 2}
	known := Target{"tcp", netip.MustParseAddr("127.0.0.1")}
	stranger := Target{"tcp", netip.MustParseAddr("127.0.0.2")}
	before := Status{Target: known, Up: true, Known: true, Since: time.Unix(1, 0), Succeeded: 7}
	p, err := New(Options{Specs: []Spec{spec}, Targets: []Target{stranger, known}, Known: []Status{before}})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Status(); got[0] != (Status{Target: stranger}) || got[1] != before {
		t.Errorf("the prober begins with %+v", got)
	}
	s := p.states[1]
	if s.observe(answer{kind: silence}, time.Unix(2, 0), 2) || !s.Up {
		t.Error("one lost answer after the take-over takes a backend down")
	}
}
