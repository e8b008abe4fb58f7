package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// The tests in this file show what docs/rfc-compliance.md answers and no other
// test shows, as directly as the RFC asks for it.

// RFC 4787 REQ-12a, RFC 5508 REQ-3b: whatever the address an error comes from, one of
// somebody's private network included, and wherever the quoted ports stand.
func TestRFCErrorsOfAnySource(t *testing.T) {
	for _, opts := range [][]packettest.Option{nil, {packettest.RouterAlert}} {
		sent := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: "x", IP: packettest.IP{Options: opts}})
		for _, router := range []string{"192.0.2.1", "10.200.0.1", "100.64.0.1", serverHost} {
			r := newRig(t)
			quote, _ := r.through(nexthop.Inside, sent)
			v := r.pass(nexthop.Outside, packettest.ICMPError(packettest.Error{Src: router, Type: 11, Quote: quote}))
			if inner := packettest.Fields(t, []byte(v.Payload)); v.Src != router || v.Dst != "10.0.0.10" || inner.Src != client {
				t.Errorf("the error of %s went %s > %s about a packet of %s", router, v.Src, v.Dst, inner.Src)
			}
		}
	}
}

// RFC 4787 REQ-12, RFC 5382 REQ-10, RFC 5508 REQ-6, RFC 7857 §7: no ICMP message ends
// a flow, nor keeps it alive.
func TestRFCErrorsEndNothing(t *testing.T) {
	for _, sent := range [][]byte{syn(client, server), datagram(client, server), ping("10.0.0.10", serverHost, 7)} {
		r := newRig(t)
		out, _ := r.through(nexthop.Inside, sent)
		before := r.flows()[0]
		for typ := range uint8(20) {
			for code := range uint8(16) {
				r.clock += int64(10 * time.Millisecond)
				before.ExpiresIn -= int64(10 * time.Millisecond)
				r.send(nexthop.Outside, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: typ, Code: code, Quote: out}))
			}
		}
		if diff := cmp.Diff([]conntrack.Flow{before}, r.flows()); diff != "" {
			t.Errorf("%s: ICMP messages change the flow (-want +got):\n%s", packettest.Describe(sent), diff)
		}
	}
}

// RFC 5508 REQ-3d, RFC 4884: what follows the quoted packet stays as it is.
func TestRFCErrorExtensions(t *testing.T) {
	r := newRig(t)
	sent := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("x", 128-28)})
	extension := "\x20\x00\x00\x00\x00\x08\x01\x01\x00\x01\x21\xff" // an MPLS label (RFC 4950)
	out, _ := r.through(nexthop.Inside, sent)
	b := packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 11, Quote: append(out, extension...)})
	v := r.pass(nexthop.Outside, edited(b, func(b []byte) { b[25] = 128 / 4 }))
	if got, ok := strings.CutSuffix(v.Payload, extension); !ok || packettest.Fields(t, []byte(got)).Src != client {
		t.Errorf("it went on as % x", v.Payload)
	}
}

// RFC 5508 REQ-7, RFC 7857 §12: a ping from inside to an instance-level public IP.
func TestRFCHairpinnedPing(t *testing.T) {
	r := newSite(t)
	r.turned = true
	v := r.pass(nexthop.Inside, ping("10.0.0.10", pipAddr, 5))
	if v.Src != "203.0.113.5" || v.Dst != pipBackend {
		t.Errorf("the request goes %s > %s", v.Src, v.Dst)
	}
	v = r.pass(nexthop.Inside, pong(pipBackend, v.Src, v.Ident))
	if v.Src != pipAddr || v.Dst != "10.0.0.10" || v.Ident != 5 {
		t.Errorf("the reply goes %s > %s with identifier %d", v.Src, v.Dst, v.Ident)
	}
}

