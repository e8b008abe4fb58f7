// Package packetio moves IPv4 frames between the kernel and one goroutine, a
// batch at a time and without allocating.
//
// Two kinds of queue have the same methods: a [PacketQueue] is an AF_PACKET
// socket on one Ethernet interface, a [TUNQueue] one queue of a TUN interface.
// A frame is what the device gives: [Layout] says where its IP packet begins.
// What stands before it passes through: a frame that one queue read is accepted
// by the WriteBatch of another with the same Layout, offloads and all, and one
// that the gateway makes itself carries zeros for a virtio_net_hdr. The fields of
// that header are in the machine's byte order, and csum_start counts from its end.
//
// ReadBatch fills its argument with frames of the queue's own memory, which may
// be rewritten in place and die at that queue's next ReadBatch. WriteBatch keeps
// nothing. One goroutine at a time may be in ReadBatch, with room for at least one
// frame, and one in WriteBatch; Close, Stats and Layout are free to all. Once the
// queue is closed, both return an error that is net.ErrClosed, ReadBatch also if it
// was waiting.
//
// A link that goes down and comes up again only costs the frames of that time.
// An interface that is removed ends the queue with [ErrNoInterface]: open another.
//
// Packets are never looked into here, beyond the filter that keeps out what is
// not IPv4, not sent to this host's link address, or tagged with a VLAN.
package packetio
