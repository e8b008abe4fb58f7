package gateway

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

var serverAddr = packettest.Addr(serverHost)

// numbered is a datagram that says which it is.
func numbered(src, dst string, n int) []byte {
	return packettest.UDP(packettest.Datagram{Src: src, Dst: dst, Payload: fmt.Sprintf("%04d", n)})
}

func payloads(views []packettest.View) (all []string) {
	for _, v := range views {
		all = append(all, v.Payload)
	}
	return all
}

func TestPacketsWaitForTheirNeighbour(t *testing.T) {
	r := newRig(t)
	r.hops.status[serverAddr] = nexthop.Unresolved
	var want []string
	for n := range 20 {
		src := []string{client, otherClient, "10.0.0.10:40001"}[n%3]
		r.expect(Waiting, nexthop.Inside, numbered(src, server, n))
		want = append(want, fmt.Sprintf("%04d", n))
	}
	if !slices.Contains(r.hops.solicited, serverAddr) || slices.ContainsFunc(r.hops.solicited, func(a packet.Addr) bool { return a != serverAddr }) {
		t.Errorf("asked for %v, want %v", r.hops.solicited, serverAddr)
	}
	r.crosses(nexthop.Inside, datagram(client, secondServer), func(v *packettest.View) { v.Src = r.external(client) })
	r.sleep(2 * time.Second)
	r.silent()
	r.hops.status[serverAddr] = nexthop.Resolved
	r.sleep(50 * time.Millisecond)
	if got := r.sent[nexthop.Outside][0][packettest.VNetLen:headroom]; !bytes.Equal(got, r.hops.hop[nexthop.Outside].Ether[:]) {
		t.Errorf("released with the link header % x", got)
	}
	if got := payloads(r.take(nexthop.Outside)); !slices.Equal(got, want) {
		t.Errorf("released %v, want %v", got, want)
	}
	r.sleep(10 * time.Second)
	r.silent()
}

func TestPacketsThatWaitInVain(t *testing.T) {
	for name, c := range map[string]struct {
		status nexthop.Status
		want   Verdict
	}{
		"too long":    {nexthop.Unresolved, DropUnresolved},
		"unreachable": {nexthop.Unreachable, DropUnreachable},
		"no route":    {nexthop.NoRoute, DropNoRoute},
		"elsewhere":   {nexthop.Elsewhere, DropNoRoute},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.hops.status[serverAddr] = nexthop.Unresolved
			for n := range 5 {
				r.expect(Waiting, nexthop.Inside, numbered(client, server, n))
			}
			r.sleep(2900 * time.Millisecond)
			if n := r.counters.Verdicts[DropUnresolved]; n != 0 {
				t.Fatalf("%d packets were given up before three seconds", n)
			}
			r.hops.status[serverAddr] = c.status
			r.sleep(150 * time.Millisecond)
			if n := r.counters.Verdicts[c.want]; n != 5 {
				t.Errorf("%d packets are counted as %v, want 5", n, c.want)
			}
			r.hops.status[serverAddr] = nexthop.Resolved
			r.sleep(time.Second)
			r.silent()
		})
	}
}

func TestTheWaitingRoomIsBounded(t *testing.T) {
	r := newRig(t)
	r.hops.status[serverAddr] = nexthop.Unresolved
	big := strings.Repeat("x", 60_000)
	frame := func() []byte {
		return super(packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: big}), gsoUDPv4, 1200, 28)
	}
	n := 0
	for r.sendFrame(nexthop.Inside, frame()) == Waiting {
		n++
	}
	if size := len(frame()); n*size > maxWaitingBytes || (n+1)*size <= maxWaitingBytes {
		t.Errorf("%d frames of %d bytes wait, the bound is %d bytes", n, size, maxWaitingBytes)
	}
	r.sleep(time.Second) // those that are looked at in vain still count
	if v := r.sendFrame(nexthop.Inside, frame()); v != DropUnresolved {
		t.Errorf("after a second: verdict %v", v)
	}
	r.hops.status[serverAddr] = nexthop.Resolved
	r.sleep(50 * time.Millisecond)
	if got := len(r.takeRaw(nexthop.Outside)); got != n {
		t.Errorf("%d were released, want %d", got, n)
	}
}

