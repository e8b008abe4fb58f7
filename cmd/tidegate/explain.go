package main

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newExplain(g *global) *cobra.Command {
	var side string
	cmd := &cobra.Command{
		Use: "explain PROTO SRC DST", Short: "What would happen to such a packet, and why; sends nothing",
		Long: "Says what the gateway would do with the first packet of a flow, or with one of the flow\n" +
			"that has these endpoints: rule, translation, timer, or the reason for a drop. Nothing is\n" +
			"sent. PROTO is tcp, udp or icmp; SRC and DST are ADDR:PORT, of icmp ADDR (SRC may be\n" +
			"ADDR:IDENTIFIER). Without --side the side that it comes from is guessed.",
		Example: "  tidegate explain tcp 10.0.0.10:40000 198.51.100.7:443\n" +
			"  tidegate explain tcp 198.51.100.7:40000 203.0.113.5:443 --side outside",
		Args: usageArgs(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, args []string) error {
			r := api.ExplainRequest{Protocol: strings.ToLower(args[0]), Source: args[1], Destination: args[2], Side: side}
			if _, err := r.Tuple(); err != nil {
				return usageError{err}
			}
			c, err := g.ask()
			if err != nil {
				return err
			}
			e, err := c.Explain(cmd.Context(), r)
			if err != nil {
				return err
			}
			return g.show(cmd.OutOrStdout(), e, func(t *tabwriter.Writer) { explainTable(t, &e) })
		},
	}
	cmd.Flags().StringVar(&side, "side", "", "where the packet comes from: inside or outside")
	return cmd
}

func explainTable(t *tabwriter.Writer, e *api.Explanation) {
	row(t, e.Verdict+": "+e.Summary)
	row(t)
	for i, step := range e.Steps {
		row(t, fmt.Sprintf("%3d. %s", i+1, step))
	}
}
