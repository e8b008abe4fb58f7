package e2e

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

func TestPing(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		ping := func(from *lab.Host, to string) {
			r.Helper()
			if out := r.shell(from, "ping -n -q -c 5 -i 0.1 -W 2 "+to); !strings.Contains(out, " 5 received") {
				r.Errorf("ping from %s to %s:\n%s", from.Name, to, out)
			}
		}
		ping(h1, s1.Addr.String())
		if flows := r.flows("proto=icmp"); len(flows) != 1 || flows[0].PacketsIn != 5 || flows[0].PacketsOut != 5 {
			r.Errorf("one ping has these flows: %+v", flows)
		}
		ping(s1, frontend)
		ping(h1, frontend)
		r.wantTranslated()
	})
}

// wantTranslated checks that what the gateway sent outside has no inside address.
func (r *rig) wantTranslated() {
	r.Helper()
	for _, p := range fromGateway(r.outside) {
		if inside(source(p).Addr()) {
			r.Errorf("left untranslated: %v", p)
		}
	}
}

func inside(a netip.Addr) bool { return netip.MustParsePrefix("10.0.0.0/8").Contains(a) }

// One socket has one external port, whoever it sends to (RFC 4787 REQ-1).
func TestUDPMappingIsEndpointIndependent(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		client := must(r.Hosts[0].ListenPacket("udp4", ":0"))(r)
		defer client.Close()
		var seen []string
		for _, s := range r.Servers {
			server := must(s.ListenPacket("udp4", ":7"))(r)
			defer server.Close()
			seen = append(seen, r.datagram(client, server, netip.AddrPortFrom(s.Addr, 7)))
		}
		if seen[0] != seen[1] || !strings.HasPrefix(seen[0], frontend+":") {
			r.Errorf("the servers see %v, want one port of the frontend", seen)
		}
		for _, f := range r.flows("proto=udp") {
			if f.External.String() != seen[0] {
				r.Errorf("listed as %v, the servers see %s", f.External, seen[0])
			}
		}
	})
}

// datagram sends one and its answer, and returns where the server saw it come from.
func (r *rig) datagram(client, server net.PacketConn, to netip.AddrPort) (seen string) {
	r.Helper()
	buf, deadline := make([]byte, 100), time.Now().Add(3*time.Second)
	client.SetDeadline(deadline)
	server.SetDeadline(deadline)
	must(client.WriteTo([]byte(line), net.UDPAddrFromAddrPort(to)))(r)
	n, from, err := server.ReadFrom(buf)
	r.check(err)
	must(server.WriteTo(buf[:n], from))(r)
	n, by, err := client.ReadFrom(buf)
	r.check(err)
	if string(buf[:n]) != line || by.String() != to.String() {
		r.Errorf("%v answered %q, want %v with %q", by, buf[:n], to, line)
	}
	return from.String()
}

// The server's own tools name the frontend, and the port that the gateway lists.
func TestServerSeesFrontend(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		external := r.flow(p).External
		if external.Addr().String() != frontend || external.Port() < 1024 || external.Port() > 65023 {
			r.Errorf("the external endpoint is %v", external)
		}
		if out := r.shell(r.Servers[0], "ss -Htn state established"); !strings.Contains(out, " "+external.String()) {
			r.Errorf("ss on s1 does not show %v:\n%s", external, out)
		}
		r.wantTranslated()
	})
}

func TestInboundRule(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		p := r.connectInbound()
		if got, want := p.inside.RemoteAddr().String(), p.outside.LocalAddr().String(); got != want {
			r.Errorf("h1 sees %s, the client is %s", got, want)
		}
		if got := p.outside.RemoteAddr().String(); got != frontend+":"+inboundPort {
			r.Errorf("the client sees %s", got)
		}
		flows := r.flows("rule=ssh")
		if len(flows) != 1 || flows[0].Direction != "inbound" || flows[0].Internal.String() != "10.0.0.10:22" {
			r.Errorf("listed as %+v", flows)
		}
		r.wantTranslated()
	})
}

// A host in no pool gets nothing out, with no protocol.
func TestStrangerGetsNothingOut(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		h3, s1 := r.Hosts[2], r.Servers[0]
		wires := []*lab.Capture{r.outside, must(r.Gateway.Capture("out0"))(r)}
		for _, s := range r.Servers {
			wires = append(wires, must(s.Capture("eth0"))(r))
		}
		r.tryEverything(h3, s1.Addr)
		time.Sleep(settle)
		for _, wire := range wires {
			for _, p := range wire.Packets() {
				if p.IPv4() != nil {
					r.Errorf("seen outside: %v", p)
				}
			}
		}
		if drops := r.status().Totals.Drops; drops["not-a-member"] != 3 || drops["protocol"] != 1 {
			r.Errorf("the attempts by TCP, UDP, ping and SCTP are counted as %v", drops)
		}
		if flows := r.flows(); len(flows) > 0 {
			r.Errorf("it has flows: %+v", flows)
		}
	})
}

// tryEverything sends what a host can send, for about a quarter of a second, and
// fails if it gets an answer.
func (r *rig) tryEverything(from *lab.Host, to netip.Addr) {
	r.Helper()
	if conn, err := from.Dial(r.within(100*time.Millisecond), "tcp4", netip.AddrPortFrom(to, 80).String()); err == nil {
		conn.Close()
		r.Errorf("%s reached %v by TCP", from.Name, to)
	}
	if _, err := from.Ping(r.within(100*time.Millisecond), to); err == nil {
		r.Errorf("%s reached %v by ping", from.Name, to)
	}
	for _, network := range []string{"udp4", "ip4:sctp"} {
		conn := must(from.ListenPacket(network, "0.0.0.0"+map[string]string{"udp4": ":0"}[network]))(r)
		var at net.Addr = &net.IPAddr{IP: to.AsSlice()}
		if network == "udp4" {
			at = net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 7))
		}
		must(conn.WriteTo(make([]byte, 32), at))(r)
		conn.Close()
	}
}
