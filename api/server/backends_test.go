package server

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

func (r *rig) backends() []api.Backend {
	r.t.Helper()
	b, err := r.client.Backends(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return b.Rows
}

// clientSYN begins a connection to a frontend from the outside.
func (r *rig) clientSYN(src, dst string) packettest.View {
	r.t.Helper()
	return r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{Src: src, Dst: dst, Seq: 1, Flags: packet.SYN}))
}

// A backend with a result of its probe, field by field.
func TestBackendShape(t *testing.T) {
	r := newBalancedRig(t)
	r.probeFinds(true, false)
	r.clientSYN("198.51.100.9:5000", "203.0.113.5:443")
	a := r.get("/v1/backends")
	var got struct {
		Backends []map[string]any `json:"backends"`
	}
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil || a.status != 200 || len(got.Backends) != 5 {
		t.Fatalf("%v: %+v", err, a)
	}
	want := map[string]any{
		"pool": "vms", "backend": "10.0.0.10", "adminState": "None", "probe": "http",
		"up": true, "known": true, "takesNewFlows": true, "left": false, "draining": false, "drainSeconds": 0.0,
		"since": "2026-01-02T03:04:05.678Z", "lastProbe": "2026-01-02T03:05:05.678Z", "probeSeconds": 0.0015,
		"result": "200 OK", "succeeded": 4.0, "failed": 0.0, "newFlows": 1.0,
	}
	if diff := cmp.Diff(want, got.Backends[0]); diff != "" {
		t.Error(diff)
	}
	if _, dated := got.Backends[4]["since"]; dated {
		t.Error("a backend without a probe has a time of its last change")
	}
}

func TestNoBackends(t *testing.T) {
	if a := newRig(t).get("/v1/backends"); a.body != `{"backends":[]}`+"\n" {
		t.Error(a.body)
	}
}

// state is what operators look at first: pool backend probe, then what holds of
// up, known, taking, left, draining.
func states(rows []api.Backend) (all []string) {
	for _, b := range rows {
		s := []string{b.Pool, b.Backend.String(), b.Probe, b.AdminState}
		for _, f := range []struct {
			word  string
			holds bool
		}{{"up", b.Up}, {"known", b.Known}, {"taking", b.TakesNewFlows}, {"left", b.Left}, {"draining", b.Draining}} {
			if f.holds {
				s = append(s, f.word)
			}
		}
		all = append(all, strings.Join(s, " "))
	}
	return all
}

func TestBackendStates(t *testing.T) {
	r := newBalancedRig(t)
	others := []string{"vms 10.0.0.10  None up known taking", "vms 10.0.0.11  None up known taking", "inner 10.0.0.12  None up known taking"}
	check := func(what string, web ...string) {
		t.Helper()
		if diff := cmp.Diff(append(web, others...), states(r.backends())); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	check("before the first result", "vms 10.0.0.10 http None", "vms 10.0.0.11 http None")
	r.probeFinds(true, false)
	check("one is up", "vms 10.0.0.10 http None up known taking", "vms 10.0.0.11 http None known")
	r.setBackends([]nat.Backend{
		{Addr: packettest.Addr("10.0.0.10"), Admin: nat.AdminDown}, {Addr: packettest.Addr("10.0.0.11"), Admin: nat.AdminUp},
	})
	r.clock.Add(int64(2 * time.Second))
	others[0], others[1] = "vms 10.0.0.10  Down up known", "vms 10.0.0.11  Up up known taking"
	check("the operator says otherwise", "vms 10.0.0.10 http Down up known draining", "vms 10.0.0.11 http Up known taking")
	if got := r.backends()[0].DrainSeconds; got != 10 {
		t.Errorf("drained in %v s", got)
	}
	r.setBackends(backendsOf("10.0.0.10"))
	others = []string{"vms 10.0.0.10  None up known taking", "inner 10.0.0.12  None up known taking"}
	check("one has left", "vms 10.0.0.10 http None up known taking", "vms 10.0.0.11 http None known left draining")
}

// What is counted is where flows went, over all rules that share pool and probe.
func TestNewFlows(t *testing.T) {
	r := newBalancedRig(t)
	r.probeFinds(false, true)
	for range 2 {
		r.clientSYN("198.51.100.9:5000", "203.0.113.5:443") // the second is a retransmission
	}
	r.clientSYN("198.51.100.9:5001", "203.0.113.5:443")
	r.clientSYN("198.51.100.9:5002", "203.0.113.5:2222") // no choice
	v := r.pass(nexthop.Outside, packettest.UDP(packettest.Datagram{Src: "198.51.100.9:5000", Dst: "203.0.113.5:53", Payload: "?"}))
	type row struct{ backend, probe string }
	want := map[row]uint64{{"10.0.0.11", "http"}: 2, {strings.TrimSuffix(v.Dst, ":53"), ""}: 1}
	for _, b := range r.backends() {
		if at := (row{b.Backend.String(), b.Probe}); b.NewFlows != want[at] {
			t.Errorf("%+v: %d new flows, want %d", at, b.NewFlows, want[at])
		}
	}
}
