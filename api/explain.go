package api

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The sides of the gateway.
const (
	Inside  = "inside"
	Outside = "outside"
)

// ExplainRequest names a packet: to the first of a flow, a SYN for TCP, or to one
// of the flow that has these endpoints already.
type ExplainRequest struct {
	Protocol    string `json:"protocol" enum:"tcp,udp,icmp" doc:"Letter case does not count"`
	Source      string `json:"source" doc:"ADDR:PORT; for icmp ADDR or ADDR:IDENTIFIER" example:"10.0.0.10:40000"`
	Destination string `json:"destination" doc:"ADDR:PORT; for icmp ADDR" example:"198.51.100.7:443"`
	Side        string `json:"side,omitempty" enum:"inside,outside" doc:"Where the packet comes from, in any letter case; guessed if it is left out or empty"`
}

// Explanation is what would happen to a packet, and why.
type Explanation struct {
	Verdict string   `json:"verdict" doc:"forwarded, or the reason that tidegate_drops_total counts, ..."`
	Summary string   `json:"summary" doc:"One sentence"`
	Steps   []string `json:"steps" nullable:"false" doc:"One sentence each, in the order of the decision"`

	Side       string `json:"side" enum:"inside,outside" doc:"Where it comes from"`
	Original   Tuple  `json:"original"`
	Translated *Tuple `json:"translated,omitempty" doc:"As it leaves; of a new flow with SNAT the port is one that it might get"`
	Leaves     string `json:"leaves,omitempty" enum:"inside,outside" doc:"The side that it leaves on"`

	Rule     string `json:"rule,omitempty" doc:"Name of the rule that applies"`
	RuleType string `json:"ruleType,omitempty" doc:"outboundRule, inboundNatRule, ..."`
	Frontend string `json:"frontend,omitempty" doc:"Name of the frontend configuration"`
	Backend  string `json:"backend,omitempty" doc:"Its address"`
	SNAT     *SNAT  `json:"snat,omitempty" doc:"Where the port of a new flow comes from"`

	IdleTimeoutSeconds float64 `json:"idleTimeoutSeconds,omitempty" doc:"How long the flow may be silent, established if it is TCP; absent for icmp, which has timers.icmp"`
	TCPReset           bool    `json:"tcpReset" doc:"Both ends get a RST after that"`
	Flow               *Flow   `json:"flow,omitempty" doc:"The one that has the tuple"`

	RulePosition string    `json:"rulePosition,omitempty" doc:"Where the configuration has the rule: tidegate.yaml:23"`
	Dead         *DeadFlow `json:"dead,omitempty" doc:"The last flow that had the tuple in one of its directions and has ended; of the last 10,000"`
}

// DeadFlow is how a flow ended.
type DeadFlow struct {
	Flow         Flow      `json:"flow" doc:"As it was at its end"`
	Ended        time.Time `json:"ended"`
	Reason       string    `json:"reason" enum:"fin,rst,idle,killed,backend-down,rule-removed,drained,half-open"`
	Timer        string    `json:"timer,omitempty" doc:"The timer that ran out: the idle timeout of a rule, timers.tcpHalfOpen, ..."`
	TimerSeconds float64   `json:"timerSeconds,omitempty" doc:"Its setting then"`
	Resets       []string  `json:"resets" nullable:"false" doc:"What was sent to whom, a sentence each"`
	Message      string    `json:"message" doc:"All of it in one sentence"`
}

// Tuple is the endpoints of a packet; for ICMP the port of the end that asks is the
// echo identifier, and the other's is 0.
type Tuple struct {
	Source      netip.AddrPort `json:"source"`
	Destination netip.AddrPort `json:"destination"`
}

// SNAT is the ports that a new flow draws from.
type SNAT struct {
	Member string `json:"member,omitempty" doc:"The pool member that owns them; absent: the frontend's own, for flows between clients and backends inside"`
	Total  int    `json:"total"`
	Used   int    `json:"used" doc:"With a flow, held ones included; for TCP one may serve another destination"`
}

// Tuple checks the request, puts protocol and side in lower case and reads the
// endpoints. The error names the field.
func (r *ExplainRequest) Tuple() (t Tuple, err error) {
	if err := r.check(); err != nil {
		return t, err
	}
	r.Protocol, r.Side = strings.ToLower(r.Protocol), strings.ToLower(r.Side)
	read := transportEndpoint
	if r.Protocol == "icmp" {
		read = icmpEndpoint
	}
	if t.Source, err = read(r.Source); err != nil {
		return t, fmt.Errorf("api: explain source: %w", err)
	}
	if t.Destination, err = read(r.Destination); err != nil {
		return t, fmt.Errorf("api: explain destination: %w", err)
	}
	if r.Protocol == "icmp" && t.Destination.Port() != 0 {
		return t, fmt.Errorf("api: explain destination: %q has a port, and icmp has none; the identifier belongs to the source", r.Destination)
	}
	return t, nil
}

func (r *ExplainRequest) check() error {
	protocols, sides := []string{"tcp", "udp", "icmp"}, []string{Inside, Outside}
	switch {
	case !slices.Contains(protocols, strings.ToLower(r.Protocol)):
		return fmt.Errorf("api: explain protocol: %q is not one of %s", r.Protocol, strings.Join(protocols, ", "))
	case r.Side != "" && !slices.Contains(sides, strings.ToLower(r.Side)):
		return fmt.Errorf("api: explain side: %q is not one of %s; leave it out to have it guessed", r.Side, strings.Join(sides, ", "))
	}
	return nil
}

func transportEndpoint(s string) (netip.AddrPort, error) {
	ap, err := netip.ParseAddrPort(s)
	if _, bare := netip.ParseAddr(s); bare == nil {
		return ap, fmt.Errorf("%q has no port; give ADDR:PORT, as 198.51.100.7:443", s)
	}
	if err != nil {
		return ap, fmt.Errorf("%q is no ADDR:PORT, as 198.51.100.7:443", s)
	}
	if ap.Port() == 0 {
		return ap, fmt.Errorf("%q: nobody has port 0; give one of 1–65535", s)
	}
	return inIPv4(ap)
}

func icmpEndpoint(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return inIPv4(netip.AddrPortFrom(a, 0))
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return ap, fmt.Errorf("%q is no address, as 198.51.100.7; an echo identifier may follow that of the source, as 10.0.0.10:1", s)
	}
	return inIPv4(ap)
}

func inIPv4(ap netip.AddrPort) (netip.AddrPort, error) {
	a := ap.Addr().Unmap()
	if !a.Is4() {
		return ap, fmt.Errorf("%s is IPv6, and the gateway translates IPv4 only", ap.Addr())
	}
	return netip.AddrPortFrom(a, ap.Port()), nil
}
