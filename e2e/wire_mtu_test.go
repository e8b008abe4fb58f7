package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

// A narrow is a place on the way between h1 and s1 that takes smaller packets than
// the links of both.
type narrow struct {
	name   string
	mtu    int
	routes string // what makes the router narrow there
	own    bool   // it is a link of the gateway
	lan    bool   // the one inside
}

// The router's limits are of its routes, so that its links take whatever comes.
const narrowBehindRouter = `
ip route change 198.51.100.0/24 dev srv1 src 198.51.100.1 mtu 1300
ip route replace 203.0.113.5/32 via 203.0.113.1 mtu 1300`

var narrows = []narrow{
	{name: "behind the router", mtu: 1300, routes: narrowBehindRouter},
	{name: "outside", mtu: 1400, own: true},
	{name: "inside", mtu: 1300, own: true, lan: true},
}

// Two megabytes arrive each way over a way that is narrow somewhere, and so do
// datagrams, once who sends them has learned how large they may be. Both ends of a
// connection are told so at once by the MSS, where the narrow link is one of the
// gateway's.
func TestPathMTU(t *testing.T) {
	for _, n := range narrows {
		t.Run(n.name, func(t *testing.T) {
			onEachHost(t, func(r *rig) {
				r.watch()
				n.makeLink(r)
				r.start(settings{rules: everyWay})
				r.shell(r.Router, n.routes)
				out, in := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
				r.wantMSS(r.outside, r.Servers[0], n.mss())
				r.wantMSS(r.inside, r.Hosts[0], n.mss())
				r.bothWays(out, 2<<20)
				r.bothWays(in, 2<<20)
				if !n.own && !r.toldMTU(r.inside, n.mtu) {
					r.Error("the router's complaint about a segment did not reach h1")
				}
				r.wantLearned(r.Hosts[0], r.Servers[0], ":5353", r.Servers[0].Addr.String()+":5353", n.mtu)
				r.wantLearned(r.Servers[0], r.Hosts[0], ":5353", frontend+":"+inboundPort, n.mtu)
				r.wantNothingOfInside()
			})
		})
	}
}

// mss is what an end learns by the SYN of the other.
func (n narrow) mss() int {
	if n.own {
		return n.mtu - 40
	}
	return 1460
}

func (n narrow) makeLink(r *rig) {
	r.Helper()
	switch {
	case n.lan:
		r.setMTU(n.mtu, r.LAN, "gw", "h1", "h2", "h3", "br0")
		r.setMTU(n.mtu, r.Gateway, "in0")
		r.setMTU(n.mtu, r.Hosts[0], "eth0")
	case n.own:
		r.setMTU(n.mtu, r.Gateway, "out0")
		r.setMTU(n.mtu, r.Router, "wan0")
	}
}

func (r *rig) setMTU(mtu int, h *lab.Host, ifaces ...string) {
	r.Helper()
	for _, i := range ifaces {
		r.check(h.SetMTU(i, mtu))
	}
}

// wantMSS checks the first SYN that the gateway sent to a host.
func (r *rig) wantMSS(wire *lab.Capture, to *lab.Host, want int) {
	r.Helper()
	syn, err := wire.Wait(r.within(soon), func(p lab.Packet) bool {
		return !p.Outgoing && destination(p).Addr() == to.Addr && p.TCP() != nil && segmentFlags(p.TCP()) == "S"
	})
	r.check(err)
	for _, o := range syn.TCP().Options {
		if o.OptionType == layers.TCPOptionKindMSS && int(binary.BigEndian.Uint16(o.OptionData)) == want {
			return
		}
	}
	r.Errorf("%s sees a SYN with other than MSS %d: %v", to.Name, want, syn.TCP().Options)
}

// toldMTU says whether the gateway sent "fragmentation needed" with an MTU about a
// TCP segment.
func (r *rig) toldMTU(wire *lab.Capture, mtu int) bool {
	r.Helper()
	for _, p := range r.icmpErrors(wire) {
		i := p.ICMP()
		if i.TypeCode == layers.CreateICMPv4TypeCode(unreachable, layers.ICMPv4CodeFragmentationNeeded) && int(i.Seq) == mtu && i.Payload[9] == unix.IPPROTO_TCP {
			return true
		}
	}
	return false
}

// bothWays sends n bytes each way at once, and checks each of them.
func (r *rig) bothWays(p pair, n int64) {
	r.Helper()
	want := must(lab.Digest(lab.Blob(n)))(r)
	deadline := time.Now().Add(15 * time.Second)
	var group errgroup.Group
	for from, to := range map[net.Conn]net.Conn{p.inside: p.outside, p.outside: p.inside} {
		r.check(from.SetDeadline(deadline))
		defer from.SetDeadline(time.Time{})
		group.Go(func() error {
			_, err := io.Copy(from, lab.Blob(n))
			return err
		})
		group.Go(func() error {
			got, err := lab.Digest(io.LimitReader(to, n))
			if err == nil && got != want {
				r.Errorf("from %v came other bytes", from.LocalAddr())
			}
			return err
		})
	}
	r.check(group.Wait())
}

// wantLearned has a host send datagrams that must not be fragmented, and checks that
// it learns how large they may be, and that those arrive, and come back.
func (r *rig) wantLearned(from, by *lab.Host, at, to string, mtu int) {
	r.Helper()
	must(lab.ServeUDPEcho(by, at))(r)
	conn := must(from.Dial(r.Context(), "udp4", to))(r)
	defer conn.Close()
	r.setOption(conn, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	const headers = 28
	conn.Write(make([]byte, 1500-headers)) // the interface itself may refuse it
	var learned int
	r.eventually(soon, from.Name+" has learned the path's MTU", func() bool {
		r.onSocket(conn, func(fd int) (err error) {
			_, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR) // takes it away
			learned, err = unix.GetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU)
			return err
		})
		return learned < 1500
	})
	if learned != mtu {
		r.Errorf("%s has learned that %s takes %d bytes, want %d", from.Name, to, learned, mtu)
	}
	r.check(pingPong(conn, mtu-headers))
}
