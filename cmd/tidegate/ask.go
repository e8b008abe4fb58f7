package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// ask connects to the gateway after checking the output format.
func (g *global) ask() (*api.Client, error) {
	switch g.output {
	case "table", "wide", "json":
	default:
		return nil, usageError{fmt.Errorf("-o %s: must be table, json or wide", g.output)}
	}
	c, err := api.NewClient(g.api)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func (g *global) wide() bool { return g.output == "wide" }

// show writes v as JSON, or what table makes of it.
func (g *global) show(w io.Writer, v any, table func(*tabwriter.Writer)) error {
	if g.output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(v)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	table(t)
	return t.Flush()
}

// row writes one line of a table; what can't be written shows when it is flushed.
func row(t *tabwriter.Writer, cells ...any) {
	text := make([]string, len(cells))
	for i, c := range cells {
		text[i] = fmt.Sprint(c)
	}
	_, _ = fmt.Fprintln(t, strings.Join(text, "\t"))
}

// parseFilter reads FILTER words.
func parseFilter(words []string) (api.Filter, error) {
	f, err := api.ParseFilter(words)
	if err != nil {
		return f, usageError{err}
	}
	return f, nil
}

const filterHelp = `FILTER is key=value, and all must hold:
  proto, rule, state, frontend         a word
  internal, external, remote, backend  an address, addr:port or prefix
  idle>30s                             idle for longer than that`

func short(seconds float64) string {
	return (time.Duration(seconds * float64(time.Second))).Round(100 * time.Millisecond).String()
}

func newStatus(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Health, datapath in use, rules, totals",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := g.ask()
			if err != nil {
				return err
			}
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			return g.show(cmd.OutOrStdout(), s, func(t *tabwriter.Writer) { statusTable(t, &s) })
		},
	}
}

func statusTable(t *tabwriter.Writer, s *api.Status) {
	state := "ready"
	if !s.Ready {
		state = "not ready: " + s.NotReady
	}
	row(t, "Tidegate", s.Version)
	row(t, "State", state)
	row(t, "Datapath", s.Datapath+" ("+s.DatapathReason+")")
	row(t, "Up for", short(s.UptimeSeconds))
	row(t, "Flows", fmt.Sprintf("%d of %d; %d created, %d closed", s.Totals.Flows, s.Totals.MaxFlows, s.Totals.Created, s.Totals.Closed))
	for _, side := range []struct {
		name string
		t    api.Traffic
	}{{"Inside", s.Totals.Inside}, {"Outside", s.Totals.Outside}} {
		row(t, side.name, fmt.Sprintf("%d packets in, %d out; %d bytes in, %d out", side.t.PacketsIn, side.t.PacketsOut, side.t.BytesIn, side.t.BytesOut))
	}
	row(t, "Drops", counts(s.Totals.Drops))
	row(t, "Resets", counts(s.Totals.Resets))
	row(t)
	row(t, "RULE", "TYPE", "IDLE", "TCP RESET", "FLOWS")
	for _, r := range s.Rules {
		row(t, r.Name, r.Type, short(r.IdleTimeoutSeconds), r.EnableTCPReset, r.Flows)
	}
}

// counts lists what is above zero, by name.
func counts(m map[string]uint64) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
