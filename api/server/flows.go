package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/packet"
)

type (
	flowsOutput  struct{ Body api.FlowList }
	killedOutput struct{ Body api.Killed }
)

func (s *Server) routeFlows(routes huma.API) {
	huma.Register(routes, huma.Operation{
		OperationID: "listFlows", Method: http.MethodGet, Path: "/v1/flows",
		Summary:    "Live flows that match all parameters given",
		Parameters: append(filterParameters(), pageParameters()...),
		Errors:     []int{http.StatusBadRequest},
	}, s.listFlows)
	huma.Register(routes, huma.Operation{
		OperationID: "killFlows", Method: http.MethodDelete, Path: "/v1/flows",
		Summary:     "End the flows that match all parameters given",
		Description: "ESTABLISHED TCP flows with RST to both sides. At least one parameter is required.",
		Parameters:  filterParameters(),
		Errors:      []int{http.StatusBadRequest, http.StatusInternalServerError},
	}, s.killFlows)
}

func filterParameters() (all []*huma.Param) {
	for _, p := range api.FilterParameters() {
		all = append(all, parameter(p.Name, p.Doc, text(p.Values...)))
	}
	return all
}

func pageParameters() []*huma.Param {
	least, most := 1.0, float64(api.MaxLimit)
	limit := huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most, Default: api.DefaultLimit}
	return []*huma.Param{
		parameter("limit", "flows on one page", limit),
		parameter("cursor", "the next of the page before", text()),
	}
}

func (s *Server) listFlows(_ context.Context, in *query) (*flowsOutput, error) {
	q, err := parseQuery(in, api.ParseFlowQuery)
	if err != nil {
		return nil, err
	}
	from, err := parseCursor(q.Cursor)
	if err != nil {
		return nil, huma.Error400BadRequest(err.Error())
	}
	return &flowsOutput{s.page(q, from)}, nil
}

// page lists the flows that match from a slot of the table on. To tell the total of a
// filter that asks for more than is counted anyway, it walks through the whole table.
func (s *Server) page(q api.FlowQuery, from uint32) api.FlowList {
	list := api.FlowList{Flows: []api.Flow{}}
	m, start := s.matcher(q.Filter), uint32(0)
	total, counted := s.counted(m)
	switch {
	case q.Filter.ID != "":
		return s.one(m)
	case counted && total == 0:
		return list
	case counted:
		start = from
	}
	s.Gateway.Flows(start, func(f *conntrack.Flow) bool {
		if !m.matches(f) {
			return true
		}
		list.Total++
		switch {
		case slot(f) < from:
		case len(list.Flows) < q.Limit:
			list.Flows = append(list.Flows, s.flow(f))
		case list.Next == "":
			list.Next = cursor(f)
			return !counted
		}
		return true
	})
	if counted {
		list.Total = total
	}
	return list
}

// counted returns how many flows match a filter, if it asks for nothing but what they
// are counted by: rule, protocol and state.
func (s *Server) counted(m *matcher) (total int, ok bool) {
	if (m.Filter != api.Filter{Proto: m.Proto, Rule: m.Rule, State: m.State}) {
		return 0, false
	}
	snap := s.Gateway.Snapshot()
	for rule := range snap.States {
		if m.Rule != "" && !m.named(uint16(rule)) {
			continue
		}
		for proto, states := range snap.States[rule] {
			for state, n := range states {
				if (m.State == "" || m.State == conntrack.State(state).String()) && (m.Proto == "" || m.Proto == protocolNames[proto]) {
					total += n
				}
			}
		}
	}
	return total, true
}

// protocolNames are by conntrack.ProtocolIndex.
var protocolNames = [conntrack.NumProtocols]string{packet.TCP.String(), packet.UDP.String(), packet.ICMP.String()}

// one lists the flow with an ID, if it matches in all else too.
func (s *Server) one(m *matcher) api.FlowList {
	f, ok := s.Gateway.Find(m.id)
	if !ok || !m.matches(&f) {
		return api.FlowList{Flows: []api.Flow{}}
	}
	return api.FlowList{Flows: []api.Flow{s.flow(&f)}, Total: 1}
}

// slot is a flow's place in the table, in the order of which flows are listed.
func slot(f *conntrack.Flow) uint32 { return uint32(f.ID) }

// cursor names the page that begins with a flow.
func cursor(f *conntrack.Flow) string { return strconv.FormatUint(uint64(slot(f)), 36) }

func parseCursor(s string) (uint32, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 36, 32)
	if err != nil {
		return 0, fmt.Errorf("api: parameter cursor: %q is not the next of a page", s)
	}
	return uint32(n), nil
}

var errKillAll = errors.New("api: delete flows: a filter is required, as rule=NAME; " +
	"for every flow at once give one that all match, as remote=0.0.0.0/0")

func parseKill(q url.Values) (api.Filter, error) {
	f, err := api.ParseFilterQuery(q)
	if err == nil && f.Empty() {
		err = errKillAll
	}
	return f, err
}

func (s *Server) killFlows(_ context.Context, in *query) (*killedOutput, error) {
	f, err := parseQuery(in, parseKill)
	if err != nil {
		return nil, err
	}
	killed, err := s.kill(s.matcher(f))
	s.Log.Info("flows killed", "filter", f.String(), "killed", killed)
	if err != nil {
		return nil, huma.Error500InternalServerError(fmt.Sprintf("api: delete flows: after %d: %v", killed, err))
	}
	return &killedOutput{api.Killed{Killed: killed}}, nil
}

func (s *Server) kill(m *matcher) (killed int, err error) {
	if m.ID != "" {
		return s.Gateway.KillOne(m.id, m.matches)
	}
	return s.Gateway.Kill(m.matches)
}
