package packetio

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is a receive ring of an AF_PACKET socket (PACKET_RX_RING, TPACKET_V2,
// packet(7)): memory into which the kernel copies frames as they arrive, each
// with a status word that says whose it is. Reading takes no system call, and no
// socket buffer is made, queued and freed, which is a good part of what a small
// frame costs. A frame that is too long for the ring waits in the socket's queue too,
// whole, and its place in the ring says so (PACKET_COPY_THRESH).
//
// TPACKET_V3 is cheaper still, but hands frames over a block at a time and up to a
// millisecond late.
type ring struct {
	mem  []byte
	next int // the frame to be looked at next
	held int // frames before next that are not given back yet
}

const (
	// ringFrameLen holds a frame of MTU 1,500 behind its headers. It is an odd
	// number of cache lines, so that frames spread over all sets of a cache, and
	// 64 of them are 31 pages, hardly less than the 32 that the kernel takes.
	ringFrameLen = 31 * 64

	// ringFrames is a bit less than 10 ms of minimum-size frames at the rate
	// that one worker can forward, and 8 MB.
	ringFrames = 4096

	// ringReserve moves frames so that the IP header is aligned to 4 bytes and,
	// up to TCP's window, shares a cache line with the headers before it.
	ringReserve = 2
)

// ringHeader is struct tpacket2_hdr.
type ringHeader struct {
	status   uint32
	len      uint32 // on the wire
	snaplen  uint32 // in the ring
	mac, net uint16 // where the Ethernet header and the IP header begin
	_        [16]byte
}

// newRing puts a ring on the socket. PACKET_VNET_HDR must have been set before.
func newRing(fd int) (*ring, error) {
	for _, o := range []struct{ name, value int }{
		{unix.PACKET_VERSION, unix.TPACKET_V2},
		{unix.PACKET_RESERVE, ringReserve},
		{unix.PACKET_COPY_THRESH, 1},
	} {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, o.name, o.value); err != nil {
			return nil, err
		}
	}
	// A block is whole pages and whole frames, so frames follow each other
	// without a gap in all of the ring.
	framesPerBlock := unix.Getpagesize() / 64
	req := unix.TpacketReq{
		Frame_size: ringFrameLen, Frame_nr: ringFrames,
		Block_size: uint32(framesPerBlock * ringFrameLen), Block_nr: uint32(ringFrames / framesPerBlock),
	}
	if err := setsockopt(fd, unix.PACKET_RX_RING, unsafe.Pointer(&req), unsafe.Sizeof(req)); err != nil {
		return nil, fmt.Errorf("receive ring: %w", err)
	}
	mem, err := unix.Mmap(fd, 0, ringFrames*ringFrameLen, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("receive ring's memory: %w", err)
	}
	return &ring{mem: mem}, nil
}

// setsockopt is setsockopt(2) for a structure of SOL_PACKET.
func setsockopt(fd, name int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_PACKET, uintptr(name), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (r *ring) header(i int) *ringHeader {
	return (*ringHeader)(unsafe.Pointer(&r.mem[i*ringFrameLen]))
}

// arrival is what take found in the ring.
type arrival int

const (
	nothing arrival = iota
	small           // the frame is in the ring
	large           // the frame is the next in the socket's queue
	lost            // the frame did not fit the ring, nor the socket's queue
)

// take moves on to the next frame that has arrived.
func (r *ring) take() (arrival, []byte) {
	h := r.header(r.next)
	status := atomic.LoadUint32(&h.status)
	if status&unix.TP_STATUS_USER == 0 || r.held == ringFrames {
		return nothing, nil
	}
	at := r.next*ringFrameLen + int(h.mac) - vnetLen
	r.held++
	if r.next++; r.next == ringFrames {
		r.next = 0
	}
	switch {
	case status&unix.TP_STATUS_COPY != 0:
		return large, nil
	case h.len > h.snaplen:
		return lost, nil
	}
	n := vnetLen + int(h.snaplen)
	return small, r.mem[at : at+n : at+n]
}

// release gives the frames that were taken back to the kernel.
func (r *ring) release() {
	for ; r.held > 0; r.held-- {
		i := r.next - r.held
		if i < 0 {
			i += ringFrames
		}
		atomic.StoreUint32(&r.header(i).status, unix.TP_STATUS_KERNEL)
	}
}

// free unmaps the ring, which lets its socket die if it is closed too.
func (r *ring) free() error { return unix.Munmap(r.mem) }
