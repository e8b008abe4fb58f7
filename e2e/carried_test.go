package e2e

import (
	"testing"

	"tidegate/e2e/lab"
)

// The host itself carries the frontend's address. What the gateway gives out is
// still its own, and the rest the host's: its ssh port answers, and its kernel
// does not reset the flows that it knows nothing of.
func TestFrontendCarriedByHost(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet") // with tun what the host carries goes to the host
	r.shell(r.Gateway, "ip addr add "+frontend+"/32 dev out0")
	ssh := must(lab.ServeTCPEcho(r.Gateway, frontend+":22"))(r)
	r.watch()
	r.start(settings{})
	s1 := r.Servers[0]
	outbound, inbound := r.connect(r.Hosts[0], s1), r.connectInbound()
	host := must(s1.Dial(r.within(soon), "tcp4", ssh.Addr.String()))(r)
	defer host.Close()
	for range 3 {
		r.exchange(outbound)
		r.exchange(inbound)
		r.check(say(host, host))
	}
	echo := must(lab.ServeUDPEcho(s1, ":7"))(r)
	conn := must(r.Hosts[0].Dial(r.Context(), "udp4", echo.Addr.String()))(r)
	defer conn.Close()
	r.check(say(conn, conn))
	r.wantNoReset(settle)
	for _, p := range fromGateway(r.outside) {
		if p.ICMP() != nil {
			r.Errorf("the host's kernel complained: %v", p)
		}
	}
	r.hostReachesOut(s1)
	r.wantNoReset(settle)
}

// hostReachesOut opens a connection of the host's own.
func (r *rig) hostReachesOut(to *lab.Host) {
	r.Helper()
	client, server, err := lab.Connect(r.within(soon), r.Gateway, to)
	r.check(err)
	defer client.Close()
	defer server.Close()
	r.check(say(client, server))
	r.check(say(server, client))
	if flows := r.flows("remote=" + server.LocalAddr().String()); len(flows) > 0 {
		r.Errorf("the gateway has taken it for its own: %+v", flows)
	}
}
