// Command tidegate is a NAT gateway: `tidegate run -c FILE` runs it, the other
// verbs ask the running one over its API, or need none.
//
// Exit status: 0 fine, 1 it failed while running, 2 wrong usage or invalid
// configuration. Errors go to standard error, one per line.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// version is set by the linker.
var version = "unknown"

const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := newRoot().ExecuteContext(ctx)
	stop()
	if err != nil {
		report(err)
		os.Exit(exitStatus(err))
	}
}

// usageError is a command line or a configuration that can't be meant.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	if errors.As(err, new(usageError)) {
		return exitUsage
	}
	return exitFailed
}

func report(err error) {
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(os.Stderr, "tidegate: "+strings.TrimRight(line, "\n"))
	}
}

// global is what every verb that asks the gateway knows.
type global struct {
	api    string
	output string
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "tidegate",
		Short: "A NAT gateway that keeps Azure Load Balancer's promises",
		Long: "Tidegate translates addresses (outbound rules, inbound NAT rules) and gives every idle\n" +
			"connection up loudly: with a TCP reset to both ends, instead of silence.",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          usageArgs(cobra.NoArgs),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	address := os.Getenv("TIDEGATE_API")
	if address == "" {
		address = api.DefaultAddress
	}
	root.PersistentFlags().StringVar(&g.api, "api", address, "the gateway's API: unix:PATH or http://HOST:PORT (env TIDEGATE_API)")
	root.PersistentFlags().StringVarP(&g.output, "output", "o", "table", "table, json or wide")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.AddCommand(newRun(), newCheck(), newStatus(g), newFlows(g), newKill(g), newPorts(g), newImport(), newBackends(g), newExplain(g), newDemo())
	return root
}

// usageArgs makes a violation of an argument rule a wrong usage.
func usageArgs(rule cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := rule(cmd, args); err != nil {
			return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
		}
		return nil
	}
}
