package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newBackends(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "backends", Short: "Health of each backend per probe, drain, new flows",
		Long: "Lists the backends of load-balancing rules. STATE is up, down, unknown (its probe has no\n" +
			"result yet; it counts as down) or draining with the time until its flows are reset.\n" +
			"NEW FLOWS are those that load-balancing rules have led to the address, whatever the pool.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.ask()
			if err != nil {
				return err
			}
			b, err := c.Backends(cmd.Context())
			if err != nil {
				return err
			}
			return g.show(cmd.OutOrStdout(), b, func(t *tabwriter.Writer) { g.backendTable(t, &b) })
		},
	}
}

func (g *global) backendTable(t *tabwriter.Writer, b *api.Backends) {
	head := []any{"POOL", "BACKEND", "PROBE", "STATE", "ADMIN", "NEW FLOWS", "SINCE", "LAST RESULT"}
	if g.wide() {
		head = append(head, "TAKES NEW FLOWS", "LAST PROBE", "TOOK", "SUCCEEDED", "FAILED")
	}
	row(t, head...)
	for i := range b.Rows {
		r := &b.Rows[i]
		cells := []any{r.Pool, r.Backend, orElse(r.Probe, "-"), backendState(r), r.AdminState, r.NewFlows, when(r.Since), orElse(r.Result, "-")}
		if g.wide() {
			cells = append(cells, yesNo(r.TakesNewFlows), when(r.LastProbe), probeTook(r), r.Succeeded, r.Failed)
		}
		row(t, cells...)
	}
}

// backendState is the one word that matters most.
func backendState(r *api.Backend) string {
	switch {
	case r.Draining:
		return "draining " + short(r.DrainSeconds)
	case !r.Known:
		return "unknown"
	case r.Up:
		return "up"
	}
	return "down"
}

// when writes a time as this machine's clock has it.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func probeTook(r *api.Backend) string {
	if r.LastProbe.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%.1fms", r.ProbeSeconds*1e3)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
