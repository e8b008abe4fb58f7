package nexthop

import (
	"encoding/binary"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

const (
	// guardPriority is before whatever else hooks in with the usual priorities.
	guardPriority = nftables.ChainPriority(-500)

	// The registers of 4 bytes, for keys of several fields (NFT_REG32_00…).
	reg0, reg1, reg2 = unix.NFT_REG32_00, unix.NFT_REG32_01, unix.NFT_REG32_02

	ipv4FragmentOffset = 6 // offsets in the IPv4 header, bytes
	ipv4Destination    = 16
	etherType          = 12 // offsets in the Ethernet header, bytes
	vlanTCI            = 14
	icmpEchoRequest    = 8
)

// rule is one nftables rule: all its expressions must hold.
type rule []expr.Any

// addGuardRules adds the sets and, for each interface, a chain.
func addGuardRules(c *nftables.Conn, table *nftables.Table, o GuardOptions) error {
	g := guardSets{table: table}
	if err := g.add(c, disjoint(o.Frontends)); err != nil {
		return err
	}
	for _, chain := range []struct{ name, device string }{{"inside", o.Inside}, {"outside", o.Outside}} {
		priority := guardPriority
		ch := c.AddChain(&nftables.Chain{Name: chain.name, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookIngress, Priority: &priority, Device: chain.device})
		for _, r := range g.rules() {
			c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: r.exprs, UserData: comment(r.why)})
		}
	}
	return nil
}

func comment(why string) []byte { return userdata.AppendString(nil, userdata.TypeComment, why) }

type guardRule struct {
	why   string // shown by nft
	exprs rule
}

// rules in order: what passes, what the kernel must not forward, and then what of
// the frontends that the host carries is the gateway's.
func (g *guardSets) rules() []guardRule {
	return []guardRule{
		{"not IPv4", accept(meta(expr.MetaKeyPROTOCOL), is(reg0, be16(unix.ETH_P_IP), false))},
		{"for another machine", accept(meta(expr.MetaKeyPKTTYPE), is(reg0, []byte{unix.PACKET_OTHERHOST}, true))},
		{"another VLAN", accept(
			load(expr.PayloadBaseLLHeader, etherType, 2), is(reg0, be16(unix.ETH_P_IP), false),
			load(expr.PayloadBaseLLHeader, vlanTCI, 2), masked(0x0fff), is(reg0, be16(0), false))},
		{"only the gateway forwards", drop(
			&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagDADDR: true}, notIn(g.hosts))},
		{"for an address of the host alone", accept(ipv4(destination(), notIn(g.frontends))...)},
		{"wholly the gateway's", drop(ipv4(destination(), in(g.whole))...)},
		{"fragments of translated flows", drop(ipv4(
			load(expr.PayloadBaseNetworkHeader, ipv4FragmentOffset, 2), masked(0x1fff), is(reg0, be16(0), false))...)},
		{"the gateway answers echo", drop(ipv4(
			meta(expr.MetaKeyL4PROTO), is(reg0, []byte{byte(packet.ICMP)}, true),
			load(expr.PayloadBaseTransportHeader, 0, 1), is(reg0, []byte{icmpEchoRequest}, true))...)},
		{"ports of the gateway", drop(ipv4(
			destination(), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
			&expr.Payload{DestRegister: reg2, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2}, in(g.ports))...)},
	}
}

func accept(match ...expr.Any) rule {
	return append(match, &expr.Verdict{Kind: expr.VerdictAccept})
}

func drop(match ...expr.Any) rule {
	return append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

// ipv4 says again what the first rule has made sure of, for nft to print the rest
// by name instead of by offset.
func ipv4(match ...expr.Any) rule {
	return append(rule{meta(expr.MetaKeyPROTOCOL), is(reg0, be16(unix.ETH_P_IP), true)}, match...)
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg0} }

func load(base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: reg0, Base: base, Offset: offset, Len: length}
}

func destination() expr.Any { return load(expr.PayloadBaseNetworkHeader, ipv4Destination, 4) }

func is(register uint32, value []byte, equal bool) expr.Any {
	op := expr.CmpOpNeq
	if equal {
		op = expr.CmpOpEq
	}
	return &expr.Cmp{Op: op, Register: register, Data: value}
}

func masked(mask uint16) expr.Any {
	return &expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 2, Mask: be16(mask), Xor: be16(0)}
}

func in(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID}
}

func notIn(s *nftables.Set) expr.Any {
	return &expr.Lookup{SourceRegister: reg0, SetName: s.Name, SetID: s.ID, Invert: true}
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
