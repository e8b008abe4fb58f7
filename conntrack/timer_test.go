package conntrack

import (
	"fmt"
	"testing"
	"time"

	"tidegate/packet"
)

const (
	ms     = int64(time.Millisecond)
	second = int64(time.Second)
)

// lifetime sweeps every 100 ms from now on until the flow ends, and returns how
// long that took.
func lifetime(table *Table, now int64) (time.Duration, Ended) {
	buf := make([]Ended, 0, 1)
	for at := now; ; at += 100 * ms {
		if got, _ := table.Sweep(at, buf); len(got) > 0 {
			return time.Duration(at - now), got[0]
		}
	}
}

// TestLifetimes lets flows of every state go silent, near every turn of the clock.
func TestLifetimes(t *testing.T) {
	for _, c := range lifetimes {
		for _, epoch := range epochs {
			t.Run(fmt.Sprintf("%s/%v", c.name, epoch), func(t *testing.T) {
				now := int64(epoch) + 1_234_567
				table := newTable(t, 8, now)
				r := insert(t, table, admission(c.proto, 1, c.rule), now)
				if c.then != nil {
					now += 77*ms + 5
					c.then(table, r, now)
				}
				got, e := lifetime(table, now)
				if got < c.want || got > c.want+grace(c.want) {
					t.Errorf("it lived %v, want %v", got, c.want)
				}
				if e.Reason != c.why || e.Reset != c.reset {
					t.Errorf("it ended for reason %v, reset %v", e.Reason, e.Reset)
				}
			})
		}
	}
}

var lifetimes = []struct {
	name  string
	proto packet.Protocol
	rule  uint16
	then  func(*Table, Ref, int64)
	want  time.Duration
	why   Reason
	reset bool
}{
	{"SYN without answer", packet.TCP, day, nil, 30 * time.Second, HalfOpen, false},
	{"established, 4 minutes", packet.TCP, resets, establish, 4 * time.Minute, Idle, true},
	{"established, silent", packet.TCP, silent, establish, 4 * time.Minute, Idle, false},
	{"established, 1 second", packet.TCP, short, establish, time.Second, Idle, true},
	{"established, 100 minutes", packet.TCP, long, establish, 100 * time.Minute, Idle, false},
	{"established, 24 hours", packet.TCP, day, establish, 24 * time.Hour, Idle, true},
	{"UDP, 4 minutes", packet.UDP, resets, nil, 4 * time.Minute, Idle, false},
	{"UDP, 24 hours", packet.UDP, day, nil, 24 * time.Hour, Idle, false},
	{"ICMP, whatever its rule", packet.ICMP, day, nil, 30 * time.Second, Idle, false},
	{"closed", packet.TCP, day, closeBoth, 65 * time.Second, Fin, false},
	{"reset", packet.TCP, day, reset, 16 * time.Second, Rst, false},
}

func closeBoth(table *Table, r Ref, now int64) {
	establish(table, r, now)
	table.Observe(r, segment(packet.FIN|packet.ACK, 1001, 5001, 0), 1, now)
	table.Observe(r^1, segment(packet.FIN|packet.ACK, 5001, 1002, 0), 1, now)
}

func reset(table *Table, r Ref, now int64) {
	establish(table, r, now)
	table.Observe(r, segment(packet.RST, 1001, 0, 0), 1, now)
}

// TestNeverEarly has a packet come shortly after the timer was set, so that the
// sweep meets the flow at the very millisecond of its end.
func TestNeverEarly(t *testing.T) {
	for last := int64(0); last < 130*ms; last += 250_000 {
		table := newTable(t, 1, 0)
		table.Observe(insert(t, table, admission(packet.UDP, 1, short), 0), datagram(60), 1, last)
		for now := last; table.Len() > 0; now += 333_000 {
			if got, _ := table.Sweep(now, make([]Ended, 0, 1)); len(got) > 0 && now-last < second {
				t.Fatalf("last packet at %v, ended at %v", time.Duration(last), time.Duration(now))
			}
		}
		table.Close()
	}
}

