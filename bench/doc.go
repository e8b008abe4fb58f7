// Command bench measures Tidegate beside nftables SNAT and beside plain kernel
// forwarding, in one run and one topology, and prints ratios to nftables.
//
//	client 10.0.0.10 ──── in0 10.0.0.1 [ gateway ] out0 203.0.113.1 ──── wan0 203.0.113.254 [ server ]
//	       10.0.0.11                       │                                     198.18.0.0/15 behind it
//	                                       └ one peer: forward, nft, packet or tun
//
// Three network namespaces in a row, joined by veth pairs: what differs between
// two figures of a line is the gateway and nothing else. Neighbours are set by
// hand, so that no ARP falls into a measurement.
//
// A round measures one metric on every peer in turn (A B C D, A B C D, …), each on
// a row of its own, so that nothing is left over from the peer before. A figure
// is the median over the rounds; a ratio is computed in each round, against what
// nftables reached in that same round, and the median of those is printed. That is
// what makes ratios comparable on a machine whose speed drifts; figures alone
// are not.
//
// What the figures of a small machine mean: the generator keeps one core busy,
// and peers in the kernel do their work in that core's soft interrupts, while
// those in user space have the other cores to themselves. So packets per second
// flatter the latter; judge them by CPU time per packet too.
//
// The machine has to be quiet, because CPU time is that of the whole machine. The
// program needs root, nft, iperf3 and ip; it raises nf_conntrack_max and
// nf_conntrack_buckets of the machine while it runs, and puts them back.
package main
