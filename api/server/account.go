package server

import (
	"fmt"
	"strings"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/packet"
)

// account tells an Explanation in sentences, in the order in which the gateway
// decides.
type account struct {
	*gateway.Explanation
	server  *Server
	rule    *gateway.Rule // nil: none applies
	guessed bool          // the side
	dead    *api.DeadFlow // the last one that had the tuple, nil if there was none or one lives
}

func (s *Server) account(e *gateway.Explanation, guessed bool) *account {
	a := &account{Explanation: e, server: s, guessed: guessed, dead: s.dead(e)}
	if e.Rule >= 0 {
		a.rule = &s.Gateway.Rules()[e.Rule]
	}
	return a
}

// sent says that the packet leaves.
func (a *account) sent() bool {
	return a.Verdict == gateway.Forwarded || a.Verdict == gateway.Waiting
}

// translated says that it is known how the packet leaves, or would if there were a way.
func (a *account) translated() bool {
	return a.sent() || a.Verdict == gateway.DropNoRoute || a.Verdict == gateway.DropUnreachable
}

// resets says that idle flows of that kind end with RST.
func (a *account) resets() bool {
	return a.Original.Proto == packet.TCP && a.rule != nil && a.rule.Reset
}

// inbound says that a client is led to a backend.
func (a *account) inbound() bool {
	if a.Known {
		return a.Flow.Inbound()
	}
	return a.ToFrontend
}

// backend is the inside end that the rule is about, 0 if it is not known.
func (a *account) backend() packet.Addr {
	switch {
	case a.rule == nil:
		return 0
	case a.Known && a.inbound():
		return a.Flow.Backend()
	case a.Known:
		return a.Flow.Tuple[conntrack.Original].Src
	case !a.inbound():
		return a.Original.Src
	case a.Chosen != 0:
		return a.Chosen
	case a.translated():
		return a.Translated.Dst
	}
	return 0
}

// frontend names the frontend that stands for the backend.
func (a *account) frontend() string {
	switch {
	case a.Known:
		return a.server.Gateway.Frontends().Of(a.Flow.Frontend())
	case a.ToFrontend:
		return a.server.Gateway.Frontends().Of(a.Original.Dst)
	case a.translated():
		return a.server.Gateway.Frontends().Of(a.Translated.Src)
	}
	return ""
}

// ruleName is "outboundRule egress".
func (a *account) ruleName() string {
	if a.rule == nil {
		return "none"
	}
	return string(a.rule.Type) + " " + a.rule.Name
}

// position is where the configuration has the rule.
func (a *account) position() string {
	if a.rule == nil || a.rule.Removed {
		return ""
	}
	return a.server.position(a.rule)
}

// placedRule is "outboundRule egress (tidegate.yaml:23)".
func (a *account) placedRule() string {
	if at := a.position(); at != "" {
		return a.ruleName() + " (" + at + ")"
	}
	return a.ruleName()
}

// change is the translation: "10.0.0.10:1 > 198.51.100.7:443".
func change(t *packet.Tuple) string {
	return end(t.Source(), t.Proto) + " > " + end(t.Destination(), t.Proto)
}

// summary is the whole in one sentence.
func (a *account) summary() string {
	if !a.sent() {
		return a.remark()
	}
	kind := fmt.Sprintf("A new %v flow", a.Original.Proto)
	if a.Known {
		kind = fmt.Sprintf("A packet of a known %v flow", a.Original.Proto)
	}
	text := fmt.Sprintf("%s of %s leaves on the %v as %s", kind, a.ruleName(), a.Out, change(&a.Translated))
	if a.Via != 0 {
		text += fmt.Sprintf(", handed to %v", a.Via)
	}
	return text + "."
}

// hop is the address that the next hop is looked up for.
func (a *account) hop() packet.Addr {
	if a.Via != 0 {
		return a.Via
	}
	return a.Translated.Dst
}

// remark is what remarks say of the verdict, with the case at hand filled in.
func (a *account) remark() string {
	if a.Buried && a.Verdict == gateway.DropNoFlow {
		return "Nobody is told (lateTcpReset is off)."
	}
	rule := "none"
	if a.rule != nil {
		rule = a.rule.Name
	}
	t := &a.Original
	text := strings.NewReplacer(
		"{source}", end(t.Source(), t.Proto), "{destination}", end(t.Destination(), t.Proto),
		"{client}", t.Src.String(), "{frontend}", t.Dst.String(), "{protocol}", t.Proto.String(),
		"{from}", a.From.String(), "{other}", other(a.From).String(), "{out}", a.Out.String(),
		"{rule}", rule, "{hop}", a.hop().String(),
	).Replace(remarks[a.Verdict])
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
