package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"

	"tidegate/config"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packetio"
)

// datapath is how packets reach the gateway on this host: opened queues, and
// what has to run beside them.
type datapath struct {
	name    config.Datapath
	why     string         // for the operator: why this one and not another
	guard   *nexthop.Guard // nil where the operator's routes guard
	workers []gateway.Port
	control gateway.Port
	changed <-chan struct{}
	source  func() netip.Addr             // the gateway's own address inside, for probes
	answer  func(was, now *config.Config) // the frontends may be others now
	accepts func(*config.Config) error    // what this host can't do of a configuration
	queues  []interface{ Stats() packetio.Stats }
	run     []func(context.Context) error // beside the gateway, until ctx is done
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
		if mistaken(err) {
			break
		}
	}
	return nil, refusal(refused)
}

// refusal is why several datapaths could not be opened, in one line.
type refusal []error

func (r refusal) Error() string {
	parts := make([]string, len(r))
	for i, err := range r {
		parts[i] = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return strings.Join(parts, "; ")
}

func (r refusal) Unwrap() []error { return r }

// mistaken says that it is not the host that does not allow a datapath: taking
// another would hide the operator's mistake.
func mistaken(err error) bool {
	return errors.Is(err, packetio.ErrLinkDown) || errors.As(err, new(netlink.LinkNotFoundError)) || errors.As(err, new(ownAddressError))
}

func reason(c *config.Config, refused []error) string {
	switch {
	case c.Gateway.Datapath != config.DatapathAuto:
		return "configured"
	case len(refused) == 0:
		return "the fastest in this version"
	}
	return "the fastest that this host allows: " + refusal(refused).Error()
}

// readers returns how many goroutines read each interface: with two sides half of
// the workers, and so behind a TUN device too, where the other half of the work is
// the kernel's, which routes each packet in and out again.
func readers(c *config.Config) int {
	workers := c.Gateway.Workers
	if workers == 0 {
		workers = runtime.NumCPU()
	}
	return max(1, workers/2)
}

// openPacketPath opens packet sockets on both interfaces, and puts the guard in
// place last: what fails before it has changed nothing.
func openPacketPath(c *config.Config, p *plan, log *slog.Logger) (_ *datapath, err error) {
	d := &datapath{name: config.DatapathPacket}
	defer d.onError(&err)
	inside, outside := c.Gateway.Inside.Name, c.Gateway.Outside.Name
	table, err := nexthop.Open(nexthop.Options{Inside: inside, Outside: outside, Log: log})
	if err != nil {
		return nil, err
	}
	d.add(table.Close)
	if err := d.openSockets([2]string{inside, outside}, readers(c), table); err != nil {
		return nil, err
	}
	d.accepts = func(c *config.Config) error {
		return checkInternal(c, own(table.Snapshot().Link(nexthop.Inside).Address))
	}
	if err := d.accepts(c); err != nil {
		return nil, err
	}
	d.answer = func(_, now *config.Config) {
		for _, side := range []nexthop.Side{nexthop.Inside, nexthop.Outside} {
			table.Answer(side, answered(now, side))
		}
	}
	d.answer(nil, c)
	d.changed = table.Changed()
	d.source = func() netip.Addr { return own(table.Snapshot().Link(nexthop.Inside).Address) }
	if d.guard, err = nexthop.InstallGuard(guard(c, p.needs(c))); err != nil {
		return nil, err
	}
	d.run = []func(context.Context) error{table.Run, func(ctx context.Context) error { return d.guard.Watch(ctx, log) }}
	return d, nil
}

// checkInternal refuses an internal frontend with the gateway's own inside address:
// probes leave from that, and their answers would be taken for hairpin flows.
func checkInternal(c *config.Config, inside netip.Addr) error {
	for i, f := range c.FrontendIPConfigurations {
		if f.Internal() && f.PrivateIPAddress == inside {
			return ownAddressError{fmt.Errorf("frontendIPConfigurations[%d].privateIPAddress: %v is the gateway's own address on %s; choose a free one",
				i, f.PrivateIPAddress, c.Gateway.Inside.Name)}
		}
	}
	return nil
}

// ownAddressError is a mistake on every datapath.
type ownAddressError struct{ error }

// own is an address of the gateway's; the zero Addr where it has none.
func own(a packet.Addr) netip.Addr {
	if a == 0 {
		return netip.Addr{}
	}
	return a.Netip()
}

// unguard takes the guard down at the end, unless the gateway failed: then it may
// be all that keeps packets from leaving untranslated. A start that failed leaves
// the host as it was, with the guard of a gateway that was killed, or without.
func (d *datapath) unguard(started bool, err error) error {
	if d.guard == nil || err != nil && (started || d.guard.Adopted) {
		return nil
	}
	return d.guard.Close()
}

// openSockets opens n readers for each side, and two writers for each of them,
// so that no two goroutines share a queue.
func (d *datapath) openSockets(interfaces [2]string, n int, table *nexthop.Table) (err error) {
	for side, name := range interfaces {
		for range n {
			r, err := d.openSocket(packetio.PacketOptions{Interface: name, Fanout: fanout(side, n)})
			if err != nil {
				return err
			}
			port, err := d.openWriters(interfaces, table)
			if err != nil {
				return err
			}
			port.Reader, port.Side = r, nexthop.Side(side)
			d.workers = append(d.workers, port)
		}
	}
	d.control, err = d.openWriters(interfaces, table)
	return err
}

func (d *datapath) openWriters(interfaces [2]string, table *nexthop.Table) (gateway.Port, error) {
	port := gateway.Port{Router: gateway.NewKernelRouter(table)}
	for side, name := range interfaces {
		w, err := d.openSocket(packetio.PacketOptions{Interface: name, TxOnly: true})
		if err != nil {
			return port, err
		}
		port.Writers[side] = w
	}
	return port, nil
}

func (d *datapath) openSocket(o packetio.PacketOptions) (*packetio.PacketQueue, error) {
	q, err := packetio.OpenPacket(o)
	if err != nil {
		return nil, err
	}
	d.add(q.Close)
	d.queues = append(d.queues, q)
	return q, nil
}

// fanout numbers a side's group of readers, which no other process may have.
func fanout(side, n int) uint16 {
	if n == 1 {
		return 0
	}
	return uint16(os.Getpid())<<1 | uint16(side) | 0x8000
}

// drops returns what the queues have lost, by reason.
func (d *datapath) drops() map[string]uint64 {
	var overflow, refused uint64
	for _, q := range d.queues {
		s := q.Stats()
		overflow += s.Dropped + s.Truncated
		refused += s.Refused.Total()
	}
	return map[string]uint64{"rx-overflow": overflow, "tx-refused": refused}
}