// RFC 4787 REQ-2, RFC 6888 REQ-2: all protocols of a member by one address, as long as
// its ports there last: here eight of nearly 64,000.
func TestRFCPairedAddress(t *testing.T) {
	r := newRig(t, func(o *Options) {
		out := egress()
		out.Frontends, out.Ports = []packet.Addr{secondAddr, publicAddr}, 63_992
		o.Policy = newPolicy(t, out)
	})
	for n := range uint16(8) {
		src := endpoint("10.0.0.11", 5000+n)
		for _, b := range [][]byte{syn(src, server), syn(src, secondServer), datagram(src, server), ping("10.0.0.11", serverHost, n)} {
			if v := r.pass(nexthop.Inside, b); hostOf(v.Src) != "203.0.113.6" {
				t.Fatalf("%s leaves as %s", packettest.Describe(b), v.Src)
			}
		}
	}
}

// RFC 5382 REQ-2a: both SYNs are on their way at the same time.
func TestRFCSimultaneousOpen(t *testing.T) {
	r := newRig(t)
	public := r.pass(nexthop.Inside, syn(client, server)).Src
	for _, step := range []struct {
		from     nexthop.Side
		seq, ack uint32
		flags    uint8
	}{
		{nexthop.Outside, 5000, 0, packet.SYN},
		{nexthop.Inside, 1000, 5001, packet.SYN | packet.ACK},
		{nexthop.Outside, 5000, 1001, packet.SYN | packet.ACK},
		{nexthop.Inside, 1001, 5001, packet.ACK},
	} {
		s := packettest.Segment{Src: client, Dst: server, Seq: step.seq, Ack: step.ack, Flags: step.flags}
		was, became := &s.Src, public
		if step.from == nexthop.Outside {
			s.Src, s.Dst = server, public
			was, became = &s.Dst, client
		}
		b := packettest.TCP(s)
		*was = became
		s.TTL = 63
		if diff := cmp.Diff(packettest.Fields(t, packettest.TCP(s)), r.pass(step.from, b)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", step, diff)
		}
	}
	if s := r.flows()[0].State; s != conntrack.Established {
		t.Errorf("the flow is %v", s)
	}
}

// RFC 5382 REQ-4: nobody answers an unsolicited SYN, at once or later, nor does it
// arrive when the connection is opened from inside after all.
func TestRFCUnsolicitedSYN(t *testing.T) {
	r := newRig(t)
	public := r.pass(nexthop.Inside, syn(client, server)).Src
	for _, to := range []string{public, "203.0.113.5:1024", "203.0.113.5:80", "203.0.113.6:443"} {
		r.expect(DropNoFlow, nexthop.Outside, syn(secondServer, to))
	}
	r.sleep(3 * time.Second)
	r.silent()
	r.pass(nexthop.Inside, syn(client, secondServer))
	r.sleep(10 * time.Second)
	r.silent()
}

// RFC 7857 §6.1: what is filtered keeps nothing alive.
func TestRFCStrangersKeepNothing(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	for range 8 {
		r.sleep(testIdle / 8)
		r.send(nexthop.Outside, datagram(stranger, public))
	}
	r.sleep(testIdle / 50)
	r.silent()
	r.gone()
}

// RFC 4787 REQ-10, RFC 5382 REQ-6: an address in what a packet carries is nobody's
// business.
func TestRFCNoALG(t *testing.T) {
	r := newRig(t)
	for port, text := range map[uint16]string{
		21: "PORT 10,0,0,10,156,64\r\n", 554: "SETUP rtsp://10.0.0.10/ RTSP/1.0\r\nTransport: RTP/AVP;client_port=40000\r\n",
		5060: "INVITE sip:a@198.51.100.7 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.10:40000\r\nContact: <sip:b@10.0.0.10:40000>\r\n",
	} {
		dst := endpoint(serverHost, port)
		public := r.pass(nexthop.Inside, syn(client, dst)).Src
		said := packettest.TCP(packettest.Segment{Src: client, Dst: dst, Seq: 1001, Ack: 1, Flags: packet.ACK | packet.PSH, Payload: text})
		r.crosses(nexthop.Inside, said, func(v *packettest.View) { v.Src = public })
		said = packettest.UDP(packettest.Datagram{Src: client, Dst: dst, Payload: text})
		if v := r.pass(nexthop.Inside, said); v.Payload != text {
			t.Errorf("port %d: %q", port, v.Payload)
		}
	}
}

