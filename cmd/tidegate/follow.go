package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// follower prints events as they happen, past restarts of the gateway.
type follower struct {
	*global
	client  *api.Client
	query   api.EventQuery
	out     io.Writer
	notes   io.Writer // standard error
	started time.Time // the gateway's start; another one numbers its events anew
	last    uint64    // Event.Seq that has been printed
}

// everything is a number that no event has: a stream after it begins with all that the
// gateway has kept.
const everything = math.MaxUint64

// retryEvery is the pause between two questions whether the gateway is back.
const retryEvery = time.Second

func (g *global) followEvents(cmd *cobra.Command, q api.EventQuery) error {
	c, err := g.ask()
	if err != nil {
		return err
	}
	defer c.Close()
	f := &follower{global: g, client: c, query: q, out: cmd.OutOrStdout(), notes: cmd.ErrOrStderr()}
	if err := f.begin(cmd.Context()); err != nil {
		return interrupted(cmd.Context(), err)
	}
	for {
		err := c.FollowEvents(cmd.Context(), f.query, f.event)
		if cmd.Context().Err() != nil {
			return nil // interrupted, as it is meant to be
		}
		if notFollowable(err) {
			return err
		}
		f.note(fmt.Sprintf("%v; waiting for the gateway", err))
		if !f.await(cmd.Context()) {
			return nil
		}
		f.note("the gateway is back")
	}
}

// begin prints the last events, and notes where the stream goes on.
func (f *follower) begin(ctx context.Context) error {
	s, err := f.client.Status(ctx)
	if err != nil {
		return err
	}
	f.started = s.Started
	newest, err := f.client.Events(ctx, api.EventQuery{Limit: 1})
	if err != nil {
		return err
	}
	var recent api.EventList
	if f.query.Limit > 0 {
		if recent, err = f.client.Events(ctx, f.query); err != nil {
			return err
		}
	}
	f.query.After = everything
	if n := len(newest.Events); n > 0 {
		f.query.After = newest.Events[n-1].Seq
	}
	for _, e := range recent.Events {
		if err := f.event(e, 0); err != nil {
			return err
		}
	}
	return nil
}

// event prints one, unless it has been: those that happen while the list is asked for
// are in the stream, too.
func (f *follower) event(e api.Event, missed uint64) error {
	if missed > 0 {
		f.note(count(int(missed), "event") + " missed")
	}
	if e.Seq <= f.last {
		return nil
	}
	if err := f.printEvent(f.out, e); err != nil {
		return errFollowed{err}
	}
	f.last = e.Seq
	f.query.After = max(f.last, f.after())
	return nil
}

// after is where the stream began, if that is a number of an event.
func (f *follower) after() uint64 {
	if f.query.After == everything {
		return 0
	}
	return f.query.After
}

// await asks until the gateway answers. It returns false when ctx is done.
func (f *follower) await(ctx context.Context) bool {
	for {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryEvery):
		}
		s, err := f.client.Status(ctx)
		if err != nil {
			continue
		}
		if !s.Started.Equal(f.started) {
			f.started, f.last, f.query.After = s.Started, 0, everything
		}
		return true
	}
}

func (f *follower) note(text string) {
	_, _ = fmt.Fprintln(f.notes, "tidegate: "+clean(text)) // there is nobody else to tell
}
