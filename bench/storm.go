package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	stormFlows = 100_000
	// stormIdle leaves time to open them all and to see how quiet it was before.
	stormIdle     = 10 * time.Second
	stormPatience = 4 * stormIdle
	pingInterval  = 2 * time.Millisecond
)

// measureStorm lets very many connections idle out together, counts the resets at
// both ends and watches what that does to a connection that has nothing to do
// with it.
func measureStorm(ctx context.Context, l *leg) error {
	if err := l.start(ctx, load{idle: stormIdle}); err != nil {
		return err
	}
	pinger, err := l.startPing(ctx, pingOrder{Interval: pingInterval})
	if err != nil {
		return err
	}
	client, server, err := l.weatherStorm(ctx, stormFlows)
	if err != nil {
		return err
	}
	pinger.stop()
	var pings pingResult
	if err := pinger.result(&pings); err != nil {
		return err
	}
	return l.addStorm(client, server, pings)
}

// weatherStorm opens connections with crafted ends and waits for their resets.
func (l *leg) weatherStorm(ctx context.Context, flows int) (client, server endResult, err error) {
	if err := l.hideFromKernels(ctx); err != nil {
		return client, server, err
	}
	serverEnd, err := startChild(ctx, l.server, "end", endOrder{
		Interface: serverLink, Patience: stormPatience,
		Link: link{l.server.Interface(serverLink).MAC, l.gw.Interface(outsideLink).MAC},
	})
	if err != nil {
		return client, server, err
	}
	clientEnd, err := startChild(ctx, l.client, "end", endOrder{
		Interface: clientLink, Patience: stormPatience, Open: flows,
		Link: link{l.client.Interface(clientLink).MAC, l.gw.Interface(insideLink).MAC},
	})
	if err != nil {
		return client, server, err
	}
	err = errors.Join(clientEnd.result(&client), serverEnd.result(&server))
	return client, server, err
}

// hideFromKernels keeps the kernels of client and server from looking at segments of
// connections that they know nothing of.
func (l *leg) hideFromKernels(ctx context.Context) error {
	return errors.Join(
		l.discard(ctx, l.client, clientLink, "ip daddr "+craftedAddr.String()),
		l.discard(ctx, l.server, serverLink, "ip daddr "+farPrefix.String()),
	)
}

func (l *leg) addStorm(client, server endResult, pings pingResult) error {
	if client.Lost+server.Lost > 0 {
		return fmt.Errorf("bench: storm: the ends lost %d and %d frames; the machine is too slow or too busy", client.Lost, server.Lost)
	}
	if client.Resets == 0 || server.Resets == 0 {
		return fmt.Errorf("bench: storm: %d resets came to the client and %d to the server", client.Resets, server.Resets)
	}
	if client.First < client.Refreshed {
		return errors.New("bench: storm: connections idled out before all were open; the machine is too slow or too busy")
	}
	first, last := min(client.First, server.First), max(client.Last, server.Last)
	quiet := pings.trips(client.Refreshed, first-1)
	during := pings.trips(first, last)
	if len(quiet) == 0 || len(during) == 0 {
		return errors.New("bench: storm: the unrelated connection stood still")
	}
	l.note("storm, all connections used within", "s", float64(client.Refreshed-client.Opened)/1e9)
	l.note("storm, first to last reset", "s", float64(last-first)/1e9)
	l.note("storm, last reset after its timeout", "s", float64(last-client.Refreshed-int64(stormIdle))/1e9)
	l.note("storm, connections reset at the client", "", float64(client.Connections))
	l.note("storm, connections reset at the server", "", float64(server.Connections))
	l.note("storm, resets with a wrong number", "", float64(client.Wrong+server.Wrong))
	l.note("storm, unrelated p99 before", "µs", percentile(quiet, 99))
	l.note("storm, unrelated p99 during", "µs", percentile(during, 99))
	l.note("storm, unrelated p99 during ÷ before", "×", percentile(during, 99)/percentile(quiet, 99))
	return nil
}
