package conntrack

import "time"

// State is where a flow stands. TCP states are named after RFC 9293 §3.3.2 as a
// middlebox can tell them; everything else is Active.
type State uint8

// The states of a flow.
const (
	Free        State = iota // the slot holds no flow
	SynSent                  // the original end's SYN has passed
	SynReceived              // both ends' SYNs have passed
	Established              // both SYNs are acknowledged
	FinWait                  // one end has sent FIN
	TimeWait                 // both have; the port is held (timers.tcpFinHold)
	Closed                   // a RST that its receiver accepts has passed (timers.tcpResetHold)
	Active                   // UDP or ICMP
	Tombstone                // given up with RST; answers what still comes, holds no port
	numStates
)

var stateNames = [numStates]string{"FREE", "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "CLOSED", "ACTIVE", "TOMBSTONE"}

// String returns the name users see.
func (s State) String() string { return stateNames[s] }

// Reason says why a flow ended.
type Reason uint8

// The reasons for which a flow ends.
const (
	Idle        Reason = iota // its rule's idle timeout ran out
	HalfOpen                  // a TCP flow never got ESTABLISHED
	Fin                       // both ends closed, and the hold is over
	Rst                       // one end reset, and the hold is over
	Killed                    // an operator asked for it
	BackendDown               // its backend takes no more packets of that kind
	Drained                   // its backend has left the pool, and the drain period is over
	RuleRemoved               // its rule, or the frontend address it uses, is no longer in the configuration
	NumReasons
)

var reasonNames = [NumReasons]string{"idle", "half-open", "fin", "rst", "killed", "backend-down", "drained", "rule-removed"}

// String returns the name users see.
func (r Reason) String() string { return reasonNames[r] }

// Timers are the timeouts that no rule sets.
type Timers struct {
	HalfOpen  time.Duration // SYN_SENT and SYN_RECEIVED
	FinHold   time.Duration // after FIN from both
	ResetHold time.Duration // after a RST
	ICMP      time.Duration

	// UDPOutboundOnly has only packets from the inside keep an outbound UDP flow alive
	// (RFC 4787 REQ-6 leaves inbound refresh to the operator).
	UDPOutboundOnly bool
}

// Rule is what a flow's rule says of its end.
type Rule struct {
	Idle    time.Duration // 1 s to 24 h
	UDPIdle time.Duration // the same for UDP; 0 means Idle
	Reset   bool          // an ESTABLISHED TCP flow is given up with RST: it leaves a tombstone
	Ask     bool          // before that, both ends are asked whether they live
	Silent  bool          // nobody is ever reset, whatever ends the flow
}

const (
	// tombstoneLife is how long a flow that was given up answers late packets:
	// longer than the first retransmissions of a peer that missed the RST.
	tombstoneLife = 30_000 // ms
)

// millis rounds up: no timeout is shorter than it says, and none that is set is 0.
func millis(d time.Duration) uint32 { return uint32((d + time.Millisecond - 1) / time.Millisecond) }
