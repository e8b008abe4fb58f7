package nat

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"tidegate/packet"
)

// Endpoint is an address and a port, or an ICMP identifier.
type Endpoint struct {
	Addr packet.Addr
	Port uint16
}

// String returns "198.51.100.7:443".
func (e Endpoint) String() string { return netip.AddrPortFrom(e.Addr.Netip(), e.Port).String() }

// Use says what stands in the way of a tuple.
type Use uint8

// The uses of a tuple.
const (
	Unused Use = iota
	Spent      // a flow that is over and held may make way for the SYN at hand
	InUse
)

// Tracker is asked whether the tuple that answers to a flow would carry is in
// use. seq is the sequence number of the TCP SYN that wants it.
type Tracker interface {
	Use(reply packet.Tuple, seq uint32) Use
}

// Lease is the ports that one pool member owns for one protocol. No other
// member can use them up, and their use can be laid at its door. Those of a
// frontend for hairpin flows are anybody's.
type Lease struct {
	Rule     uint16
	Member   packet.Addr // 0: anybody's
	Frontend packet.Addr // of anybody's ports: whose they are
	Protocol packet.Protocol
	Failed   uint64   // flows that got no port
	Refused  Endpoint // where the last of them wanted to go
	usage             // of its ports; for anybody there may be none left beside a frontend's rules

	number   *uint32            // where its owner number is kept
	former   []*usage           // ports that it owns no longer, with flows yet
	leaving  *leavers           // the Policy's
	blocked  int                // ports of others that are leaving them; none of them has a flow of its own but for TCP
	changed  bool               // blocked is to be counted
	mappings map[uint16]mapping // by the member's own port: UDP and ICMP
	full     map[Endpoint]int64 // destinations without a port, and until when that stands
	paid     int64              // when the failed searches so far will have been paid for
}

const (
	// searchPause is how long a search that found nothing stands, for each port
	// it looked at, on top of those before it: a member that knocks on full
	// destinations costs at most a hundredth of a core, whatever the size of its
	// lease and however many they are.
	searchPause = 10_000 // ns; a look takes about 0.1 µs

	// maxFull bounds Lease.full. To fill one destination takes as many flows as
	// there are ports, so that more at a time have hardly room in a flow table.
	maxFull = 1024

	// choosy is how many ports a search looks at for an unused one before it
	// makes do with a spent one, where every port has flows: a client in a loop
	// has nothing but spent ones.
	choosy = 64
)

// mapping is an endpoint-independent one: it lives as long as any of its flows.
type mapping struct {
	ext   Endpoint
	flows uint32
}

// newLease completes a lease, which gets these ports.
func (p *Policy) newLease(l Lease, blocks []PortBlock) *Lease {
	l.usage, l.leaving, l.changed = newUsage(blocks), p.leaving, true
	return &l
}

// Total returns how many ports the lease has.
func (l *Lease) Total() int { return l.total }

// Used returns how many ports have a flow, live or held.
func (l *Lease) Used() int { return l.used }

// Leaving returns the ports that the lease owns no longer, with those that have flows
// counted as used.
func (l *Lease) Leaving() (all []PortBlock) {
	for _, u := range l.former {
		all = append(all, u.Blocks...)
	}
	return slices.DeleteFunc(all, func(b PortBlock) bool { return b.Used == 0 })
}

// Opened returns how many flows have been given a port.
func (l *Lease) Opened() (n uint64) {
	for _, b := range l.Blocks {
		n += b.Opened
	}
	return n
}

// Allocate finds the external endpoint for a new flow with that tuple, whose
// source is the member. evict tells that a spent flow has the port for this
// destination and must be ended first. false: no port is left for it.
func (l *Lease) Allocate(t *packet.Tuple, seq uint32, tr Tracker, now int64) (ext Endpoint, evict, ok bool) {
	remote := Endpoint{t.Dst, t.DstPort}
	if ext, evict, ok = l.choose(t, seq, tr, now); ok {
		return ext, evict, true
	}
	if now >= l.full[remote] && l.perDestination() {
		l.pause(remote, now)
	}
	l.Failed++
	l.Refused = remote
	return Endpoint{}, false, false
}

// Offer returns an endpoint that Allocate might give that flow now; false: it has none.
func (l *Lease) Offer(t *packet.Tuple, tr Tracker, now int64) (ext Endpoint, ok bool) {
	ext, _, ok = l.choose(t, 0, tr, now)
	return ext, ok
}

func (l *Lease) choose(t *packet.Tuple, seq uint32, tr Tracker, now int64) (ext Endpoint, evict, ok bool) {
	l.prepare()
	if !l.perDestination() {
		ext, ok = l.mapPort(t.SrcPort)
		return ext, false, ok
	}
	i, evict := l.search(t, seq, tr, now)
	if i < 0 {
		return Endpoint{}, false, false
	}
	return l.endpoint(i), evict, true
}

// prepare makes what only a lease in use needs.
func (l *Lease) prepare() {
	l.usage.prepare()
	if l.mappings == nil {
		l.mappings = make(map[uint16]mapping)
	}
	if l.full == nil {
		l.full = make(map[Endpoint]int64)
	}
}