// TestFractions: a hold below a millisecond is a hold, not the rule's timeout.
func TestFractions(t *testing.T) {
	timers := Timers{HalfOpen: 1, FinHold: time.Microsecond, ResetHold: 2*time.Millisecond - 1, ICMP: 1}
	table, err := New(4, timers, testRule[:], 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	for i, then := range []func(*Table, Ref, int64){func(*Table, Ref, int64) {}, closeBoth, reset} {
		then(table, insert(t, table, admission(packet.TCP, uint32(i), day), 0), 0)
	}
	insert(t, table, admission(packet.ICMP, 3, day), 0)
	if got := end(table, second, 4); len(got) != 4 {
		t.Errorf("%d of 4 flows ended", len(got))
	}
}

// TestOlderClock: a packet may come with a clock that was read before the last
// sweep. It is not for that seen in the future, nor a turn of the wheel too late.
func TestOlderClock(t *testing.T) {
	table, err := New(4, Timers{HalfOpen: 1, FinHold: 1, ResetHold: 1, ICMP: 1}, testRule[:], 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	open := insert(t, table, admission(packet.UDP, 1, long), 0)
	table.Observe(open, datagram(60), 1, second)
	end(table, second, 1)
	insert(t, table, admission(packet.TCP, 2, long), second-100*ms)
	f := table.Flow(open, second-ms)
	if f.LastSeen != second || f.ExpiresIn != int64(testRule[long].Idle)+ms {
		t.Errorf("last seen %v, expires in %v", time.Duration(f.LastSeen), time.Duration(f.ExpiresIn))
	}
	if got := end(table, second+200*ms, 1); len(got) != 1 || got[0].Owner != 2 {
		t.Errorf("%d flows ended, want the half-open one", len(got))
	}
}

// TestTurn has timeouts of about one turn of the wheel, wherever in a slot they begin.
func TestTurn(t *testing.T) {
	for slots := wheelSlots - 4; slots < wheelSlots+4; slots++ {
		for _, odd := range []time.Duration{0, 1, 63} {
			for now := 128 * ms; now < 192*ms; now += 21 * ms {
				turn(t, (time.Duration(slots)<<wheelShift+odd)*time.Millisecond, now)
			}
		}
	}
}

func turn(t *testing.T, idle time.Duration, now int64) {
	t.Helper()
	table, err := New(1, testTimers, []Rule{{Idle: idle}}, now)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	insert(t, table, admission(packet.UDP, 1, 0), now)
	if got, _ := lifetime(table, now); got < idle || got > idle+grace(idle) {
		t.Errorf("it lived %v, want %v", got, idle)
	}
}

// TestSweepLate is a sweep that comes rarely, as on a machine that was asleep.
func TestSweepLate(t *testing.T) {
	for _, pause := range []time.Duration{time.Minute, 9 * time.Minute, 3 * time.Hour, 20 * 24 * time.Hour} {
		t.Run(pause.String(), func(t *testing.T) {
			now := int64(epochs[3])
			table := newTable(t, 4, now)
			old := insert(t, table, admission(packet.UDP, 1, day), now)
			end(table, now, 4)
			now += int64(pause)
			table.Observe(old, datagram(60), 1, now)
			insert(t, table, admission(packet.UDP, 2, short), now)
			insert(t, table, admission(packet.UDP, 3, long), now)
			if got := end(table, now, 1); len(got) != 0 {
				t.Fatalf("%v ended", got[0].Tuple[0])
			}
			for want := uint32(2); want <= 3; want++ {
				if _, e := lifetime(table, now); e.Owner != want {
					t.Errorf("flow %d ended, want %d", e.Owner, want)
				}
			}
		})
	}
}

// TestTombstones is how long a flow that was given up is remembered.
func TestTombstones(t *testing.T) {
	now := int64(epochs[3])
	table := newTable(t, 2, now)
	a := admission(packet.TCP, 1, resets)
	reply := a.Translated.Reverse()
	r := insert(t, table, a, now)
	establish(table, r, now)
	if e := table.End(r, Killed, now); !e.Reset || table.Len() != 0 {
		t.Fatalf("reset %v, %d flows left", e.Reset, table.Len())
	}
	for _, k := range []packet.Tuple{a.Original, reply} {
		if r, ok := table.Lookup(&k); !ok || table.State(r) != Tombstone {
			t.Fatalf("%v: no tombstone", k)
		}
	}
	end(table, now+29_999*ms, 1)
	if _, ok := table.Lookup(&reply); !ok {
		t.Error("it is gone before 30 s")
	}
	end(table, now+30_001*ms, 1)
	if _, ok := table.Lookup(&reply); ok {
		t.Error("it is there after 30 s")
	}
}

// TestTombstonesGiveWay fills a table with tombstones and then with flows: the
// oldest go first, and no flow is refused before the last.
func TestTombstonesGiveWay(t *testing.T) {
	const room = 64
	table := newTable(t, room, 0)
	for i := range uint32(room) {
		r := insert(t, table, admission(packet.TCP, i, resets), int64(i)*ms)
		establish(table, r, int64(i)*ms)
		table.End(r, Killed, int64(i)*ms)
	}
	for i := range uint32(room) {
		insert(t, table, admission(packet.UDP, i, resets), 100*ms)
		for j := range uint32(room) {
			if _, ok := table.Lookup(&admission(packet.TCP, j, resets).Original); ok != (j > i) {
				t.Fatalf("%d flows in: tombstone %d there: %v", i+1, j, ok)
			}
		}
	}
	if _, err := table.Insert(admission(packet.UDP, room, resets), 100*ms); err != ErrFull {
		t.Errorf("one flow too many: %v", err)
	}
}

// TestStorm has 100,000 flows end at once, 32 at a time, while another lives on
// and new ones come.
func TestStorm(t *testing.T) {
	const flows, budget = 100_000, 32
	table := newTable(t, 1<<17, 0)
	for i := range uint32(flows) {
		establish(table, insert(t, table, admission(packet.TCP, i, resets), 0), 0)
	}
	busy := insert(t, table, admission(packet.UDP, flows, resets), 0)
	now, seen, fresh := 4*60*second, make([]bool, flows), uint32(0)
	buf := make([]Ended, 0, budget)
	for left := flows; left > 0; now += ms / 2 {
		table.Observe(busy, datagram(60), 1, now)
		insert(t, table, admission(packet.ICMP, fresh, resets), now)
		fresh++
		got, _ := table.Sweep(now, buf)
		if len(got) > budget {
			t.Fatalf("%d flows end at a time", len(got))
		}
		for _, e := range got {
			if !e.Reset || e.Reason != Idle || seen[e.Owner] {
				t.Fatalf("flow %d ended: reset %v, reason %v, before %v", e.Owner, e.Reset, e.Reason, seen[e.Owner])
			}
			seen[e.Owner] = true
			left--
		}
		if now > (4*60+4)*second {
			t.Fatalf("%d flows are left after 4 s", left)
		}
	}
	if want := int(fresh) + 1; table.Len() != want {
		t.Errorf("%d flows live, want %d", table.Len(), want)
	}
}
