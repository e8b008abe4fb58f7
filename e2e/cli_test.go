package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// answer runs a verb with -o json, which must succeed, and reads what it says.
func answer[V any](r *rig, args ...string) (v V) {
	r.Helper()
	o := r.cli(append(args, "-o", "json")...)
	if o.status != 0 || o.stderr != "" {
		r.Fatalf("%v: %+v", args, o)
	}
	d := json.NewDecoder(strings.NewReader(o.stdout))
	d.DisallowUnknownFields()
	r.check(d.Decode(&v))
	return v
}

// table runs a verb and wants words in what it shows.
func (r *rig) wantTable(args []string, words ...string) {
	r.Helper()
	o := r.cli(args...)
	if o.status != 0 || o.stderr != "" {
		r.Fatalf("%v: %+v", args, o)
	}
	for _, w := range words {
		if !strings.Contains(o.stdout, w) {
			r.Errorf("%v does not show %q:\n%s", args, w, o.stdout)
		}
	}
}

func TestCLIStatus(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		r.connect(r.Hosts[0], r.Servers[0])
		s := answer[api.Status](r, "status")
		if !s.Healthy || !s.Ready || s.Datapath != r.datapath || s.Totals.Flows != 1 || s.Totals.Created != 1 {
			r.Errorf("status is %+v", s)
		}
		if len(s.Rules) != 2 || s.Rules[0].Name != "egress" || s.Rules[0].Flows != 1 || s.Rules[0].IdleTimeoutSeconds != 600 || !s.Rules[0].EnableTCPReset {
			r.Errorf("rules are %+v", s.Rules)
		}
		r.wantTable([]string{"status"}, "ready", r.datapath, "egress", "ssh", "outboundRule", "inboundNatRule")
	})
}

func TestCLIFlows(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		out, in := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
		echo := must(lab.ServeUDPEcho(r.Servers[1], ":7"))(r)
		conn := must(r.Hosts[1].Dial(r.Context(), "udp4", echo.Addr.String()))(r)
		defer conn.Close()
		r.check(say(conn, conn))
		external := r.flow(out).External.String()
		for filter, want := range map[string]int{
			"": 3, "proto=tcp": 2, "proto=udp": 1, "proto=icmp": 0, "rule=egress": 2, "rule=ssh": 1, "rule=none": 0,
			"state=ESTABLISHED": 2, "state=established proto=udp": 0, "state=ACTIVE": 1,
			"internal=" + out.inside.LocalAddr().String(): 1, "internal=10.0.0.10": 2, "backend=10.0.0.11": 1, "backend=10.0.0.0/24": 3,
			"external=" + external: 1, "external=203.0.113.5": 3, "external=203.0.113.5:2222": 1,
			"remote=" + in.outside.LocalAddr().String(): 1, "remote=192.0.2.0/24": 2, "remote=198.51.100.7": 1,
			"frontend=public": 3, "frontend=203.0.113.5": 3, "frontend=private": 0, "idle>1h": 0, "idle>1ms": 3, "--limit 2": 2,
		} {
			time.Sleep(time.Millisecond) // for idle>1ms
			if l := answer[api.FlowList](r, append([]string{"flows"}, strings.Fields(filter)...)...); len(l.Flows) != want {
				r.Errorf("flows %s: %d, want %d", filter, len(l.Flows), want)
			}
		}
		r.wantTable([]string{"flows"}, out.inside.LocalAddr().String(), external, in.outside.LocalAddr().String(), "ESTABLISHED", "ACTIVE", "inbound")
		r.wantTable([]string{"flows", "-o", "wide", "proto=tcp"}, "BYTES OUT", "public")
	})
}

func TestCLIKill(t *testing.T) {
	onEach(t, settings{silent: true}, func(r *rig) {
		h1, s1 := r.Hosts[0], r.Servers[0]
		doomed, spared := r.connect(h1, s1), r.connect(h1, s1)
		before := r.numbersOf(doomed)
		k := answer[api.Killed](r, "kill", "internal="+doomed.inside.LocalAddr().String())
		if k.Killed != 1 {
			r.Errorf("%d flows are ended, want 1", k.Killed)
		}
		for _, conn := range doomed.ends() {
			r.wantTold(conn, 0)
		}
		time.Sleep(settle)
		r.wantOneReset(r.inside, doomed.inside, before.inside.RcvNxt, 0)
		r.wantOneReset(r.outside, doomed.outside, before.outside.RcvNxt, 0)
		r.exchange(spared)
		if n := r.status().Totals.Resets["killed"]; n != 2 {
			r.Errorf("%d resets are counted as killed, want 2", n)
		}
		r.wantTable([]string{"kill", "remote=192.0.2.9"}, "0 flows ended")
		if o := r.cli("kill"); o.status != 2 || len(o.lines()) != 1 {
			r.Errorf("kill without a filter: %+v", o)
		}
		r.exchange(spared)
	})
}

func TestCLIPorts(t *testing.T) {
	onEach(t, settings{ports: 64}, func(r *rig) {
		r.connect(r.Hosts[0], r.Servers[0])
		for by, want := range map[string]api.PortRow{
			"backend":  {Backend: "10.0.0.10", Protocol: "tcp", Allocated: 64, Used: 1, Free: 63},
			"frontend": {Frontend: "public", Protocol: "tcp", Allocated: 128, Used: 1, Free: 127},
			"rule":     {Rule: "egress", Protocol: "tcp", Allocated: 128, Used: 1, Free: 127},
		} {
			p, found := answer[api.Ports](r, "ports", "--by", by), false
			for _, row := range p.Rows {
				found = found || row == want
			}
			if !found || string(p.By) != by {
				r.Errorf("by %s there is no %+v in %+v", by, want, p)
			}
		}
		r.wantTable([]string{"ports"}, "10.0.0.10", "10.0.0.11", "tcp", "udp", "64")
	})
}

func TestCLICheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.configure(settings{})
	r.wantTable([]string{"check", "-c", r.file()}, "is valid")
	r.configure(settings{idle: 25 * time.Hour, ports: 7})
	o := r.cli("check", "-c", r.file())
	want := []string{"outboundRules[0].allocatedOutboundPorts: ", "outboundRules[0].idleTimeout: ", "inboundNatRules[0].idleTimeout: "}
	r.wantRefusal(o, 2, want)
}

// Everything the program needs to be told where the gateway is.
func TestCLIFindsGateway(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.start(settings{listen: loopback})
	for _, cmd := range []*exec.Cmd{
		exec.Command(program, "status", "--api", r.api()),
		exec.Command(program, "--api", "http://"+loopback, "status"),
		exec.Command("env", "TIDEGATE_API="+r.api(), program, "status"),
	} {
		if o := r.run(r.Gateway, cmd); o.status != 0 || !strings.Contains(o.stdout, "ready") {
			r.Errorf("%v: %+v", cmd.Args, o)
		}
	}
	if o := r.run(r.Gateway, exec.Command(program, "--api", "http://127.0.0.1:1", "status")); o.status != 1 || len(o.lines()) != 1 {
		r.Error(fmt.Errorf("where nobody listens: %+v", o))
	}
}
