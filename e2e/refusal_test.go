package e2e

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// refusals are starts that can't succeed: each ends with a status and with these
// lines of complaint, and leaves the host as it was.
var refusals = []struct {
	name     string
	datapath string
	edit     []string // of the configuration: old, new
	wrap     string   // a shell command that ends in "$@"
	as       uint32   // user
	prepare  func(*rig)
	status   int
	lines    []string // what each line contains
}{
	{name: "no such inside interface", datapath: "packet", edit: []string{"in0", "eth7"}, status: 1, lines: []string{"eth7"}},
	{name: "no such outside interface", datapath: "packet", edit: []string{"out0", "eth8"}, status: 1, lines: []string{"eth8"}},
	{name: "no such interface, whatever the datapath", datapath: "auto", edit: []string{"in0", "eth7"}, status: 1, lines: []string{"eth7"}},
	{name: "the same twice", datapath: "packet", edit: []string{"out0", "in0"}, status: 2, lines: []string{"gateway.outside.interface"}},
	{name: "API port taken", datapath: "packet", prepare: takePort, status: 1, lines: []string{"choose another port in api.listen"}},
	{name: "API port taken, tun", datapath: "tun", prepare: takePort, status: 1, lines: []string{"choose another port in api.listen"}},
	{name: "API socket path is a file", datapath: "packet", prepare: takePath, status: 1, lines: []string{"choose another path in api.listen"}},
	{name: "no permission, packet", datapath: "packet", edit: onlyLoopback, as: nobody, status: 1, lines: []string{"CAP_NET_RAW|CAP_NET_ADMIN|root"}},
	{name: "no permission, tun", datapath: "tun", edit: onlyLoopback, as: nobody, status: 1, lines: []string{"CAP_NET_ADMIN"}},
	{name: "no permission for either", datapath: "auto", edit: onlyLoopback, as: nobody, status: 1, lines: []string{"CAP_NET_RAW"}},
	{name: "no permission, by the default socket", datapath: "packet", edit: defaultSocket, as: nobody, status: 1, lines: []string{"run as root, or choose another path in api.listen"}},
	{name: "interface down", datapath: "packet", prepare: takeDown, status: 1, lines: []string{"ip link set in0 up"}},
	{name: "interface down, auto", datapath: "auto", prepare: takeDown, status: 1, lines: []string{"ip link set in0 up"}},
	{name: "TUN missing", datapath: "tun", wrap: `mount -t tmpfs none /dev/net`, status: 1, lines: []string{"modprobe tun"}},
	{name: "TUN is something else", datapath: "tun", wrap: `mount --bind /dev/null /dev/net/tun`, status: 1, lines: []string{"/dev/net/tun"}},
	{name: "TUN name taken", datapath: "tun", edit: []string{"gateway:", "gateway:\n  tun: { name: in0 }"}, status: 1, lines: []string{"gateway.tun.name"}},
	{name: "no eBPF yet", datapath: "ebpf", status: 2, lines: []string{"gateway.datapath: ebpf is not available in this version; use auto, packet or tun"}},
	{
		name: "every problem is named", datapath: "packet", status: 2,
		edit: []string{"idleTimeout: 10m0s", "idleTimeout: 25h", "publicIPAddress: 203.0.113.5", "publicIPAddress: 203.0.113.500",
			"frontendPort: 2222", "frontendPort: 70000", "timers: {", "timers: { tcpHalfOpne: 1s"},
		lines: []string{"timers.tcpHalfOpne: unknown key, did you mean tcpHalfOpen?",
			"frontendIPConfigurations[0].publicIPAddress: ", "outboundRules[0].idleTimeout: ",
			"inboundNatRules[0].idleTimeout: ", "inboundNatRules[0].frontendPort: "},
	},
	{name: "not YAML", datapath: "packet", edit: []string{"gateway:", "gateway: ]["}, status: 2, lines: []string{"tidegate.yaml"}},
}

const nobody = 65534

// onlyLoopback leaves out the socket, which nobody may make here.
var onlyLoopback = []string{"listen: [ \"unix:", "listen: [ \"" + loopback + "\" ] } # "}

// defaultSocket is a path in a directory that nobody may make.
var defaultSocket = []string{"listen: [ \"unix:", "listen: [ \"unix:/run/tidegate-e2e/none/api.sock\" ] } # "}

func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	for _, c := range refusals {
		r.Run(c.name, func(t *testing.T) {
			sub := *r
			sub.T = t
			text := strings.NewReplacer(c.edit...).Replace(settings{listen: loopback}.yaml(c.datapath, r.socket()))
			sub.check(os.WriteFile(r.file(), []byte(text), 0o644))
			if c.prepare != nil {
				c.prepare(&sub)
			}
			before := sub.hostState(r.Gateway)
			cmd := exec.Command(program, "run", "-c", r.file())
			if c.wrap != "" {
				cmd = exec.Command("unshare", append([]string{"-m", "sh", "-ec", c.wrap + ` && exec "$@"`, "sh"}, cmd.Args...)...)
			}
			if c.as != 0 {
				cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.as, Gid: c.as}}
			}
			sub.wantRefusal(sub.run(r.Gateway, cmd), c.status, c.lines)
			sub.wantHostState(r.Gateway, before)
		})
	}
}

func (r *rig) wantRefusal(o outcome, status int, lines []string) {
	r.Helper()
	if o.status != status || len(o.lines()) != len(lines) || o.stdout != "" {
		r.Errorf("exit status %d, want %d with %d lines:\n%s%s", o.status, status, len(lines), o.stdout, o.stderr)
		return
	}
	for i, l := range o.lines() {
		if !containsOne(l, strings.Split(lines[i], "|")) || !strings.HasPrefix(l, "tidegate: ") {
			r.Errorf("line %d does not name %q:\n%s", i, lines[i], l)
		}
	}
}

func containsOne(s string, of []string) bool {
	for _, o := range of {
		if strings.Contains(s, o) {
			return true
		}
	}
	return false
}

func takePort(r *rig) {
	listener, err := r.Gateway.Listen("tcp4", loopback)
	r.check(err)
	r.Cleanup(func() { listener.Close() })
}

func takeDown(r *rig) {
	r.check(r.Gateway.SetDown("in0"))
	r.Cleanup(func() { r.check(r.Gateway.SetUp("in0")) })
}

func takePath(r *rig) {
	r.check(os.WriteFile(r.socket(), nil, 0o644))
	r.Cleanup(func() { os.Remove(r.socket()) })
}

// What is no use at all is told with status 2, too.
func TestWrongUsage(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	for _, args := range [][]string{
		{"rum"}, {"run", "--fast"}, {"run", "extra"}, {"check", "-c"}, {"kill"}, {"kill", "colour=blue"}, {"flows", "proto=sctp"},
		{"flows", "--limit", "0"}, {"status", "-o", "xml"}, {"ports", "--by", "colour"}, {"status", "--api", "tcp:1"},
	} {
		if o := r.cli(args...); o.status != 2 || len(o.lines()) != 1 || o.stdout != "" {
			r.Errorf("%v: %+v", args, o)
		}
	}
	if o := r.cli("status"); o.status != 1 || len(o.lines()) != 1 || !strings.Contains(o.stderr, "is tidegate running?") {
		r.Errorf("without a gateway: %+v", o)
	}
	if o := r.cli("run", "-c", r.dir+"/none.yaml"); o.status != 2 || len(o.lines()) != 1 || !strings.Contains(o.stderr, "none.yaml") {
		r.Errorf("without a configuration: %+v", o)
	}
}
