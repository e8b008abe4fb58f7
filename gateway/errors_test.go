package gateway

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// subjects are first packets of flows of every kind on a site with one backend.
var subjects = []struct {
	name string
	from nexthop.Side
	b    []byte
}{
	{"outbound TCP", nexthop.Inside, syn(client, server)},
	{"outbound UDP", nexthop.Inside, datagram(client, server)},
	{"outbound UDP without checksum", nexthop.Inside, packettest.UDP(packettest.Datagram{Src: client, Dst: server, NoChecksum: true})},
	{"outbound echo", nexthop.Inside, ping("10.0.0.10", serverHost, 7)},
	{"instance, out", nexthop.Inside, datagram("10.0.0.20:7", server)},
	{"instance, in", nexthop.Outside, syn(stranger, "203.0.113.9:22")},
	{"instance, echo in", nexthop.Outside, ping("192.0.2.66", pipAddr, 7)},
	{"inbound NAT", nexthop.Outside, syn(stranger, frontendSSH)},
	{"load-balanced TCP", nexthop.Outside, syn(stranger, webFrontend)},
	{"load-balanced UDP", nexthop.Outside, datagram(stranger, dnsFrontend)},
	{"internal frontend", nexthop.Inside, syn(insideClient, "10.0.0.4:443")},
	{"internal frontend, UDP", nexthop.Inside, datagram(insideClient, "10.0.0.4:999")},
	{"hairpin", nexthop.Inside, syn(otherClient, webFrontend)},
	{"hairpin to an instance", nexthop.Inside, datagram(client, "203.0.113.9:5")},
	{"floating", nexthop.Outside, syn(stranger, directFrontend)},
	{"floating inside", nexthop.Inside, syn(insideClient, innerFrontend)},
}

// reply is what the other end says to what it got.
func reply(t testing.TB, b []byte) []byte {
	t.Helper()
	v := packettest.Fields(t, b)
	switch v.Proto {
	case packet.TCP:
		return packettest.TCP(packettest.Segment{Src: v.Dst, Dst: v.Src, Seq: 9, Ack: v.Seq + 1, Flags: packet.SYN | packet.ACK})
	case packet.UDP:
		return packettest.UDP(packettest.Datagram{Src: v.Dst, Dst: v.Src, NoChecksum: v.NoChecksum, Payload: "answer"})
	}
	return pong(v.Dst, v.Src, v.Ident)
}

// newSubjectRig is a site with one backend, on two interfaces or one TUN device.
func newSubjectRig(t testing.TB, tunnel bool) *rig {
	if !tunnel {
		return newSite(t, oneBackend)
	}
	r := newTunnelRig(t, ssh(), func(o *Options) { siteChange(t, o, []func(*siteOptions){oneBackend}) })
	r.health(true, "10.0.0.10")
	return r
}

// through sends a packet and returns it as it came out, and where.
func (r *rig) through(from nexthop.Side, b []byte) (out []byte, to nexthop.Side) {
	r.t.Helper()
	r.expect(Forwarded, from, b)
	for _, side := range bothSides {
		for _, b := range r.takeRaw(side) {
			if out != nil {
				r.t.Fatalf("a second packet went out: %s", packettest.Describe(b))
			}
			packettest.Check(r.t, b)
			out, to = bytes.Clone(b), side
		}
	}
	return out, to
}

// eachSubject calls f for both directions of a flow of each kind: b was sent from
// there and came out as seen.
func eachSubject(t *testing.T, f func(t *testing.T, r *rig, from, to nexthop.Side, b, seen []byte)) {
	for _, tunnel := range []bool{false, true} {
		for _, s := range subjects {
			name := map[bool]string{true: "tunnel/"}[tunnel] + s.name
			t.Run(name, func(t *testing.T) {
				r := newSubjectRig(t, tunnel)
				seen, to := r.through(s.from, s.b)
				f(t, r, s.from, to, s.b, seen)
				back := reply(t, seen)
				again, home := r.through(to, back)
				if home != s.from {
					t.Fatalf("the answer went out %v", home)
				}
				f(t, r, to, home, back, again)
			})
		}
	}
}

