package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
	"tidegate/packet/packettest"
)

const (
	hostilePerSide = 12_000               // frames
	hostileBatch   = 30                   // of them at once, no more than the gateway's queues take on a busy machine
	hostilePause   = time.Millisecond * 5 // between batches: some 6,000 a second and side
	hostileFlows   = 1024                 // that the gateway may have
	hostileGrowth  = 32 << 20             // bytes of memory: 4 MiB of fragments, a full flow table, and what the collector leaves
)

// A connection goes on, byte for byte, while frames that were valid once and are bent
// at every layer come from both sides. The gateway lives, does not grow, and sends
// nothing out that is not its to send.
func TestHostileFrames(t *testing.T) {
	onEachHost(t, func(r *rig) {
		r.watch()
		r.configure(settings{rules: everyWay})
		r.setGuardRoutes()
		r.launch("env", fmt.Sprint("TIDEGATE_GATEWAY_MAXFLOWS=", hostileFlows))
		r.awaitReady()
		r.setTunnelRoutes()
		inside, outside := r.valid()
		p := r.connect(r.Hosts[1], r.Servers[1])
		before, drops := r.memory(), r.status().Totals.Drops
		r.beside(p, func() error {
			var both errgroup.Group
			both.Go(func() error { return bombard(r.LAN, "gw", inside, outside, 1) })
			both.Go(func() error { return bombard(r.Router, "wan0", outside, inside, 2) })
			return both.Wait()
		})
		if grown := r.memory() - before; grown > hostileGrowth {
			r.Errorf("the gateway has grown by %d bytes", grown)
		}
		r.wantHostile(drops)
		r.wantOnlyPublic()
	})
}

// valid has traffic of all kinds, and returns what came to the gateway from each side.
func (r *rig) valid() (inside, outside [][]byte) {
	r.Helper()
	h1, h3, s1 := r.Hosts[0], r.Hosts[2], r.Servers[0]
	for _, h := range []*lab.Host{h1, h3, s1} {
		must(lab.ServeUDPEcho(h, ":5353"))(r)
	}
	r.connect(h1, s1).inside.Close()
	r.connectInbound().outside.Close()
	for to, from := range map[string]*lab.Host{s1.Addr.String() + ":5353": h1, frontend + ":" + inboundPort: s1, third + ":5353": s1, private + ":5353": h3} {
		conn := must(from.Dial(r.Context(), "udp4", to))(r)
		if to != private+":5353" { // which may lead to h2, where nobody listens
			r.check(pingPong(conn, 100))
			r.check(pingPong(conn, 4000))
		}
		conn.Close()
	}
	r.check(ping(r, h1, s1.Addr.String()))
	r.check(ping(r, s1, third))
	r.datagramTold(h1, s1.Addr.String()+":9", 0)
	r.datagramTold(s1, third+":9", 0)
	time.Sleep(settle)
	return toGateway(r.inside), toGateway(r.outside)
}

// toGateway returns the IPv4 frames that went to the gateway over a cable, with the
// checksums that a card would have made.
func toGateway(wire *lab.Capture) (frames [][]byte) {
	for _, p := range wire.Packets() {
		if !p.Outgoing || p.IPv4() == nil || len(p.Data()) > 1514 {
			continue
		}
		frame := slices.Clone(p.Data())
		if p.PartialChecksum {
			packettest.Fix(frame[packettest.EthernetLen:])
		}
		frames = append(frames, frame)
	}
	return frames
}

// beside has a connection transfer both ways, as often as it can, until f is done.
func (r *rig) beside(p pair, f func() error) {
	r.Helper()
	var done atomic.Bool
	ended := make(chan error, 1)
	go func() {
		ended <- f()
		done.Store(true)
	}()
	rounds := 0
	for ; !done.Load(); rounds++ {
		r.bothWays(p, 256<<10)
	}
	r.check(<-ended)
	r.bothWays(p, 1<<20)
	if rounds < 3 {
		r.Errorf("only %d transfers went on beside", rounds)
	}
}

