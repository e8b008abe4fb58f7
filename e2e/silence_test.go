package e2e

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const lateRules = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All,
      allocatedOutboundPorts: 1024, idleTimeout: IDLE, enableTcpReset: true }
loadBalancingRules:
  - { name: loud, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true }
  - { name: mute, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 81, backendPort: 8081, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true, lateTcpReset: false }
  - { name: late, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 82, backendPort: 8082, disableOutboundSnat: true, idleTimeout: IDLE, lateTcpReset: true }
`

// What a gateway that was killed has forgotten is told to each end when it speaks
// next, unless the rule says lateTcpReset: false.
func TestForgottenFlows(t *testing.T) {
	onEach(t, settings{rules: lateRules}, func(r *rig) {
		members, s1 := r.Hosts[:2], r.Servers[0]
		outbound := r.connect(r.Hosts[0], s1)
		loud, _ := r.listen(":8080", members...).connect(s1, frontend+":80")
		mute, _ := r.listen(":8081", members...).connect(s1, frontend+":81")
		late, _ := r.listen(":8082", members...).connect(s1, frontend+":82")
		r.crash()
		r.start(settings{rules: lateRules})
		for _, p := range []pair{outbound, loud, late} {
			for _, conn := range p.ends() {
				_, err := io.WriteString(conn, line)
				r.check(err)
				r.wantTold(conn, 0)
			}
		}
		if n := r.status().Totals.Resets["late"]; n != 6 {
			r.Errorf("%d resets are counted as late, want 6", n)
		}
		r.wantIgnored(mute.inside, mute.outside)
	})
}

// wantIgnored has ends speak, of which nobody is told anything.
func (r *rig) wantIgnored(ends ...*net.TCPConn) {
	r.Helper()
	for _, conn := range ends {
		_, err := io.WriteString(conn, line)
		r.check(err)
	}
	time.Sleep(settle)
	for _, conn := range ends {
		r.wantOpenEnd(conn)
	}
}

// Of a flow that was reset when idle an end that missed it is told when it speaks,
// unless the rule says lateTcpReset: false.
func TestLateResetIsMuted(t *testing.T) {
	onEach(t, settings{rules: lateRules, idle: idle}, func(r *rig) {
		s1 := r.Servers[0]
		mute, _ := r.listen(":8081", r.Hosts[:2]...).connect(s1, frontend+":81")
		r.loseReset(s1, mute.outside)
		r.wantTold(mute.inside, idle)
		_, err := r.outside.Wait(r.within(soon), isReset)
		r.check(err)
		time.Sleep(settle)
		r.dropNothing(s1)
		before := r.status().Totals.Resets["idle"]
		r.wantIgnored(mute.outside)
		s := r.status().Totals
		if before != 2 || s.Resets["idle"] != 2 || s.Resets["late"] != 0 || s.Drops["no-flow"] == 0 {
			r.Errorf("before it spoke %d idle resets, then %v; dropped %v", before, s.Resets, s.Drops)
		}
	})
}

const asking = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, frontendPort: 80, backendPort: 8080,
      disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true, keepaliveBeforeReset: true }
`

// With keepaliveBeforeReset ends that live keep an idle connection, and one that
// has gone silent loses it six seconds later.
func TestKeepaliveBeforeReset(t *testing.T) {
	onEach(t, settings{rules: asking, idle: idle}, func(r *rig) {
		s1 := r.Servers[0]
		l := r.listen(":8080", r.Hosts[:2]...)
		living, _ := l.connect(s1, frontend+":80")
		lost, _ := l.connect(s1, frontend+":80")
		n := r.numbersOf(living)
		began := time.Now()
		r.goSilent(s1, lost.outside)
		told := must(lab.WaitReset(lost.inside, idle+questionTime+grace(idle)+time.Second))(r)
		if took := told.Sub(began); took < idle || took > idle+questionTime+grace(idle) {
			r.Errorf("the end that lives was told after %v", took)
		}
		r.wantQuestions(r.inside, living.inside, n.inside.RcvNxt-1)
		r.wantQuestions(r.outside, living.outside, n.outside.RcvNxt-1)
		r.exchange(living)
		r.wantOpen(living)
		if f := r.flow(living); f.State != "ESTABLISHED" {
			r.Errorf("listed as %+v", f)
		}
		if n := r.status().Totals.Resets["idle"]; n != 2 {
			r.Errorf("%d resets are counted as idle, want 2", n)
		}
	})
}

// questionTime is how long after its idle timeout a flow is given up whose ends
// are asked first.
const questionTime = 6 * time.Second

// goSilent has a host hear and say nothing more over a connection.
func (r *rig) goSilent(h *lab.Host, conn net.Conn) {
	r.Helper()
	r.dropIncoming(h, "tcp dport "+portOf(conn.LocalAddr()))
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

// wantQuestions checks that the gateway has asked an idle end more than once, each
// time with the number that it has to answer, and was answered.
func (r *rig) wantQuestions(wire *lab.Capture, conn net.Conn, number uint32) {
	r.Helper()
	asked, answered := 0, 0
	for _, p := range conversation(wire, addrPort(conn.LocalAddr()), addrPort(conn.RemoteAddr())) {
		switch t := p.TCP(); {
		case !p.Outgoing && t.Seq == number && len(t.Payload) == 0 && segmentFlags(t) == "A":
			asked++
			r.wantValid(p)
		case asked > 0 && p.Outgoing && t.Ack == number+1:
			answered++
		}
	}
	if asked < 2 || answered < asked-1 { // the last answer may be on its way
		r.Errorf("%v was asked %d times, and answered %d times", conn.LocalAddr(), asked, answered)
	}
}

// Both ends are told by every kind of rule. Of a connection that stays inside its
// backend knows nothing but a port of the frontend.
func TestForgottenFlowsOfEveryRule(t *testing.T) {
	for name, c := range map[string]struct{ rules, from, to, backend string }{
		"internal frontend":  {internalRules, "h3", normal + ":80", ":8080"},
		"hairpin":            {balancing, "h1", frontend + ":80", ":8080"},
		"hairpin by SNAT":    {implied, "h1", frontend + ":80", ":8080"},
		"range of NAT ports": {portRange, "s1", frontend + ":50011", ":22"},
		"instance":           {instances, "s1", third + ":7007", ":7007"},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, settings{rules: c.rules}, func(r *rig) {
				clients := map[string]*lab.Host{"h1": r.Hosts[0], "h3": r.Hosts[2], "s1": r.Servers[0]}
				p, _ := r.listen(c.backend, r.Hosts[:2]...).connect(clients[c.from], c.to)
				r.wantForgottenTold(settings{rules: c.rules}, p)
			})
		})
	}
}

func TestForgottenFlowsOfDirectServerReturn(t *testing.T) {
	onDirect(t, settings{rules: directRules}, func(r *rig) {
		p, _ := r.listen(frontend+":80", r.Hosts[:2]...).connect(r.Servers[0], frontend+":80")
		r.wantForgottenTold(settings{rules: directRules}, p)
	})
}

// wantForgottenTold kills the gateway, starts another, and has both ends speak.
func (r *rig) wantForgottenTold(s settings, p pair) {
	r.Helper()
	r.crash()
	r.start(s)
	for _, conn := range p.ends() {
		if _, err := io.WriteString(conn, line); errors.Is(err, syscall.ECONNRESET) {
			continue // it had something to say again, and was told
		} else if err != nil {
			r.Fatal(err)
		}
		r.wantTold(conn, 0)
	}
}
