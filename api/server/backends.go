package server

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/gateway"
	"tidegate/probe"
)

type backendsOutput struct{ Body api.Backends }

func (s *Server) routeBackends(routes huma.API) {
	op := huma.Operation{
		OperationID: "listBackends", Method: http.MethodGet, Path: "/v1/backends",
		Summary: "Backends of load-balancing rules: health, drain, new flows",
		Errors:  []int{http.StatusBadRequest},
	}
	huma.Register(routes, op, func(_ context.Context, in *query) (*backendsOutput, error) {
		if _, err := parseQuery(in, api.ParseNoQuery); err != nil {
			return nil, err
		}
		return &backendsOutput{api.Backends{Rows: s.backends()}}, nil
	})
}

func (s *Server) backends() []api.Backend {
	chosen := s.Gateway.Snapshot().Counters.Chosen
	found, rows := s.probed(), []api.Backend{}
	for _, b := range s.Gateway.Backends() {
		row := backendRow(&b)
		for _, rule := range b.Rules {
			row.NewFlows += chosen[gateway.Choice{Rule: rule, Backend: b.Backend}]
		}
		if status, ok := found[probe.Target{Probe: b.Probe, Backend: row.Backend}]; ok {
			addProbe(&row, &status)
		}
		rows = append(rows, row)
	}
	return rows
}

// probed is what probes have found last.
func (s *Server) probed() map[probe.Target]probe.Status {
	all := make(map[probe.Target]probe.Status)
	if s.Probes == nil {
		return all
	}
	for _, status := range s.Probes() {
		all[status.Target] = status
	}
	return all
}

func backendRow(b *gateway.BackendState) api.Backend {
	return api.Backend{
		Pool: b.Pool, Backend: b.Backend.Netip(), AdminState: b.Admin.String(), Probe: b.Probe,
		Up: b.Up, Known: b.Probe == "", TakesNewFlows: b.Taking,
		Left: b.Left, Draining: b.Draining, DrainSeconds: seconds(b.Drain),
	}
}

// addProbe leaves Up as the gateway has it, which may hear of a change a moment later.
func addProbe(row *api.Backend, status *probe.Status) {
	row.Known, row.Result = status.Known, status.Result
	row.Since, row.LastProbe = wireTime(status.Since), wireTime(status.Last)
	row.ProbeSeconds = status.Took.Seconds()
	row.Succeeded, row.Failed = status.Succeeded, status.Failed
}

// wireTime keeps the zero time zero: it is left out.
func wireTime(t time.Time) time.Time { return t.UTC().Round(time.Millisecond) }
