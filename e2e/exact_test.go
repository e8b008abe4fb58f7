package e2e

import (
	"io"
	"math"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

// A disturbance is something that a flow sees and that must not move the numbers
// which its RSTs will have.
type disturbance struct {
	name string
	do   func(*rig, pair)
}

var disturbances = []disturbance{
	{"keepalive probe", keepaliveProbe},
	{"old retransmission", oldRetransmission},
	{"late duplicate ACK", lateDuplicateACK},
	{"blind segments from outside", blindFromOutside},
	{"blind segments from inside", blindFromInside},
}

func TestResetIsExactAfter(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		pairs := make([]pair, len(disturbances))
		for i, d := range disturbances {
			pairs[i] = r.connect(h1, s1)
			r.numbersOf(pairs[i])
			d.do(r, pairs[i])
		}
		time.Sleep(settle)
		defer r.wantNoChallenge(h1, s1)()
		rig := *r
		for i, d := range disturbances {
			r.Run(d.name, func(t *testing.T) {
				rig.T = t
				rig.wantReset(pairs[i], idle)
			})
		}
	})
}

// wantNoChallenge returns what checks, at the end, that two kernels took every RST
// as it came and asked back about none (RFC 5961).
func (r *rig) wantNoChallenge(a, b *lab.Host) (check func()) {
	r.Helper()
	before := r.challenges(a) + r.challenges(b)
	return func() {
		r.Helper()
		if n := r.challenges(a) + r.challenges(b) - before; n != 0 {
			r.Errorf("the kernels asked back %d times", n)
		}
	}
}

// keepaliveProbe has the real kernel of h1 send one.
func keepaliveProbe(r *rig, p pair) {
	r.Helper()
	n := r.numbersOf(p)
	keepalive := net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Minute, Count: 9}
	r.check(p.inside.SetKeepAliveConfig(keepalive))
	_, err := r.inside.Wait(r.within(3*time.Second), func(c lab.Packet) bool {
		return source(c) == addrPort(p.inside.LocalAddr()) && c.TCP().Seq == n.inside.SndNxt-1
	})
	r.check(err)
	r.check(p.inside.SetKeepAlive(false))
}

// oldRetransmission repeats both ends' lines, with the acknowledgments of then.
func oldRetransmission(r *rig, p pair) {
	r.Helper()
	n := r.numbersOf(p)
	old := uint32(len(line))
	r.fromInside(r.Hosts[0], p, layers.TCP{Seq: n.inside.SndNxt - old, Ack: n.inside.RcvNxt - old, ACK: true, PSH: true}, line)
	r.fromOutside(r.Servers[0], p, layers.TCP{Seq: n.outside.SndNxt - old, Ack: n.outside.RcvNxt - old, ACK: true, PSH: true}, line)
}

// lateDuplicateACK acknowledges less than has been acknowledged.
func lateDuplicateACK(r *rig, p pair) {
	r.Helper()
	n := r.numbersOf(p)
	old := uint32(len(line))
	r.fromInside(r.Hosts[0], p, layers.TCP{Seq: n.inside.SndNxt, Ack: n.inside.RcvNxt - old, ACK: true}, "")
	r.fromOutside(r.Servers[0], p, layers.TCP{Seq: n.outside.SndNxt, Ack: n.outside.RcvNxt - old, ACK: true}, "")
}

// blindSegments are what somebody sends who knows the addresses and ports and
// guesses one of the numbers.
func blindSegments(s lab.Sequences) []layers.TCP {
	return []layers.TCP{
		{Seq: s.SndNxt + 1<<30, Ack: s.RcvNxt, ACK: true},
		{Seq: s.SndNxt - 1<<30, Ack: s.RcvNxt, ACK: true},
		{Seq: s.SndNxt, Ack: s.RcvNxt + 1<<20, ACK: true},
		{Seq: s.SndNxt + 1<<29, Ack: s.RcvNxt - 1<<29, ACK: true},
		{Seq: s.SndNxt + 1<<28, SYN: true},
	}
}