// RFC 4787 REQ-13a: what is too large and may be fragmented is, in order.
func TestRFCFragmentation(t *testing.T) {
	for _, mtu := range []int{1399, 576, 68} {
		r := newRig(t)
		r.hops.hop[nexthop.Outside].MTU = mtu
		sent := packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("tide", 343), IP: packettest.IP{ID: 9}})
		r.expect(Forwarded, nexthop.Inside, sent)
		pieces := r.takeRaw(nexthop.Outside)
		for i, at := 0, 0; i < len(pieces); i++ {
			v := packettest.Fields(t, pieces[i])
			if v.Offset != at || len(pieces[i]) > mtu {
				t.Errorf("MTU %d: piece %d begins at %d and is %d bytes long, want it at %d", mtu, i, v.Offset, len(pieces[i]), at)
			}
			at += len(v.Payload)
		}
		r.rfcWhole(pieces, sent, r.external(client), server)
	}
}

// rfcWhole wants the fragments to be what was sent, translated.
func (r *rig) rfcWhole(pieces [][]byte, sent []byte, src, dst string) {
	r.t.Helper()
	whole, err := packettest.Reassemble(pieces)
	if err != nil {
		r.t.Fatal(err)
	}
	packettest.Check(r.t, whole)
	want := packettest.Fields(r.t, sent)
	want.Src, want.Dst = src, dst
	want.TTL--
	if diff := cmp.Diff(want, packettest.Fields(r.t, whole)); diff != "" {
		r.t.Errorf("the pieces are not what was sent (-want +got):\n%s", diff)
	}
}

// RFC 4787 REQ-14a: fragments that never come to an end cost bounded memory, and
// stand in nobody's way.
func TestRFCFragmentFlood(t *testing.T) {
	r := newRig(t)
	public := r.udp(client, server)
	for n := range 40_000 {
		flood := packettest.UDP(packettest.Datagram{Src: stranger, Dst: public, Payload: strings.Repeat("f", 1000), IP: packettest.IP{ID: uint16(n)}})
		if v := r.send(nexthop.Outside, packettest.Fragments(flood, 532)[1]); v != Waiting && v != DropFragment {
			t.Fatalf("fragment %d: %v", n, v)
		}
	}
	if n, held := r.fragments.Len(), r.fragments.Held(); n > 1<<15 || held > 4<<20 {
		t.Errorf("%d datagrams are followed, %d bytes held", n, held)
	}
	r.pass(nexthop.Outside, datagram(server, public))
	sent := packettest.UDP(packettest.Datagram{Src: server, Dst: public, Payload: strings.Repeat("tide", 25), IP: packettest.IP{ID: 7}})
	for _, b := range packettest.Fragments(sent, 60) {
		r.expect(Forwarded, nexthop.Outside, b)
	}
	r.rfcWhole(r.takeRaw(nexthop.Inside), sent, server, client)
	r.sleep(31 * time.Second)
	if n, held := r.fragments.Len(), r.fragments.Held(); n != 0 || held != 0 {
		t.Errorf("%d datagrams and %d bytes stay for ever", n, held)
	}
}

// RFC 6888 REQ-11: what gets no port is dropped, and no live flow makes room for it.
func TestRFCExhaustionEndsNothing(t *testing.T) {
	r := newRig(t)
	r.use(server)
	r.fill("10.0.0.10", memberPorts)
	before := r.flows()
	for range 100 {
		r.expect(DropExhausted, nexthop.Inside, syn(client, server))
		r.expect(DropExhausted, nexthop.Inside, datagram(client, server))
	}
	if diff := cmp.Diff(before, r.flows()); diff != "" {
		t.Errorf("the flows changed:\n%s", diff)
	}
}
