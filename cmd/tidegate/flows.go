package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newFlows(g *global) *cobra.Command {
	var limit int
	var watch bool
	cmd := &cobra.Command{
		Use: "flows [FILTER...]", Short: "Live flow table",
		Long: "Lists the flows that match.\n\n" + filterHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := parseFilter(args)
			if err != nil {
				return err
			}
			c, err := g.ask()
			if err != nil {
				return err
			}
			if limit < 1 {
				return usageError{fmt.Errorf("--limit %d: must be at least 1", limit)}
			}
			list := func() error { return g.listFlows(cmd.Context(), cmd.OutOrStdout(), c, filter, limit) }
			if watch {
				return repeat(cmd.Context(), cmd.OutOrStdout(), list)
			}
			return list()
		},
	}
	cmd.Flags().IntVar(&limit, "limit", api.DefaultLimit, "list at most so many")
	cmd.Flags().BoolVar(&watch, "watch", false, "list again every second, until interrupted")
	return cmd
}

// repeat clears the screen and shows again every second.
func repeat(ctx context.Context, w io.Writer, show func() error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if _, err := io.WriteString(w, "\x1b[H\x1b[2J"); err != nil {
			return err
		}
		if err := show(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// listFlows asks page by page until it has enough.
func (g *global) listFlows(ctx context.Context, w io.Writer, c *api.Client, f api.Filter, limit int) error {
	all := api.FlowList{Flows: []api.Flow{}}
	for cursor := ""; len(all.Flows) < limit; {
		page, err := c.Flows(ctx, api.FlowQuery{Filter: f, Limit: min(limit-len(all.Flows), api.MaxLimit), Cursor: cursor})
		if err != nil {
			return err
		}
		all.Flows = append(all.Flows, page.Flows...)
		all.Next, all.Total = page.Next, page.Total
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return g.show(w, all, func(t *tabwriter.Writer) { g.flowTable(t, &all) })
}

func (g *global) flowTable(t *tabwriter.Writer, l *api.FlowList) {
	head := []any{"PROTO", "STATE", "DIR", "INTERNAL", "EXTERNAL", "REMOTE", "IDLE", "EXPIRES", "RULE"}
	if g.wide() {
		head = append(head, "ID", "FRONTEND", "CREATED", "PKTS OUT", "PKTS IN", "BYTES OUT", "BYTES IN")
	}
	row(t, head...)
	for _, f := range l.Flows {
		cells := []any{f.Protocol, f.State, f.Direction, f.Internal, f.External, f.Remote, short(f.IdleSeconds), short(f.ExpiresInSeconds), f.Rule}
		if g.wide() {
			cells = append(cells, f.ID, f.Frontend, f.Created.Local().Format(time.DateTime), f.PacketsOut, f.PacketsIn, f.BytesOut, f.BytesIn)
		}
		row(t, cells...)
	}
	if len(l.Flows) < l.Total {
		row(t)
		row(t, fmt.Sprintf("%d of %d; --limit shows more", len(l.Flows), l.Total))
	}
}

func newKill(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "kill FILTER...", Short: "End the matching flows, ESTABLISHED TCP with a RST to both sides",
		Long: "Ends the flows that match; at least one FILTER is needed.\n\n" + filterHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("kill: a FILTER is needed, such as internal=10.0.0.10:40000; see `tidegate kill --help`")}
			}
			filter, err := parseFilter(args)
			if err != nil {
				return err
			}
			c, err := g.ask()
			if err != nil {
				return err
			}
			n, err := c.DeleteFlows(cmd.Context(), filter)
			if err != nil {
				return err
			}
			killed := api.Killed{Killed: n}
			return g.show(cmd.OutOrStdout(), killed, func(t *tabwriter.Writer) { row(t, count(n, "flow")+" ended") })
		},
	}
}

func newPorts(g *global) *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use: "ports", Short: "SNAT ports: allocated, used, held, free",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			key, err := api.ParsePortsBy(by)
			if err != nil {
				return usageError{fmt.Errorf("--by: %w", err)}
			}
			c, err := g.ask()
			if err != nil {
				return err
			}
			p, err := c.Ports(cmd.Context(), key)
			if err != nil {
				return err
			}
			return g.show(cmd.OutOrStdout(), p, func(t *tabwriter.Writer) { portTable(t, &p) })
		},
	}
	cmd.Flags().StringVar(&by, "by", string(api.ByBackend), "backend, frontend or rule")
	return cmd
}

func portTable(t *tabwriter.Writer, p *api.Ports) {
	row(t, "BACKEND", "FRONTEND", "RULE", "PROTO", "ALLOCATED", "USED", "HELD", "FREE", "FAILED")
	for _, r := range p.Rows {
		row(t, orElse(r.Backend, "-"), orElse(r.Frontend, "-"), orElse(r.Rule, "-"), r.Protocol, r.Allocated, r.Used, r.Held, r.Free, r.Failed)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
