// Command tidegate is a NAT gateway: `tidegate run -c FILE` runs it, the other
// verbs ask the running one over its API, or need none.
//
// Exit status: 0 fine, 1 it failed while running, 2 wrong usage or invalid
// configuration. Errors go to standard error, one per line. Whoever reads standard
// output may go when they have seen enough, as head does: that is no failure.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// version is set by the linker.
var version = "unknown"

const (
	exitFine   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// Only notified of, not ignored: the programs that a verb starts shall not inherit it.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := newRoot().ExecuteContext(ctx)
	stop()
	status := exitStatus(err)
	if status != exitFine {
		report(os.Stderr, err)
	}
	os.Exit(status)
}

// usageError is a command line or a configuration that can't be meant.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitStatus(err error) int {
	switch {
	case err == nil, unread(err):
		return exitFine
	case errors.As(err, new(usageError)):
		return exitUsage
	}
	return exitFailed
}

// unread says that nobody reads standard output any more.
func unread(err error) bool {
	var p *fs.PathError
	return errors.As(err, &p) && p.Path == os.Stdout.Name() && errors.Is(p.Err, syscall.EPIPE)
}

func report(w io.Writer, err error) {
	for line := range strings.Lines(err.Error()) {
		_, _ = fmt.Fprintln(w, "tidegate: "+clean(strings.TrimRight(line, "\n"))) // there is nobody else to tell
	}
}

func newRoot() *cobra.Command {
	g := &global{}
	root := &cobra.Command{
		Use:   "tidegate",
		Short: "A NAT gateway that keeps Azure Load Balancer's promises",
		Long: "Tidegate translates addresses (outbound, inbound NAT and load-balancing rules) and gives\n" +
			"every idle connection up loudly: with a TCP reset to both ends, instead of silence.\n\n" +
			"`tidegate run` is the gateway; most other verbs ask the running one over its API.",
		Example:       "  tidegate run -c tidegate.yaml\n  tidegate status\n  tidegate flows proto=tcp 'idle>30s' --watch",
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          oneOf("command"),
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	g.flags(root)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.AddCommand(newRun(), newCheck(), newStatus(g), newFlows(g), newKill(g), newPorts(g), newBackends(g), newEvents(g),
		newExplain(g), newCapture(g), newTop(g), newImport(), newDemo(), newCompletion(), newMan())
	root.CompletionOptions.DisableDefaultCmd = true
	document(root)
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

// oneOf is the argument rule of a command that only has others below it: what is left
// over is a word that none of them has.
func oneOf(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong
		remedy := fmt.Sprintf("see `%s --help`", cmd.CommandPath())
		if meant := cmd.SuggestionsFor(args[0]); len(meant) > 0 {
			remedy = "did you mean " + strings.Join(meant, " or ") + "?"
		}
		return usageError{fmt.Errorf("unknown %s %q; %s", what, args[0], remedy)}
	}
}