// Hold counts one more flow on an endpoint that Allocate returned, for the flow
// whose source port inside is internal.
func (l *Lease) Hold(ext Endpoint, internal uint16) {
	if u, i, b, ok := l.find(ext); ok {
		u.hold(i, b, internal)
		b.Opened++
	}
	if !l.perDestination() {
		l.mappings[internal] = mapping{ext, l.mappings[internal].flows + 1}
	}
}

// Release takes back what Hold counted, when the flow has ended. left says that it was
// the last one on a port that the lease owns no longer.
func (l *Lease) Release(ext Endpoint, internal uint16) (left bool) {
	if !l.perDestination() {
		l.unmap(ext, internal)
	}
	u, i, b, ok := l.find(ext)
	if !ok || !u.release(i, b) || u == &l.usage {
		return false
	}
	if u.used == 0 {
		l.former = slices.DeleteFunc(l.former, func(f *usage) bool { return f == u })
	}
	return true
}

// find returns where a port is: among those that the lease owns, or, with flows, among
// those that it has owned.
func (l *Lease) find(ext Endpoint) (u *usage, i int, b *PortBlock, ok bool) {
	if i, b, ok = l.index(ext); ok {
		return &l.usage, i, b, true
	}
	for _, u := range l.former {
		if i, b, ok := u.index(ext); ok && u.flows[i] > 0 {
			return u, i, b, true
		}
	}
	return nil, 0, nil, false
}

// unmap counts a flow of a mapping less. One whose mapping was ended before it is none.
func (l *Lease) unmap(ext Endpoint, internal uint16) {
	switch m := l.mappings[internal]; {
	case m.ext != ext:
	case m.flows > 1:
		l.mappings[internal] = mapping{ext, m.flows - 1}
	default:
		delete(l.mappings, internal)
	}
}

// order yields every port once: frontend by frontend, in each from a random
// place on (RFC 6056 §3.3.1) and by a random step, lest the ports in use form runs
// that many a search has to get through.
func (l *Lease) order(yield func(i int) bool) {
	for first := 0; first < l.total; {
		n := l.sameFrontend(first)
		i, step := rand.IntN(n), 0
		for range n {
			if !yield(first + i) {
				return
			}
			if step == 0 {
				step = stride(n)
			}
			if i += step; i >= n {
				i -= n
			}
		}
		first += n
	}
}

// stride returns a random step that leads to every one of n places, n even: one
// that has no factor in common with n.
func stride(n int) int {
	for {
		a, b := n, 2*rand.IntN(n/2)+1
		step := b
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}

// sameFrontend returns how many ports from first on, where a frontend's begin,
// are of one frontend.
func (l *Lease) sameFrontend(first int) (n int) {
	at, frontend := 0, packet.Addr(0)
	for _, b := range l.Blocks {
		if at == first {
			frontend = b.Frontend
		}
		if at >= first && b.Frontend == frontend {
			n += b.Count
		}
		at += b.Count
	}
	return n
}

// perDestination says whether a port serves as many flows as there are destinations,
// instead of one endpoint of the member's. For anybody's ports there is no REQ-1
// to keep: which of them a backend sees makes no difference to anyone outside.
func (l *Lease) perDestination() bool { return l.Protocol == packet.TCP || l.Member == 0 }

// search looks at every port once. A port without any flow needs no question.
func (l *Lease) search(t *packet.Tuple, seq uint32, tr Tracker, now int64) (found int, evict bool) {
	remote := Endpoint{t.Dst, t.DstPort}
	if now < l.full[remote] {
		return -1, false
	}
	spent, looks := -1, 0
	for i := range l.order {
		if l.free(i) {
			return i, false
		}
		switch tr.Use(l.reply(t, i), seq) {
		case Unused:
			return i, false
		case Spent:
			spent = i
		}
		if looks++; looks >= choosy && spent >= 0 && l.used == l.total {
			break
		}
	}
	return spent, spent >= 0
}

// pause notes that all ports are in use for that destination.
func (l *Lease) pause(remote Endpoint, now int64) {
	if len(l.full) >= maxFull {
		clear(l.full)
	}
	l.paid = max(l.paid, now) + int64(l.total)*searchPause
	l.full[remote] = l.paid
}

func (l *Lease) reply(t *packet.Tuple, i int) packet.Tuple {
	ext := l.endpoint(i)
	return packet.Tuple{Src: t.Dst, SrcPort: t.DstPort, Dst: ext.Addr, DstPort: ext.Port, Proto: t.Proto}
}

// mapPort returns the member's mapping for its port, or a port without flows, its own or
// another's, for a new one (RFC 4787 REQ-1).
func (l *Lease) mapPort(internal uint16) (ext Endpoint, ok bool) {
	if m, ok := l.mappings[internal]; ok {
		return m.ext, true
	}
	if l.used+l.blocked == l.total {
		return Endpoint{}, false
	}
	for i := range l.order {
		if l.free(i) {
			return l.endpoint(i), true
		}
	}
	return Endpoint{}, false
}

// free says whether nobody's flows have the i-th port.
func (l *Lease) free(i int) bool {
	return l.flows[i] == 0 && (l.leaving.ports == 0 || !l.leaving.has(l.endpoint(i), l.Protocol))
}
