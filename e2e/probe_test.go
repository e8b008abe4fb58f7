package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const probed = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: echo, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: well,
      frontendPort: 7, backendPort: 7007, disableOutboundSnat: true, enableTcpReset: true, idleTimeout: 10m }
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: well,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true, enableTcpReset: true, idleTimeout: 10m }
  - { name: dns, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Udp, probe: well,
      frontendPort: 53, backendPort: 5353, disableOutboundSnat: true }
  - { name: always, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: hopeful,
      frontendPort: 81, backendPort: 8081, disableOutboundSnat: true }
probes:
  - { name: well, protocol: Http, port: 9000, requestPath: /healthz, intervalInSeconds: 1 }
  - { name: hopeful, protocol: Http, port: 9000, requestPath: /healthz, intervalInSeconds: 1, noHealthyBackendsBehavior: AllProbedUp }
`

// within is how long a probe's finding takes to come into force: an interval, and
// what a busy machine needs.
const probeTakes = time.Second + soon

// A backend says that it is unwell, and later that it is well again, while both
// serve connections without a pause and new ones keep coming.
func TestProbeKillsAndRevivesBackend(t *testing.T) {
	onEach(t, settings{rules: probed}, func(r *rig) {
		h1, h2 := r.probedServices()
		r.awaitProbed(h1, h2)
		r.wantBackends(r.Servers[0], frontend+":80", "h1", "h2")
		busy := r.keepBusy(8)
		socket := r.socketTo("h1")
		visits := r.keepVisiting()

		h1.status.Store(http.StatusServiceUnavailable)
		time.Sleep(probeTakes)
		ill := visits.cut()
		time.Sleep(time.Second)
		if got := visits.cut(); got["h1"] > 0 || got["h2"] == 0 {
			r.Errorf("h1 is down, new flows went to %v", got)
		}
		if v := must(queryOver(socket))(r); v.backend != "h2" {
			r.Errorf("h1 is down, and a UDP flow of its stays with %s", v.backend)
		}
		busy.wantProgress()

		h1.status.Store(http.StatusOK)
		time.Sleep(probeTakes)
		visits.cut()
		time.Sleep(time.Second)
		if got := visits.cut(); got["h1"] == 0 || got["h2"] == 0 {
			r.Errorf("h1 is up again, new flows went to %v (while it went down to %v)", got, ill)
		}
		busy.wantProgress()
		busy.end()
		visits.end()
		r.wantProbesFrom("10.0.0.1", h1, h2)
		r.wantNoneGivenUp()
	})
}

func (r *rig) probedServices() (h1, h2 *health) {
	r.Helper()
	members := r.Hosts[:2]
	for _, h := range members {
		must(lab.ServeTCPEcho(h, ":7007"))(r)
	}
	r.serveWeb(":8080", members...)
	r.serveWeb(":8081", members...)
	r.serveNames(":5353", members...)
	return r.serveHealth(":9000", members[0]), r.serveHealth(":9000", members[1])
}

// wantNoneGivenUp checks that the gateway has sent no RST. Kernels may have: to a
// segment that overtook a FIN.
func (r *rig) wantNoneGivenUp() {
	r.Helper()
	for reason, n := range r.status().Totals.Resets {
		if n != 0 {
			r.Errorf("%d resets are counted as %s", n, reason)
		}
	}
}

func (r *rig) wantProbesFrom(address string, all ...*health) {
	r.Helper()
	for _, h := range all {
		if by, _ := h.by.Load().(string); !strings.HasPrefix(by, address+":") {
			r.Errorf("a backend is probed from %s, want the gateway's %s", by, address)
		}
	}
}

// socketTo returns a UDP socket whose flow is with the backend.
func (r *rig) socketTo(backend string) net.Conn {
	r.Helper()
	for range 64 {
		conn := must(r.Servers[0].Dial(r.Context(), "udp4", frontend+":53"))(r)
		r.Cleanup(func() { conn.Close() })
		if must(queryOver(conn))(r).backend == backend {
			return conn
		}
	}
	r.Fatalf("no UDP flow goes to %s", backend)
	return nil
}

// busy is connections over which data goes to and fro without a pause.
type busy struct {
	*rig
	conns  []net.Conn
	rounds []atomic.Int64
	errs   []error
	stop   atomic.Bool
	all    sync.WaitGroup
}

// keepBusy opens n connections, some to each backend.
func (r *rig) keepBusy(n int) *busy {
	r.Helper()
	b := &busy{rig: r, rounds: make([]atomic.Int64, n), errs: make([]error, n)}
	served := map[netip.Addr]bool{}
	for i := range n {
		conn := must(r.Servers[i%2].Dial(r.within(5*time.Second), "tcp4", frontend+":7"))(r)
		r.Cleanup(func() { conn.Close() })
		b.conns = append(b.conns, conn)
		served[r.flows("remote=" + conn.LocalAddr().String())[0].Internal.Addr()] = true
		b.all.Go(func() { b.errs[i] = b.work(i) })
	}
	if len(served) != 2 {
		r.Fatalf("%d connections all went to %v", n, served)
	}
	return b
}

// work sends pieces that differ, and wants each back whole.
func (b *busy) work(i int) error {
	source, piece, back := lab.Blob(1<<40), make([]byte, 3000), make([]byte, 3000)
	for !b.stop.Load() {
		io.ReadFull(source, piece)
		b.conns[i].SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := b.conns[i].Write(piece); err != nil {
			return err
		}
		if _, err := io.ReadFull(b.conns[i], back); err != nil {
			return err
		}
		if !bytes.Equal(piece, back) {
			return fmt.Errorf("round %d came back changed", b.rounds[i].Load())
		}
		b.rounds[i].Add(1)
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}

// wantProgress checks that every connection goes on.
func (b *busy) wantProgress() {
	b.Helper()
	for i := range b.rounds {
		before := b.rounds[i].Load()
		b.eventually(2*time.Second, fmt.Sprintf("data over connection %d", i), func() bool { return b.rounds[i].Load() > before })
	}
}

// end checks that none has failed.
func (b *busy) end() {
	b.Helper()
	b.stop.Store(true)
	b.all.Wait()
	for i, err := range b.errs {
		if err != nil {
			b.Errorf("connection %d: %v", i, err)
		}
	}
}

// visitors are new connections that keep coming.
type visitors struct {
	*rig
	mu   sync.Mutex
	seen map[string]int
	errs []error
	stop atomic.Bool
	all  sync.WaitGroup
}

func (r *rig) keepVisiting() *visitors {
	v := &visitors{rig: r, seen: map[string]int{}}
	ctx := r.within(time.Minute)
	v.all.Go(func() {
		for !v.stop.Load() {
			got, err := fetch(ctx, r.Servers[1], netip.AddrPort{}, frontend+":80")
			v.mu.Lock()
			if v.seen[got.backend]++; err != nil {
				v.errs = append(v.errs, err)
			}
			v.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
		}
	})
	return v
}

// cut returns where the visits went since it was last called.
func (v *visitors) cut() map[string]int {
	v.mu.Lock()
	defer v.mu.Unlock()
	seen := v.seen
	v.seen = map[string]int{}
	return seen
}

// enoughVisits go to each of two backends unless it gets none: one in 2²⁰ times all go to one.
const enoughVisits = 20

// some is cut when there have been enough, on a busy machine after a while.
func (v *visitors) some() map[string]int {
	all, n := map[string]int{}, 0
	for deadline := time.Now().Add(5 * time.Second); n < enoughVisits && time.Now().Before(deadline); time.Sleep(settle) {
		for backend, visits := range v.cut() {
			all[backend] += visits
			n += visits
		}
	}
	return all
}

func (v *visitors) end() {
	v.Helper()
	v.stop.Store(true)
	v.all.Wait()
	for _, err := range v.errs {
		v.Errorf("a visit failed: %v", err)
	}
}

// With no backend up a rule takes no new flows, unless its probe says otherwise;
// what is connected stays connected, which nothing over UDP is.
func TestAllBackendsDown(t *testing.T) {
	onEach(t, settings{rules: probed}, func(r *rig) {
		h1, h2 := r.probedServices()
		r.awaitProbed(h1, h2)
		busy, socket := r.keepBusy(8), r.socketTo("h1")
		h1.status.Store(http.StatusServiceUnavailable)
		h2.status.Store(http.StatusInternalServerError)
		time.Sleep(probeTakes)
		r.wantDropped(r.Servers[0], frontend+":80", "no-backend")
		r.wantBackends(r.Servers[0], frontend+":81", "h1", "h2")
		if v, err := queryOver(socket); err == nil {
			r.Errorf("a UDP flow goes on with %s", v.backend)
		}
		busy.wantProgress()
		h2.status.Store(http.StatusOK)
		time.Sleep(probeTakes)
		r.wantBackends(r.Servers[0], frontend+":80", "h2")
		r.wantBackends(r.Servers[0], frontend+":81", "h2")
		busy.wantProgress()
		busy.end()
	})
}

// What is over, or has not begun, is not alive: a client that opens a connection
// again from the same port, or whose first attempt got no answer, gets a backend
// that is up.
func TestReopenedFlowsAvoidBackendThatIsDown(t *testing.T) {
	onEach(t, settings{rules: probed}, func(r *rig) {
		h1, h2 := r.probedServices()
		r.awaitProbed(h1, h2)
		r.makeKnown()
		over := r.clientOf("h1", 42000)
		r.visitFrom(r.Servers[0], over, frontend+":80")
		waiting := r.clientOf("h1", 43000)
		r.dropIncoming(r.Hosts[0], "tcp dport 8080")
		done := make(chan visit, 1)
		go func() {
			v, _ := fetch(r.within(6*time.Second), r.Servers[0], waiting, frontend+":80")
			done <- v
		}()
		time.Sleep(settle)
		h1.status.Store(http.StatusServiceUnavailable)
		time.Sleep(probeTakes)
		r.dropNothing(r.Hosts[0])
		if v := r.visitFrom(r.Servers[0], over, frontend+":80"); v.backend != "h2" {
			r.Errorf("h1 is down, and gets a connection from %v again", over)
		}
		if v := <-done; v.backend != "h2" {
			r.Errorf("who began to connect while h1 went down reached %q", v.backend)
		}
	})
}

// clientOf returns an endpoint of s1 from port on that the backend is chosen for.
func (r *rig) clientOf(backend string, port uint16) netip.AddrPort {
	r.Helper()
	address := map[string]string{"h1": "10.0.0.10", "h2": "10.0.0.11"}[backend]
	for range 64 {
		local := netip.AddrPortFrom(r.Servers[0].Addr, port)
		if r.explain("tcp", local.String(), frontend+":80").Backend == address {
			return local
		}
		port++
	}
	r.Fatalf("%s is chosen for none of 64 clients", backend)
	return netip.AddrPort{}
}
