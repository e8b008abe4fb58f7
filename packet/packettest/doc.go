// Package packettest builds packets for tests and checks those that come back.
//
//	syn := packettest.TCP(packettest.Segment{
//		Src: "10.0.0.10:40000", Dst: "198.51.100.7:443",
//		Seq: 1000, Flags: packet.SYN,
//		Options: []packettest.Option{packettest.MSS(1460), packettest.WScale(7)},
//	})
//
// A packet is a []byte that starts at the IPv4 header and ends at its total
// length; the caller owns it. Packets are built by gopacket's serializer.
// Check, Fields and Fix decode with gopacket, add up with a loop of their own and
// use none of package packet's decoding or arithmetic: they are what it is
// compared with.
//
// A literal that names no address or a packet too long to be one is a mistake
// in the test and panics.
package packettest
