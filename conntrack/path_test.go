package conntrack

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// course is what Table.Course and Table.FromInside say of one direction.
type course struct {
	Dst     string
	Leaves  bool // on the inside
	Arrives bool // from there
}

// courses are the flows of every kind of rule: their way in both directions, and
// the way to each end.
var courses = []struct {
	name       string
	a          Admission
	tuples     [2]string // original, translated
	along      [2]course
	ends       [2]string
	inside     [2]bool // where they are
	inbound    bool
	backend    string
	owner, via uint32
}{
	{
		name: "outbound", a: Admission{Inside: true, Owner: 7},
		tuples: [2]string{"10.0.0.10:40000 > 198.51.100.7:443", "203.0.113.5:1024 > 198.51.100.7:443"},
		along:  [2]course{{"198.51.100.7", false, true}, {"10.0.0.10", true, false}},
		ends:   [2]string{"10.0.0.10", "198.51.100.7"}, inside: [2]bool{true, false},
		owner: 7,
	},
	{
		name:   "inbound",
		tuples: [2]string{"192.0.2.66:6666 > 203.0.113.5:443", "192.0.2.66:6666 > 10.0.0.10:8443"},
		along:  [2]course{{"10.0.0.10", true, false}, {"192.0.2.66", false, true}},
		ends:   [2]string{"192.0.2.66", "10.0.0.10"}, inside: [2]bool{false, true},
		inbound: true, backend: "10.0.0.10",
	},
	{
		name: "turned", a: Admission{Inside: true, Turned: true, Owner: 9},
		tuples: [2]string{"10.0.0.50:5000 > 10.0.0.4:443", "10.0.0.4:1024 > 10.0.0.10:8443"},
		along:  [2]course{{"10.0.0.10", true, true}, {"10.0.0.50", true, true}},
		ends:   [2]string{"10.0.0.50", "10.0.0.10"}, inside: [2]bool{true, true},
		inbound: true, backend: "10.0.0.10", owner: 9,
	},
	{
		name: "direct", a: Admission{Via: packettest.Addr("10.0.0.10")},
		tuples: [2]string{"192.0.2.66:6666 > 203.0.113.5:443", "192.0.2.66:6666 > 203.0.113.5:443"},
		along:  [2]course{{"10.0.0.10", true, false}, {"192.0.2.66", false, true}},
		ends:   [2]string{"192.0.2.66", "10.0.0.10"}, inside: [2]bool{false, true},
		inbound: true, backend: "10.0.0.10",
	},
	{
		name: "direct, to another port", a: Admission{Via: packettest.Addr("10.0.0.10")},
		tuples: [2]string{"192.0.2.66:6666 > 203.0.113.5:443", "192.0.2.66:6666 > 203.0.113.5:8443"},
		along:  [2]course{{"10.0.0.10", true, false}, {"192.0.2.66", false, true}},
		ends:   [2]string{"192.0.2.66", "10.0.0.10"}, inside: [2]bool{false, true},
		inbound: true, backend: "10.0.0.10",
	},
	{
		name: "turned and direct", a: Admission{Inside: true, Turned: true, Via: packettest.Addr("10.0.0.10")},
		tuples: [2]string{"10.0.0.50:5000 > 10.0.0.4:443", "10.0.0.50:5000 > 10.0.0.4:443"},
		along:  [2]course{{"10.0.0.10", true, true}, {"10.0.0.50", true, true}},
		ends:   [2]string{"10.0.0.50", "10.0.0.10"}, inside: [2]bool{true, true},
		inbound: true, backend: "10.0.0.10",
	},
}

func parse(proto packet.Protocol, s string) packet.Tuple {
	var src, dst string
	if _, err := fmt.Sscanf(s, "%s > %s", &src, &dst); err != nil {
		panic(err)
	}
	return packettest.Tuple(proto, src, dst)
}

