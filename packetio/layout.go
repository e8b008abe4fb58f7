package packetio

// Layout says where the IP packet begins in a frame: after Vnet bytes of struct
// virtio_net_hdr and Link bytes of Ethernet header.
type Layout struct{ Vnet, Link int }

// Headroom is what stands before the IP packet.
func (l Layout) Headroom() int { return l.Vnet + l.Link }
