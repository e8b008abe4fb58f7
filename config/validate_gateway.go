package config

import (
	"path/filepath"
	"strings"
	"time"
)

const (
	maxInterfaceName = 15             // bytes: IFNAMSIZ less its NUL, linux/if.h
	maxWorkers       = 256            // an AF_PACKET fan-out group's members, linux/if_packet.h
	minFlows         = 1 << 10        // less is no gateway
	maxFlows         = 1 << 24        // 3 GiB of flow entries
	maxTimer         = 24 * time.Hour // a longer wait is a leak
)

func (v *validator) checkGateway() {
	g := v.config.Gateway
	if g.Datapath == "ebpf" {
		v.add("gateway.datapath", "ebpf is not available in this version; use auto, packet or tun")
	} else {
		oneOf(v, "gateway.datapath", g.Datapath, DatapathAuto, DatapathPacket, DatapathTUN)
	}
	v.checkInterfaces(g)
	v.between("gateway.workers", g.Workers, 0, maxWorkers)
	v.between("gateway.maxFlows", g.MaxFlows, minFlows, maxFlows)
	v.absolute("gateway.stateDir", g.StateDir)
}

// absolute checks a path of the file system by its spelling.
func (v *validator) absolute(path, name string) {
	if !filepath.IsAbs(name) {
		v.add(path, "%s is not an absolute path", quote(name))
	}
}

// checkInterfaces asks for those that the datapath uses; a name that is given
// has to be one in any case.
func (v *validator) checkInterfaces(g Gateway) {
	tun := g.Datapath == DatapathTUN
	v.interfaceName("gateway.inside.interface", g.Inside.Name, !tun)
	v.interfaceName("gateway.outside.interface", g.Outside.Name, !tun)
	v.interfaceName("gateway.tun.name", g.TUN.Name, tun)
	if !tun && g.Inside.Name != "" && g.Inside == g.Outside && !placeholder(g.Inside.Name) {
		v.add("gateway.outside.interface", "%s is the inside too; datapath %s needs two interfaces", g.Outside.Name, g.Datapath)
	}
}

// interfaceName applies the kernel's dev_valid_name, and refuses the % by which
// the kernel would choose a name of its own.
func (v *validator) interfaceName(path, name string, required bool) {
	switch {
	case name == "" && required:
		v.add(path, "is required with datapath %s", v.config.Gateway.Datapath)
	case placeholder(name):
		v.add(path, "%s is a placeholder: write the interface it stands for", quote(name))
	case len(name) > maxInterfaceName:
		v.add(path, "%s is longer than %d bytes", quote(name), maxInterfaceName)
	case name == ".", name == "..", strings.ContainsAny(name, "/:% \t\n\v\f\r\x00"):
		v.add(path, "%s is no interface name", quote(name))
	}
}

func (v *validator) checkLog() {
	oneOf(v, "log.level", v.config.Log.Level, "debug", "info", "warn", "error")
	oneOf(v, "log.format", v.config.Log.Format, "text", "json")
}

func (v *validator) checkTimers() {
	t := v.config.Timers
	v.timer("timers.tcpHalfOpen", t.TCPHalfOpen)
	v.timer("timers.tcpFinHold", t.TCPFinHold)
	v.timer("timers.tcpResetHold", t.TCPResetHold)
	v.timer("timers.udpLoadBalanced", t.UDPLoadBalanced)
	v.timer("timers.icmp", t.ICMP)
}

func (v *validator) timer(path string, d time.Duration) {
	if d <= 0 || d > maxTimer {
		v.add(path, "%s is not above 0 and at most 24h", d)
	}
}