func blindFromOutside(r *rig, p pair) {
	r.Helper()
	for _, segment := range blindSegments(r.numbersOf(p).outside) {
		r.fromOutside(r.Servers[1], p, segment, "blind")
	}
}

func blindFromInside(r *rig, p pair) {
	r.Helper()
	for _, segment := range blindSegments(r.numbersOf(p).inside) {
		r.fromInside(r.Hosts[1], p, segment, "blind")
	}
}

// fromInside sends a segment of the connection from a host's interface as if it
// were the inside end's, and fromOutside as if it were the outside end's.
func (r *rig) fromInside(by *lab.Host, p pair, segment layers.TCP, payload string) {
	r.Helper()
	r.inject(by, p.inside, segment, payload)
}

func (r *rig) fromOutside(by *lab.Host, p pair, segment layers.TCP, payload string) {
	r.Helper()
	r.inject(by, p.outside, segment, payload)
}

// inject sends a segment as if it were the socket's.
func (r *rig) inject(by *lab.Host, as net.Conn, segment layers.TCP, payload string) {
	r.Helper()
	if segment.Window == 0 {
		segment.Window = math.MaxUint16
	}
	from, to := addrPort(as.LocalAddr()), addrPort(as.RemoteAddr())
	r.check(by.Inject("eth0", must(by.TCPFrame("eth0", from, to, segment, []byte(payload)))(r)))
}

// reach is how far from a wrap of the sequence numbers a connection may begin to
// be useful: what is worth transferring across it.
const reach = 20 << 20

// The numbers wrap in the middle of a transfer, in each direction.
func TestResetIsExactAfterWrap(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		up := r.dialNearWrap(func(n numbers) uint32 { return n.inside.SndNxt })
		r.wrap(up.inside, up.outside)
		settled := r.wantNoChallenge(r.Hosts[0], r.Servers[0])
		r.wantReset(up, idle)
		down := r.dialNearWrap(func(n numbers) uint32 { return n.outside.SndNxt })
		r.wrap(down.outside, down.inside)
		r.wantReset(down, idle)
		settled()
	})
}

// dialNearWrap connects until one end's numbers begin within reach of a wrap. One
// in two hundred does.
func (r *rig) dialNearWrap(number func(numbers) uint32) pair {
	r.Helper()
	listener := must(r.Servers[0].Listen("tcp4", ":0"))(r)
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	to := netip.MustParseAddrPort(net.JoinHostPort(r.Servers[0].Addr.String(), port)).String()
	for range 4000 {
		client := must(r.Hosts[0].Dial(r.within(5*time.Second), "tcp4", to))(r).(*net.TCPConn)
		server := must(listener.Accept())(r).(*net.TCPConn)
		p := pair{client, server}
		if -number(r.numbersOf(p)) < reach {
			return r.adopt(p)
		}
		r.check(client.SetLinger(0))
		client.Close()
		server.Close()
	}
	r.Fatal("no connection began near a wrap")
	return pair{}
}

// wrap sends until the numbers have wrapped, and a little further.
func (r *rig) wrap(from, to *net.TCPConn) {
	r.Helper()
	left := int64(-must(lab.SequencesOf(from))(r).SndNxt) + 1<<20
	digest := make(chan string, 1)
	go func() {
		d, _ := lab.Digest(io.LimitReader(to, left))
		digest <- d
	}()
	_, err := io.Copy(from, lab.Blob(left))
	r.check(err)
	if got, want := <-digest, must(lab.Digest(lab.Blob(left)))(r); got != want {
		r.Errorf("%d bytes across the wrap did not arrive intact", left)
	}
	if n := must(lab.SequencesOf(from))(r).SndNxt; n > 2<<20 {
		r.Errorf("the number is %d: it did not wrap", n)
	}
}
