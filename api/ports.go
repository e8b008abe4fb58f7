package api

import (
	"errors"
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
	Held      int    `json:"held" doc:"Of the used: ports whose flows are all over and held (TIME_WAIT, CLOSED)"`
	Free      int    `json:"free" doc:"Allocated less used"`
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

// ParsePortsQuery reads the query parameters of GET /v1/ports.
func ParsePortsQuery(q url.Values) (PortsBy, error) {
	for key, values := range q {
		switch {
		case key != "by":
			return "", unknownParameter(key, "by")
		case len(values) > 1:
			return "", errors.New("api: parameter by: given more than once")
		}
	}
	return ParsePortsBy(q.Get("by"))
}
