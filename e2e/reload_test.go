package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// living is what reloads change.
const living = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: FRONTEND }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All,
      allocatedOutboundPorts: PORTS, idleTimeout: IDLE, enableTcpReset: true }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222,
      backendAddress: 10.0.0.10, backendPort: 22, idleTimeout: IDLE, enableTcpReset: true }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true, idleTimeout: IDLE, enableTcpReset: true }
`

// changed has another value nearly everywhere, and more of everything.
var changed = strings.NewReplacer(
	"FRONTEND }", `FRONTEND }
  - { name: second, publicIPAddress: 203.0.113.6 }`,
	"10.0.0.11 ]", "10.0.0.11, 10.0.0.12 ]",
	"inboundNatRules:", `inboundNatRules:
  - { name: ssh2, frontendIPConfiguration: second, protocol: Tcp, frontendPort: 2222,
      backendAddress: 10.0.0.11, backendPort: 22 }`,
	"loadBalancingRules:", `loadBalancingRules:
  - { name: web2, frontendIPConfiguration: second, backendAddressPool: vms, protocol: Tcp,
      frontendPort: 80, backendPort: 8081, disableOutboundSnat: true }`,
).Replace(living)

// edited is living with some of its words replaced.
func edited(oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(living) }

const watched = "reload: { watchFile: true }\n"

// ways are how a configuration comes into force. Each returns when it is there.
var ways = []struct {
	name, prefix string // the prefix is for the configuration
	source       string // of what is in force then; "" is the file
	put          func(*rig, settings)
}{
	{"SIGHUP", "", "", (*rig).bySignal},
	{"PUT of JSON", "", "api", (*rig).byJSON},
	{"PUT of YAML", "", "api", (*rig).byYAML},
	{"file put in place", watched, "", (*rig).byRename},
	{"file written", watched, "", (*rig).byWrite},
}

// text is the whole configuration.
func (r *rig) text(s settings) string { return s.yaml(r.datapath, r.socket()) }

// lastChange is the event of the last attempt to change the configuration, if any.
func (r *rig) lastChange() (e api.Event) {
	r.Helper()
	q := api.EventQuery{Types: []string{api.ConfigReloaded, api.ConfigRejected}, Limit: 1}
	for _, e = range must(r.client.Events(r.Context(), q))(r).Events {
	}
	return e
}

// awaitChange waits until what is about to be done has led to an attempt.
func (r *rig) awaitChange(do func()) (e api.Event) {
	r.Helper()
	before := r.lastChange().Seq
	do()
	r.eventually(3*time.Second, "the configuration is in force or rejected", func() bool {
		e = r.lastChange()
		return e.Seq > before
	})
	return e
}

// awaitReloaded waits until what is about to be done has put a configuration in force.
func (r *rig) awaitReloaded(do func()) {
	r.Helper()
	if e := r.awaitChange(do); e.Type != api.ConfigReloaded {
		r.Fatalf("not in force: %s", e.Message)
	}
}

func (r *rig) bySignal(s settings) {
	r.Helper()
	r.awaitReloaded(func() {
		r.configure(s)
		r.check(r.tidegate.Signal(syscall.SIGHUP))
	})
}

func (r *rig) byWrite(s settings) {
	r.Helper()
	r.awaitReloaded(func() { r.configure(s) })
}

func (r *rig) byRename(s settings) {
	r.Helper()
	r.awaitReloaded(func() {
		r.check(os.WriteFile(r.file()+".new", []byte(r.text(s)), 0o644))
		r.check(os.Rename(r.file()+".new", r.file()))
	})
}

func (r *rig) byYAML(s settings) {
	r.Helper()
	r.check(r.client.SetConfig(r.Context(), api.YAMLType, strings.NewReader(r.text(s))))
}

// byJSON gets the configuration in force, changes some of its sections, and puts it back.
func (r *rig) byJSON(s settings) {
	r.Helper()
	var tree, sections map[string]any
	r.check(json.Unmarshal(must(r.client.Config(r.Context()))(r), &tree))
	r.check(yaml.Unmarshal([]byte(r.text(s)), &sections))
	delete(sections, "gateway")
	delete(sections, "api")
	maps.Copy(tree, sections)
	body := must(json.Marshal(tree))(r)
	r.check(r.client.SetConfig(r.Context(), api.JSONType, bytes.NewReader(body)))
}

// Much is changed at once while data goes to and fro: what is connected notices
// nothing, and what is new works at once.
func TestReloadUnderTraffic(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			onEach(t, settings{rules: way.prefix + living}, func(r *rig) {
				next := settings{rules: way.prefix + changed, idle: 5 * time.Minute, ports: 64, timers: "tcpFinHold: 5s, udpLoadBalanced: 1m"}
				r.serveWeb(":8081", r.Hosts...)
				talk := r.keepTalking(r.everyDirection())
				was := r.byID()
				r.routeTo(next, second)
				way.put(r, next)
				r.wantChanged()
				r.wantInForce(cmp.Or(way.source, r.file()))
				talk.wantProgress()
				r.wantSameFlows(was)
				r.wantNoneGivenUp()
				r.bySignal(settings{rules: way.prefix + living}) // back again
				r.wantInForce(r.file())
				talk.wantProgress()
				r.wantSameFlows(was)
				talk.end()
			})
		})
	}
}

func (r *rig) wantInForce(source string) {
	r.Helper()
	if s := r.status().Config; s.Source != source || s.LastError != "" {
		r.Errorf("the configuration from %s is in force, status says: %+v", source, s)
	}
}

// everyDirection opens a connection by each rule of living, and speaks UDP.
func (r *rig) everyDirection() (all []net.Conn) {
	r.Helper()
	h1, h2, s1 := r.Hosts[0], r.Hosts[1], r.Servers[0]
	must(lab.ServeTCPEcho(s1, ":7"))(r)
	must(lab.ServeUDPEcho(s1, ":7"))(r)
	for _, h := range []*lab.Host{h1, h2} {
		must(lab.ServeTCPEcho(h, ":22"))(r)
		must(lab.ServeTCPEcho(h, ":8080"))(r)
	}
	dial := func(from *lab.Host, network, to string) {
		r.Helper()
		conn := must(from.Dial(r.within(5*time.Second), network, to))(r)
		r.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	server := netip.AddrPortFrom(s1.Addr, 7).String()
	for range 4 {
		dial(h1, "tcp4", server)
		dial(h2, "udp4", server)
		dial(r.Servers[1], "tcp4", frontend+":2222")
		dial(s1, "tcp4", frontend+":80")
	}
	return all
}

// keepTalking has data go to and fro over connections whose other ends send it back.
func (r *rig) keepTalking(conns []net.Conn) *busy {
	r.Helper()
	b := &busy{rig: r, conns: conns, rounds: make([]atomic.Int64, len(conns)), errs: make([]error, len(conns))}
	for i := range conns {
		b.all.Go(func() { b.errs[i] = b.work(i) })
	}
	b.wantProgress()
	return b
}

func (r *rig) byID() map[string]api.Flow {
	r.Helper()
	all := map[string]api.Flow{}
	for _, f := range r.flows() {
		all[f.ID] = f
	}
	return all
}

// wantSameFlows checks that flows are as they were, but for their counters.
func (r *rig) wantSameFlows(was map[string]api.Flow) {
	r.Helper()
	now := r.byID()
	for id, f := range was {
		g, there := now[id]
		if !there || g.Internal != f.Internal || g.External != f.External || g.Remote != f.Remote ||
			g.Rule != f.Rule || g.RuleType != f.RuleType || g.Frontend != f.Frontend || g.State != f.State || !g.Created.Equal(f.Created) {
			r.Errorf("before: %+v; after (there: %t): %+v", f, there, g)
		}
	}
}

// routeTo does what an operator does for a frontend address that is about to come.
func (r *rig) routeTo(s settings, address string) {
	r.Helper()
	if r.datapath != "tun" {
		return // it answers ARP itself
	}
	file := r.file() + ".next.yaml"
	r.check(os.WriteFile(file, []byte(r.text(s)), 0o644))
	out := must(r.Gateway.Run(r.within(5*time.Second), program, "run", "--print-routes", "-c", file))(r)
	for l := range strings.Lines(string(out)) {
		if strings.Contains(l, address+"/32") {
			r.shell(r.Gateway, l)
		}
	}
}

// wantChanged uses at once what changed has that living hasn't.
func (r *rig) wantChanged() {
	r.Helper()
	h3, s1 := r.Hosts[2], r.Servers[0]
	r.dialEcho(s1, netip.MustParseAddrPort(second+":2222")).Close()
	seen := map[string]bool{}
	for range 64 {
		if seen[r.visit(s1, second+":80").backend] = true; len(seen) == 3 {
			break
		}
	}
	if len(seen) != 3 {
		r.Errorf("the new rule sends new flows to %v only", seen)
	}
	if f := r.flow(r.connect(h3, s1)); f.External.Addr().String() != frontend || f.Rule != "egress" {
		r.Errorf("the new member leaves as %+v", f)
	}
	for _, f := range r.flows("rule=ssh") {
		if d := f.IdleSeconds + f.ExpiresInSeconds; math.Abs(d-300) > 2 {
			r.Errorf("the new timeout is 300s, a flow has %vs: %+v", d, f)
		}
	}
	for _, backend := range []string{"10.0.0.10", "10.0.0.11", "10.0.0.12"} {
		if n := r.metrics()[`tidegate_snat_ports_allocated{backend="`+backend+`",frontend="public",protocol="tcp"}`]; n != 64 {
			r.Errorf("%s has %v ports, want 64", backend, n)
		}
	}
	if r.datapath == "packet" {
		r.eventually(soon, "the new frontend is announced", func() bool { return announced(r.outside)[second] })
	}
}