// TestErrors: whoever complains about a packet on its way, its sender learns of it
// in its own words: the packet as it was sent, from an address it knows.
func TestErrors(t *testing.T) {
	eachSubject(t, func(t *testing.T, r *rig, from, to nexthop.Side, b, seen []byte) {
		router := map[nexthop.Side]string{nexthop.Inside: "10.9.9.9", nexthop.Outside: "192.0.2.1"}[to]
		sent := bytes.Clone(b)
		sent[8] = seen[8] // the TTL counted down
		packettest.Fix(sent)
		wrote, got := packettest.Fields(t, b), packettest.Fields(t, seen)
		for _, c := range []packettest.Error{
			{Src: hostOf(got.Dst), Type: 3, Code: 3, Quote: seen},
			{Src: hostOf(got.Dst), Type: 12, Quote: seen[:min(len(seen), 28)]},
			{Src: router, Type: 11, Quote: seen[:28]},
			{Src: router, Type: 3, Code: 4, MTU: 1280, Quote: seen},
			{Src: router, Type: 3, Code: 13, Quote: seen[:28], IP: packettest.IP{Options: []packettest.Option{packettest.RouterAlert}}},
		} {
			e := c
			out, side := r.through(to, packettest.ICMPError(e))
			if side != from {
				t.Fatalf("the error went out %v", side)
			}
			e.Quote, e.Dst = sent[:len(c.Quote)], hostOf(wrote.Src)
			if e.Src != router || from == nexthop.Outside && to == nexthop.Inside {
				e.Src = hostOf(wrote.Dst)
			}
			if r.ports[to].hop == packet.TakeTTL {
				e.TTL = 63
			}
			if diff := cmp.Diff(packettest.Fields(t, packettest.ICMPError(e)), packettest.Fields(t, out)); diff != "" {
				t.Errorf("type %d code %d (-want +got):\n%s", e.Type, e.Code, diff)
			}
		}
	})
}

// TestErrorsFromTheWrongSide: who is not where the packet went knows nothing of it.
func TestErrorsFromTheWrongSide(t *testing.T) {
	for _, s := range subjects {
		r := newSubjectRig(t, false)
		seen, to := r.through(s.from, s.b)
		r.expect(DropWrongSide, opposite(to), packettest.ICMPError(packettest.Error{Src: "10.9.9.9", Type: 3, Quote: seen}))
		r.silent()
	}
}

// TestErrorsAboutNothing: of no flow, or of one that was given up.
func TestErrorsAboutNothing(t *testing.T) {
	r := newRig(t)
	for _, side := range bothSides {
		for _, quote := range [][]byte{
			datagram("203.0.113.5:1024", server), syn("203.0.113.5:1024", server), ping("203.0.113.5", serverHost, 1024),
			datagram(server, client), syn(stranger, "10.0.0.10:22"), packettest.IPv4(packettest.Packet{Src: "203.0.113.5", Dst: serverHost, Proto: 47, Payload: "12345678"}),
		} {
			r.expect(DropICMPError, side, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: quote}))
		}
	}
	c := r.open(client)
	r.sleep(testIdle * 51 / 50)
	r.take(nexthop.Inside)
	r.take(nexthop.Outside)
	for _, quote := range [][]byte{
		packettest.TCP(packettest.Segment{Src: c.public, Dst: server, Seq: c.clientSeq, Flags: packet.ACK}),
		packettest.TCP(packettest.Segment{Src: server, Dst: client, Seq: c.serverSeq, Flags: packet.ACK}),
	} {
		for _, side := range bothSides {
			r.expect(DropICMPError, side, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: quote}))
		}
	}
	r.silent()
	r.gone()
}

// TestErrorsThatLie about a live flow: damaged, cut off, or to somebody else.
func TestErrorsThatLie(t *testing.T) {
	r := newRig(t)
	seen, _ := r.through(nexthop.Inside, datagram(client, server))
	good := packettest.Error{Src: "192.0.2.1", Type: 3, Quote: seen}
	elsewhere := good
	elsewhere.Dst = "203.0.113.6"
	cut := good
	cut.Quote = seen[:23]
	later := good
	later.Quote = packettest.Fragments(seen, 28)[1]
	for _, b := range [][]byte{
		packettest.ICMPError(elsewhere), packettest.ICMPError(cut), packettest.ICMPError(later),
		flip(packettest.ICMPError(good), 22), flip(packettest.ICMPError(good), 50),
		packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: flip(bytes.Clone(seen), 10)}),
	} {
		r.expect(DropICMPError, nexthop.Outside, b)
	}
	redirect := good
	redirect.Type = 5
	r.expect(DropProtocol, nexthop.Outside, packettest.ICMPError(redirect))
	for _, src := range []string{"127.0.0.1", "10.0.0.11", "203.0.113.5", "203.0.113.6"} {
		martian := good
		martian.Src = src
		r.expect(DropMartian, nexthop.Outside, packettest.ICMPError(martian))
	}
	r.silent()
	r.through(nexthop.Outside, packettest.ICMPError(good))
}

