package gateway

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/conntrack"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

// stage is a gateway and all who act on it: two members with eight ports each,
// three servers, a stranger, and attackers on both sides.
type stage struct {
	*rig
	udp, icmp *mappingModel
}

var (
	stageMembers = []string{"10.0.0.10", "10.0.0.11"}
	stageServers = []string{"198.51.100.7:443", "198.51.100.7:53", "198.51.100.8:443"}
	stageFlags   = []uint8{
		packet.SYN, packet.ACK, packet.ACK | packet.PSH, packet.FIN | packet.ACK, packet.RST, packet.RST | packet.ACK, packet.SYN | packet.ACK, 0,
	}
)

func newStage(t testing.TB) *stage {
	r := newRig(t, func(o *Options) {
		out := egress()
		out.Ports = nat.BlockSize
		o.Policy = newPolicy(t, out, ssh())
		o.MaxFlows = 512
	})
	return &stage{r, newMappingModel(testIdle), newMappingModel(30 * time.Second)}
}

func (s *stage) member(t *rapid.T) string {
	return rapid.SampledFrom(stageMembers).Draw(t, "member")
}

func (s *stage) inner(t *rapid.T) string {
	return endpoint(s.member(t), uint16(5000+rapid.IntRange(0, 11).Draw(t, "port")))
}

func (s *stage) server(t *rapid.T) string {
	return rapid.SampledFrom(stageServers).Draw(t, "server")
}

// public draws an external endpoint: one of the members', or the rule's.
func (s *stage) public(t *rapid.T) string {
	n := rapid.IntRange(0, 2*nat.BlockSize).Draw(t, "external")
	if n == 2*nat.BlockSize {
		return frontendSSH
	}
	return endpoint("203.0.113.5", uint16(nat.FirstPort+n))
}

func (s *stage) segment(t *rapid.T, src, dst string) []byte {
	num := rapid.Uint32Range(0, 5)
	return packettest.TCP(packettest.Segment{
		Src: src, Dst: dst, Seq: num.Draw(t, "seq"), Ack: num.Draw(t, "ack"),
		Flags: rapid.SampledFrom(stageFlags).Draw(t, "flags"), Payload: rapid.SampledFrom([]string{"", "x"}).Draw(t, "payload"),
	})
}

// crossing returns what came out on the other side, or nil; what went back must
// be the gateway's own.
func (s *stage) crossing(from nexthop.Side, b []byte) (v *packettest.View, verdict Verdict) {
	verdict = s.send(from, b)
	sent := packettest.Fields(s.t, b)
	for _, back := range s.take(from) {
		if hostOf(back.Dst) != hostOf(sent.Src) || back.Proto == packet.UDP || back.Proto == packet.TCP && back.Flags&packet.RST == 0 {
			s.t.Errorf("%s drew %+v", packettest.Describe(b), back)
		}
	}
	across := s.take(opposite(from))
	if (verdict == Forwarded) != (len(across) == 1) || len(across) > 1 {
		s.t.Fatalf("%s: %v, and %d packets crossed", packettest.Describe(b), verdict, len(across))
	}
	if len(across) == 0 {
		return nil, verdict
	}
	return &across[0], verdict
}

// leaves is crossing for a packet of a member: it must carry a port of that
// member's, or be the answer of a backend.
func (s *stage) leaves(b []byte) (*packettest.View, Verdict) {
	v, verdict := s.crossing(nexthop.Inside, b)
	if v == nil {
		return nil, verdict
	}
	sent := packettest.Fields(s.t, b)
	external := v.Src
	if v.Proto == packet.ICMP {
		external = endpoint(v.Src, v.Ident)
	}
	if !s.ownedBy(external, hostOf(sent.Src)) && external != frontendSSH || v.Dst != sent.Dst {
		s.t.Errorf("%s left as %s > %s", packettest.Describe(b), external, v.Dst)
	}
	return v, verdict
}

func (s *stage) UDPOut(t *rapid.T) {
	c := contact{s.inner(t), s.server(t)}
	switch v, verdict := s.leaves(datagram(c.internal, c.remote)); verdict {
	case Forwarded:
		s.udp.out(s.t, c, portOf(v.Src), s.clock)
	case DropExhausted:
		s.udp.refused(s.t, c, nat.BlockSize, s.clock)
	default:
		t.Fatalf("verdict %v", verdict)
	}
}

func (s *stage) UDPIn(t *rapid.T) {
	remote, external := s.server(t), s.public(t)
	reached := ""
	if v, _ := s.crossing(nexthop.Outside, datagram(remote, external)); v != nil {
		reached = v.Dst
	}
	s.udp.in(s.t, remote, portOf(external), reached, s.clock)
}

func (s *stage) PingOut(t *rapid.T) {
	internal, remote := s.inner(t), hostOf(s.server(t))
	switch v, verdict := s.leaves(ping(hostOf(internal), remote, portOf(internal))); verdict {
	case Forwarded:
		s.icmp.out(s.t, contact{internal, remote}, v.Ident, s.clock)
	case DropExhausted:
		s.icmp.refused(s.t, contact{internal, remote}, nat.BlockSize, s.clock)
	default:
		t.Fatalf("verdict %v", verdict)
	}
}

