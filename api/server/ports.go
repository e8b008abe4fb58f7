package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/packet"
)

type portsOutput struct{ Body api.Ports }

func (s *Server) routePorts(routes huma.API) {
	op := huma.Operation{
		OperationID: "listPorts", Method: http.MethodGet, Path: "/v1/ports",
		Summary: "SNAT ports: allocated, used, held, free",
		Parameters: []*huma.Param{
			parameter("by", "what to add up by", text("backend", "frontend", "rule")),
			parameter("held", "false leaves out held, which takes a walk through all flows: it is 0 then", text("true", "false")),
		},
		Errors: []int{http.StatusBadRequest},
	}
	huma.Register(routes, op, func(_ context.Context, in *query) (*portsOutput, error) {
		q, err := parseQuery(in, api.ParsePortsQuery)
		if err != nil {
			return nil, err
		}
		return &portsOutput{api.Ports{By: q.By, Rows: s.ports(q)}}, nil
	})
}

// ports adds up every member's blocks, in the order of the configuration. What
// is used is from one moment; which of that is held, from the walk after it.
func (s *Server) ports(q api.PortsQuery) []api.PortRow {
	leases, held := s.Gateway.Snapshot().Leases, make(tcpPorts)
	if q.Held {
		held = s.heldPorts()
	}
	rows, at := []api.PortRow{}, make(map[api.PortRow]int)
	rowOf := func(l *gateway.LeaseCounts, frontend packet.Addr) *api.PortRow {
		key := s.rowKey(q.By, l, frontend)
		if _, ok := at[key]; !ok {
			at[key] = len(rows)
			rows = append(rows, key)
		}
		return &rows[at[key]]
	}
	for i := range leases {
		l := &leases[i]
		if l.Member == 0 {
			continue // of no pool member and no outbound rule: made for hairpin flows, out of ports that no rule gives out
		}
		for n, b := range l.Blocks {
			row := rowOf(l, b.Frontend)
			row.Allocated += b.Count
			row.Used += b.Used
			row.Held += min(b.Used, held.count(l.Protocol, b))
			row.Free += b.Count - b.Used
			if n == 0 {
				row.Failed += l.Failed
			}
		}
		for _, b := range l.Leaving {
			rowOf(l, b.Frontend).Draining += b.Used
		}
	}
	return rows
}

// rowKey is the row that a block belongs to, with nothing counted.
func (s *Server) rowKey(by api.PortsBy, l *gateway.LeaseCounts, frontend packet.Addr) api.PortRow {
	row := api.PortRow{Protocol: l.Protocol.String()}
	switch by {
	case api.ByFrontend:
		row.Frontend = s.Gateway.Frontends().Of(frontend)
	case api.ByRule:
		row.Rule = s.Gateway.Rules()[l.Rule].Name
	default:
		row.Backend = l.Member.String()
	}
	return row
}

// portSet has one bit for each port.
type portSet [1 << 16 / 64]uint64

func (p *portSet) add(port uint16) { p[port/64] |= 1 << (port % 64) }

func (p *portSet) has(port uint16) bool { return p[port/64]>>(port%64)&1 != 0 }

// tcpPorts are the ports of each frontend address with a TCP flow that is open,
// and with one that is over. No other protocol holds ports.
type tcpPorts map[packet.Addr]*struct{ open, over portSet }

func (s *Server) heldPorts() tcpPorts {
	t := make(tcpPorts)
	s.Gateway.Flows(0, func(f *conntrack.Flow) bool {
		if f.Owner != 0 && f.Tuple[0].Proto == packet.TCP {
			t.add(f)
		}
		return true
	})
	return t
}

func (t tcpPorts) add(f *conntrack.Flow) {
	ext := f.Tuple[conntrack.Reply]
	of := t[ext.Dst]
	if of == nil {
		of = new(struct{ open, over portSet })
		t[ext.Dst] = of
	}
	if f.State == conntrack.TimeWait || f.State == conntrack.Closed {
		of.over.add(ext.DstPort)
	} else {
		of.open.add(ext.DstPort)
	}
}

// count says how many ports of a block have flows that are all over.
func (t tcpPorts) count(proto packet.Protocol, b nat.PortBlock) (n int) {
	of := t[b.Frontend]
	if of == nil || proto != packet.TCP {
		return 0
	}
	for i := range b.Count {
		if port := b.First + uint16(i); of.over.has(port) && !of.open.has(port) {
			n++
		}
	}
	return n
}
