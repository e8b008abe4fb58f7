package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nexthop"
)

type statusOutput struct{ Body api.Status }

func (s *Server) routeStatus(routes huma.API) {
	op := huma.Operation{
		OperationID: "getStatus", Method: http.MethodGet, Path: "/v1/status",
		Summary: "Health, datapath in use, rules, totals",
		Errors:  []int{http.StatusBadRequest},
	}
	huma.Register(routes, op, func(_ context.Context, in *query) (*statusOutput, error) {
		if _, err := parseQuery(in, api.ParseNoQuery); err != nil {
			return nil, err
		}
		return &statusOutput{s.status(time.Now())}, nil
	})
}

func (s *Server) status(now time.Time) api.Status {
	snap := s.Gateway.Snapshot()
	status := api.Status{
		Version: s.Version, Healthy: true, Ready: true,
		Datapath: s.Datapath, DatapathReason: s.DatapathReason,
		Started: s.Started.UTC(), UptimeSeconds: seconds(now.Sub(s.Started)),
		Rules: s.ruleStatuses(&snap), Totals: s.totals(&snap),
	}
	if err := s.Ready(); err != nil {
		status.Ready, status.NotReady = false, err.Error()
	}
	if s.ConfigStatus != nil {
		status.Config = s.ConfigStatus()
	}
	return status
}

// ruleStatuses leaves out what is removed and has no flows left.
func (s *Server) ruleStatuses(snap *gateway.Snapshot) []api.RuleStatus {
	all := []api.RuleStatus{}
	for i, r := range snap.Rules {
		states := byState(&snap.States[i])
		row := api.RuleStatus{
			Name: r.Name, Type: string(r.Type), IdleTimeoutSeconds: r.Idle.Seconds(), EnableTCPReset: r.Reset,
			Removed: r.Removed, States: states,
		}
		for _, n := range states {
			row.Flows += n
		}
		if !r.Removed {
			row.Position = s.position(&r)
		} else if row.Flows == 0 {
			continue
		}
		all = append(all, row)
	}
	return all
}

// position is where the configuration has a rule, "" if that is not known.
func (s *Server) position(r *gateway.Rule) string {
	if s.Position == nil {
		return ""
	}
	return s.Position(r.Type, r.Name)
}

func (s *Server) totals(snap *gateway.Snapshot) api.Totals {
	c := &snap.Counters
	t := api.Totals{
		Flows: snap.Flows, MaxFlows: snap.MaxFlows,
		Inside: traffic(c.Traffic[nexthop.Inside]), Outside: traffic(c.Traffic[nexthop.Outside]),
		Drops: s.drops(c), Resets: resets(c),
	}
	for rule := range c.Created {
		for proto := range c.Created[rule] {
			t.Created += c.Created[rule][proto]
			for _, n := range c.Closed[rule][proto] {
				t.Closed += n
			}
		}
	}
	return t
}

func (s *Server) drops(c *gateway.Counters) map[string]uint64 {
	drops := make(map[string]uint64)
	for i, n := range c.Verdicts {
		if v := gateway.Verdict(i); v.Drop() {
			drops[v.String()] = n
		}
	}
	if s.Drops != nil {
		for reason, n := range s.Drops() {
			drops[reason] += n
		}
	}
	return drops
}

func resets(c *gateway.Counters) map[string]uint64 {
	sent := make(map[string]uint64)
	for rule := range c.Resets {
		for reason, sides := range c.Resets[rule] {
			sent[gateway.ResetReason(reason).String()] += sides[conntrack.Original] + sides[conntrack.Reply]
		}
	}
	return sent
}

func traffic(t gateway.Traffic) api.Traffic {
	return api.Traffic{PacketsIn: t.PacketsIn, PacketsOut: t.PacketsOut, BytesIn: t.BytesIn, BytesOut: t.BytesOut}
}

// byState adds up a rule's flows over the protocols.
func byState(c *conntrack.Counts) map[string]int {
	states := make(map[string]int)
	for proto := range c {
		for state, n := range c[proto] {
			if n > 0 {
				states[conntrack.State(state).String()] += n
			}
		}
	}
	return states
}