// TestErrorsToTheHost are about packets of its own.
func TestErrorsToTheHost(t *testing.T) {
	r := newRig(t)
	r.expect(LeftToHost, nexthop.Inside, packettest.ICMPError(packettest.Error{Src: "10.0.0.10", Type: 3, Quote: datagram("10.0.0.1:53", client)}))
	own := packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: syn("203.0.113.5:70", server)})
	r.expect(DropICMPError, nexthop.Outside, own)
	carryFrontend(r)
	r.expect(LeftToHost, nexthop.Outside, own)
	r.expect(DropICMPError, nexthop.Outside, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: syn("203.0.113.5:1030", server)}))
	r.silent()
}

// TestErrorsNeitherEndNorKeep: a flow lives as long as without them (RFC 5508 REQ-5b,
// RFC 5382 REQ-9).
func TestErrorsNeitherEndNorKeep(t *testing.T) {
	for _, s := range []int{0, 1, 3, 8, 10} {
		r := newSubjectRig(t, false)
		subject := subjects[s]
		seen, to := r.through(subject.from, subject.b)
		before := r.flows()[0]
		life := time.Duration(before.ExpiresIn)
		for _, typ := range []uint8{3, 11} {
			r.sleep(life / 3)
			r.through(to, packettest.ICMPError(packettest.Error{Src: "10.9.9.9", Type: typ, Code: 1, Quote: seen}))
		}
		now := r.flows()[0]
		if left := time.Duration(now.ExpiresIn); left > life-2*(life/3) || now.State != before.State || now.Packets != before.Packets {
			t.Errorf("%s: %v left of %v, state %v, was %v; %v packets", subject.name, left, life, now.State, before.State, now.Packets)
		}
		r.sleep(life/3 + life/50 + time.Second)
		r.silent()
		r.gone()
	}
	p := newRig(t).dial(nexthop.Inside, 1, 2)
	hard := packettest.ICMPError(packettest.Error{Src: serverHost, Type: 3, Code: 3, Quote: packettest.TCP(packettest.Segment{Src: p.b.remote, Dst: server, Seq: p.a.next, Flags: packet.ACK})})
	p.r.through(nexthop.Outside, hard)
	if s := p.r.flows()[0].State; s != conntrack.Established {
		t.Errorf("the flow is %v", s)
	}
	p.talk(10)
}

// TestErrorsAboutErrors: none is sent about one (RFC 1122 §3.2.2).
func TestErrorsAboutErrors(t *testing.T) {
	r := newRig(t)
	seen, _ := r.through(nexthop.Inside, datagram(client, server))
	e := packettest.Error{Src: "192.0.2.1", Type: 11, Quote: seen}
	e.TTL = 1
	r.expect(DropTTL, nexthop.Outside, packettest.ICMPError(e))
	e.TTL, e.DF, e.Quote = 0, true, append(bytes.Clone(seen), make([]byte, 600)...)
	r.hops.hop[nexthop.Inside].MTU = 600
	r.expect(DropTooBig, nexthop.Outside, packettest.ICMPError(e))
	e.Quote = seen
	for status, want := range map[nexthop.Status]Verdict{nexthop.NoRoute: DropNoRoute, nexthop.Unreachable: DropUnreachable} {
		r.hops.status[memberAddr] = status
		r.expect(want, nexthop.Outside, packettest.ICMPError(e))
	}
	r.silent()
}

// TestErrorsWait for the neighbour as any packet does.
func TestErrorsWait(t *testing.T) {
	r := newRig(t)
	seen, _ := r.through(nexthop.Inside, datagram(client, server))
	r.hops.status[memberAddr] = nexthop.Unresolved
	r.expect(Waiting, nexthop.Outside, packettest.ICMPError(packettest.Error{Src: "192.0.2.1", Type: 3, Quote: seen}))
	delete(r.hops.status, memberAddr)
	r.sleep(50 * time.Millisecond)
	if v := r.one(nexthop.Inside); v.Src != "192.0.2.1" || v.Dst != "10.0.0.10" {
		t.Errorf("%s > %s", v.Src, v.Dst)
	}
}
