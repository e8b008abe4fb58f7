package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"tidegate/api"
)

// flowsCall is one call of `tidegate flows`.
type flowsCall struct {
	*global
	filter api.Filter
	limit  int
	client *api.Client
	cmd    *cobra.Command
}

func newFlows(g *global) *cobra.Command {
	call := &flowsCall{global: g}
	var watch bool
	cmd := &cobra.Command{
		Use: "flows [FILTER...]", Short: "Live flow table",
		Long: "Lists the flows that match. Where the terminal is too narrow the less important columns\n" +
			"are left out; with -o wide, in a pipe and in a file all are there.\n\n" + filterHelp,
		Example: "  tidegate flows\n  tidegate flows proto=tcp state=ESTABLISHED 'idle>30s'\n" +
			"  tidegate flows remote=198.51.100.0/24 --watch\n  tidegate flows rule=egress --limit 100000 -o json > flows.json",
		ValidArgsFunction: g.completeFilter,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			call.cmd = cmd
			if call.limit < 1 {
				return usageError{fmt.Errorf("--limit %d: must be at least 1", call.limit)}
			}
			if call.filter, err = parseFilter(args); err != nil {
				return err
			}
			if call.client, err = g.ask(); err != nil {
				return err
			}
			defer call.client.Close()
			if watch {
				return call.watch()
			}
			return call.once()
		},
	}
	cmd.Flags().IntVar(&call.limit, "limit", api.DefaultLimit, "list at most so many")
	cmd.Flags().BoolVar(&watch, "watch", false, "list again every second, until interrupted")
	return cmd
}

func (f *flowsCall) once() error {
	var have, all atomic.Int64
	what := func() string { return fmt.Sprintf("%d of %d flows", have.Load(), all.Load()) }
	var list api.FlowList
	err := working(f.cmd.ErrOrStderr(), what, func() (err error) {
		list, err = f.list(f.limit, func(n, of int) { have.Store(int64(n)); all.Store(int64(of)) })
		return err
	})
	if err != nil {
		return interrupted(f.cmd.Context(), err)
	}
	return f.show(f.cmd.OutOrStdout(), list, func(p *page) { f.page(p, &list) })
}

// list asks page by page until it has enough, and tells how far it is.
func (f *flowsCall) list(limit int, tell func(have, of int)) (api.FlowList, error) {
	all := api.FlowList{Flows: []api.Flow{}}
	for cursor := ""; len(all.Flows) < limit; {
		q := api.FlowQuery{Filter: f.filter, Limit: min(limit-len(all.Flows), api.MaxLimit), Cursor: cursor}
		page, err := f.client.Flows(f.cmd.Context(), q)
		if err != nil {
			return all, err
		}
		all.Flows = append(all.Flows, page.Flows...)
		all.Next, all.Total = page.Next, page.Total
		tell(len(all.Flows), min(all.Total, limit))
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return all, nil
}

func (f *flowsCall) page(p *page, l *api.FlowList) {
	p.table(flowTable(l.Flows, f.wide()))
	if len(l.Flows) < l.Total {
		p.line("")
		p.line("", fmt.Sprintf("%d of %d; --limit shows more", len(l.Flows), l.Total))
	}
}

// watch lists again every second. A terminal gets a screen at a time, in one piece and
// over the last one, so that nothing flickers; a pipe gets one list after the other.
func (f *flowsCall) watch() error {
	ctx, w := f.cmd.Context(), f.cmd.OutOrStdout()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for first := true; ; first = false {
		if err := f.screen(w, first); ctx.Err() != nil {
			return nil // interrupted, as it is meant to be
		} else if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// frame is how many rows of a screen are no flows: the heads, an empty line, the count
// and the line that the cursor is in.
const frame = 4

func (f *flowsCall) screen(w io.Writer, first bool) error {
	limit := f.limit
	_, height := sizeOf(w)
	if height > 0 && f.output != "json" {
		limit = min(limit, max(1, height-frame))
	}
	list, err := f.list(limit, func(int, int) {})
	if err != nil {
		return err
	}
	var b strings.Builder
	if f.output == "json" {
		return writeJSON(w, list, "")
	}
	p := newPage(w)
	p.whole = f.wide()
	f.page(p, &list)
	if height == 0 {
		p.line("")
		_, err = io.WriteString(w, p.out.String())
		return err
	}
	if first {
		b.WriteString(ansi.EraseEntireScreen)
	}
	b.WriteString(ansi.CursorHomePosition)
	b.WriteString(strings.ReplaceAll(p.out.String(), "\n", ansi.EraseLineRight+"\n"))
	b.WriteString(ansi.EraseScreenBelow)
	_, err = io.WriteString(w, b.String())
	return err
}

func flowTable(flows []api.Flow, wide bool) *table {
	columns := []column{{head: "PROTO", rank: 1}, {head: "STATE", rank: 2}, {head: "DIR", rank: 7}, {head: "INTERNAL"},
		{head: "EXTERNAL", rank: 4}, {head: "REMOTE"}, {head: "IDLE", right: true, rank: 3}, {head: "EXPIRES", right: true, rank: 5},
		{head: "RULE", rank: 6, min: 8}}
	if wide {
		columns = append(columns, column{head: "ID", rank: 8}, column{head: "FRONTEND", rank: 9, min: 8}, column{head: "CREATED", rank: 12},
			column{head: "PKTS OUT", right: true, rank: 11}, column{head: "PKTS IN", right: true, rank: 11},
			column{head: "BYTES OUT", right: true, rank: 10}, column{head: "BYTES IN", right: true, rank: 10})
	}
	t := newTable(columns...)
	for i := range flows {
		f := &flows[i]
		cells := []any{f.Protocol, flowState(f), f.Direction, f.Internal, f.External, f.Remote, short(f.IdleSeconds), short(f.ExpiresInSeconds), f.Rule}
		if wide {
			cells = append(cells, f.ID, f.Frontend, f.Created.Local().Format(time.DateTime), f.PacketsOut, f.PacketsIn, f.BytesOut, f.BytesIn)
		}
		t.add(cells...)
	}
	return t
}

// flowState says by its look whether the flow lives, begins or is over.
func flowState(f *api.Flow) painted {
	switch f.State {
	case "ESTABLISHED", "ACTIVE":
		return painted{good, f.State}
	case "SYN_SENT", "SYN_RECEIVED":
		return painted{warn, f.State}
	}
	return painted{faint, f.State}
}

func newKill(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "kill FILTER...", Short: "End the matching flows, ESTABLISHED TCP with a RST to both sides",
		Long:              "Ends the flows that match; at least one FILTER is needed.\n\n" + filterHelp,
		Example:           "  tidegate kill internal=10.0.0.10:40000\n  tidegate kill rule=egress 'idle>10m'",
		ValidArgsFunction: g.completeFilter,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{errors.New("kill: a FILTER is needed, such as internal=10.0.0.10:40000; see `tidegate kill --help`")}
			}
			filter, err := parseFilter(args)
			if err != nil {
				return err
			}
			kill := func(ctx context.Context, c *api.Client) (k api.Killed, err error) {
				k.Killed, err = c.DeleteFlows(ctx, filter)
				return k, err
			}
			return inquire(g, cmd, kill, func(p *page, k *api.Killed) { p.line("", count(k.Killed, "flow")+" ended") })
		},
	}
}
