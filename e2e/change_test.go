package e2e

import (
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"tidegate/e2e/lab"
)

// A second way out: a router with a MAC of its own at 203.0.113.253, which it alone
// answers for.
const secondWay = `
	sysctl -q net.ipv4.conf.all.arp_ignore=1
	ip link add wan1 link wan0 address 02:00:cb:00:71:fd type macvlan mode bridge
	ip addr add 203.0.113.253/24 dev wan1
	ip link set wan1 up`

// A route changes while a connection lives: its next packet goes the new way.
func TestRouteChangeIsFollowed(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		r.shell(r.Router, secondWay)
		r.shell(r.Gateway, "ip route add 198.51.100.0/24 via 203.0.113.253")
		r.wantWay(p, "02:00:cb:00:71:fd")
		r.shell(r.Gateway, "ip route del 198.51.100.0/24")
		r.wantWay(p, r.Router.Interface("wan0").MAC.String())
	})
}

// wantWay sends a line and looks which router it goes to. The kernel may take a
// moment to tell of a change.
func (r *rig) wantWay(p pair, mac string) {
	r.Helper()
	wire := must(r.Gateway.Capture("out0"))(r)
	defer wire.Close()
	r.eventually(2*time.Second, "packets go to "+mac, func() bool {
		r.exchange(p)
		for _, c := range wire.Packets() {
			ethernet, _ := c.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
			if c.Outgoing && c.TCP() != nil && ethernet.DstMAC.String() == mac {
				return true
			}
		}
		return false
	})
}

// The next hop gets another MAC, and tells so as routers do that fail over.
func TestNeighbourChangeIsFollowed(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		outbound, inbound := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
		r.changeMAC(r.Router, "wan0", "02:00:cb:00:71:99")
		r.exchange(outbound)
		r.changeMAC(r.Hosts[0], "eth0", "02:00:0a:00:00:99")
		r.exchange(outbound)
		r.exchange(inbound)
	})
}

func (r *rig) changeMAC(h *lab.Host, iface, mac string) {
	r.Helper()
	r.check(h.SetSysctl("net.ipv4.conf."+iface+".arp_notify", "1"))
	r.shell(h, "ip link set "+iface+" address "+mac)
}

// A cable is pulled and plugged in again, and an interface is set down and up:
// what was connected stays so.
func TestLinkFlapIsSurvived(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		outbound, inbound := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
		r.check(r.Router.SetDown("wan0"))
		time.Sleep(settle)
		r.check(r.Router.SetUp("wan0"))
		if r.datapath == "tun" { // the router has forgotten its static route
			r.shell(r.Router, "ip route add "+frontend+"/32 via 203.0.113.1")
		}
		r.exchange(outbound)
		r.exchange(inbound)
		r.check(r.Gateway.SetDown("out0"))
		time.Sleep(settle)
		r.check(r.Gateway.SetUp("out0"))
		r.shell(r.Gateway, "ip route add default via 203.0.113.254") // who sets an interface up does that
		r.exchange(outbound)
		r.exchange(inbound)
		r.connect(r.Hosts[1], r.Servers[1])
	})
}

// A neighbour that nobody knows yet is asked for, and the first packet waits.
func TestFirstPacketWaitsForNeighbour(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		r.shell(r.Gateway, "ip neigh flush all")
		echo := must(lab.ServeUDPEcho(r.Servers[0], ":7"))(r)
		conn := must(r.Hosts[0].Dial(r.Context(), "udp4", echo.Addr.String()))(r)
		defer conn.Close()
		r.check(say(conn, conn))
	})
}
