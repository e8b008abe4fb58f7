package conntrack

import (
	"testing"

	"tidegate/packet"
)

// TestExtend: what a later fragment adds to a segment moves the highest number sent
// on, as far as the other end's window goes, and never back.
func TestExtend(t *testing.T) {
	for _, first := range firsts {
		table, now := newTable(t, 4, 0), int64(0)
		r := insert(t, table, admission(packet.TCP, 1, resets), now)
		mine, theirs := first[0], first[1]
		table.Observe(r, segment(packet.SYN, mine, 0, 0), 1, now)
		table.Observe(r^1, segment(packet.SYN|packet.ACK, theirs, mine+1, 0), 1, now)
		table.Observe(r, segment(packet.ACK, mine+1, theirs+1, 100), 1, now)
		for _, c := range []struct{ end, want uint32 }{
			{mine + 50, mine + 101},
			{mine + 101, mine + 101},
			{mine + 1401, mine + 1401},
			{mine + 1400, mine + 1401},
			{mine + 1 + minWindow, mine + 1 + minWindow},
			{mine + 2 + minWindow, mine + 1 + minWindow},
			{mine + 1<<30, mine + 1 + minWindow},
			{mine - 1<<30, mine + 1 + minWindow},
		} {
			table.Extend(r, c.end)
			if got := table.Flow(r, now).MaxEnd[Original]; got != c.want {
				t.Errorf("from %#x, to %#x: %#x, want %#x", mine, c.end, got, c.want)
			}
			if got := table.Flow(r, now).MaxEnd[Reply]; got != theirs+1 {
				t.Errorf("the other end's became %#x", got)
			}
		}
	}
}

// TestExtendOneWay: of a flow whose server is not heard nobody knows the window.
func TestExtendOneWay(t *testing.T) {
	table := newTable(t, 4, 0)
	a := admission(packet.TCP, 1, resets)
	a.Via, a.Owner = 7, 0
	r := insert(t, table, a, 0)
	table.Observe(r, segment(packet.SYN, 1000, 0, 0), 1, 0)
	table.Observe(r, segment(packet.ACK, 1001, 5001, 100), 1, 0)
	table.Extend(r, 2001)
	if got := table.Flow(r, 0).MaxEnd[Original]; got != 2001 {
		t.Errorf("%d, want 2001", got)
	}
	table.Extend(r, 2002+farthest)
	if got := table.Flow(r, 0).MaxEnd[Original]; got != 2001 {
		t.Errorf("%d, want 2001", got)
	}
}

// TestToward and TestID: names of a flow's directions, and of the flow.
func TestToward(t *testing.T) {
	table := newTable(t, 4, 0)
	r := insert(t, table, admission(packet.UDP, 1, resets), 0)
	if r.Toward(Original) != r || r.Toward(Reply) != r^1 || (r^1).Toward(Original) != r || (r^1).Toward(Reply) != r^1 {
		t.Error("directions are confused")
	}
	id := table.ID(r)
	if found, ok := table.Find(id); !ok || found != r || table.ID(r^1) != id || table.Flow(r, 0).ID != id {
		t.Errorf("%x is found as %v, %t", id, found, ok)
	}
	table.End(r, Killed, 0)
	if _, ok := table.Find(id); ok {
		t.Error("it is found after its end")
	}
}

// TestUDPOutboundOnly has one end of a UDP flow speak while the other is silent.
func TestUDPOutboundOnly(t *testing.T) {
	for _, c := range []struct {
		name                 string
		only, inside, turned bool
		proto                packet.Protocol
		speaks               Direction
		kept                 bool
	}{
		{"outbound, from outside", true, true, false, packet.UDP, Reply, false},
		{"outbound, from inside", true, true, false, packet.UDP, Original, true},
		{"outbound, off", false, true, false, packet.UDP, Reply, true},
		{"inbound, from inside", true, false, false, packet.UDP, Reply, true},
		{"inbound, from outside", true, false, false, packet.UDP, Original, true},
		{"hairpin", true, true, true, packet.UDP, Reply, true},
		{"ICMP", true, true, false, packet.ICMP, Reply, true},
	} {
		timers := testTimers
		timers.UDPOutboundOnly = c.only
		table, err := New(8, timers, testRule[:], 0)
		if err != nil {
			t.Fatal(err)
		}
		a := admission(c.proto, 1, short)
		a.Inside, a.Turned = c.inside, c.turned
		r := insert(t, table, a, 0).Toward(c.speaks)
		buf := make([]Ended, 0, 8)
		ended := 0
		for now := int64(0); now < 40*second; now += 400 * ms {
			table.Observe(r, &packet.Parsed{Kind: packet.KindUDP}, 1, now)
			got, _ := table.Sweep(now, buf)
			if ended += len(got); ended > 0 {
				break
			}
		}
		if (ended == 0) != c.kept {
			t.Errorf("%s: kept %t, want %t", c.name, ended == 0, c.kept)
		}
		table.Close()
	}
}
