package server

import (
	"fmt"
	"math"
	"time"

	"tidegate/api"
	"tidegate/conntrack"
)

// flow converts a copy of a flow that was taken just now.
func (s *Server) flow(f *conntrack.Flow) api.Flow { return s.flowAt(f, s.Gateway.Now()) }

// flowAt converts a copy of a flow that was taken at a moment of the gateway's clock.
func (s *Server) flowAt(f *conntrack.Flow, at int64) api.Flow {
	rule, ends, out := s.Gateway.Rules()[f.Rule], f.Ends(), f.Outward()
	direction := api.Outbound
	if f.Inbound() {
		direction = api.Inbound
	}
	return api.Flow{
		ID:        fmt.Sprintf("%016x", uint64(f.ID)),
		Protocol:  f.Tuple[0].Proto.String(),
		State:     f.State.String(),
		Direction: direction,
		Rule:      rule.Name,
		RuleType:  string(rule.Type),
		Frontend:  s.Gateway.Frontends().Of(f.Frontend()),

		Internal: ends.Internal,
		External: ends.External,
		Remote:   ends.Remote,

		Created:          s.wall(f.Created),
		IdleSeconds:      seconds(idle(f, at)),
		ExpiresInSeconds: seconds(time.Duration(f.ExpiresIn)),

		PacketsOut: f.Packets[out],
		PacketsIn:  f.Packets[out^1],
		BytesOut:   f.Bytes[out],
		BytesIn:    f.Bytes[out^1],
	}
}

// idle is how long a flow has been silent at a moment; one that has spoken since has
// not been.
func idle(f *conntrack.Flow, at int64) time.Duration {
	return max(0, time.Duration(at-f.LastSeen))
}

// seconds rounds to milliseconds, which is how fine flows are dated, and never
// goes below zero: a flow may be looked at when it is due and not swept yet.
func seconds(d time.Duration) float64 {
	return math.Round(max(0, d.Seconds())*1e3) / 1e3
}
