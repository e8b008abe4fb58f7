package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newBackends(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "backends", Short: "Health of each backend per probe, drain, new flows",
		Long: "Lists the backends of load-balancing rules. STATE is up, down, unknown (its probe has no\n" +
			"result yet; it counts as down) or draining with the time until its flows are reset.\n" +
			"NEW FLOWS are those that load-balancing rules have led to the address, whatever the pool.",
		Example: "  tidegate backends\n  tidegate backends -o json | jq '.backends[] | select(.up | not) | .backend'",
		Args:    usageArgs(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := func(ctx context.Context, c *api.Client) (api.Backends, error) { return c.Backends(ctx) }
			return inquire(g, cmd, ask, func(p *page, b *api.Backends) { p.table(backendTable(b.Rows, g.wide())) })
		},
	}
}

func backendTable(rows []api.Backend, wide bool) *table {
	columns := []column{{head: "POOL", rank: 2, min: 8}, {head: "BACKEND"}, {head: "PROBE", rank: 4, min: 8}, {head: "STATE"},
		{head: "ADMIN", rank: 6}, {head: "NEW FLOWS", right: true, rank: 5}, {head: "SINCE", rank: 3}, {head: "LAST RESULT", rank: 1, min: 12}}
	if wide {
		columns = append(columns, column{head: "TAKES NEW FLOWS", rank: 7}, column{head: "LAST PROBE", rank: 8},
			column{head: "TOOK", right: true, rank: 8}, column{head: "SUCCEEDED", right: true, rank: 8}, column{head: "FAILED", right: true, rank: 8})
	}
	t := newTable(columns...)
	for i := range rows {
		r := &rows[i]
		cells := []any{r.Pool, r.Backend, orElse(r.Probe, "-"), backendState(r), r.AdminState, r.NewFlows, when(r.Since), orElse(r.Result, "-")}
		if wide {
			cells = append(cells, yesNo(r.TakesNewFlows), when(r.LastProbe), probeTook(r), r.Succeeded, r.Failed)
		}
		t.add(cells...)
	}
	return t
}

// backendState is the one word that matters most.
func backendState(r *api.Backend) painted {
	switch {
	case r.Draining:
		return painted{warn, "draining " + short(r.DrainSeconds)}
	case !r.Known:
		return painted{warn, "unknown"}
	case r.Up:
		return painted{good, "up"}
	}
	return painted{bad, "down"}
}

func probeTook(r *api.Backend) string {
	if r.LastProbe.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.1fms", r.ProbeSeconds*1e3)
}
