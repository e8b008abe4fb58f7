package gateway

import (
	"encoding/binary"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestMSSClamp: both ends of a connection are told what the smaller of the two links
// takes, through every kind of flow.
func TestMSSClamp(t *testing.T) {
	for _, c := range []struct{ inside, outside, sent, want int }{
		{1500, 1500, 1460, 1460}, {1500, 1400, 1460, 1360}, {1400, 1500, 1460, 1360}, {9000, 1500, 8960, 1460},
		{1300, 1400, 1360, 1260}, {1400, 1300, 1000, 1000}, {400, 1500, 1460, 536}, {9000, 9000, 1460, 1460},
	} {
		for _, odd := range []bool{false, true} {
			for _, s := range subjects {
				if s.b[9] != byte(packet.TCP) {
					continue
				}
				r := newSubjectRig(t, false)
				r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = c.inside, c.outside
				v := packettest.Fields(t, s.b)
				hello := packettest.Segment{Src: v.Src, Dst: v.Dst, Flags: packet.SYN, Options: mssAt(odd, c.sent)}
				seen, to := r.through(s.from, packettest.TCP(hello))
				v = packettest.Fields(t, seen)
				answer := packettest.Segment{Src: v.Dst, Dst: v.Src, Ack: 1, Flags: packet.SYN | packet.ACK, Options: mssAt(!odd, c.sent)}
				back, _ := r.through(to, packettest.TCP(answer))
				want := c.want
				if s.from == nexthop.Inside && to == nexthop.Inside { // nothing of it passes the outside's link
					want = max(536, min(c.sent, c.inside-40))
				}
				if got := mssOf(t, seen, odd); got != want {
					t.Errorf("%s, %+v: the server is told %d, want %d", s.name, c, got, want)
				}
				if got := mssOf(t, back, !odd); got != want {
					t.Errorf("%s, %+v: the client is told %d, want %d", s.name, c, got, want)
				}
			}
		}
	}
}

func mssAt(odd bool, mss int) []packettest.Option {
	if odd {
		return []packettest.Option{packettest.NOP, packettest.MSS(uint16(mss)), packettest.WScale(7)}
	}
	return []packettest.Option{packettest.MSS(uint16(mss)), packettest.WScale(7)}
}

func mssOf(t *testing.T, b []byte, odd bool) int {
	t.Helper()
	opts := packettest.Fields(t, b).Options
	if odd {
		opts = opts[1:]
	}
	return int(binary.BigEndian.Uint16([]byte(opts[2:])))
}

// TestMSSClampPartial: a SYN whose checksum the device completes.
func TestMSSClampPartial(t *testing.T) {
	r := newRig(t)
	r.hops.hop[nexthop.Outside].MTU = 1400
	hello := packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, Options: mssAt(true, 1460)})
	if v := r.sendFrame(nexthop.Inside, partial(hello)); v != Forwarded {
		t.Fatal(v)
	}
	out := r.takeRaw(nexthop.Outside)[0]
	packettest.Check(t, out)
	if got := mssOf(t, out, true); got != 1360 {
		t.Errorf("the server is told %d", got)
	}
}

// TestMSSClampWhileWaiting: the side that is known counts at once, the other when it is.
func TestMSSClampWhileWaiting(t *testing.T) {
	for _, inside := range []int{1500, 1200} {
		r := newRig(t)
		r.hops.hop[nexthop.Inside].MTU, r.hops.hop[nexthop.Outside].MTU = inside, 1400
		dst := packettest.Addr(serverHost)
		r.hops.status[dst] = nexthop.Unresolved
		r.expect(Waiting, nexthop.Inside, packettest.TCP(packettest.Segment{Src: client, Dst: server, Flags: packet.SYN, Options: mssAt(false, 1460)}))
		delete(r.hops.status, dst)
		r.sleep(50 * time.Millisecond)
		out := r.takeRaw(nexthop.Outside)[0]
		packettest.Check(t, out)
		if got, want := mssOf(t, out, false), min(inside, 1400)-40; got != want {
			t.Errorf("the server is told %d, want %d", got, want)
		}
	}
}
