package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// load is what a metric asks of a gateway.
type load struct {
	maxFlows int           // the flows that have to fit; 0: the default
	idle     time.Duration // after which flows are given up; 0: defaultIdle
	traceGC  bool          // write a line for each garbage collection
}

// defaultIdle is longer than any leg: nothing expires during a measurement.
const defaultIdle = 4 * time.Minute

func idleOr(d time.Duration) time.Duration {
	if d == 0 {
		return defaultIdle
	}
	return d
}

// peer is one way to forward packets.
type peer interface {
	name() string
	// appearsAs is the address that the server sees the client under.
	appearsAs() netip.Addr
	// start makes the row's gateway forward, and returns when it does. What it
	// starts ends with the row.
	start(context.Context, *row, load) (gateway, error)
}

// gateway is a peer at work.
type gateway interface {
	// flows returns how many flows it keeps now.
	flows(context.Context) (int, error)
	// memory returns how many bytes it says it uses now, its flows among them.
	memory() (int64, error)
}

// peers returns all of them. nftables is what the others are compared with.
func peers(tidegateProgram string) []peer {
	return []peer{
		nft{}, forward{},
		tidegate{program: tidegateProgram, datapath: "packet"},
		tidegate{program: tidegateProgram, datapath: "tun"},
	}
}

// reference is the peer that ratios are computed against.
const reference = "nft"

// forward is the kernel's forwarding without any translation: the server knows the
// way back. Connection tracking is not even hooked in.
type forward struct{}

func (forward) name() string          { return "forward" }
func (forward) appearsAs() netip.Addr { return clientAddr }

func (forward) start(_ context.Context, r *row, _ load) (gateway, error) {
	return forward{}, r.routeBack()
}

func (forward) flows(context.Context) (int, error) { return 0, nil }
func (forward) memory() (int64, error) {
	return 0, errors.New("bench: forwarding keeps nothing")
}

// nft is the kernel's forwarding with source NAT by one nftables rule, the least
// that a gateway can have.
type nft struct{}

func (nft) name() string          { return "nft" }
func (nft) appearsAs() netip.Addr { return frontendAddr }

var snatRules = fmt.Sprintf(`table ip nat {
	chain postrouting {
		type nat hook postrouting priority srcnat;
		oifname "out0" snat to %s
	}
}`, frontendAddr)

func (nft) start(ctx context.Context, r *row, want load) (gateway, error) {
	// Flows that were not answered have 30 s by default, less than a leg may take.
	if err := r.gw.SetSysctl("net.netfilter.nf_conntrack_udp_timeout", strconv.Itoa(int(idleOr(want.idle).Seconds()))); err != nil {
		return nil, err
	}
	return nftGateway{r}, r.loadNFT(ctx, r.gw, snatRules)
}

type nftGateway struct{ row *row }

const wordSize = 8 // bytes; a bucket of the hash table is a pointer

func (g nftGateway) flows(context.Context) (int, error) {
	text, err := g.row.gw.Sysctl("net.netfilter.nf_conntrack_count")
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(text)
}

// memory is the slab of connection tracking entries, and the hash table, which is
// there whether there are flows or not.
func (nftGateway) memory() (int64, error) {
	f, err := os.Open("/proc/slabinfo")
	if err != nil {
		return 0, fmt.Errorf("bench: read slab sizes: %w", err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if size, ok := slabSize(lines.Text(), "nf_conntrack"); ok {
			return size + tableSize*wordSize, nil
		}
	}
	return 0, errors.New("bench: read slab sizes: there is no nf_conntrack")
}

// slabSize reads a line of slabinfo(5): name, objects in use, objects, bytes of each.
func slabSize(line, name string) (bytes int64, ok bool) {
	fields := strings.Fields(line)
	if len(fields) < 4 || fields[0] != name {
		return 0, false
	}
	objects, err1 := strconv.ParseInt(fields[2], 10, 64)
	size, err2 := strconv.ParseInt(fields[3], 10, 64)
	return objects * size, err1 == nil && err2 == nil
}
