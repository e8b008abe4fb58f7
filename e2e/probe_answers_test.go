package e2e

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const manyProbes = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: well, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: well,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true }
  - { name: redirect, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: redirect,
      frontendPort: 81, backendPort: 8081, disableOutboundSnat: true }
  - { name: garbage, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: garbage,
      frontendPort: 82, backendPort: 8082, disableOutboundSnat: true }
  - { name: endless, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: endless,
      frontendPort: 83, backendPort: 8083, disableOutboundSnat: true }
  - { name: mute, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: mute,
      frontendPort: 84, backendPort: 8084, disableOutboundSnat: true }
  - { name: absent, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: absent,
      frontendPort: 85, backendPort: 8085, disableOutboundSnat: true }
  - { name: tcp, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: tcp,
      frontendPort: 86, backendPort: 8086, disableOutboundSnat: true }
probes:
  - { name: well, protocol: Http, port: 9000, requestPath: /healthz, intervalInSeconds: 1 }
  - { name: redirect, protocol: Http, port: 9001, requestPath: /, intervalInSeconds: 1 }
  - { name: garbage, protocol: Http, port: 9002, requestPath: /, intervalInSeconds: 1 }
  - { name: endless, protocol: Http, port: 9003, requestPath: /, intervalInSeconds: 1 }
  - { name: mute, protocol: Http, port: 9004, requestPath: /, intervalInSeconds: 1 }
  - { name: absent, protocol: Http, port: 9005, requestPath: /, intervalInSeconds: 1 }
  - { name: tcp, protocol: Tcp, port: 8086, intervalInSeconds: 1 }
`

// Who answers a probe with anything but 200 is down, whatever it is, and keeps no
// other probe from its time.
func TestProbeAnswers(t *testing.T) {
	onEach(t, settings{rules: manyProbes}, func(r *rig) {
		members := r.Hosts[:2]
		for _, address := range []string{":8080", ":8081", ":8082", ":8083", ":8084", ":8085"} {
			r.serveWeb(address, members...)
		}
		for _, h := range members {
			r.serveBadly(h)
		}
		h1, h2 := r.serveHealth(":9000", members[0]), r.serveHealth(":9000", members[1])
		r.awaitProbed(h1, h2)
		r.wantBackends(r.Servers[0], frontend+":80", "h1", "h2")
		before := h1.asked.Load()
		time.Sleep(3 * time.Second)
		if n := h1.asked.Load() - before; n < 2 || n > 4 {
			r.Errorf("h1 was asked %d times in 3 s, want once in each", n)
		}
		for _, port := range []string{":81", ":82", ":83", ":84", ":85"} {
			r.wantDropped(r.Servers[0], frontend+port, "no-backend")
		}
		r.wantBackends(r.Servers[0], frontend+":80", "h1", "h2")
	})
}

// serveBadly listens where the probes ask, and answers as servers should not.
func (r *rig) serveBadly(h *lab.Host) {
	r.Helper()
	must(lab.ServeHTTP(h, ":9001", http.RedirectHandler("http://"+h.Addr.String()+":9000/healthz", http.StatusFound)))(r)
	for address, answer := range map[string]func(net.Conn){
		":9002": func(c net.Conn) { io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n200 OK\r\n\r\n") },
		":9003": endlessHeaders,
		":9004": func(c net.Conn) { io.Copy(io.Discard, c) },
	} {
		must(lab.ServeTCP(h, address, answer))(r)
	}
}

// endlessHeaders says 200, but never comes to the end of the headers.
func endlessHeaders(c net.Conn) {
	w := bufio.NewWriter(c)
	_, err := w.WriteString("HTTP/1.1 200 OK\r\n")
	for err == nil {
		_, err = w.WriteString("X-More: " + strings.Repeat("more ", 100) + "\r\n")
	}
}

const overTLS = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp, probe: secure,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true }
probes:
  - { name: secure, protocol: Https, port: 9443, requestPath: /healthz, intervalInSeconds: 1 }
`

// An Https probe speaks TLS: h1 does too, with a certificate that nobody knows, and
// h2 answers 200 without.
func TestHTTPSProbe(t *testing.T) {
	onEachHost(t, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		asked := make(chan string, 100)
		secure := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			asked <- q.URL.Path
		}))
		secure.Listener.Close()
		secure.Listener = must(r.Hosts[0].Listen("tcp4", ":9443"))(r)
		secure.StartTLS()
		defer secure.Close()
		plain := r.serveHealth(":9443", r.Hosts[1])
		r.start(settings{rules: overTLS})
		if path := <-asked; path != "/healthz" {
			r.Errorf("asked for %s", path)
		}
		time.Sleep(settle)
		r.wantBackends(r.Servers[0], frontend+":80", "h1")
		if n := plain.asked.Load(); n > 0 {
			r.Errorf("h2 was asked without TLS %d times", n)
		}
	})
}

// A Tcp probe is about the listener.
func TestTCPProbe(t *testing.T) {
	onEach(t, settings{rules: manyProbes}, func(r *rig) {
		r.serveWeb(":8086", r.Hosts[1])
		listener := must(r.Hosts[0].Listen("tcp4", ":8086"))(r)
		by := must(listener.Accept())(r)
		by.Close()
		if a := addrPort(by.RemoteAddr()).Addr().String(); a != "10.0.0.1" {
			r.Errorf("probed from %s", a)
		}
		listener.Close()
		time.Sleep(probeTakes)
		r.wantBackends(r.Servers[0], frontend+":86", "h2")
		r.serveWeb(":8086", r.Hosts[0])
		time.Sleep(probeTakes)
		r.wantBackends(r.Servers[0], frontend+":86", "h1", "h2")
	})
}
