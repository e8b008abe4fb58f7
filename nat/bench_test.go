package nat_test

import (
	"fmt"
	"testing"
	"time"

	"tidegate/nat"
	"tidegate/packet"
)

// quick answers as a hash table does, in no time, so that what is measured is the
// search itself.
type quick struct {
	ports []bool // in use for the one destination
	asked int
}

func (q *quick) Use(reply packet.Tuple, seq uint32) nat.Use {
	q.asked++
	if q.ports[reply.DstPort] {
		return nat.InUse
	}
	return nat.Unused
}

func newQuick() *quick { return &quick{ports: make([]bool, 1<<16)} }

func (q *quick) take(l *nat.Lease, t packet.Tuple) {
	ext, _, _ := l.Allocate(&t, 0, q, 0)
	l.Hold(ext, t.SrcPort)
	q.ports[ext.Port] = true
}

// BenchmarkAllocate is what a port costs for a destination that so many percent
// of a lease's ports are in use for, while every port has flows to others.
func BenchmarkAllocate(b *testing.B) {
	for _, ports := range []int{1024, 64000} {
		for _, percent := range []int{0, 50, 95, 99, 100} {
			b.Run(fmt.Sprintf("%d/%d%%", ports, percent), func(b *testing.B) { benchAllocate(b, ports, percent) })
		}
	}
}

func benchAllocate(b *testing.B, ports, percent int) {
	b.ReportAllocs()
	l, other, q := newLease(b, packet.TCP, ports), newQuick(), newQuick()
	for i := range ports {
		other.take(l, tuple(packet.TCP, member, uint16(i), remote(1)))
	}
	t := tuple(packet.TCP, member, 1, remote(2))
	for range ports * percent / 100 {
		q.take(l, t)
	}
	q.asked = 0
	now := int64(time.Hour)
	for b.Loop() {
		now += 1000
		if _, _, ok := l.Allocate(&t, 0, q, now); ok != (percent < 100) {
			b.Fatal(ok)
		}
	}
	b.ReportMetric(float64(q.asked)/float64(b.N), "looks/op")
}

// BenchmarkMapping is the same for UDP: a port for a new mapping, and one for an
// old one.
func BenchmarkMapping(b *testing.B) {
	l, tr := newLease(b, packet.UDP, 64000), newTracker()
	for i := range 60_000 {
		t := tuple(packet.UDP, member, uint16(i), remote(1))
		ext, _, _ := l.Allocate(&t, 0, tr, 0)
		l.Hold(ext, t.SrcPort)
	}
	for name, port := range map[string]uint16{"new": 65000, "old": 77} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			t := tuple(packet.UDP, member, port, remote(2))
			for b.Loop() {
				ext, _, _ := l.Allocate(&t, 0, tr, 0)
				l.Hold(ext, port)
				l.Release(ext, port)
			}
		})
	}
}

// BenchmarkSuccession is what packets wait for at a reload: a thousand members, a
// million ports with a flow each, half of which are to go; then nothing changes.
func BenchmarkSuccession(b *testing.B) {
	var frontends []packet.Addr
	for i := range packet.Addr(16) {
		frontends = append(frontends, public+i)
	}
	rules := func(ports int) nat.Rules {
		r := egress(frontends, members(1000), ports)
		r.Protocols = []packet.Protocol{packet.UDP}
		return nat.Rules{Frontends: frontends, Outbound: []nat.OutboundRule{r}}
	}
	for _, ports := range []int{504, 1000} {
		b.Run(fmt.Sprint(ports), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				p, err := nat.NewPolicy(rules(1000))
				if err != nil {
					b.Fatal(err)
				}
				for _, l := range p.Leases() {
					for i := range l.Total() {
						t := packet.Tuple{Src: l.Member, SrcPort: uint16(i), Dst: 1, DstPort: 1, Proto: packet.UDP}
						ext, _, _ := l.Allocate(&t, 0, newTracker(), 0)
						l.Hold(ext, uint16(i))
					}
				}
				next, err := nat.Next(rules(ports), p.Dealt())
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				next.Succeed(p)
			}
		})
	}
}
