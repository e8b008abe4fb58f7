package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	"github.com/spf13/cobra"

	"tidegate/api"
)

func newTop(g *global) *cobra.Command {
	return &cobra.Command{
		Use: "top [FILTER...]", Short: "Full-screen live view",
		Long: "Shows, once a second and on the whole terminal: rates, drops and resets, flows by rule and\n" +
			"state, SNAT ports near exhaustion, backends that are down, the last events, and a flow table\n" +
			"to sort, filter and end flows in. `?` lists the keys.\n\n" + filterHelp,
		Example:           "  tidegate top\n  tidegate top proto=tcp remote=198.51.100.0/24",
		ValidArgsFunction: g.completeFilter,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := parseFilter(args)
			if err != nil {
				return err
			}
			c, err := g.ask()
			if err != nil {
				return err
			}
			defer c.Close()
			return runTop(cmd, c, filter)
		},
	}
}

// runTop has the terminal until the user quits; it gives it back whatever happens.
func runTop(cmd *cobra.Command, c *api.Client, filter api.Filter) error {
	in, ok := cmd.InOrStdin().(*os.File)
	switch {
	case !isTerminal(cmd.OutOrStdout()):
		return usageError{errors.New("top: standard output is no terminal; use `tidegate status` or `tidegate flows` in a pipe")}
	case !ok || !isTerminal(in):
		return usageError{errors.New("top: standard input is no terminal, and there is nobody to press q; run it without a pipe")}
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGHUP)
	defer stop()
	out := cmd.OutOrStdout()
	m := newTopModel(filter, paletteFor(out))
	m.poller = &poller{ctx: ctx, client: c}
	program := tea.NewProgram(m, tea.WithoutSignalHandler(), tea.WithInput(in), tea.WithOutput(out), tea.WithFilter(sizeFor(out)),
		tea.WithColorProfile(colorprofile.ANSI)) // of which the palette uses what the user wants
	defer context.AfterFunc(ctx, program.Quit)() // a context of its own would not wait for its reader of the terminal
	_, err := program.Run()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("top: %w", err)
	}
	return nil
}

// sizeFor gives a size to a terminal that does not know its own, such as a serial line.
func sizeFor(out io.Writer) func(tea.Model, tea.Msg) tea.Msg {
	return func(_ tea.Model, msg tea.Msg) tea.Msg {
		if _, ok := msg.(tea.WindowSizeMsg); ok {
			width, height := sizeOf(out)
			return tea.WindowSizeMsg{Width: width, Height: height}
		}
		return msg
	}
}

// poller asks the gateway, outside Update, which does not wait.
type poller struct {
	ctx    context.Context
	client *api.Client
}

const (
	pollEvery = time.Second
	pollLimit = 5 * time.Second // after which a gateway that is silent counts as away

	// sampleSize is how many flows are asked for, and sorted. More of them cost the
	// gateway and the terminal more than anybody can read.
	sampleSize  = 2000
	eventsShown = 200
)

// glance is what the gateway has said at one moment, or why it has not.
type glance struct {
	at       time.Time
	filter   api.Filter // that the flows match
	status   api.Status
	ports    []api.PortRow
	backends []api.Backend
	events   []api.Event // oldest first
	flows    api.FlowList
	err      error
}

// quiet are the types of events that are worth a line each; flows begin all the time.
func quiet() (types []string) {
	for _, t := range api.EventTypes() {
		if t != api.FlowCreated {
			types = append(types, t)
		}
	}
	return types
}

// look asks for everything.
func (p *poller) look(filter api.Filter) tea.Cmd {
	if p == nil {
		return nil
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(p.ctx, pollLimit)
		defer cancel()
		g := glance{at: time.Now(), filter: filter}
		var ports api.Ports
		var backends api.Backends
		var events api.EventList
		for _, ask := range []func() error{
			func() (err error) { g.status, err = p.client.Status(ctx); return err },
			func() (err error) { ports, err = p.client.PortsUncounted(ctx, api.ByBackend); return err },
			func() (err error) { backends, err = p.client.Backends(ctx); return err },
			func() (err error) {
				events, err = p.client.Events(ctx, api.EventQuery{Types: quiet(), Limit: eventsShown})
				return err
			},
			func() (err error) {
				g.flows, err = p.client.Flows(ctx, api.FlowQuery{Filter: filter, Limit: sampleSize})
				return err
			},
		} {
			if g.err = ask(); g.err != nil {
				break
			}
		}
		g.ports, g.backends, g.events = ports.Rows, backends.Rows, events.Events
		return g
	}
}

// killed is what came of ending a flow.
type killed struct {
	flow  string
	count int
	err   error
}

func (p *poller) kill(f *api.Flow) tea.Cmd {
	if p == nil {
		return nil
	}
	id, name := f.ID, flowName(f)
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(p.ctx, pollLimit)
		defer cancel()
		n, err := p.client.DeleteFlows(ctx, api.Filter{ID: id})
		return killed{name, n, err}
	}
}

func flowName(f *api.Flow) string {
	return f.Protocol + " " + f.Internal.String() + " – " + f.Remote.String()
}

// tick asks to look again.
type tick struct{}

func wait() tea.Cmd {
	return tea.Tick(pollEvery, func(time.Time) tea.Msg { return tick{} })
}
