package gateway

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// crossers is one batch of frames whose ports are written anew for each turn, so
// that the flows are many and the frames stay in the cache: what is measured is
// the gateway.
type crossers struct {
	*batch
	ports []uint32 // source and destination port of each flow, in random order
	at    int
}

func (c *crossers) turn() [][]byte {
	for _, f := range c.fresh {
		binary.BigEndian.PutUint32(f[srcPortAt:], c.ports[c.at])
		if c.at++; c.at == len(c.ports) {
			c.at = 0
		}
	}
	return c.restore()
}

func newCrossers(template []byte, ports []uint32) *crossers {
	frames := make([][]byte, batchSize)
	for i := range frames {
		frames[i] = append([]byte(nil), template...)
	}
	rand.Shuffle(len(ports), func(i, j int) { ports[i], ports[j] = ports[j], ports[i] })
	return &crossers{batch: newBatch(frames...), ports: ports}
}

// known makes n UDP flows and returns their ports as they leave and come back.
func known(r *rig, n int) (out, back []uint32) {
	w := r.ports[nexthop.Inside]
	frame, template := framed(datagram(client, server)), framed(datagram(client, server))
	for i := range n {
		copy(frame, template)
		binary.BigEndian.PutUint16(frame[srcPortAt:], uint16(1+i/2))
		binary.BigEndian.PutUint16(frame[dstPortAt:], uint16(443+i%2))
		out = append(out, binary.BigEndian.Uint32(frame[srcPortAt:]))
		w.forwardBatch([][]byte{frame}, r.clock)
		w.out[nexthop.Outside] = w.out[nexthop.Outside][:0]
		external := binary.BigEndian.Uint32(frame[srcPortAt:])
		back = append(back, external<<16|external>>16)
	}
	return out, back
}

func BenchmarkKnownFlows(b *testing.B) {
	for _, n := range []int{64, 50_000} {
		for _, from := range bothSides {
			b.Run(fmt.Sprintf("%d/from %v", n, from), func(b *testing.B) {
				r := newCrowd(b, 1<<16)
				r.mute()
				out, back := known(r, n)
				all := newCrossers(framed(datagram(client, server)), out)
				if from == nexthop.Outside {
					all = newCrossers(framed(datagram(server, "203.0.113.5:1")), back)
				}
				b.ReportAllocs()
				for b.Loop() {
					r.forward(from, all.turn())
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/packet")
				if r.counters.Verdicts[Forwarded] != uint64(b.N*batchSize+n) || r.table.Len() != n {
					b.Fatal("packets were not forwarded by the flows that were known")
				}
			})
		}
	}
}

// BenchmarkNewFlows has every packet begin a flow, from source ports or to
// destinations not used yet. Full tables are swept off the clock.
func BenchmarkNewFlows(b *testing.B) {
	const fill = 16_000 // half of the member's ports
	for _, c := range []struct {
		name   string
		packet []byte
		portAt int
	}{
		{"TCP to one server", syn(client, server), srcPortAt},
		{"TCP to many", syn(client, server), dstPortAt},
		{"UDP from many ports", datagram(client, server), srcPortAt},
		{"UDP to many", datagram(client, server), dstPortAt},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := newCrowd(b, 1<<15)
			r.mute()
			all, made := newCrossers(framed(c.packet), []uint32{0}), 0
			b.ReportAllocs()
			for b.Loop() {
				if made+batchSize > fill {
					b.StopTimer()
					r.empty()
					made = 0
					b.StartTimer()
				}
				for _, f := range all.fresh {
					made++
					binary.BigEndian.PutUint16(f[c.portAt:], uint16(made))
				}
				r.forward(nexthop.Inside, all.restore())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batchSize), "ns/flow")
			if n := r.counters.Created[ruleEgress]; n[indexTCP]+n[indexUDP] != uint64(b.N*batchSize) {
				b.Fatalf("%v flows were made of %d packets", n, b.N*batchSize)
			}
		})
	}
}

// empty lets every flow idle out, without the pauses.
func (r *rig) empty() {
	r.clock += int64(2 * testIdle)
	for r.table.Len() > 0 {
		r.control.expire(make([]conntrack.Ended, 0, 4096))
	}
}

// BenchmarkFragments: datagrams of three fragments each, of one flow.
func BenchmarkFragments(b *testing.B) {
	for _, name := range []string{"in order", "reversed"} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.udp(client, server)
			r.mute()
			whole := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("x", 4000)})
			frames := newBatch()
			for _, piece := range orders[name](packettest.Fragments(whole, 1500)) {
				frames.fresh = append(frames.fresh, framed(piece))
				frames.frames = append(frames.frames, framed(piece))
			}
			b.ReportAllocs()
			for b.Loop() {
				r.forward(nexthop.Inside, frames.restore())
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
			if r.fragments.Len() != 0 || r.counters.Verdicts[DropFragment] != 0 {
				b.Fatalf("%d datagrams are left, %d fragments were dropped", r.fragments.Len(), r.counters.Verdicts[DropFragment])
			}
		})
	}
}
