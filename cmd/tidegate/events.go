package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"

	"tidegate/api"
)

// recentEvents is how many that have been --follow begins with, as tail -f does.
const recentEvents = 10

func newEvents(g *global) *cobra.Command {
	var q api.EventQuery
	var follow bool
	cmd := &cobra.Command{
		Use: "events", Short: "Flow, reset, exhaustion, health and config events",
		Long: "Lists what has happened last, oldest first. With --follow it goes on with what happens, until\n" +
			"interrupted; when the gateway restarts it waits for it, and says so on standard error, as it\n" +
			"does when events are missed. With -o json a list is one document, and --follow writes one\n" +
			"object per line.\n\nThe types are " + strings.Join(api.EventTypes(), ", ") + ".",
		Example: "  tidegate events\n  tidegate events --follow --type snat.exhausted --type backend.down\n" +
			"  tidegate events --follow -o json | jq 'select(.reason == \"idle\").flow.remote'",
		Args: usageArgs(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkEvents(cmd, &q, follow); err != nil {
				return err
			}
			if follow {
				return g.followEvents(cmd, q)
			}
			ask := func(ctx context.Context, c *api.Client) (api.EventList, error) { return c.Events(ctx, q) }
			return inquire(g, cmd, ask, func(p *page, l *api.EventList) { p.table(folded(p, eventTable(p, l.Events, g.wide()))) })
		},
	}
	cmd.Flags().BoolVar(&follow, "follow", false, "go on with what happens")
	cmd.Flags().StringArrayVar(&q.Types, "type", nil, "only this type; may be given more than once")
	cmd.Flags().StringVar(&q.Rule, "rule", "", "only about this rule")
	cmd.Flags().IntVar(&q.Limit, "limit", api.DefaultEvents, fmt.Sprintf("the last so many; %d if --follow, where 0 means none", recentEvents))
	completeFlag(cmd, "type", api.EventTypes()...)
	completeRule := func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		return g.ruleNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("rule", completeRule); err != nil {
		panic(err) // the flag is there: see above
	}
	return cmd
}

// checkEvents finds what can't be meant before the gateway is asked.
func checkEvents(cmd *cobra.Command, q *api.EventQuery, follow bool) error {
	least := 1
	if follow {
		least = 0
		if !cmd.Flags().Changed("limit") {
			q.Limit = recentEvents
		}
	}
	if q.Limit < least || q.Limit > api.MaxEvents {
		return usageError{fmt.Errorf("--limit %d: must be %d–%d", q.Limit, least, api.MaxEvents)}
	}
	for _, t := range q.Types {
		if !slices.Contains(api.EventTypes(), t) {
			return usageError{fmt.Errorf("--type %s: must be one of %s", t, strings.Join(api.EventTypes(), ", "))}
		}
	}
	return nil
}

func eventTable(p *page, events []api.Event, wide bool) *table {
	t := newTable(column{head: "TIME", right: true}, column{head: "TYPE"},
		column{head: "RULE", rank: 1}, column{head: "MESSAGE", min: 20})
	for i := range events {
		e := &events[i]
		at, message := e.Time.Local().Format(time.DateTime), e.Message
		if p.width > 0 && !wide {
			at, message = clock(e.Time.Local(), time.Now()), brief(e)
		}
		t.add(at, painted{eventLook(e), e.Type}, orElse(e.Rule, "-"), message)
	}
	return t
}

// folded breaks the messages of an event table that the terminal has no room for: the
// rest of one stands below it, in rows of its own.
func folded(p *page, t *table) *table {
	if p.width == 0 || p.whole {
		return t
	}
	last := len(t.columns) - 1
	widths := t.natural()
	room := p.width - total(widths[:last]) - gutter
	if room < t.columns[last].min {
		room += widths[last-1] + gutter // the table leaves the rule out
	}
	room = max(room, len(t.columns[last].head))
	rows := t.rows
	t.rows = nil
	for _, row := range rows {
		message := row[last]
		for i, text := range strings.Split(ansi.Wrap(message.text, room, ""), "\n") {
			if i > 0 {
				row = make([]painted, len(t.columns))
			}
			row[last] = painted{message.look, text}
			t.rows = append(t.rows, row)
		}
	}
	return t
}

// clock writes a time, of another day with its date.
func clock(t, now time.Time) string {
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format("01-02 15:04:05")
}

// brief is the message, or of a flow what matters of it: terminals are narrow.
func brief(e *api.Event) string {
	f := e.Flow
	if f == nil {
		return e.Message
	}
	arrow := " → "
	if f.Direction == api.Inbound {
		arrow = " ← "
	}
	text := f.Protocol + " " + f.Internal.String() + arrow + f.Remote.String()
	resets := ""
	switch len(e.Resets) {
	case 0:
	case 1:
		resets = ", RST to " + e.Resets[0]
	default:
		resets = ", RST to both"
	}
	if e.Reason == "" {
		return text + resets
	}
	return e.Reason + resets + ": " + text
}

func eventLook(e *api.Event) look {
	switch e.Type {
	case api.SNATExhausted, api.BackendDown, api.ConfigRejected:
		return bad
	case api.BackendUp, api.ConfigReloaded:
		return good
	case api.FlowClosed:
		if len(e.Resets) > 0 {
			return warn
		}
		return faint
	}
	return plain
}

// errFollowed is returned by a follower's event when it could not be written.
type errFollowed struct{ error }

func (e errFollowed) Unwrap() error { return e.error }

// notFollowable says that asking again would not help.
func notFollowable(err error) bool {
	var p *api.Problem
	return errors.As(err, new(errFollowed)) || errors.As(err, &p) && p.Status < 500
}

// printEvent writes one event as --follow does.
func (g *global) printEvent(w io.Writer, e api.Event) error {
	if g.output == "json" {
		return writeJSON(w, e, "")
	}
	return write(w, g.wide(), func(p *page) {
		t := eventTable(p, []api.Event{e}, g.wide())
		t.bare = true // and the columns are where those of the other events are, mostly
		t.columns[1].least, t.columns[2].least = len(api.ConfigReloaded), 8
		p.table(folded(p, t))
	})
}
