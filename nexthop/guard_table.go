package nexthop

import (
	"encoding/binary"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"tidegate/packet"
)

// setChunk elements go in one message, whose attribute holds 64 KiB.
const setChunk = 256

// guardTx is the transaction that makes the table. The first error stays.
type guardTx struct {
	*nftables.Conn
	table     *nftables.Table
	frontends *nftables.Set // from an address to its chain
	adopted   bool          // the table was there before
	err       error
}

// ingress is an interface to be guarded.
type ingress struct {
	chain, device string
	vlans         bool
}

// build replaces the table.
func (x *guardTx) build(interfaces []ingress, runs []owned) error {
	x.AddTable(x.table) // so that there is one to delete
	x.DelTable(x.table)
	x.AddTable(x.table)
	for _, c := range ownedChains(x.portSet(runs)) {
		x.AddChain(&nftables.Chain{Name: c.name, Table: x.table})
		x.addRules(c.name, c.rules)
	}
	x.frontends = x.frontendMap(runs)
	for _, i := range interfaces {
		x.guard(i, ingressRules(i.vlans, x.frontends))
	}
	return x.err
}

func (x *guardTx) guard(i ingress, rules []guardRule) {
	priority := guardPriority
	x.AddChain(&nftables.Chain{Name: i.chain, Table: x.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookIngress, Priority: &priority, Device: i.device})
	x.addRules(i.chain, rules)
}

func (x *guardTx) addRules(chain string, rules []guardRule) {
	for _, r := range rules {
		x.AddRule(&nftables.Rule{Table: x.table, Chain: &nftables.Chain{Name: chain, Table: x.table}, Exprs: r.exprs, UserData: comment(r.why)})
	}
}

func (x *guardTx) frontendMap(runs []owned) *nftables.Set {
	s := &nftables.Set{Table: x.table, Name: "frontends", KeyType: nftables.TypeIPAddr, Interval: true,
		IsMap: true, DataType: nftables.TypeVerdict}
	var elements []nftables.SetElement
	for _, r := range runs {
		verdict := &expr.Verdict{Kind: expr.VerdictGoto, Chain: r.chain()}
		elements = append(elements, nftables.SetElement{Key: be32(r.first), VerdictData: verdict})
		if r.last != lastAddr {
			elements = append(elements, nftables.SetElement{Key: be32(r.last + 1), IntervalEnd: true})
		}
	}
	x.addSet(s, elements)
	return s
}

// portSet holds address . protocol . destination port, each a range, of inbound rules.
func (x *guardTx) portSet(runs []owned) *nftables.Set {
	s := &nftables.Set{Table: x.table, Name: "ports", Interval: true, Concatenation: true}
	s.KeyType, x.err = nftables.ConcatSetType(nftables.TypeIPAddr, nftables.TypeInetProto, nftables.TypeInetService)
	var elements []nftables.SetElement
	for _, r := range runs {
		for _, p := range r.ports {
			elements = append(elements, nftables.SetElement{
				Key: portKey(r.first, p.Protocol, p.First), KeyEnd: portKey(r.last, p.Protocol, p.Last)})
		}
	}
	x.addSet(s, elements)
	return s
}

// portKey pads each field to a register.
func portKey(a packet.Addr, proto packet.Protocol, port uint16) []byte {
	k := append(be32(a), byte(proto), 0, 0, 0)
	return append(binary.BigEndian.AppendUint16(k, port), 0, 0)
}

func (x *guardTx) addSet(s *nftables.Set, elements []nftables.SetElement) {
	if x.err == nil {
		x.err = x.AddSet(s, nil)
	}
	for chunk := range slices.Chunk(elements, setChunk) {
		if x.err == nil {
			x.err = x.SetAddElements(s, chunk)
		}
	}
}
