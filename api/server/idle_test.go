package server

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
)

func (r *rig) idle() api.IdleAges {
	r.t.Helper()
	ages, err := r.client.Idle(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return ages
}

// What is counted is what a list of flows by idle time has.
func TestIdle(t *testing.T) {
	r := newRig(t)
	for i, silent := range []time.Duration{0, time.Second, 10 * time.Second, 44 * time.Second, 90 * time.Second} {
		r.open(fmt.Sprintf("10.0.0.10:%d", 1000+i), server)
		r.datagram(fmt.Sprintf("10.0.0.11:%d", 1000+i), "198.51.100.7:53")
		r.open(fmt.Sprintf("10.0.0.20:%d", 1000+i), server)
		r.clock.Add(int64(silent + time.Millisecond))
	}
	ages := r.idle()
	r.syn("10.0.0.20:99", server)                                                                     // its timer is another
	r.finish("10.0.0.10:1004", server, r.flows("internal=10.0.0.10:1004").Flows[0].External.String()) // likewise
	if diff := cmp.Diff(ages, r.idle()); diff != "" {
		t.Errorf("it is not kept: %s", diff)
	}
	if !slices.IsSorted(ages.Bounds) || len(ages.Bounds) != 60 || ages.Bounds[0] != 1 || ages.Bounds[59] != 24*3600 || len(ages.Rules) != 2 {
		t.Fatalf("%+v", ages)
	}
	r.clock.Add(int64(idleKept))
	for _, rule := range r.idle().Rules {
		for i, bound := range ages.Bounds {
			want := 0
			for _, f := range r.flows("rule="+rule.Rule, fmt.Sprintf("idle>%gs", bound)).Flows {
				if f.State != "SYN_SENT" && f.State != "TIME_WAIT" {
					want++
				}
			}
			if rule.Longer[i] != want {
				t.Errorf("%s silent for more than %g s: %d, want %d", rule.Rule, bound, rule.Longer[i], want)
			}
		}
		if want := map[string]int{"egress": 9, "wide": 5}[rule.Rule]; rule.Flows != want || rule.IdleTimeoutSeconds != 240 || rule.RuleType != "outboundRule" {
			t.Errorf("%+v", rule)
		}
	}
}

func TestNoIdle(t *testing.T) {
	if ages := newRig(t).idle(); len(ages.Rules) != 0 || ages.Rules == nil {
		t.Errorf("%+v", ages)
	}
}
