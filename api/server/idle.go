package server

import (
	"context"
	"net/http"
	"sort"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/packet"
)

type idleOutput struct{ Body api.IdleAges }

func (s *Server) routeIdle(routes huma.API) {
	op := huma.Operation{
		OperationID: "getIdle", Method: http.MethodGet, Path: "/v1/idle",
		Summary:     "How long flows have been silent: how many a shorter timeout would have ended",
		Description: "It takes a walk through all flows, and is up to two seconds old.",
		Errors:      []int{http.StatusBadRequest},
	}
	huma.Register(routes, op, func(_ context.Context, in *query) (*idleOutput, error) {
		if _, err := parseQuery(in, api.ParseNoQuery); err != nil {
			return nil, err
		}
		return &idleOutput{s.idleAges.get(s)}, nil
	})
}

// idleKept is how long one walk serves all who ask: several dashboards cost one.
const idleKept = 2 * time.Second

// idleAges is the result of the last walk.
type idleAges struct {
	mu   sync.Mutex
	ages api.IdleAges
	at   int64 // on the gateway's clock
	done bool  // there has been one
}

// get has others wait while one walks.
func (k *idleAges) get(s *Server) api.IdleAges {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := s.Gateway.Now(); !k.done || now-k.at >= int64(idleKept) {
		k.ages, k.at, k.done = s.countIdle(), now, true
	}
	return k.ages
}

// idleBounds are as fine as the timeouts that people choose between.
var idleBounds = makeIdleBounds()

func makeIdleBounds() (all []float64) {
	const minute, hour = 60, 3600
	all = []float64{1, 2, 5, 10, 15, 20, 30, 45}
	for m := 1; m <= 30; m++ {
		all = append(all, float64(m*minute))
	}
	for m := 35; m <= 120; m += 5 {
		all = append(all, float64(m*minute))
	}
	return append(all, 3*hour, 6*hour, 12*hour, 24*hour)
}

// countIdle walks through all flows.
func (s *Server) countIdle() api.IdleAges {
	counts := make(map[uint16][]int) // by rule: flows by how many bounds they have passed
	now := s.Gateway.Now()
	s.Gateway.Flows(0, func(f *conntrack.Flow) bool {
		if !s.ruleTimed(f) {
			return true
		}
		if counts[f.Rule] == nil {
			counts[f.Rule] = make([]int, len(idleBounds)+1)
		}
		silent := idle(f, now).Seconds()
		counts[f.Rule][sort.SearchFloat64s(idleBounds, silent)]++
		return true
	})
	ages := api.IdleAges{Bounds: idleBounds, Rules: []api.IdleRule{}}
	for i, rule := range s.Gateway.Rules() {
		if passed := counts[uint16(i)]; passed != nil {
			ages.Rules = append(ages.Rules, idleRule(&rule, passed))
		}
	}
	return ages
}

// ruleTimed says that a flow ends when it has been silent for what its rule says.
func (s *Server) ruleTimed(f *conntrack.Flow) bool {
	switch f.State {
	case conntrack.Established, conntrack.FinWait:
		return true
	case conntrack.Active:
		return f.Tuple[0].Proto == packet.UDP && s.Gateway.Rules()[f.Rule].UDPIdle == 0
	}
	return false
}

// idleRule adds up from the longest on.
func idleRule(rule *gateway.Rule, passed []int) api.IdleRule {
	row := api.IdleRule{
		Rule: rule.Name, RuleType: string(rule.Type), IdleTimeoutSeconds: rule.Idle.Seconds(),
		Longer: make([]int, len(idleBounds)),
	}
	for i := len(idleBounds); i > 0; i-- {
		row.Flows += passed[i]
		row.Longer[i-1] = row.Flows
	}
	row.Flows += passed[0]
	return row
}
