package packetio

import (
	"errors"
	"sync/atomic"
)

// BatchSize is the most frames that one ReadBatch returns: enough to spread the
// cost of a system call, few enough that their headers stay in the first-level cache.
const BatchSize = 64

// ErrNoInterface is the cause when the interface to open does not exist, or that
// of an open queue has been removed.
var ErrNoInterface = errors.New("no such interface")

// ErrLinkDown is the cause when the interface to open is administratively down.
var ErrLinkDown = errors.New("interface is down")

// Stats is what one queue has lost since it was opened, in frames.
type Stats struct {
	Dropped   uint64 // arrived while the queue's memory was full (a TUN counts them on its interface)
	Truncated uint64 // arrived too long for any IP packet, or for the memory that was left
	Refused   Refused
}

// Refused is what the kernel would not send, by cause.
type Refused struct {
	Full    uint64 // the device's queue or the socket's buffer has no room (ENOBUFS, EAGAIN)
	TooLong uint64 // longer than the MTU and not to be segmented (EMSGSIZE)
	Down    uint64 // the link is down (ENETDOWN)
	Invalid uint64 // anything else, such as an offload header that does not fit its packet (EINVAL)
}

// Total is the number of refused frames.
func (r Refused) Total() uint64 { return r.Full + r.TooLong + r.Down + r.Invalid }

// counts is Stats while it grows: one goroutine adds, any may read.
type counts struct {
	dropped, truncated           atomic.Uint64
	full, tooLong, down, invalid atomic.Uint64
}

func (c *counts) stats() Stats {
	return Stats{
		Dropped: c.dropped.Load(), Truncated: c.truncated.Load(),
		Refused: Refused{
			Full: c.full.Load(), TooLong: c.tooLong.Load(), Down: c.down.Load(), Invalid: c.invalid.Load(),
		},
	}
}