func (s *stage) PongIn(t *rapid.T) {
	remote, external := hostOf(s.server(t)), s.public(t)
	reached := ""
	if v, _ := s.crossing(nexthop.Outside, pong(remote, hostOf(external), portOf(external))); v != nil {
		reached = endpoint(v.Dst, v.Ident)
	}
	s.icmp.in(s.t, remote, portOf(external), reached, s.clock)
}

// TCPOut knows from the list of flows which port the segment has to leave by.
func (s *stage) TCPOut(t *rapid.T) {
	src, dst := s.inner(t), s.server(t)
	if rapid.IntRange(0, 9).Draw(t, "backend") == 0 {
		src, dst = "10.0.0.10:22", stranger
	}
	before := s.flows()
	v, _ := s.leaves(s.segment(t, src, dst))
	if v == nil {
		return
	}
	for _, f := range before {
		over := f.State == conntrack.TimeWait || f.State == conntrack.Closed
		reply := f.Tuple[conntrack.Reply]
		if f.Tuple[0].Proto != packet.TCP || !f.Inside || over || reply.Source().String() != dst {
			continue
		}
		if same := f.Tuple[0].Source().String() == src; same != (reply.Destination().String() == v.Src) {
			t.Fatalf("%s leaves as %s, and there was %v with %v", src, v.Src, f.Tuple[0], reply)
		}
	}
}

func (s *stage) TCPIn(t *rapid.T) {
	src, dst := s.server(t), s.public(t)
	if rapid.IntRange(0, 3).Draw(t, "stranger") == 0 {
		src = stranger
	}
	before := s.flows()
	v, _ := s.crossing(nexthop.Outside, s.segment(t, src, dst))
	if v == nil {
		return
	}
	if dst == frontendSSH {
		if v.Dst != "10.0.0.10:22" || v.Src != src {
			t.Fatalf("%s > %s went to %s", src, dst, v.Dst)
		}
		return
	}
	for _, f := range before {
		if reply := f.Tuple[conntrack.Reply]; reply == packettest.Tuple(packet.TCP, src, dst) && f.Tuple[0].Source().String() == v.Dst && v.Src == src {
			return
		}
	}
	t.Fatalf("%s > %s, for which there was no flow, went to %s", src, dst, v.Dst)
}

// Attack comes from addresses and sides that are nobody's business.
func (s *stage) Attack(t *rapid.T) {
	from, src, dst := nexthop.Outside, s.inner(t), s.server(t)
	switch rapid.IntRange(0, 4).Draw(t, "attack") {
	case 0: // a member's tuple from the outside
	case 1: // a member's address to a frontend
		dst = s.public(t)
	case 2: // an answer from the inside
		from, src, dst = nexthop.Inside, s.server(t), s.public(t)
	case 3: // no member
		from, src = nexthop.Inside, "10.0.0.99:5000"
	case 4: // another inside host from the outside, to a member's own address
		src, dst = stranger, s.inner(t)
	}
	for _, b := range [][]byte{datagram(src, dst), s.segment(t, src, dst), ping(hostOf(src), hostOf(dst), 5000), pong(hostOf(src), hostOf(dst), 1025)} {
		if v, verdict := s.crossing(from, b); v != nil || verdict == Waiting {
			t.Fatalf("%s from %v: %v", packettest.Describe(b), from, verdict)
		}
	}
}

func (s *stage) Kill(t *rapid.T) {
	member := s.member(t)
	if _, err := s.rig.Kill(func(f *conntrack.Flow) bool { return f.Tuple[0].Src.String() == member }); err != nil {
		t.Fatal(err)
	}
	s.udp.forget(member)
	s.icmp.forget(member)
	s.onlyResets()
}

func (s *stage) Wait(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 20 * time.Second, 31 * time.Second, 2 * time.Minute, testIdle, testIdle + 5*time.Second}).Draw(t, "pause")
	s.sleep(d)
	s.onlyResets()
}

// onlyResets wants that the gateway by itself sends nothing but RSTs, from its
// members' ports or the rule's.
func (s *stage) onlyResets() {
	for _, side := range bothSides {
		for _, v := range s.take(side) {
			ours := v.Src
			if side == nexthop.Inside {
				ours = v.Dst
			}
			right := s.ownedBy(ours, stageMembers[0]) || s.ownedBy(ours, stageMembers[1]) || ours == frontendSSH
			if side == nexthop.Inside {
				right = hostOf(ours) == stageMembers[0] || hostOf(ours) == stageMembers[1]
			}
			if v.Proto != packet.TCP || v.Flags&packet.RST == 0 || !right {
				s.t.Errorf("out %v: %+v", side, v)
			}
		}
	}
}

func TestAnyTraffic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := newStage(rapidTB{t, rt})
		acts := map[string]func(*rapid.T){
			"udp out": s.UDPOut, "udp in": s.UDPIn, "ping": s.PingOut, "pong": s.PongIn,
			"tcp out": s.TCPOut, "tcp in": s.TCPIn, "attack": s.Attack, "kill": s.Kill, "wait": s.Wait,
		}
		names := slices.Sorted(maps.Keys(acts))
		for range rapid.IntRange(1, 300).Draw(rt, "acts") {
			acts[rapid.SampledFrom(names).Draw(rt, "act")](rt)
			s.consistent()
		}
		s.sleep(testIdle*51/50 + time.Second)
		s.onlyResets()
		s.gone()
	})
}
