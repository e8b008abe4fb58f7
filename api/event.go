package api

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

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

// eventTypes are all there are.
var eventTypes = []string{FlowCreated, FlowClosed, SNATExhausted, BackendUp, BackendDown, ConfigReloaded, ConfigRejected}

// EventTypes returns the types of events.
func EventTypes() []string { return slices.Clone(eventTypes) }

// Missed tells a stream that events are lost, of any type: the gateway keeps the last
// 16,384 flows that began, as many that ended, and 1,024 other events.
type Missed struct {
	Missed uint64 `json:"missed" doc:"How many, since the event before"`
}

// ParseEventQuery reads the query parameters of GET /v1/events.
func ParseEventQuery(v url.Values) (q EventQuery, err error) {
	for key, values := range v {
		switch {
		case !slices.Contains([]string{"type", "rule", "limit", "after"}, key):
			return EventQuery{}, unknownParameter(key, "type", "rule", "limit", "after")
		case key != "type" && len(values) > 1:
			return EventQuery{}, fmt.Errorf("api: parameter %s: given more than once", key)
		}
	}
	for _, name := range v["type"] {
		if !slices.Contains(eventTypes, name) {
			return EventQuery{}, fmt.Errorf("api: parameter type: %q is not one of %s", name, strings.Join(eventTypes, ", "))
		}
	}
	q.Types, q.Rule = v["type"], v.Get("rule")
	if q.Limit, err = parseLimit(v, DefaultEvents, MaxEvents); err != nil || !v.Has("after") {
		return q, err
	}
	q.After, err = ParseSeq(v.Get("after"))
	return q, err
}

// ParseSeq reads an Event.Seq; 0 is before the first.
func ParseSeq(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("api: event number %q: it is a whole number, the seq of an event", s)
	}
	return n, nil
}

// Query returns the query parameters that ParseEventQuery reads.
func (q EventQuery) Query() url.Values {
	v := url.Values{}
	for _, t := range q.Types {
		v.Add("type", t)
	}
	if q.Rule != "" {
		v.Set("rule", q.Rule)
	}
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.After != 0 {
		v.Set("after", strconv.FormatUint(q.After, 10))
	}
	return v
}
