package gateway

import (
	"maps"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet"
)

// ResetReason says why the gateway sent a RST.
type ResetReason uint8

// The reasons for a RST of the gateway's own.
const (
	ResetIdle      ResetReason = iota // the flow was idle for its timeout
	ResetLate                         // an end spoke again after that
	ResetChallenge                    // an end asked back (RFC 5961 challenge ACK)
	ResetKilled                       // an operator ended the flow
	ResetExhausted                    // no SNAT port was left for a new flow
	ResetDrained                      // the backend had left its pool, and the drain period was over
	ResetRemoved                      // the flow's rule was taken out of the configuration
	numResetReasons
)

var resetReasonNames = [numResetReasons]string{"idle", "late", "challenge", "killed", "exhausted", "drained", "rule-removed"}

// String returns the name that metrics use for it.
func (r ResetReason) String() string { return resetReasonNames[r] }

// Traffic is what has crossed one interface: frames as they came or went, a
// super-packet counting once, and their bytes without the link header.
type Traffic struct {
	PacketsIn, PacketsOut, BytesIn, BytesOut uint64
}

// Counters only grow. The slices are by rule number, then
// conntrack.ProtocolIndex or ResetReason, then reason or conntrack.Direction
// (Original is the client).
type Counters struct {
	Verdicts [numVerdicts]uint64
	Traffic  [2]Traffic // by nexthop.Side
	Created  [][conntrack.NumProtocols]uint64
	Closed   [][conntrack.NumProtocols][conntrack.NumReasons]uint64
	Resets   [][numResetReasons][2]uint64
	Chosen   map[Choice]uint64 // new flows that went to a load-balancing rule's backend
}

// grow makes room for more rules. What Snapshot has given away stays as it is.
func (c *Counters) grow(rules int) {
	more := newCounters(rules - len(c.Created))
	c.Created, c.Closed, c.Resets = append(c.Created, more.Created...), append(c.Closed, more.Closed...), append(c.Resets, more.Resets...)
}

// Choice is a backend as a load-balancing rule has chosen it.
type Choice struct {
	Rule    uint16
	Backend packet.Addr
}

func newCounters(rules int) Counters {
	return Counters{
		Created: make([][conntrack.NumProtocols]uint64, rules),
		Closed:  make([][conntrack.NumProtocols][conntrack.NumReasons]uint64, rules),
		Resets:  make([][numResetReasons][2]uint64, rules),
		Chosen:  make(map[Choice]uint64),
	}
}

// countOut counts frames that are about to be written.
func (c *Counters) countOut(side nexthop.Side, frames [][]byte, headroom int) {
	t := &c.Traffic[side]
	t.PacketsOut += uint64(len(frames))
	for _, f := range frames {
		t.BytesOut += uint64(len(f) - headroom)
	}
}

func (c *Counters) countIn(side nexthop.Side, frame []byte, headroom int) {
	t := &c.Traffic[side]
	t.PacketsIn++
	t.BytesIn += uint64(max(0, len(frame)-headroom))
}

func (c *Counters) clone() Counters {
	d := *c
	d.Created = append(d.Created[:0:0], c.Created...)
	d.Closed = append(d.Closed[:0:0], c.Closed...)
	d.Resets = append(d.Resets[:0:0], c.Resets...)
	d.Chosen = maps.Clone(c.Chosen)
	return d
}
