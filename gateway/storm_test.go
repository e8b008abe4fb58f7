package gateway

import (
	"encoding/binary"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// storm is many ESTABLISHED flows, made quickly: from templates whose ports are
// written over (TCP checksums go wrong, which concerns the ends alone).
type storm struct {
	*rig
	syn, ack [2][]byte // by member
	answer   []byte
}

const (
	srcPortAt = headroom + 20
	dstPortAt = headroom + 22
)

func newStorm(t testing.TB, n int, change ...func(*Options)) *storm {
	s := &storm{rig: newCrowd(t, n, change...)}
	frame := func(seg packettest.Segment) []byte {
		return packettest.Ethernet(packettest.TCP(seg), packettest.Link{VNet: true})
	}
	for i, src := range []string{client, otherClient} {
		s.syn[i] = frame(packettest.Segment{Src: src, Dst: server, Seq: 1000, Flags: packet.SYN})
		s.ack[i] = frame(packettest.Segment{Src: src, Dst: server, Seq: 1001, Ack: 5001, Flags: packet.ACK})
	}
	s.answer = frame(packettest.Segment{Src: server, Dst: "203.0.113.5:1", Seq: 5000, Ack: 1001, Flags: packet.SYN | packet.ACK})
	for i := range n {
		s.establish(i%2, uint16(1+i/4), uint16(443+i/2%2))
	}
	return s
}

func (s *storm) establish(member int, src, dst uint16) {
	s.t.Helper()
	external := s.quick(nexthop.Inside, s.syn[member], src, dst)
	s.quick(nexthop.Outside, s.answer, dst, binary.BigEndian.Uint16(external[srcPortAt:]))
	s.quick(nexthop.Inside, s.ack[member], src, dst)
}

// quick forwards a template and returns the frame that came out.
func (s *storm) quick(from nexthop.Side, template []byte, src, dst uint16) []byte {
	frame := append(make([]byte, 0, 128), template...)
	binary.BigEndian.PutUint16(frame[srcPortAt:], src)
	binary.BigEndian.PutUint16(frame[dstPortAt:], dst)
	w := s.ports[from]
	w.forwardBatch([][]byte{frame}, s.clock)
	out := &w.out[opposite(from)]
	if len(*out) != 1 {
		s.t.Fatalf("a packet from %v, %d > %d, was not forwarded", from, src, dst)
	}
	*out = (*out)[:0]
	return frame
}

// TestStorm has 100,000 flows idle out together.
func TestStorm(t *testing.T) {
	const flows = 100_000
	s := newStorm(t, flows)
	told := map[packet.Tuple]int{}
	for _, f := range s.flows() {
		told[f.Tuple[0].Reverse()], told[f.Tuple[1].Reverse()] = 0, 0
	}
	largest := 0
	for side := range s.control.port.Writers {
		s.control.port.Writers[side] = countingWriter{s.control.port.Writers[side], func(frames [][]byte) {
			largest = max(largest, len(frames))
			for n, f := range frames {
				told[s.reset(f[headroom:], nexthop.Side(side), n == 0)]++
			}
		}}
	}
	s.clock += int64(testIdle + 2*time.Second)
	began := time.Now()
	if err := s.control.sweep(t.Context(), make([]conntrack.Ended, 0, sweepBudget)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d resets in %v", 2*flows, time.Since(began))
	if len(told) != 2*flows {
		t.Errorf("%d ends were told, want %d", len(told), 2*flows)
	}
	for end, n := range told {
		if n != 1 {
			t.Fatalf("%v went out %d times", end, n)
		}
	}
	if largest > sweepBudget {
		t.Errorf("%d resets went out in one step, the budget is %d flows", largest, sweepBudget)
	}
	s.sent = [2][][]byte{}
	s.gone()
	if n := s.Snapshot().Counters.Resets[ruleEgress][ResetIdle]; n != [2]uint64{flows, flows} {
		t.Errorf("counted %v", n)
	}
}

// reset checks a RST, all of it if thorough, and returns its tuple.
func (s *storm) reset(b []byte, side nexthop.Side, thorough bool) packet.Tuple {
	var p packet.Parsed
	want := map[nexthop.Side]uint32{nexthop.Inside: 5001, nexthop.Outside: 1001}[side]
	if packet.Decode(b, &p) != packet.FaultNone || p.Flags&packet.RST == 0 || p.Seq != want {
		s.t.Fatalf("%s, want a RST with sequence number %d", packettest.Describe(b), want)
	}
	if thorough {
		packettest.Check(s.t, b)
	}
	return p.Tuple
}

type countingWriter struct {
	Writer
	count func([][]byte)
}

func (w countingWriter) WriteBatch(frames [][]byte) (int, error) {
	w.count(frames)
	return len(frames), nil
}

// A member that fills its ports with flows that never end is told so at once,
// however often it asks: the search costs it nothing more.
func TestSearchesPauseWhileAllIsTaken(t *testing.T) {
	r := newRig(t)
	r.use(server)
	l, _ := r.policy.Outbound(memberAddr, packet.TCP)
	asked := askingTracker{Tracker: r.Gateway}
	want := packettest.Tuple(packet.TCP, client, server)
	for range 100 {
		if _, _, ok := l.Allocate(&want, 1, &asked, r.clock); ok {
			t.Fatal("there was a port")
		}
	}
	if asked.n > memberPorts {
		t.Errorf("100 tries in the same moment asked %d times, one search asks %d times", asked.n, memberPorts)
	}
}

type askingTracker struct {
	nat.Tracker
	n int
}

func (a *askingTracker) Use(reply packet.Tuple, seq uint32) nat.Use {
	a.n++
	return a.Tracker.Use(reply, seq)
}
