package api

import "time"

// The types of events.
const (
	FlowCreated    = "flow.created"
	FlowClosed     = "flow.closed"
	SNATExhausted  = "snat.exhausted"
	BackendUp      = "backend.up"
	BackendDown    = "backend.down"
	ConfigReloaded = "config.reloaded"
	ConfigRejected = "config.rejected"
)

// Event is something that has happened.
type Event struct {
	Seq     uint64    `json:"seq" doc:"1 for the first since the gateway started, then one more each"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type" enum:"flow.created,flow.closed,snat.exhausted,backend.up,backend.down,config.reloaded,config.rejected"`
	Rule    string    `json:"rule,omitempty" doc:"Name of the rule that it is about, if it is about one"`
	Flow    *Flow     `json:"flow,omitempty" doc:"Of flow.created after its first packet, of flow.closed at its end"`
	Reason  string    `json:"reason,omitempty" enum:"fin,rst,idle,killed,backend-down,rule-removed,drained,half-open" doc:"Of flow.closed"`
	Resets  []string  `json:"resets,omitempty" enum:"client,server" doc:"Of flow.closed: the ends that got a RST"`
	Message string    `json:"message" doc:"One sentence"`
}

// EventList is the events that happened last, oldest first.
type EventList struct {
	Events []Event `json:"events" nullable:"false"`
}

// EventQuery selects events. The zero value selects all.
type EventQuery struct {
	Types []string // of Event.Type; none: all
	Rule  string   // name of a rule
	Limit int      // of a list, 1 to MaxEvents; 0 means DefaultEvents
	After uint64   // Event.Seq: only what came later; of a stream 0 means what comes from now on
}

// How many events a list has.
const (
	DefaultEvents = 100
	MaxEvents     = 10_000
)
