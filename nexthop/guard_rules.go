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

	// Registers of 4 bytes, for keys of several fields.
	reg0, reg1, reg2 = unix.NFT_REG32_00, unix.NFT_REG32_01, unix.NFT_REG32_02

	ipv4FragmentOffset = 6 // offsets in the IPv4 header, bytes
	ipv4Destination    = 16
	destinationPort    = 2  // offset in the TCP and UDP header, bytes
	etherType          = 12 // offsets in the Ethernet header, bytes
	vlanTCI            = 14
	icmpEchoRequest    = 8

	// The 64,000 SNAT ports of a frontend address with an outbound rule (Azure Load
	// Balancer, outbound rules).
	firstSNATPort, lastSNATPort = 1024, 65023
)

// The chains for what of a frontend address is the gateway's. A packet gets there
// only if the host carries the address.
const (
	chainWhole    = "whole"
	chainOutbound = "outbound"
	chainInbound  = "inbound"
)

// guardRule is one nftables rule: if all that it matches holds, its last
// expression says what happens.
type guardRule struct {
	why   string // the comment that nft shows
	exprs []expr.Any
}

// ingressRules are those of an interface: what passes, what the kernel must not
// forward, and a look at what is for the host. Only RTN_UNICAST is forwarded, so
// that asking for it leaves the host its own addresses, broadcast and multicast.
//
// A tag in front of a frame is only looked for if there are VLANs on the interface
// (it costs as much as the rest up to here): without, the kernel takes a frame of
// another VLAN for another machine's, and one of VLAN 0 as it takes one without tag.
func ingressRules(vlans bool, frontends *nftables.Set) []guardRule {
	rules := []guardRule{
		{"not IPv4", accept(meta(expr.MetaKeyPROTOCOL), isNot(be16(unix.ETH_P_IP)))},
		{"for another machine", accept(meta(expr.MetaKeyPKTTYPE), is([]byte{unix.PACKET_OTHERHOST}))},
	}
	if vlans {
		rules = append(rules, guardRule{"another VLAN", accept(
			load(expr.PayloadBaseLLHeader, etherType, 2), isNot(be16(unix.ETH_P_IP)),
			load(expr.PayloadBaseLLHeader, vlanTCI, 2), masked(0x0fff), isNot(be16(0)))})
	}
	unicast := binary.NativeEndian.AppendUint32(nil, unix.RTN_UNICAST)
	return append(rules,
		guardRule{"only the gateway forwards", drop(
			&expr.Fib{Register: reg0, ResultADDRTYPE: true, FlagDADDR: true}, is(unicast))},
		guardRule{"frontends that the host carries", []expr.Any{meta(expr.MetaKeyPROTOCOL), is(be16(unix.ETH_P_IP)), destination(),
			&expr.Lookup{SourceRegister: reg0, SetName: frontends.Name, SetID: frontends.ID, IsDestRegSet: true}}})
}

// ownedChain is a chain that the map of frontends leads to.
type ownedChain struct {
	name  string
	rules []guardRule
}

// ownedChains come in an order in which each goes only to an earlier one. Later
// fragments have no ports and are looked at first. What falls through is the host's.
func ownedChains(ports *nftables.Set) []ownedChain {
	fragments := guardRule{"fragments of translated flows", drop(meta(expr.MetaKeyPROTOCOL), is(be16(unix.ETH_P_IP)),
		load(expr.PayloadBaseNetworkHeader, ipv4FragmentOffset, 2), masked(0x1fff), isNot(be16(0)))}
	return []ownedChain{
		{chainWhole, []guardRule{{"wholly the gateway's", drop()}}},
		{chainInbound, []guardRule{
			fragments,
			{"the gateway answers echo", drop(
				meta(expr.MetaKeyL4PROTO), is([]byte{byte(packet.ICMP)}),
				load(expr.PayloadBaseTransportHeader, 0, 1), is([]byte{icmpEchoRequest}))},
			{"ports of inbound rules", drop(
				meta(expr.MetaKeyPROTOCOL), is(be16(unix.ETH_P_IP)),
				destination(), &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
				&expr.Payload{DestRegister: reg2, Base: expr.PayloadBaseTransportHeader, Offset: destinationPort, Len: 2},
				&expr.Lookup{SourceRegister: reg0, SetName: ports.Name, SetID: ports.ID})},
		}},
		{chainOutbound, []guardRule{
			fragments,
			{"SNAT ports", drop(snatPorts(packet.TCP)...)},
			{"SNAT ports", drop(snatPorts(packet.UDP)...)},
			{"", []expr.Any{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chainInbound}}},
		}},
	}
}

func snatPorts(p packet.Protocol) []expr.Any {
	return []expr.Any{
		meta(expr.MetaKeyL4PROTO), is([]byte{byte(p)}),
		load(expr.PayloadBaseTransportHeader, destinationPort, 2),
		&expr.Range{Op: expr.CmpOpEq, Register: reg0, FromData: be16(firstSNATPort), ToData: be16(lastSNATPort)},
	}
}

func accept(match ...expr.Any) []expr.Any {
	return append(match, &expr.Verdict{Kind: expr.VerdictAccept})
}

func drop(match ...expr.Any) []expr.Any {
	return append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
}

func meta(key expr.MetaKey) expr.Any { return &expr.Meta{Key: key, Register: reg0} }

func load(base expr.PayloadBase, offset, length uint32) expr.Any {
	return &expr.Payload{DestRegister: reg0, Base: base, Offset: offset, Len: length}
}

func destination() expr.Any { return load(expr.PayloadBaseNetworkHeader, ipv4Destination, 4) }

func is(value []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: reg0, Data: value} }

func isNot(value []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpNeq, Register: reg0, Data: value} }

func masked(mask uint16) expr.Any {
	return &expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 2, Mask: be16(mask), Xor: be16(0)}
}

func comment(why string) []byte {
	if why == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, why)
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func be32(a packet.Addr) []byte { return binary.BigEndian.AppendUint32(nil, uint32(a)) }
