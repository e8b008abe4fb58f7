package e2e

import (
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

// The gateway's host forwards, as routers do. Nothing leaves it untranslated while
// the gateway runs, nor after it was killed, in either direction; the next one takes
// over, and tidies up.
func TestNothingLeaks(t *testing.T) {
	onEachHost(t, func(r *rig) {
		r.wantLeakWithoutGateway()
		r.watch()
		r.configure(settings{})
		r.setGuardRoutes()
		before := r.hostState(r.Gateway)
		r.start(settings{})
		p := r.connect(r.Hosts[0], r.Servers[0])
		r.tryToLeak(p)
		r.crash()
		r.failToStart()
		r.wantNothingPassesWhileDead(p)
		r.start(settings{})
		r.tryToLeak(r.connect(r.Hosts[0], r.Servers[0]))
		r.wantNoLeak()
		r.stop()
		r.wantHostState(r.Gateway, before)
	})
}

// failToStart starts a gateway that finds an interface missing. One on tun needs none.
func (r *rig) failToStart() {
	r.Helper()
	if r.datapath == "tun" {
		return
	}
	text := strings.ReplaceAll(string(must(os.ReadFile(r.file()))(r)), "interface: in0", "interface: eth7")
	other := r.file() + ".yaml"
	r.check(os.WriteFile(other, []byte(text), 0o644))
	if o := r.run(r.Gateway, exec.Command(program, "run", "-c", other)); o.status != 1 {
		r.Fatalf("without an interface: %+v", o)
	}
}

// wantLeakWithoutGateway shows that the test can see a leak: the host forwards
// from a member to the outside, and a packet that comes from there to a member.
func (r *rig) wantLeakWithoutGateway() {
	r.Helper()
	h1, s1 := r.Hosts[0], r.Servers[0]
	atRouter, atMember := must(r.Router.Capture("wan0"))(r), must(h1.Capture("eth0"))(r)
	conn := must(h1.Dial(r.Context(), "udp4", netip.AddrPortFrom(s1.Addr, 7).String()))(r)
	defer conn.Close()
	must(io.WriteString(conn, line))(r)
	_, err := atRouter.Wait(r.within(2*time.Second), func(p lab.Packet) bool { return source(p).Addr() == h1.Addr })
	r.check(err)
	r.toMember()
	_, err = atMember.Wait(r.within(2*time.Second), func(p lab.Packet) bool { return destination(p) == intruded })
	r.check(err)
}

// intruded is a member's endpoint that belongs to no flow.
var intruded = netip.MustParseAddrPort("10.0.0.10:9999")

// toMember sends a datagram from the world to a member's own address, which no
// honest router would.
func (r *rig) toMember() {
	r.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: r.Servers[0].Addr.AsSlice(), DstIP: intruded.Addr().AsSlice(),
	}
	udp := &layers.UDP{SrcPort: 7, DstPort: layers.UDPPort(intruded.Port())}
	r.check(udp.SetNetworkLayerForChecksum(ip))
	gateway := netip.MustParseAddr("203.0.113.1")
	r.check(r.Router.Inject("wan0", must(r.Router.Frame("wan0", gateway, ip, udp))(r)))
}

// tryToLeak makes everybody talk: members, the stranger, the world, and both ends
// of a connection.
func (r *rig) tryToLeak(p pair) {
	r.Helper()
	s1 := r.Servers[0]
	for _, conn := range p.ends() {
		must(io.WriteString(conn, line))(r)
	}
	r.toMember()
	for _, h := range []*lab.Host{r.Hosts[0], r.Hosts[2]} {
		r.speak(h, s1.Addr)
	}
	knock(r, s1, frontend+":"+inboundPort)
}

// speak sends what a host can send, and does not mind answers.
func (r *rig) speak(from *lab.Host, to netip.Addr) {
	r.Helper()
	knock(r, from, netip.AddrPortFrom(to, 80).String())
	from.Ping(r.within(20*time.Millisecond), to)
	conn := must(from.ListenPacket("ip4:sctp", "0.0.0.0"))(r)
	defer conn.Close()
	must(conn.WriteTo(make([]byte, 32), &net.IPAddr{IP: to.AsSlice()}))(r)
	datagrams := must(from.Dial(r.Context(), "udp4", netip.AddrPortFrom(to, 7).String()))(r)
	defer datagrams.Close()
	must(io.WriteString(datagrams, line))(r)
}

func knock(r *rig, from *lab.Host, to string) {
	if conn, err := from.Dial(r.within(20*time.Millisecond), "tcp4", to); err == nil {
		conn.Close()
	}
}

// wantNoLeak looks at everything so far.
func (r *rig) wantNoLeak() {
	r.Helper()
	time.Sleep(settle)
	r.wantTranslated()
	for _, p := range fromGateway(r.inside) {
		if destination(p) == intruded {
			r.Errorf("came in untranslated: %v", p)
		}
	}
}

// wantNothingPassesWhileDead tries for two seconds. The host may speak for itself.
func (r *rig) wantNothingPassesWhileDead(p pair) {
	r.Helper()
	time.Sleep(settle) // what was sent before the gateway died is captured by then
	insideBefore, outsideBefore := len(fromGateway(r.inside)), len(fromGateway(r.outside))
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		r.tryToLeak(p)
	}
	time.Sleep(settle)
	own := []string{"10.0.0.1", "203.0.113.1"}
	passed := append(fromGateway(r.inside)[insideBefore:], fromGateway(r.outside)[outsideBefore:]...)
	for _, packet := range passed {
		if !slices.Contains(own, source(packet).Addr().String()) {
			r.Errorf("passed while the gateway was dead: %v", packet)
		}
	}
}

// A gateway whose host does not forward works as well, and leaves it so.
func TestHostThatDoesNotForward(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet") // with tun the kernel must forward
	r.check(r.Gateway.SetSysctl("net.ipv4.ip_forward", "0"))
	before := r.hostState(r.Gateway)
	r.watch()
	r.start(settings{})
	r.connect(r.Hosts[0], r.Servers[0])
	r.connectInbound()
	r.check(r.Gateway.SetSysctl("net.ipv4.ip_forward", "1")) // somebody installs Docker
	r.tryToLeak(r.connect(r.Hosts[0], r.Servers[0]))
	r.wantNoLeak()
	r.check(r.Gateway.SetSysctl("net.ipv4.ip_forward", "0"))
	r.stop()
	r.wantHostState(r.Gateway, before)
}

// Somebody starts a firewall that begins with `flush ruleset`: the guard is back
// before a second has passed, and the log says so.
func TestGuardIsPutBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.start(settings{})
	const list = "nft list table netdev tidegate"
	before := r.nftTable()
	for _, harm := range []string{"flush ruleset", "flush table netdev tidegate", "delete table netdev tidegate"} {
		if out, err := r.Gateway.Run(r.Context(), "nft", strings.Fields(harm)...); err != nil {
			t.Fatalf("nft %s: %v\n%s", harm, err, out)
		}
		for deadline := time.Now().Add(time.Second); r.nftTable() != before; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("a second after `nft %s`, `%s` says\n%s", harm, list, r.nftTable())
			}
		}
	}
	if !strings.Contains(string(r.tidegate.Output()), "somebody removed the host guard") {
		t.Errorf("the log does not say it:\n%s", r.tidegate.Output())
	}
}

// nftTable is the guard as nft shows it, without what it counted.
func (r *rig) nftTable() string {
	out, err := r.Gateway.Run(r.Context(), "nft", "-s", "list", "table", "netdev", "tidegate")
	if err != nil {
		return err.Error()
	}
	return string(out)
}
