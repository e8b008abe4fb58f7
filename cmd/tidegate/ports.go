package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newPorts(g *global) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use: "ports", Short: "SNAT ports: allocated, used, held, free",
		Long: "Lists the SNAT ports of each backend, frontend or rule. USED are ports with a flow; HELD are\n" +
			"those of them whose flows are all over; FAILED counts new flows that got no port, since\n" +
			"the start. A row is yellow from 80 % used on, and red where a flow got none.",
		Example: "  tidegate ports\n  tidegate ports --by rule\n  tidegate ports -o json | jq '.ports[] | select(.failed > 0)'",
		Args:    usageArgs(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := api.ParsePortsBy(by)
			if err != nil {
				return usageError{fmt.Errorf("--by: %w", err)}
			}
			ask := func(ctx context.Context, c *api.Client) (api.Ports, error) { return c.Ports(ctx, key) }
			return inquire(g, cmd, ask, func(p *page, l *api.Ports) { p.table(portTable(l.By, l.Rows, true)) })
		},
	}
	cmd.Flags().StringVar(&by, "by", string(api.ByBackend), "backend, frontend or rule")
	completeFlag(cmd, "by", string(api.ByBackend), string(api.ByFrontend), string(api.ByRule))
	return cmd
}

// portTable has a column for the name that the rows have. What is held is not always
// counted.
func portTable(by api.PortsBy, rows []api.PortRow, held bool) *table {
	head := map[api.PortsBy]string{api.ByFrontend: "FRONTEND", api.ByRule: "RULE"}[by]
	columns := []column{{head: orElse(head, "BACKEND"), min: 16}, {head: "PROTO"}, {head: "ALLOCATED", right: true, rank: 3},
		{head: "USED", right: true}, {head: "FREE", right: true, rank: 1}, {head: "FAILED", right: true, rank: 2}}
	if held {
		columns = slices.Insert(columns, 4, column{head: "HELD", right: true, rank: 4})
	}
	draining := slices.ContainsFunc(rows, func(r api.PortRow) bool { return r.Draining > 0 })
	if draining {
		columns = append(columns, column{head: "DRAINING", right: true})
	}
	t := newTable(columns...)
	for _, r := range rows {
		look := portLook(&r)
		name := orElse(r.Backend, orElse(r.Frontend, r.Rule))
		cells := []any{painted{look, name}, r.Protocol, r.Allocated, painted{look, fmt.Sprint(r.Used)}, painted{look, fmt.Sprint(r.Free)}, r.Failed}
		if held {
			cells = slices.Insert(cells, 4, any(r.Held))
		}
		if draining {
			cells = append(cells, r.Draining)
		}
		t.add(cells...)
	}
	return t
}

// nearExhaustion is the share of used ports from which on somebody should look.
const nearExhaustion = 0.8

func portLook(r *api.PortRow) look {
	switch {
	case r.Failed > 0:
		return bad
	case r.Allocated > 0 && float64(r.Used) >= nearExhaustion*float64(r.Allocated):
		return warn
	}
	return plain
}
