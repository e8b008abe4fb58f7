package gateway

import (
	"slices"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// FuzzWorker hands one packet to a gateway with flows of every kind. Built
// packets are seeds here; testdata/fuzz holds those that found a bug.
func FuzzWorker(f *testing.F) {
	for _, s := range hostileSeeds() {
		f.Add(s.from == nexthop.Outside, s.b)
	}
	f.Fuzz(func(t *testing.T, outside bool, b []byte) {
		from := nexthop.Inside
		if outside {
			from = nexthop.Outside
		}
		r := newTarget(t)
		frame := packettest.Ethernet(b, packettest.Link{VNet: true})
		v := r.sendFrame(from, slices.Clone(frame))
		if v == DropBadChecksum { // as good as none: the fuzzer can't guess it
			packettest.Fix(b[:int(b[0]&0xf)*4])
			v = r.sendFrame(from, packettest.Ethernet(b, packettest.Link{VNet: true}))
		}
		if v.Drop() || v == LeftToHost {
			r.quiet(from)
		}
		r.wellBehaved(from, b)
		r.sleep(50 * time.Millisecond)
		r.silent()
		r.Close()
	})
}

// quiet wants that a packet which went nowhere left nothing on the other side.
func (r *rig) quiet(from nexthop.Side) {
	r.t.Helper()
	if n := len(r.sent[opposite(from)]); n != 0 {
		r.t.Errorf("%d packets crossed", n)
	}
}
