package api

import (
	"fmt"
	"net/url"
	"slices"
)

// PortsBy says by what SNAT ports are added up.
type PortsBy string

// What SNAT ports can be added up by.
const (
	ByBackend  PortsBy = "backend"
	ByFrontend PortsBy = "frontend"
	ByRule     PortsBy = "rule"
)

// Ports is the use of SNAT ports.
type Ports struct {
	By   PortsBy   `json:"by" enum:"backend,frontend,rule"`
	Rows []PortRow `json:"ports" nullable:"false"`
}

// PortRow is the ports of one backend, frontend or rule for one protocol. Of
// the three names only the one that was asked for is set.
type PortRow struct {
	Backend   string `json:"backend,omitempty" doc:"Address of the pool member"`
	Frontend  string `json:"frontend,omitempty" doc:"Name of the frontend configuration"`
	Rule      string `json:"rule,omitempty" doc:"Name of the outbound rule"`
	Protocol  string `json:"protocol" enum:"tcp,udp,icmp"`
	Allocated int    `json:"allocated"`
	Used      int    `json:"used" doc:"Ports with a flow, held ones included"`
	Held      int    `json:"held" doc:"Of the used: ports whose flows are all over and held (TIME_WAIT, CLOSED); 0 if it was not asked for (held=false)"`
	Free      int    `json:"free" doc:"Allocated less used"`
	Draining  int    `json:"draining,omitempty" doc:"Ports with flows of its that it owns no longer: after a change of the configuration"`
	Failed    uint64 `json:"failed" doc:"New flows that got no port, since the start; by frontend, at the member's first"`
}

// ParsePortsBy reads a grouping; empty means by backend.
func ParsePortsBy(s string) (PortsBy, error) {
	by := PortsBy(s)
	switch {
	case s == "":
		return ByBackend, nil
	case slices.Contains([]PortsBy{ByBackend, ByFrontend, ByRule}, by):
		return by, nil
	}
	return "", fmt.Errorf("api: ports by %q: it is one of backend, frontend, rule", s)
}

// PortsQuery is the query parameters of GET /v1/ports.
type PortsQuery struct {
	By   PortsBy
	Held bool // to count PortRow.Held, which takes a walk through all flows; unless told otherwise
}

// ParsePortsQuery reads the query parameters of GET /v1/ports.
func ParsePortsQuery(v url.Values) (q PortsQuery, err error) {
	for key, values := range v {
		switch {
		case key != "by" && key != "held":
			return PortsQuery{}, unknownParameter(key, "by", "held")
		case len(values) > 1:
			return PortsQuery{}, fmt.Errorf("api: parameter %s: given more than once", key)
		}
	}
	switch held := v.Get("held"); held {
	case "", "true":
		q.Held = true
	case "false":
	default:
		return PortsQuery{}, fmt.Errorf("api: parameter held: %q is not true or false", held)
	}
	q.By, err = ParsePortsBy(v.Get("by"))
	return q, err
}
