package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/e2e/lab"
)

const (
	reloads  = 100 // of a storm
	sessions = 200 // at least, that come and go meanwhile in each direction
)

// stormy is what comes at a time of the storm: h1 and h2 always stay.
func stormy(n int) settings {
	members := []string{"10.0.0.10, 10.0.0.11", "10.0.0.12, 10.0.0.10, 10.0.0.11", "10.0.0.11, 10.0.0.12, 10.0.0.10"}[n%3]
	return settings{
		rules: edited("10.0.0.10, 10.0.0.11", members), ports: []int{512, 4096, 1024, 2048}[n%4],
		idle: time.Duration(60+n) * time.Second, timers: "tcpFinHold: 1s",
	}
}

// Members and ports change a hundred times in a row, while connections come and go by
// every rule: each is made, carries what is said, and none is reset.
func TestReloadStorm(t *testing.T) {
	onEach(t, stormy(0), func(r *rig) {
		must(lab.ServeTCPEcho(r.Hosts[2], ":8080"))(r)
		talk := r.keepTalking(r.everyDirection())
		was := r.byID()
		var done atomic.Bool
		var group errgroup.Group
		var made [2]atomic.Int64
		come := func(i int, from *lab.Host, to string) {
			group.Go(func() error {
				for !done.Load() || made[i].Load() < sessions {
					if err := r.session(from, to); err != nil {
						return fmt.Errorf("%s to %s, connection %d: %w", from.Name, to, made[i].Load(), err)
					}
					made[i].Add(1)
				}
				return nil
			})
		}
		come(0, r.Hosts[0], netip.AddrPortFrom(r.Servers[0].Addr, 7).String())
		come(1, r.Servers[1], frontend+":80")
		for n := range reloads {
			r.byYAML(stormy(n + 1))
		}
		done.Store(true)
		r.check(group.Wait())
		talk.wantProgress()
		r.wantSameFlows(was)
		talk.end()
		r.wantNoneGivenUp()
		r.wantNoReset(settle)
		if n := len(r.status().Rules); n != 3 {
			r.Errorf("%d rules are left of 3", n)
		}
	})
}

// session is a connection that says something, hears it, and ends.
func (r *rig) session(from *lab.Host, to string) error {
	ctx, cancel := context.WithTimeout(r.Context(), 3*time.Second)
	defer cancel()
	conn, err := from.Dial(ctx, "tcp4", to)
	if err != nil {
		return err
	}
	defer conn.Close()
	return say(conn, conn)
}

// The host itself carries the frontends' addresses, and would reset what its kernel
// knows nothing of: it is kept from that also where a live flow is of a configuration
// before, of whose rule the port or the frontend is another by now.
func TestReloadKeepsKernelAway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet") // with tun what the host carries goes to the host
	r.shell(r.Gateway, "ip addr add "+frontend+"/32 dev out0; ip addr add "+second+"/32 dev out0")
	r.watch()
	two := func(out, port string) settings { // egress has one, ssh and web have public
		return settings{rules: edited("FRONTEND }", "FRONTEND }\n  - { name: second, publicIPAddress: 203.0.113.6 }",
			"frontendIPConfigurations: [ public ]", "frontendIPConfigurations: [ "+out+" ]", "frontendPort: 2222", "frontendPort: "+port)}
	}
	r.start(two("public", "2222"))
	outbound, inbound := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
	for i, next := range []settings{two("second", "2223"), two("second", "2223"), two("public", "2224"), two("second", "2225")} {
		r.bySignal(next)
		for _, p := range []pair{outbound, inbound} {
			for range 3 {
				r.exchange(p)
			}
			r.wantOpen(p)
		}
		if n := len(resets(r.inside)) + len(resets(r.outside)); n > 0 {
			r.Fatalf("after reload %d: %d RSTs", i+1, n)
		}
	}
	fresh := r.connect(r.Hosts[0], r.Servers[0])
	if e := r.flow(fresh).External.Addr().String(); e != second {
		r.Errorf("a new connection leaves by %s", e)
	}
	must(lab.ServeTCPEcho(r.Hosts[0], ":22"))(r)
	r.dialEcho(r.Servers[1], netip.MustParseAddrPort(frontend+":2225"))
	r.wantNoReset(settle)
}
