// Package nexthop knows where the host would send a packet: it mirrors the
// kernel's IPv4 routes, neighbours and the gateway's two interfaces into an
// immutable Snapshot, answers ARP for frontend addresses that nobody else would
// answer for, and keeps the kernel's hands off what the gateway owns (Guard).
//
// A Snapshot may be read by any number of goroutines, without a lock, a system
// call or an allocation. The kernel stays the authority: nothing here changes a
// route, and ARP requests for neighbours are the kernel's own, which is only
// told that an entry is in use. Routes by way of an IPv6 neighbour, through a
// tunnel encapsulation or chosen by TOS or by an `ip rule` are not followed.
// Nexthop objects are, as long as net.ipv4.nexthop_compat_mode is 1, its default.
//
// Sockets are opened by Open and InstallGuard on the caller's thread and stay in
// the network namespace which that thread is in.
//
// ARP is RFC 826, announcing and conflicts are RFC 5227.
package nexthop
