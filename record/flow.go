package record

import (
	"net/netip"

	"tidegate/conntrack"
	"tidegate/packet"
)

// ends are the three endpoints of a flow as users know them, whichever end began it.
type ends struct{ internal, external, remote netip.AddrPort }

func endsOf(f *conntrack.Flow) ends {
	original, reply := &f.Tuple[conntrack.Original], &f.Tuple[conntrack.Reply]
	if f.Inbound() {
		backend := netip.AddrPortFrom(f.Backend().Netip(), reply.SrcPort)
		return ends{internal: backend, external: original.Destination(), remote: original.Source()}
	}
	return ends{internal: original.Source(), external: reply.Destination(), remote: original.Destination()}
}

// frontend is the frontend address of a flow.
func frontend(f *conntrack.Flow) packet.Addr {
	if f.Inbound() {
		return f.Tuple[conntrack.Original].Dst
	}
	return f.Tuple[conntrack.Reply].Dst
}

// outward is the direction of a flow's packets from the internal to the remote end.
func outward(f *conntrack.Flow) conntrack.Direction {
	if f.Inbound() {
		return conntrack.Reply
	}
	return conntrack.Original
}

func course(f *conntrack.Flow) string {
	if f.Inbound() {
		return "inbound"
	}
	return "outbound"
}
