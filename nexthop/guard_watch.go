package nexthop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/google/nftables"
	nfnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"
)

// guardCheck is how often the guard is looked at although nobody has told of a
// change: a message can be lost.
const guardCheck = time.Second

// complainEvery bounds the log while the guard can't be looked after.
const complainEvery = 10 * time.Second

// Watch puts the guard back in place whenever it is gone, at once, until ctx is
// done: `nft flush ruleset`, which the start of many a firewall begins with, takes
// every table, and the host would forward untranslated. An error in doing so is logged and tried again: it must
// not end a gateway whose flows live.
func (g *Guard) Watch(ctx context.Context, log *slog.Logger) error {
	events, err := nfnetlink.Dial(unix.NETLINK_NETFILTER, &nfnetlink.Config{Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)})
	if err != nil {
		return explainGuard("watch guard", err)
	}
	defer context.AfterFunc(ctx, func() { _ = events.SetReadDeadline(time.Unix(1, 0)) })()
	defer events.Close()
	complaints := rate.Sometimes{Interval: complainEvery}
	for {
		if err := events.SetReadDeadline(time.Now().Add(guardCheck)); err != nil {
			return fmt.Errorf("nexthop: watch guard: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
		// What the message says does not matter, nor if some were lost (ENOBUFS).
		if _, err := events.Receive(); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("nexthop: watch guard: %w", err)
		}
		if err := g.restore(ctx, log); err != nil { // such as a listing that a change interrupts
			complaints.Do(func() { log.Error("the host guard can't be looked after; trying again", "cause", err) })
		}
	}
}

// restore installs the guard again if it is not whole.
func (g *Guard) restore(ctx context.Context, log *slog.Logger) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if ctx.Err() != nil {
		return nil
	}
	whole, err := guardStands()
	if err != nil || whole {
		return err
	}
	log.Error("somebody removed the host guard (nftables table netdev " + guardTable + "); it is put back")
	_, err = install(g.options)
	return err
}

// guardStands says whether both chains are there, with rules in them.
func guardStands() (bool, error) {
	tx, err := openGuardTx()
	if err != nil || !tx.adopted {
		return false, err
	}
	for side := range sides {
		rules, err := tx.GetRules(tx.table, &nftables.Chain{Name: side.String()})
		if errors.Is(err, unix.ENOENT) || err == nil && len(rules) == 0 {
			return false, nil
		}
		if err != nil {
			return false, explainGuard("look at guard", err)
		}
	}
	return true, nil
}