// A host that is gone takes no room from others, and all of them together have
// no more than there is.
func TestNeighboursShareTheWaitingRoom(t *testing.T) {
	r := newRig(t)
	for n := range maxWaiting / maxForOne {
		dst := fmt.Sprintf("198.51.100.%d:443", 100+n)
		r.hops.status[packettest.Addr(hostOf(dst))] = nexthop.Unresolved
		for range maxForOne {
			r.expect(Waiting, nexthop.Inside, datagram(client, dst))
		}
		r.expect(DropUnresolved, nexthop.Inside, datagram(client, dst))
	}
	r.hops.status[serverAddr] = nexthop.Unresolved
	r.expect(DropUnresolved, nexthop.Inside, datagram(client, server))
	r.hops.status[packettest.Addr("198.51.100.100")] = nexthop.Resolved
	r.sleep(50 * time.Millisecond)
	if n := len(r.take(nexthop.Outside)); n != maxForOne {
		t.Errorf("%d were released, want %d", n, maxForOne)
	}
	r.expect(Waiting, nexthop.Inside, datagram(client, server))
}

// A packet that comes while the room is being looked through stays behind those
// that have waited longer.
func TestOrderWhileTheRoomIsLookedThrough(t *testing.T) {
	r := newRig(t)
	r.hops.status[serverAddr] = nexthop.Unresolved
	r.expect(Waiting, nexthop.Inside, numbered(client, server, 1))
	came := make(chan struct{})
	r.hops.asked = func() {
		r.hops.asked = nil
		go func() {
			defer close(came)
			w := r.ports[nexthop.Inside]
			w.forwardBatch([][]byte{packettest.Ethernet(numbered(client, server, 2), packettest.Link{VNet: true})}, r.clock)
		}()
		select {
		case <-came:
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := r.control.release(); err != nil {
		t.Fatal(err)
	}
	<-came
	r.hops.status[serverAddr] = nexthop.Resolved
	r.sleep(50 * time.Millisecond)
	if got := payloads(r.take(nexthop.Outside)); !slices.Equal(got, []string{"0001", "0002"}) {
		t.Errorf("released %v", got)
	}
}

func TestResetsWaitForTheirNeighbour(t *testing.T) {
	p := newRig(t).dial(nexthop.Inside, 1, 2)
	p.talk(10)
	p.r.hops.status[serverAddr], p.r.hops.status[memberAddr] = nexthop.Unresolved, nexthop.Unresolved
	p.r.sleep(testIdle + time.Second)
	p.r.silent()
	for _, a := range []packet.Addr{serverAddr, memberAddr} {
		if !slices.Contains(p.r.hops.solicited, a) {
			t.Errorf("%v was not asked for", a)
		}
	}
	p.r.hops.status[memberAddr] = nexthop.Resolved
	p.r.hops.status[serverAddr] = nexthop.Resolved
	p.r.sleep(50 * time.Millisecond)
	p.deliver()
	p.reset(t, 1, 1)
}

// One end that can't be reached is no reason not to tell the other.
func TestResetOfOneEndThatIsUnreachable(t *testing.T) {
	for _, s := range []nexthop.Status{nexthop.Unreachable, nexthop.NoRoute, nexthop.Elsewhere, nexthop.Unresolved} {
		p := newRig(t).dial(nexthop.Inside, 1, 2)
		p.r.hops.status[serverAddr] = s
		p.expire()
		if !p.a.closed || p.b.resets != 0 {
			t.Errorf("%v: the client is reset: %t, the server got %d", s, p.a.closed, p.b.resets)
		}
		p.r.gone()
	}
}

// Resets that can't go are drops like any other.
func TestResetsThatCannotGoAreCounted(t *testing.T) {
	const flows = maxForOne + 20
	for status, want := range map[nexthop.Status]Verdict{
		nexthop.Unresolved: DropUnresolved, nexthop.Unreachable: DropUnreachable, nexthop.NoRoute: DropNoRoute,
	} {
		s := newStorm(t, flows)
		s.hops.status[serverAddr] = status
		if n, err := s.Kill(everything); n != flows || err != nil {
			t.Fatal(n, err)
		}
		s.sleep(4 * time.Second)
		if n := s.counters.Verdicts[want]; n != flows {
			t.Errorf("%d resets are counted as %v, want %d", n, want, flows)
		}
		if n := len(s.take(nexthop.Inside)); n != flows {
			t.Errorf("%d clients were told, want %d", n, flows)
		}
		s.silent()
	}
}
