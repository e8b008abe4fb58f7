package server

import (
	"fmt"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/nexthop"
	"tidegate/packet"
)

// steps are the decision, one sentence each.
func (a *account) steps() []string {
	all := []string{a.side(), a.address()}
	if a.dead != nil {
		all = append(all, deadSteps(a.dead, time.Now())...)
	}
	if a.Known {
		all = append(all, a.known())
	} else {
		all = append(all, a.admission()...)
	}
	if a.translated() {
		all = append(all, a.translation())
	}
	if a.Ports.Total > 0 {
		all = append(all, a.ports())
	}
	if a.sent() {
		all = append(all, a.timer())
	}
	if a.Verdict == gateway.Forwarded {
		return append(all, fmt.Sprintf("It leaves on the %v, towards %v.", a.Out, a.hop()))
	}
	return append(all, a.remark())
}

// side tells where the packet comes from, and how that is known.
func (a *account) side() string {
	why := "as asked"
	switch {
	case !a.guessed:
	case a.Known:
		why = "where the flow has that end"
	case a.From == nexthop.Outside:
		why = "a guess: a public frontend is meant, and not by a pool member"
	case a.FromMember:
		why = "a guess: the source is a backend"
	default:
		why = "a guess: no public frontend is meant; give the side if it is the other"
	}
	return fmt.Sprintf("The packet comes from the %v (%s).", a.From, why)
}

// address tells what the gateway knows of both ends.
func (a *account) address() string {
	source, destination := "in no pool", "no address of the gateway's"
	if a.FromMember {
		source = "a backend"
	}
	if a.ToFrontend {
		destination = fmt.Sprintf("an address of frontend %s", a.server.Gateway.Frontends().Of(a.Original.Dst))
	}
	return fmt.Sprintf("%v is %s, %v is %s.", a.Original.Src, source, a.Original.Dst, destination)
}

func (a *account) known() string {
	who := "the end that began it"
	if a.Direction == conntrack.Reply {
		who = "the end that was asked"
	}
	return fmt.Sprintf("It is of flow %016x of %s, which is %v; %v is %s. Rules are not asked again.",
		uint64(a.Flow.ID), a.placedRule(), a.Flow.State, a.Original.Src, who)
}

// admission tells how a packet that begins a flow gets to its rule, and to its backend.
func (a *account) admission() []string {
	switch {
	case a.rule == nil:
		return []string{"No rule applies."}
	case a.Buried:
		return []string{fmt.Sprintf("It is of a flow of %s that was given up a moment ago.", a.placedRule())}
	case a.Inbound != nil:
		return a.service()
	case a.rule.Type != gateway.InstancePublicIP:
		return []string{fmt.Sprintf("The %s is for %v of %v.", a.placedRule(), a.Original.Proto, a.Original.Src)}
	case a.ToFrontend:
		return []string{fmt.Sprintf("The %s gives every port of that address to its backend.", a.placedRule())}
	}
	return []string{fmt.Sprintf("The %s is this backend's own, and comes before outbound rules.", a.placedRule())}
}

// service tells of an inbound rule: its port, its list, its choice.
func (a *account) service() (all []string) {
	r, t := a.Inbound, &a.Original
	which := end(t.Destination(), t.Proto)
	if r.Frontend.Port == 0 {
		which = fmt.Sprintf("every port of %v that no other rule has (HA ports)", t.Dst)
	}
	all = append(all, fmt.Sprintf("The %s is for %v to %s.", a.placedRule(), t.Proto, which))
	if len(r.ACL) > 0 {
		all = append(all, decides(r.ACL, t.Src))
	}
	if a.Chosen != 0 {
		all = append(all, fmt.Sprintf("Out of pool %s it chooses backend %v, by %s.", r.Pool.Name, a.Chosen, distributions[r.Distribution]))
	}
	return all
}

// distributions say by what a backend is chosen.
var distributions = [...]string{
	nat.FiveTuple:  "client and frontend address, both ports and the protocol (loadDistribution Default)",
	nat.TwoTuple:   "client and frontend address (loadDistribution SourceIP)",
	nat.ThreeTuple: "client and frontend address and the protocol (loadDistribution SourceIPProtocol)",
}

// decides tells which entry of an access control list lets a client in or not.
func decides(l nat.ACL, client packet.Addr) string {
	for _, e := range l {
		switch {
		case client&e.Mask != e.Network:
		case e.Permit:
			return fmt.Sprintf("Entry %d of its endpointACL permits %v.", e.Order, client)
		default:
			return fmt.Sprintf("Entry %d of its endpointACL denies %v.", e.Order, client)
		}
	}
	return fmt.Sprintf("No entry of its endpointACL is for %v, which is therefore denied.", client)
}

// translation tells what is changed in the packet.
func (a *account) translation() string {
	from, to, p := &a.Original, &a.Translated, a.Original.Proto
	text := "The packet"
	if from.Source() != to.Source() {
		text += fmt.Sprintf(" gets source %s in place of %s and", end(to.Source(), p), end(from.Source(), p))
	}
	if from.Destination() != to.Destination() {
		text += fmt.Sprintf(" goes to %s in place of %s", end(to.Destination(), p), end(from.Destination(), p))
	} else {
		text += fmt.Sprintf(" keeps destination %s", end(to.Destination(), p))
	}
	if a.Via != 0 {
		text += fmt.Sprintf("; it is handed to %v (floating IP), which answers the client itself", a.Via)
	}
	return text + "."
}

// ports tells where the port of a new flow comes from.
func (a *account) ports() string {
	owner := fmt.Sprint(a.Ports.Member)
	if a.Ports.Member == 0 {
		owner = "the frontend (for flows that stay inside)"
	}
	text := fmt.Sprintf("The port is one of %s, which has %d, %d of them in use", owner, a.Ports.Total, a.Ports.Used)
	if a.Original.Proto == packet.TCP {
		text += "; one in use can serve another destination too"
	}
	if a.translated() {
		text += "; the one shown is one that it might get"
	}
	return text + "."
}

// timer tells when the flow ends of itself, and how.
func (a *account) timer() string {
	switch {
	case a.Original.Proto == packet.ICMP:
		return "The flow is forgotten, without a word, when it has been silent for timers.icmp."
	case a.Original.Proto == packet.UDP && a.rule.UDPIdle != 0:
		return fmt.Sprintf("The flow is forgotten, without a word, when it has been silent for %v "+
			"(timers.udpLoadBalanced: the rule's idle timeout is not for UDP).", a.Idle)
	case a.Original.Proto == packet.UDP:
		return fmt.Sprintf("The flow is forgotten, without a word, when it has been silent for %v.", a.Idle)
	case a.rule.Late:
		return a.tcpTimer() + " A segment that comes later gets a RST (lateTcpReset)."
	}
	return a.tcpTimer()
}

func (a *account) tcpTimer() string {
	switch {
	case !a.rule.Reset:
		return fmt.Sprintf("Once ESTABLISHED it is forgotten, without a word, when it has been silent for %v (enableTcpReset is off).", a.Idle)
	case a.rule.Ask:
		return fmt.Sprintf("Once ESTABLISHED and silent for %v, both ends are asked with a keepalive, and get a RST unless both answer.", a.Idle)
	}
	return fmt.Sprintf("Once ESTABLISHED and silent for %v, both ends get a RST.", a.Idle)
}
