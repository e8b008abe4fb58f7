// Package lab builds a small network out of network namespaces on this machine,
// with real kernels' clients and servers in it:
//
//	h1 10.0.0.10 ─┐                                                                      ┌─ s1 198.51.100.7
//	h2 10.0.0.11 ─┼─ lan ─ in0 10.0.0.1 [gw] out0 203.0.113.1 ─ wan0 203.0.113.254 [rt] ─┤
//	h3 10.0.0.12 ─┘                                                                      └─ s2 192.0.2.9
//
// Each of h1 to s2, lan, gw and rt is a network namespace. lan is a bridge. A
// host with one interface calls it eth0; the router's to the servers are srv1
// 198.51.100.1 and srv2 192.0.2.1. All prefixes are /24, and all addresses
// private (RFC 1918) or for documentation (RFC 5737). By convention the last
// host is in no pool.
//
// The router is an ordinary kernel router. It has 203.0.113.0/24 on its link to
// the gateway, so it asks by ARP for every frontend address there, and has no
// route to 10.0.0.0/24: a packet that leaks untranslated can be captured at the
// router and at the servers, and is never answered. The gateway starts as a
// kernel router too, so that such a leak is real unless somebody closes it.
// IPv6 is off everywhere.
//
// The package is no test code: the demo and the benchmark use it as well. It
// needs a Linux kernel, CAP_SYS_ADMIN, CAP_NET_ADMIN and CAP_NET_RAW, and no
// other program. It makes no interface outside its own namespaces. These have
// the name NAME-PID-N-HOST in /run/netns, so that a person can look into a
// running lab with "ip netns exec"; [Lab.Close] removes them, and [Sweep]
// removes those of a run that was killed.
//
// # What a capture between namespaces shows
//
// The kernel leaves offloads on, as on any machine: a captured frame can be a
// super-packet of up to 64 KiB that no wire would carry, and its TCP or UDP
// checksum can be partial, the sum of the pseudo-header alone, because the
// sender left the rest to a card that does not exist. That holds for frames in
// both directions, and [Packet.PartialChecksum] tells. [Host.SetOffload] makes
// a host send what a wire would carry.
//
// # Connections that stay silent
//
// [Host.Dial] and [Host.Listen] switch TCP keepalives off, which Go has on at 15
// seconds: a lab is where connections must be able to be idle. Switch them on
// with [net.TCPConn.SetKeepAliveConfig]; [net.TCPConn.SetLinger] with 0 makes
// Close send a RST.
package lab
