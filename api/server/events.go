package server

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/gateway"
)

// eventBatch is how many events are taken from the gateway under one hold of its lock.
const eventBatch = 256

// eventsInput is a query and what a browser that connects again says.
type eventsInput struct {
	query
	Accept      string `header:"Accept" hidden:"true"`
	LastEventID string `header:"Last-Event-ID" doc:"Of a stream: goes before after"`
}

func (s *Server) routeEvents(routes huma.API) {
	ref(routes, api.Event{}, "Event")
	ok := &huma.Response{Description: "OK", Content: map[string]*huma.MediaType{
		api.JSONType:    {Schema: ref(routes, api.EventList{}, "EventList")},
		api.EventStream: {Schema: &huma.Schema{Type: huma.TypeString, Description: "Each data line is an Event, or, if the event is named missed, a Missed"}},
	}}
	ref(routes, api.Missed{}, "Missed")
	op := huma.Operation{
		OperationID: "listEvents", Method: http.MethodGet, Path: "/v1/events",
		Summary: "What has happened last; with Accept: text/event-stream what happens from now on",
		Description: "In a stream the id of an event is its seq and the name its type; every 15 seconds a comment says that it is alive. " +
			"A number that is larger than any so far is of the gateway's run before: all that is kept came after it.",
		Parameters: eventParameters(),
		Responses:  map[string]*huma.Response{"200": ok},
		Errors:     []int{http.StatusBadRequest, http.StatusServiceUnavailable},
	}
	huma.Register(routes, op, s.events)
}

func eventParameters() []*huma.Param {
	least, most := 1.0, float64(api.MaxEvents)
	types := text(api.EventTypes()...)
	return []*huma.Param{
		parameter("type", "only these; may be given more than once", huma.Schema{Type: huma.TypeArray, Items: &types}),
		parameter("rule", "only those about the rule with this name", text()),
		parameter("limit", "of a list: the last so many, or the first so many after a number",
			huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: api.DefaultEvents}),
		parameter("after", "only what came after the event with this number", huma.Schema{Type: huma.TypeInteger}),
	}
}

func (s *Server) events(ctx context.Context, in *eventsInput) (*huma.StreamResponse, error) {
	q, err := parseQuery(&in.query, api.ParseEventQuery)
	if err != nil {
		return nil, err
	}
	if accepts(in.Accept, api.EventStream) {
		return s.openStream(q, in.LastEventID)
	}
	list := api.EventList{Events: s.recent(q)}
	return &huma.StreamResponse{Body: func(ctx huma.Context) { writeJSON(ctx, list) }}, nil
}

// selects says whether a query is for an event.
func (s *Server) selects(q *api.EventQuery, e *gateway.Event) bool {
	return (len(q.Types) == 0 || slices.Contains(q.Types, e.Kind.String())) && (q.Rule == "" || s.eventRule(e) == q.Rule)
}

func (s *Server) eventRule(e *gateway.Event) string {
	if e.Rule < 0 {
		return ""
	}
	return s.Gateway.Rules()[e.Rule].Name
}

// recent are the last events that match, or the first after a number: who asks again
// and again with the last one's misses none.
func (s *Server) recent(q api.EventQuery) []api.Event {
	last, after := s.Gateway.LastEvent(), q.After
	if after > last {
		after = 0 // of the gateway that ran before
	}
	var kept []gateway.Event
	for buf := make([]gateway.Event, eventBatch); after < last; {
		n, _ := s.Gateway.Events(after, buf)
		if n == 0 {
			break
		}
		after = buf[n-1].Seq
		kept = s.keep(&q, kept, buf[:n])
		if q.After != 0 && len(kept) >= q.Limit {
			kept = kept[:q.Limit]
			break
		}
	}
	return s.wireEvents(kept[max(0, len(kept)-q.Limit):])
}

// keep adds those of a batch that match. It forgets the oldest now and then where only
// the last are asked for.
func (s *Server) keep(q *api.EventQuery, kept, batch []gateway.Event) []gateway.Event {
	for i := range batch {
		if s.selects(q, &batch[i]) {
			kept = append(kept, batch[i])
		}
	}
	if q.After == 0 && len(kept) > q.Limit+4*eventBatch {
		kept = slices.Delete(kept, 0, len(kept)-q.Limit)
	}
	return kept
}

func (s *Server) wireEvents(events []gateway.Event) []api.Event {
	all := make([]api.Event, 0, len(events))
	for i := range events {
		all = append(all, s.event(&events[i]))
	}
	return all
}

// event puts an event into words.
func (s *Server) event(e *gateway.Event) api.Event {
	x := api.Event{
		Seq: e.Seq, Time: s.wall(e.At), Type: e.Kind.String(), Rule: s.eventRule(e), Message: e.Message,
	}
	if !e.HasFlow() {
		return x
	}
	flow := s.flowAt(&e.Flow, e.At)
	x.Flow = &flow
	if e.Kind == gateway.FlowCreated {
		x.Message = fmt.Sprintf("The %s began.", s.course(&e.Flow))
		return x
	}
	x.Reason, x.Message = e.Reason.String(), s.obituary(e)
	if e.Reset {
		x.Resets = []string{"client", "server"}
	}
	return x
}

// clockSet is how far the time of day must have moved against the gateway's clock to
// have been set: more than passes between two reads of clocks on a busy machine.
const clockSet = 250 * time.Millisecond

// wall is the time of day of a moment on the gateway's clock: the same whenever it is
// asked for, unless the time of day was set meanwhile.
func (s *Server) wall(at int64) time.Time {
	epoch := time.Now().UnixNano() - s.Gateway.Now()
	if known := s.epoch.Load(); time.Duration(epoch-known).Abs() < clockSet {
		epoch = known
	} else {
		s.epoch.Store(epoch)
	}
	return time.Unix(0, epoch+at).UTC().Round(time.Millisecond)
}
