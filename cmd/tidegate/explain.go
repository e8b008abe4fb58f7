package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newExplain(g *global) *cobra.Command {
	var side string
	cmd := &cobra.Command{
		Use: "explain PROTO SRC DST", Short: "What would happen to such a packet, and why; sends nothing",
		Long: "Says what the gateway would do with the first packet of a flow, or with one of the flow\n" +
			"that has these endpoints: rule, translation, timer, or the reason for a drop. Of a flow\n" +
			"that has ended it also says when, why, by which timer and what was sent to whom. Nothing\n" +
			"is sent. PROTO is tcp, udp or icmp; SRC and DST are ADDR:PORT, of icmp ADDR (SRC may be\n" +
			"ADDR:IDENTIFIER). Without --side the side that it comes from is guessed.",
		Example: "  tidegate explain tcp 10.0.0.10:40000 198.51.100.7:443\n" +
			"  tidegate explain tcp 198.51.100.7:40000 203.0.113.5:443 --side outside",
		Args: usageArgs(cobra.ExactArgs(3)), ValidArgsFunction: completeProtocol,
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.ExplainRequest{Protocol: strings.ToLower(args[0]), Source: args[1], Destination: args[2], Side: side}
			if _, err := r.Tuple(); err != nil {
				return usageError{err}
			}
			ask := func(ctx context.Context, c *api.Client) (api.Explanation, error) { return c.Explain(ctx, r) }
			return inquire(g, cmd, ask, explainPage)
		},
	}
	cmd.Flags().StringVar(&side, "side", "", "where the packet comes from: inside or outside")
	completeFlag(cmd, "side", api.Inside, api.Outside)
	return cmd
}

func explainPage(p *page, e *api.Explanation) {
	verdict := painted{bad, e.Verdict}
	if e.Verdict == "forwarded" {
		verdict.look = good
	}
	p.line("", verdict, ": "+e.Summary)
	if e.Rule != "" {
		p.field("Rule", strings.TrimSuffix(e.RuleType+" "+e.Rule+", "+e.RulePosition, ", "))
	}
	if e.Dead != nil {
		p.field("Flow", ended(e.Dead, time.Now()))
	}
	p.line("")
	for i, step := range e.Steps {
		p.line(fmt.Sprintf("%3d. ", i+1), step)
	}
}

// ended tells that the last flow with these endpoints is over. By which timer, and what
// was sent to whom, is among the steps.
func ended(d *api.DeadFlow, now time.Time) painted {
	ago := max(0, now.Sub(d.Ended).Seconds())
	return painted{warn, "This flow ended " + short(ago) + " ago: " + d.Reason}
}
