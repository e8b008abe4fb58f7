package conntrack

import (
	"time"

	"tidegate/packet"
)

var testTimers = Timers{
	HalfOpen: 30 * time.Second, FinHold: 65 * time.Second, ResetHold: 16 * time.Second, ICMP: 30 * time.Second,
}

// The rules that tests use.
const (
	resets    = iota // 4 minutes, with RST
	silent           // 4 minutes
	short            // 1 second, with RST
	long             // 100 minutes, beyond a turn of the wheel
	day              // 24 hours, with RST
	testRules        // how many
)

var testRule = [testRules]Rule{
	resets: {Idle: 4 * time.Minute, Reset: true},
	silent: {Idle: 4 * time.Minute},
	short:  {Idle: time.Second, Reset: true},
	long:   {Idle: 100 * time.Minute},
	day:    {Idle: 24 * time.Hour, Reset: true},
}

// tester is a testing.TB or a rapid.T.
type tester interface {
	Helper()
	Fatal(args ...any)
	Cleanup(func())
}

func newTable(t tester, maxFlows int, now int64) *Table {
	t.Helper()
	table, err := New(maxFlows, testTimers, testRule[:], now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table
}

// admission returns the i-th of many flows, none of which share a tuple.
func admission(proto packet.Protocol, i uint32, rule uint16) *Admission {
	o := packet.Tuple{
		Src: 0x0a000001 + packet.Addr(i>>16), SrcPort: uint16(i),
		Dst: 0xc6336407, DstPort: 443, Proto: proto, // 198.51.100.7
	}
	if proto == packet.ICMP {
		o.DstPort = 0
	}
	x := o
	x.Src = 0xcb007105 + packet.Addr(i>>16) // 203.0.113.5
	return &Admission{Original: o, Translated: x, Inside: true, Rule: rule, Owner: i}
}

func insert(t tester, table *Table, a *Admission, now int64) Ref {
	t.Helper()
	r, err := table.Insert(a, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// datagram and segment are packets as Decode would have left them.
func datagram(total int) *packet.Parsed {
	return &packet.Parsed{Kind: packet.KindUDP, Total: total, Payload: total - 28}
}

func segment(flags uint8, seq, ack uint32, n int) *packet.Parsed {
	return &packet.Parsed{
		Kind: packet.KindTCP, Flags: flags, Seq: seq, Ack: ack, Payload: n, Total: 40 + n, Window: 65535, WScale: -1,
	}
}

// establish opens the flow: the ends' next numbers are 1001 and 5001 afterwards.
func establish(table *Table, r Ref, now int64) {
	table.Observe(r, segment(packet.SYN, 1000, 0, 0), 1, now)
	table.Observe(r^1, segment(packet.SYN|packet.ACK, 5000, 1001, 0), 1, now)
	table.Observe(r, segment(packet.ACK, 1001, 5001, 0), 1, now)
}

// end sweeps until nothing more ends, a few at a time.
func end(table *Table, now int64, budget int) (all []Ended) {
	buf := make([]Ended, 0, budget)
	for more := true; more; {
		var got []Ended
		got, more = table.Sweep(now, buf)
		all = append(all, got...)
	}
	return all
}
