package e2e

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// pools have a drain period, but for the last.
func pools(leaver, disabled, calm string) settings {
	return settings{rules: fmt.Sprintf(`
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: leaving, drainPeriodInSeconds: 2, addresses: [ %s, 10.0.0.11 ] }
  - { name: disabled, drainPeriodInSeconds: 2, addresses: [ %s, 10.0.0.11 ] }
  - { name: calm, addresses: [ %s, 10.0.0.11 ] }
loadBalancingRules:
  - { name: leaving, frontendIPConfiguration: public, backendAddressPool: leaving, protocol: Tcp,
      frontendPort: 81, backendPort: 8081, disableOutboundSnat: true }
  - { name: disabled, frontendIPConfiguration: public, backendAddressPool: disabled, protocol: Tcp,
      frontendPort: 82, backendPort: 8082, disableOutboundSnat: true }
  - { name: calm, frontendIPConfiguration: public, backendAddressPool: calm, protocol: Tcp,
      frontendPort: 83, backendPort: 8083, disableOutboundSnat: true }
`, leaver, disabled, calm)}
}

const down = "{ ipAddress: 10.0.0.10, adminState: Down }"

// h1 leaves one pool, and is set down in another: its connections live for the drain
// period, and then both ends are told. Where there is none they live on.
func TestDrain(t *testing.T) {
	onEach(t, pools("10.0.0.10", "10.0.0.10", "10.0.0.10"), func(r *rig) {
		members, s1 := r.Hosts[:2], r.Servers[0]
		var doomed, spared []pair
		for _, port := range []string{":81", ":82", ":83"} {
			l := r.listen(":80"+port[1:], members...)
			p := l.connectTo(members[0], s1, frontend+port)
			doomed = append(doomed, p)
			spared = append(spared, l.connectTo(members[1], s1, frontend+port))
		}
		spared, doomed = append(spared, doomed[2]), doomed[:2]

		began := r.reload(pools("10.0.0.12", down, down))
		time.Sleep(time.Until(began.Add(1500 * time.Millisecond)))
		for _, p := range append(doomed, spared...) {
			r.exchange(p)
		}
		r.wantNoneGivenUp()
		for _, p := range doomed {
			r.wantDrained(p, began)
		}
		for _, p := range spared {
			r.exchange(p)
			r.wantOpen(p)
		}
		r.wantDrainCounted()
	})
}

// reload has the gateway read another configuration, which comes into force a moment
// after it says so, and returns when it began to.
func (r *rig) reload(s settings) (began time.Time) {
	r.Helper()
	r.check(os.WriteFile(r.file(), []byte(s.yaml(r.datapath, r.socket())), 0o644))
	before := bytes.Count(r.tidegate.Output(), []byte("config.reloaded"))
	began = time.Now()
	r.check(r.tidegate.Signal(syscall.SIGHUP))
	r.eventually(2*time.Second, "config.reloaded", func() bool {
		return bytes.Count(r.tidegate.Output(), []byte("config.reloaded")) > before
	})
	time.Sleep(settle)
	return began
}

// wantDrained checks that both ends get one exact RST when two seconds are over.
func (r *rig) wantDrained(p pair, began time.Time) {
	r.Helper()
	n := r.numbersOf(p)
	for _, conn := range p.ends() {
		told := must(lab.WaitReset(conn, 3*time.Second))(r)
		if took := told.Sub(began); took < 2*time.Second-clockTick || took > 2*time.Second+soon {
			r.Errorf("%v was told after %v, the drain period is 2s", conn.LocalAddr(), took)
		}
	}
	time.Sleep(settle)
	r.wantOneReset(r.inside, p.inside, n.inside.RcvNxt, 0)
	r.wantOneReset(r.outside, p.outside, n.outside.RcvNxt, 0)
}

func (r *rig) wantDrainCounted() {
	r.Helper()
	m := r.metrics()
	for series, want := range map[string]float64{
		`tidegate_tcp_resets_sent_total{reason="drained",rule="leaving",side="client"}`:  1,
		`tidegate_tcp_resets_sent_total{reason="drained",rule="leaving",side="server"}`:  1,
		`tidegate_tcp_resets_sent_total{reason="drained",rule="disabled",side="client"}`: 1,
		`tidegate_tcp_resets_sent_total{reason="drained",rule="disabled",side="server"}`: 1,
		`tidegate_tcp_resets_sent_total{reason="drained",rule="calm",side="client"}`:     0,
	} {
		if got, there := m[series]; !there || got != want {
			r.Errorf("%s is %v (there: %t), want %v", series, got, there, want)
		}
	}
}

// A backend that is back before its drain period is over keeps its connections, and
// what is new goes there again.
func TestDrainIsCalledOff(t *testing.T) {
	onEach(t, pools("10.0.0.10", "10.0.0.10", "10.0.0.10"), func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		p := r.listen(":8081", r.Hosts[:2]...).connectTo(h1, s1, frontend+":81")
		r.serveWeb(":8082", r.Hosts[:2]...)
		r.reload(pools("10.0.0.12", down, "10.0.0.10"))
		r.wantBackends(s1, frontend+":82", "h2")
		began := r.reload(pools("10.0.0.10", "10.0.0.10", "10.0.0.10"))
		r.wantBackends(s1, frontend+":82", "h1", "h2")
		time.Sleep(time.Until(began.Add(2*time.Second + soon)))
		r.exchange(p)
		r.wantNoneGivenUp()
	})
}
