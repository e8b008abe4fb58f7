// Package gateway joins packet, conntrack, nat and nexthop into a router that
// translates: it reads batches of packets, decides on each, and writes them on.
//
// One Worker goroutine serves one reading queue. All of them share one flow
// table and one policy behind one lock, which a Worker takes once per batch, for
// the few microseconds that deciding takes; the system calls around it, which
// are more than nine tenths of the work, run without it. ARCHITECTURE.md has
// the measurement. The control goroutine sweeps, sends resets and releases
// packets that waited for a neighbour, through queues of its own.
//
// Every packet ends in exactly one Verdict. Nothing is sent that was not
// rewritten by a flow, or made by the gateway itself.
package gateway
