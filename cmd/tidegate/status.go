package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newStatus(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Health, datapath in use, rules, totals",
		Long: "Shows how the gateway is doing: whether packets flow and on which datapath, where its\n" +
			"configuration comes from and whether the last attempt to change it failed, how many flows\n" +
			"each rule has, and what was forwarded, dropped and reset since the start. With -o wide\n" +
			"also where the configuration has each rule, and its flows by state.",
		Example: "  tidegate status\n  tidegate status -o json | jq .totals.drops\n" +
			"  tidegate --api https://gw.example:9443 --token-file token --ca ca.pem status",
		Args: usageArgs(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ask := func(ctx context.Context, c *api.Client) (api.Status, error) { return c.Status(ctx) }
			return inquire(g, cmd, ask, g.statusPage)
		},
	}
}

func (g *global) statusPage(p *page, s *api.Status) {
	p.field("Tidegate", s.Version)
	p.field("State", stateOf(s))
	p.field("Datapath", s.Datapath+" ("+s.DatapathReason+")")
	p.field("Up for", short(s.UptimeSeconds))
	p.field("Config", orElse(s.Config.Source, "-")+", read "+when(s.Config.Loaded))
	if s.Config.LastError != "" {
		p.field("", painted{bad, "The last change was rejected: " + s.Config.LastError})
	}
	p.field("Flows", fmt.Sprintf("%d of %d; %d created, %d closed", s.Totals.Flows, s.Totals.MaxFlows, s.Totals.Created, s.Totals.Closed))
	p.field("Inside", traffic(s.Totals.Inside))
	p.field("Outside", traffic(s.Totals.Outside))
	p.field("Drops", counts(s.Totals.Drops))
	p.field("Resets", counts(s.Totals.Resets))
	p.line("")
	p.table(ruleTable(s.Rules, g.wide()))
}

func stateOf(s *api.Status) painted {
	if s.Ready {
		return painted{good, "ready"}
	}
	return painted{bad, "not ready: " + s.NotReady}
}

func traffic(t api.Traffic) string {
	return fmt.Sprintf("%d packets in, %d out; %d bytes in, %d out", t.PacketsIn, t.PacketsOut, t.BytesIn, t.BytesOut)
}

func ruleTable(rules []api.RuleStatus, wide bool) *table {
	columns := []column{{head: "RULE", min: 12}, {head: "TYPE", rank: 2}, {head: "IDLE", right: true, rank: 1},
		{head: "TCP RESET", rank: 3}, {head: "FLOWS", right: true}}
	if wide {
		columns = append(columns, column{head: "POSITION", rank: 4, min: 12}, column{head: "STATES", rank: 5, min: 12})
	}
	t := newTable(columns...)
	for _, r := range rules {
		name := painted{plain, r.Name}
		if r.Removed {
			name = painted{warn, r.Name + " (removed)"}
		}
		cells := []any{name, r.Type, short(r.IdleTimeoutSeconds), yesNo(r.EnableTCPReset), r.Flows}
		if wide {
			cells = append(cells, orElse(r.Position, "-"), states(r.States))
		}
		t.add(cells...)
	}
	return t
}

// states lists the flows of a rule by state.
func states(m map[string]int) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return orElse(strings.Join(parts, ", "), "-")
}

// counts lists what is above zero, by name.
func counts(m map[string]uint64) string {
	var parts []string
	for _, k := range sortedKeys(m) {
		if m[k] > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
		}
	}
	return orElse(strings.Join(parts, ", "), "none")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// when writes a time as this machine's clock has it.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
