package server

import (
	"fmt"
	"strings"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/packet"
)

// course names a flow by its way from the client on: "TCP flow 10.0.0.10:40000 >
// 203.0.113.5:1024 > 198.51.100.7:443 of outboundRule egress".
func (s *Server) course(f *conntrack.Flow) string {
	e, p, rule := f.Ends(), f.Tuple[0].Proto, s.Gateway.Rules()[f.Rule]
	from, to := e.Internal, e.Remote
	if f.Inbound() {
		from, to = e.Remote, e.Internal
	}
	return fmt.Sprintf("%s flow %s > %s > %s of %s %s",
		strings.ToUpper(p.String()), end(from, p), end(e.External, p), end(to, p), rule.Type, rule.Name)
}

// obituary says in one sentence how a flow ended.
func (s *Server) obituary(e *gateway.Event) string {
	text := fmt.Sprintf("The %s %s", s.course(&e.Flow), whyEnded(e))
	switch {
	case e.Reset:
		text += "; both ends got a RST"
	case e.Flow.State == conntrack.Established:
		text += "; neither end was told"
	}
	return text + "."
}

// whyEnded says why a flow ended.
func whyEnded(e *gateway.Event) string {
	held := "; its port was wanted"
	if ranOut(e) {
		held = fmt.Sprintf(", and held for %v", setting(e))
	}
	switch e.Reason {
	case conntrack.Idle:
		return fmt.Sprintf("was idle for %v", setting(e))
	case conntrack.HalfOpen:
		return fmt.Sprintf("was not established within %v", setting(e))
	case conntrack.Fin:
		return "was closed by both ends" + held
	case conntrack.Rst:
		return "was reset by an end" + held
	case conntrack.Killed:
		return "was killed by an operator"
	case conntrack.BackendDown:
		return "lost its backend, which is down"
	case conntrack.Drained:
		return "ended with the drain period of its backend, which has left the pool"
	}
	return "ended as its rule, or the frontend address it uses, is no longer in the configuration"
}

// setting is what the flow's timer was set to when it ended.
func setting(e *gateway.Event) time.Duration {
	return time.Duration(e.Flow.ExpiresIn + e.At - e.Flow.LastSeen)
}

// ranOut says that it was a timer that ended the flow. One that is spent can end
// before that, when its port is wanted.
func ranOut(e *gateway.Event) bool {
	switch e.Reason {
	case conntrack.Idle, conntrack.HalfOpen, conntrack.Fin, conntrack.Rst:
		return e.Flow.ExpiresIn <= 0
	}
	return false
}

// timerNames are the keys of the timers that depend on a flow's state alone.
var timerNames = map[conntrack.State]string{
	conntrack.SynSent: "timers.tcpHalfOpen", conntrack.SynReceived: "timers.tcpHalfOpen",
	conntrack.TimeWait: "timers.tcpFinHold", conntrack.Closed: "timers.tcpResetHold",
}

// timerOf names the timer of a flow, as the configuration does.
func (s *Server) timerOf(f *conntrack.Flow) string {
	rule, proto := s.Gateway.Rules()[f.Rule], f.Tuple[0].Proto
	switch name, ok := timerNames[f.State]; {
	case ok:
		return name
	case proto == packet.ICMP:
		return "timers.icmp"
	case proto == packet.UDP && rule.UDPIdle != 0:
		return "timers.udpLoadBalanced"
	}
	return fmt.Sprintf("the idle timeout of %s %s", rule.Type, rule.Name)
}