func TestCourse(t *testing.T) {
	for _, c := range courses {
		for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
			table := newTable(t, 1, 0)
			a := c.a
			a.Original, a.Translated = parse(proto, c.tuples[0]), parse(proto, c.tuples[1])
			ref := insert(t, table, &a, 0)
			for d, want := range c.along {
				r := ref | Ref(d)
				dst, inside := table.Course(r)
				if diff := cmp.Diff(want, course{dst.String(), inside, table.FromInside(r)}); diff != "" {
					t.Errorf("%s, direction %d (-want +got):\n%s", c.name, d, diff)
				}
			}
			f := table.Flow(ref, 0)
			for d := range c.ends {
				if dst, inside := f.Course(Direction(d)); dst.String() != c.ends[d] || inside != c.inside[d] {
					t.Errorf("%s: end %d is at %v, inside %t", c.name, d, dst, inside)
				}
			}
			if f.Inbound() != c.inbound || c.inbound && f.Backend().String() != c.backend {
				t.Errorf("%s: inbound %t, backend %v", c.name, f.Inbound(), f.Backend())
			}
			if f.Owner != c.owner || f.Via != a.Via || f.Turned != a.Turned || f.Inside != a.Inside {
				t.Errorf("%s: %+v", c.name, f)
			}
			if e := table.End(ref, Killed, 0); e.Flow != f {
				t.Errorf("%s: ended as %+v, was %+v", c.name, e.Flow, f)
			}
		}
	}
}

// TestUDPIdle: UDP has a timer of its own where the rule says so.
func TestUDPIdle(t *testing.T) {
	rules := []Rule{{Idle: 30 * time.Minute, UDPIdle: time.Minute}, {Idle: 2 * time.Minute}, {Idle: time.Minute, UDPIdle: 10 * time.Minute}}
	for _, c := range []struct {
		proto packet.Protocol
		rule  uint16
		want  time.Duration
	}{
		{packet.UDP, 0, time.Minute}, {packet.UDP, 1, 2 * time.Minute}, {packet.UDP, 2, 10 * time.Minute},
		{packet.TCP, 0, 30 * time.Minute}, {packet.TCP, 1, 2 * time.Minute}, {packet.TCP, 2, time.Minute},
		{packet.ICMP, 0, 30 * time.Second},
	} {
		table, err := New(1, testTimers, rules, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := insert(t, table, admission(c.proto, 1, c.rule), 0)
		if c.proto == packet.TCP {
			establish(table, r, 0)
		}
		if left := time.Duration(table.Flow(r, 0).ExpiresIn); left != c.want {
			t.Errorf("%v by rule %d expires in %v, want %v", c.proto, c.rule, left, c.want)
		}
		if got, _ := lifetime(table, 0); got < c.want || got > c.want+grace(c.want) {
			t.Errorf("%v by rule %d lived %v, want %v", c.proto, c.rule, got, c.want)
		}
		table.Close()
	}
}

// TestEndFor: for which reasons and in which states the ends are told.
func TestEndFor(t *testing.T) {
	halfClosed := func(table *Table, r Ref, now int64) {
		establish(table, r, now)
		table.Observe(r, segment(packet.FIN|packet.ACK, 1001, 5001, 0), 1, now)
	}
	for _, c := range []struct {
		name  string
		proto packet.Protocol
		rule  uint16
		then  func(*Table, Ref, int64)
		why   Reason
		want  bool
	}{
		{"drained", packet.TCP, silent, establish, Drained, true},
		{"drained, and the rule resets", packet.TCP, resets, establish, Drained, true},
		{"killed", packet.TCP, silent, establish, Killed, true},
		{"idle", packet.TCP, silent, establish, Idle, false},
		{"idle, and the rule resets", packet.TCP, resets, establish, Idle, true},
		{"backend down", packet.TCP, silent, establish, BackendDown, false},
		{"UDP, backend down", packet.UDP, resets, nil, BackendDown, false},
		{"UDP, drained", packet.UDP, resets, nil, Drained, false},
		{"half-open, drained", packet.TCP, resets, nil, Drained, false},
		{"half closed, drained", packet.TCP, resets, halfClosed, Drained, false},
		{"closed, drained", packet.TCP, resets, closeBoth, Drained, false},
	} {
		table := newTable(t, 1, 0)
		a := admission(c.proto, 1, c.rule)
		r := insert(t, table, a, 0)
		if c.then != nil {
			c.then(table, r, 0)
		}
		e := table.End(r, c.why, 0)
		_, buried := table.Lookup(&a.Original)
		if e.Reset != c.want || buried != c.want || e.Reason != c.why || e.Doubtful() || table.Len() != 0 {
			t.Errorf("%s: %+v, tombstone %t", c.name, e, buried)
		}
	}
}

func TestReasonNames(t *testing.T) {
	seen := map[string]bool{}
	for r := range NumReasons {
		seen[r.String()] = true
	}
	if len(seen) != int(NumReasons) || seen[""] || Drained.String() != "drained" || BackendDown.String() != "backend-down" {
		t.Errorf("reasons are named %v", seen)
	}
}
