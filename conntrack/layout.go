package conntrack

import "tidegate/packet"

// Direction tells the two halves of a flow apart.
type Direction uint8

// Original is the direction of the packet that made the flow, Reply the other.
const (
	Original Direction = iota
	Reply
)

// Ref names one direction of one flow in its Table. It is good until the flow
// ends; it must not be kept across calls that may end flows.
type Ref uint32

func makeRef(slot uint32, d Direction) Ref { return Ref(slot<<1 | uint32(d)) }

func (r Ref) slot() uint32 { return uint32(r) >> 1 }

// Direction returns the direction that the Ref names.
func (r Ref) Direction() Direction { return Direction(r & 1) }

// Toward returns the Ref of the same flow's direction d.
func (r Ref) Toward(d Direction) Ref { return Ref(uint32(r)&^1 | uint32(d)) }

// ID names a flow for as long as the process lives: a slot's generation over its number.
// Generations begin anywhere, so that whoever kept an ID from an earlier process finds
// nothing by it.
type ID uint64

// half is one direction of a flow: one cache line, everything that a packet of
// that direction reads or writes, save the other half's numbers for TCP.
//
//	[I] immutable after insert   [W] written with every packet, under the owner's lock
type half struct {
	key     packet.Tuple   // [I] as it arrives on the wire
	rewrite packet.Rewrite // [I] what it becomes
	maxEnd  uint32         // [W] highest sequence number + length sent by this end
	maxAck  uint32         // [W] highest acknowledgment sent by this end
	maxWin  uint16         // [W] largest window this end advertised, not scaled
	wscale  int8           // [W] window scale of this end's SYN, −1 for none, noSyn before it
	meta    uint8          // [W] State, the same in both halves, and the bits below
	last    uint32         // [W] when this end last spoke, in milliseconds
	packets uint64         // [W]
	bytes   uint64         // [W] IP total lengths
}

const (
	metaState  = 0x0f // State
	acked      = 0x10 // this end has acknowledged the other's SYN
	finished   = 0x20 // this end has sent FIN
	special    = 0x40 // the flow has a path other than through: see side.path
	fromInside = 0x80 // packets of this direction come from the inside

	metaTCP = acked | finished
)

// noSyn is the wscale of an end whose SYN has not passed.
const noSyn = -2

// entry is one flow. Its size is a budget, kept by a test.
type entry [2]half

func (h *half) state() State { return State(h.meta & metaState) }

// side is what only the control of a flow needs.
type side struct {
	next, prev uint32 // timer wheel, tombstone list, or (next alone) the free list
	due        uint32 // when the wheel looks at this flow next, in milliseconds
	gen        uint32 // how often this slot has been used
	created    int64  // monotonic nanoseconds
	owner      uint32 // for the caller: who gets the port back; with direct, the backend's address
	rule       uint16
	path       uint8 // the bits below
	asked      uint8 // how many times its ends have been asked whether they live
}

const (
	turned = 1 << iota // both ends are on the inside
	direct             // the original direction is handed to the backend as it is; its answers may go by another way
)

const none = ^uint32(0) // end of a list
