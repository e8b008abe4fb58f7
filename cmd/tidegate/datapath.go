package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"tidegate/config"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packetio"
)

// datapath is how packets reach the gateway on this host: opened queues, and
// what has to run beside them.
type datapath struct {
	name      config.Datapath
	why       string // for the operator: why this one and not another
	workers   []gateway.Port
	control   gateway.Port
	addresses [2]packet.Addr
	changed   <-chan struct{}
	queues    []interface{ Stats() packetio.Stats }
	run       func(context.Context) error // until ctx is done; nil if there is nothing to do
	undo
}

// datapaths are tried in this order, the fastest first.
var datapaths = []struct {
	name config.Datapath
	open func(*config.Config, *plan, *slog.Logger) (*datapath, error)
}{
	{config.DatapathPacket, openPacketPath},
	{config.DatapathTUN, openTUNPath},
}

// openDatapath opens the one that the configuration names, or the first that this
// host allows.
func openDatapath(c *config.Config, p *plan, log *slog.Logger) (*datapath, error) {
	var refused []error
	for _, candidate := range datapaths {
		if c.Gateway.Datapath != config.DatapathAuto && c.Gateway.Datapath != candidate.name {
			continue
		}
		d, err := candidate.open(c, p, log)
		if err == nil {
			d.why = reason(c, refused)
			return d, nil
		}
		refused = append(refused, fmt.Errorf("datapath %s: %w", candidate.name, err))
	}
	return nil, errors.Join(refused...)
}

func reason(c *config.Config, refused []error) string {
	switch {
	case c.Gateway.Datapath != config.DatapathAuto:
		return "configured"
	case len(refused) == 0:
		return "the fastest in this version"
	}
	return "the fastest that this host allows: " + errors.Join(refused...).Error()
}

// workers returns how many goroutines forward.
func workers(c *config.Config) int {
	if c.Gateway.Workers > 0 {
		return c.Gateway.Workers
	}
	return runtime.NumCPU()
}

// openPacketPath opens packet sockets on both interfaces. The guard comes first,
// so that from then on the host's stack passes nothing on.
func openPacketPath(c *config.Config, p *plan, log *slog.Logger) (_ *datapath, err error) {
	d := &datapath{name: config.DatapathPacket}
	defer d.onError(&err)
	inside, outside := c.Gateway.Inside.Name, c.Gateway.Outside.Name
	table, err := nexthop.Open(nexthop.Options{Inside: inside, Outside: outside, Log: log})
	if err != nil {
		return nil, err
	}
	d.add(table.Close)
	guard, err := nexthop.InstallGuard(p.guard(inside, outside))
	if err != nil {
		return nil, err
	}
	d.add(guard.Close)
	if err := d.openSockets([2]string{inside, outside}, max(1, workers(c)/2), table); err != nil {
		return nil, err
	}
	table.Answer(nexthop.Outside, prefixes(c))
	for side := range d.addresses {
		d.addresses[side] = table.Snapshot().Link(nexthop.Side(side)).Address
	}
	d.changed, d.run = table.Changed(), table.Run
	return d, nil
}

// openSockets opens n readers for each side, and two writers for each of them,
// so that no two goroutines share a queue.
func (d *datapath) openSockets(interfaces [2]string, n int, table *nexthop.Table) error {
	for side, name := range interfaces {
		for i := range n {
			r, err := packetio.OpenPacket(packetio.PacketOptions{Interface: name, Fanout: fanout(side, n), Index: i})
			if err != nil {
				return err
			}
			d.add(r.Close)
			d.queues = append(d.queues, r)
			port, err := d.openWriters(interfaces, table)
			if err != nil {
				return err
			}
			port.Reader, port.Side = r, nexthop.Side(side)
			d.workers = append(d.workers, port)
		}
	}
	var err error
	d.control, err = d.openWriters(interfaces, table)
	return err
}