// bombard sends bent frames by an interface: mostly of those that come there, and now
// and then of those that come on the other side.
func bombard(h *lab.Host, iface string, own, others [][]byte, seed uint64) error {
	into, err := h.Injector(iface)
	if err != nil {
		return err
	}
	defer into.Close()
	rnd := rand.New(rand.NewPCG(seed, 2))
	for n := range hostilePerSide {
		from := own
		if rnd.IntN(25) == 0 {
			from = others
		}
		frame := bent(rnd, from[rnd.IntN(len(from))], own[0])
		if err := into.Send(frame); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return err
		}
		if n%hostileBatch == 0 {
			time.Sleep(hostilePause)
		}
	}
	return nil
}

// bent returns a frame with another identification, to the MAC that like goes to,
// and either from another port or with something wrong.
func bent(rnd *rand.Rand, frame, like []byte) []byte {
	frame = slices.Clone(frame)
	copy(frame, like[:12])
	b := frame[packettest.EthernetLen:]
	binary.BigEndian.PutUint16(b[4:], uint16(rnd.Uint32()))
	headers := int(b[0]&0xf)*4 + 20
	switch rnd.IntN(10) {
	case 0: // anywhere
		b[rnd.IntN(len(b))] = byte(rnd.Uint32())
		return frame
	case 1: // an Ethernet type
		binary.BigEndian.PutUint16(frame[12:], []uint16{0x8100, 0x86dd, 0x88a8, 0x0800, 0xffff}[rnd.IntN(5)])
	case 2: // cut off
		return frame[:packettest.EthernetLen+rnd.IntN(len(b))]
	case 3: // a length
		binary.BigEndian.PutUint16(b[2:], uint16(rnd.IntN(len(b)+3)))
	case 4: // options
		b[0] = 0x40 | byte(rnd.IntN(16))
	case 5: // a bit of an address or a port
		b[12+rnd.IntN(min(12, len(b)-12))] ^= 1 << rnd.IntN(8)
	case 6: // a fragment, maybe
		binary.BigEndian.PutUint16(b[6:], uint16(rnd.Uint32()&0x21ff))
	case 7: // TTL, protocol
		b[8+rnd.IntN(2)] = byte(rnd.IntN(20))
	case 8: // headers
		for range 1 + rnd.IntN(4) {
			b[rnd.IntN(min(headers, len(b)))] = byte(rnd.Uint32())
		}
	case 9: // another flow
		binary.BigEndian.PutUint16(b[headers-20:], uint16(rnd.Uint32()))
	}
	if int(b[0]&0xf)*4 <= len(b) {
		packettest.Fix(b)
	}
	return frame
}

// memory is what the gateway has of it, in bytes.
func (r *rig) memory() int {
	r.Helper()
	var kilobytes int
	for l := range strings.Lines(string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", r.tidegate.Pid())))(r))) {
		fmt.Sscanf(l, "VmRSS: %d kB", &kilobytes)
	}
	if kilobytes == 0 {
		r.Fatal("the gateway has no memory")
	}
	return kilobytes << 10
}

// wantHostile checks that much of it came, that it was bad in many ways, and that the
// flow table kept its bound.
func (r *rig) wantHostile(before map[string]uint64) {
	r.Helper()
	totals := r.status().Totals
	ways, dropped := 0, uint64(0)
	for reason, n := range totals.Drops {
		if n -= before[reason]; n > 10 {
			ways++
		}
		dropped += n
	}
	enough := map[string]int{"packet": 9, "tun": 5}[r.datapath] // with tun the kernel sorts out a part
	if ways < enough || totals.Flows > hostileFlows || totals.Drops["table-full"] == 0 {
		r.Errorf("%d frames were dropped for %d reasons, want %d and more; %d flows: %v", dropped, ways, enough, totals.Flows, totals.Drops)
	}
	if lost := totals.Drops["rx-overflow"] - before["rx-overflow"]; lost > hostilePerSide/4 {
		r.Errorf("the gateway has not seen %d of the frames", lost)
	}
}

// wantOnlyPublic checks whom the world has heard: public frontends and the gateway.
func (r *rig) wantOnlyPublic() {
	r.Helper()
	time.Sleep(settle)
	own := r.Gateway.Interface("out0").Prefix.Addr().String()
	for _, p := range fromGateway(r.outside) {
		if from := netip.AddrFrom4([4]byte(p.Data()[26:30])).String(); !slices.Contains([]string{own, frontend, second, third}, from) {
			r.Fatalf("left outside from %s: %v", from, p)
		}
	}
}
