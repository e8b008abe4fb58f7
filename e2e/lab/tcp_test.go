package lab_test

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

func sequences(t *testing.T, c net.Conn) lab.Sequences {
	t.Helper()
	s, err := lab.SequencesOf(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// observed is what a capture on one end's interface says of that end: the
// highest number after what it sent, and its last acknowledgement.
func observed(c *lab.Capture) (sent, acked uint32) {
	for _, p := range c.Packets() {
		tcp := p.TCP()
		if tcp == nil || !p.Outgoing {
			continue
		}
		end := tcp.Seq + uint32(len(tcp.Payload))
		if tcp.SYN {
			end++
		}
		if sent == 0 || int32(end-sent) > 0 {
			sent = end
		}
		if tcp.ACK {
			acked = tcp.Ack
		}
	}
	return sent, acked
}

func TestSequencesAgreeWithCapture(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	masquerade(t, l)
	atClient, atServer := capture(t, l.Hosts[0], "eth0"), capture(t, l.Servers[0], "eth0")
	client, server := connect(t, l.Hosts[0], l.Servers[0])
	go io.Copy(server, server)
	for range 3 {
		wantEcho(t, client)
	}
	quiet(t, atClient)
	before := len(atClient.Packets())
	for _, end := range []struct {
		conn    net.Conn
		capture *lab.Capture
	}{{client, atClient}, {server, atServer}} {
		s := sequences(t, end.conn)
		if sent, acked := observed(end.capture); s.SndNxt != sent || s.SndUna != sent || s.RcvNxt != acked {
			t.Errorf("kernel says %+v, capture %d sent, %d acknowledged", s, sent, acked)
		}
	}
	time.Sleep(50 * time.Millisecond)
	if after := len(atClient.Packets()); after != before {
		t.Errorf("reading sequence numbers sent %d packets", after-before)
	}
	wantEcho(t, client)
}

// quiet waits until no packet has come for a while: delayed acknowledgements
// take up to 40 ms.
func quiet(t *testing.T, c *lab.Capture) {
	t.Helper()
	for n := -1; n != len(c.Packets()); time.Sleep(100 * time.Millisecond) {
		n = len(c.Packets())
	}
}

// A sender whose receiver does not read has bytes that are written and not sent.
func TestSequencesOfStalledSender(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 2})
	c := capture(t, l.Hosts[0], "eth0")
	client, server := connect(t, l.Hosts[0], l.Hosts[1])
	if err := server.SetReadBuffer(8192); err != nil {
		t.Fatal(err)
	}
	client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
	if _, err := io.Copy(client, lab.Blob(1<<30)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	client.SetWriteDeadline(time.Time{})
	quiet(t, c)
	s, state := sequences(t, client), tcpInfo(t, client)
	if sent, _ := observed(c); s.SndNxt != sent || state.Notsent_bytes == 0 {
		t.Errorf("kernel says %+v with %d bytes not sent, capture %d", s, state.Notsent_bytes, sent)
	}
	if other := sequences(t, server); other.RcvNxt != s.SndUna {
		t.Errorf("receiver says %+v, sender %+v", other, s)
	}
}

func tcpInfo(t *testing.T, c net.Conn) *unix.TCPInfo {
	t.Helper()
	state, err := lab.TCPInfo(c)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

func TestSequencesKeepSocketOptions(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 2})
	_, server := connect(t, l.Hosts[0], l.Hosts[1])
	before := reuse(t, server)
	sequences(t, server)
	if after := reuse(t, server); after != before {
		t.Errorf("SO_REUSEADDR was %d, is %d", before, after)
	}
	if state := tcpInfo(t, server).State; state != unix.BPF_TCP_ESTABLISHED {
		t.Errorf("state is %d", state)
	}
	if _, err := lab.SequencesOf(struct{ net.Conn }{server}); err == nil {
		t.Error("read the numbers of what is no socket")
	}
}

func reuse(t *testing.T, c *net.TCPConn) (value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) { value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR) })
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// A RST one beside the number that its receiver expects is answered with a
// challenge ACK, one with exactly that number ends the connection (RFC 5961).
func TestWaitResetSeesExactReset(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 2})
	c := capture(t, l.Hosts[0], "eth0")
	client, server := connect(t, l.Hosts[0], l.Hosts[1])
	from, to := addrPort(server.LocalAddr()), addrPort(server.RemoteAddr())
	expected := sequences(t, client).RcvNxt
	reset := func(seq uint32) {
		frame, err := l.Hosts[1].TCPFrame("eth0", from, to, layers.TCP{RST: true, Seq: seq}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Hosts[1].Inject("eth0", frame); err != nil {
			t.Fatal(err)
		}
	}
	reset(expected + 1)
	_, err := c.Wait(within(t, time.Second), func(p lab.Packet) bool {
		return p.Outgoing && p.TCP() != nil && !p.TCP().SYN && p.TCP().Ack == expected
	})
	if err != nil {
		t.Errorf("no challenge ACK: %v", err)
	}
	if _, err := lab.WaitReset(client, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after an inexact RST: %v", err)
	}
	time.AfterFunc(100*time.Millisecond, func() { reset(expected) })
	at, err := lab.WaitReset(client, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	rst, err := c.Wait(within(t, time.Second), func(p lab.Packet) bool {
		return p.TCP() != nil && p.TCP().RST && p.TCP().Seq == expected
	})
	if err != nil {
		t.Fatal(err)
	}
	if late := at.Sub(rst.Metadata().Timestamp); late < -time.Millisecond || late > time.Second {
		t.Errorf("reset seen %v after it came", late)
	}
}

func addrPort(a net.Addr) netip.AddrPort { return a.(*net.TCPAddr).AddrPort() }

func TestWaitResetTellsOtherEnds(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 2})
	client, server := connect(t, l.Hosts[0], l.Hosts[1])
	server.Close()
	if _, err := lab.WaitReset(client, time.Second); !errors.Is(err, io.EOF) {
		t.Errorf("after a FIN: %v", err)
	}
	client, server = connect(t, l.Hosts[0], l.Hosts[1])
	if _, err := server.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	server.SetLinger(0)
	server.Close()
	if _, err := lab.WaitReset(client, time.Second); err != nil {
		t.Errorf("after a RST: %v", err)
	}
}

// Frames go to the next hop: another host's MAC on the same link, the router's
// behind it; nobody's if nobody answers.
func TestFrameFindsNextHop(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 2})
	h := l.Hosts[0]
	from := netip.AddrPortFrom(h.Addr, 1000)
	for to, mac := range map[netip.Addr]string{
		l.Hosts[1].Addr:   l.Hosts[1].Interface("eth0").MAC.String(),
		l.Servers[0].Addr: l.Gateway.Interface("in0").MAC.String(),
	} {
		frame, err := h.TCPFrame("eth0", from, netip.AddrPortFrom(to, 80), layers.TCP{SYN: true}, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if got := net.HardwareAddr(frame[:6]).String(); got != mac {
			t.Errorf("frame for %s goes to %s, want %s", to, got, mac)
		}
	}
	nobody := netip.MustParseAddrPort("10.0.0.99:80")
	if _, err := h.TCPFrame("eth0", from, nobody, layers.TCP{}, nil); err == nil {
		t.Error("built a frame for nobody")
	}
}
