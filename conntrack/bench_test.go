package conntrack

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"tidegate/packet"
)

// BenchmarkObserve is what a packet of a known flow costs: hot, and spread over
// as many flows as the name says.
func BenchmarkObserve(b *testing.B) {
	for _, proto := range []packet.Protocol{packet.TCP, packet.UDP} {
		for _, flows := range []int{1, 50_000, 1_000_000} {
			b.Run(fmt.Sprintf("%v/%d", proto, flows), func(b *testing.B) { benchObserve(b, proto, flows) })
		}
	}
}

func benchObserve(b *testing.B, proto packet.Protocol, flows int) {
	b.ReportAllocs()
	table := newTable(b, 1<<20, 0)
	p := datagram(60)
	for i := range uint32(flows) {
		r := insert(b, table, admission(proto, i, resets), 0)
		if proto == packet.TCP {
			establish(table, r, 0)
			p = segment(packet.ACK, 1001, 5001, 0)
		}
	}
	tuples := make([]packet.Tuple, 1<<16) // read in order, so that they cost little
	for i := range tuples {
		tuples[i] = admission(proto, uint32(rand.IntN(flows)), resets).Original
	}
	now, i := int64(0), 0
	for b.Loop() {
		r, ok := table.Lookup(&tuples[i%len(tuples)])
		if !ok {
			b.Fatal("no such flow")
		}
		now += 100
		table.Observe(r, p, 1, now)
		i++
	}
}

// BenchmarkMiss is a Lookup that finds nothing in a full table.
func BenchmarkMiss(b *testing.B) {
	const flows = 1 << 20
	table := newTable(b, flows, 0)
	for i := range uint32(flows) {
		insert(b, table, admission(packet.UDP, i, resets), 0)
	}
	k := admission(packet.TCP, 0, resets).Original
	for b.Loop() {
		k.SrcPort++
		if _, ok := table.Lookup(&k); ok {
			b.Fatal("a flow that isn't there")
		}
	}
}

// BenchmarkChurn makes a flow and ends the oldest, with as many in the table as
// the name says.
func BenchmarkChurn(b *testing.B) {
	for _, flows := range []uint32{1, 50_000, 1_000_000} {
		b.Run(fmt.Sprint(flows), func(b *testing.B) {
			b.ReportAllocs()
			table := newTable(b, 1<<20, 0)
			a := make([]Admission, flows)
			refs := make([]Ref, flows)
			for i := range a {
				a[i] = *admission(packet.UDP, uint32(i), resets)
				refs[i] = insert(b, table, &a[i], 0)
			}
			for i := 0; b.Loop(); i = (i + 1) % len(a) {
				table.End(refs[i], Killed, 0)
				refs[i] = insert(b, table, &a[i], 0)
			}
		})
	}
}

// BenchmarkSweep is what it costs to look at a flow that is not due after all,
// and at one that is.
func BenchmarkSweep(b *testing.B) {
	const flows = 1 << 18
	idle := int64(testRule[silent].Idle)
	for name, last := range map[string]int64{"kept": idle, "ended": 0} {
		b.Run(name, func(b *testing.B) {
			buf := make([]Ended, 0, 32)
			for b.Loop() {
				b.StopTimer()
				table := newTable(b, flows, 0)
				for i := range uint32(flows) {
					r := insert(b, table, admission(packet.UDP, i, silent), 0)
					table.Observe(r, datagram(60), 1, last)
				}
				b.StartTimer()
				for more := true; more; {
					_, more = table.Sweep(idle+int64(time.Second), buf)
				}
				b.StopTimer()
				table.Close()
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/flow")
		})
	}
}
