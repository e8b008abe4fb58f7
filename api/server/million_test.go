//go:build !race

package server

import (
	"encoding/binary"
	"net"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet/packettest"
	"tidegate/packetio"
)

const million = 1_000_000

// flood is a Reader of datagrams from one endpoint to many addresses, and then
// of silence; and a Writer that forgets.
type flood struct {
	queue
	template []byte
	buffers  [packetio.BatchSize][]byte
	sent     int
	done     chan struct{} // closed when the last batch has been dealt with
}

func newFlood() *flood {
	f := &flood{queue: newQueue(nil), done: make(chan struct{})}
	f.template = packettest.UDP(packettest.Datagram{Src: "10.0.0.10:53", Dst: "11.0.0.0:53", NoChecksum: true})
	for i := range f.buffers {
		f.buffers[i] = make([]byte, len(f.template))
	}
	return f
}

func (f *flood) ReadBatch(frames [][]byte) (int, error) {
	if f.sent == million {
		close(f.done)
		<-f.closed
		return 0, net.ErrClosed
	}
	n := min(len(frames), len(f.buffers), million-f.sent)
	for i := range n {
		frames[i] = f.buffers[i]
		f.fill(frames[i], uint32(f.sent+i))
	}
	f.sent += n
	return n, nil
}

// fill makes the n-th datagram: the address goes up by n, the checksum with it.
func (f *flood) fill(b []byte, n uint32) {
	copy(b, f.template)
	binary.BigEndian.PutUint32(b[16:], 11<<24+n)
	b[10], b[11] = 0, 0
	var sum uint32
	for i := 0; i < 20; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum))
}

func (f *flood) WriteBatch(frames [][]byte) (int, error) { return len(frames), nil }

func newFullRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, socket: t.TempDir() + "/api.sock"}
	router, source := &everywhere{hop: nexthop.Hop{MTU: 1500}}, newFlood()
	port := gateway.Port{Router: router, Writers: [2]gateway.Writer{source, source}}
	o := testOptions(t)
	o.MaxFlows, o.Control, o.Now = 1<<20, port, r.clock.Load
	port.Reader, port.Side = source, nexthop.Inside
	o.Workers = []gateway.Port{port}
	var err error
	if r.gateway, err = gateway.New(o); err != nil {
		t.Fatal(err)
	}
	r.start()
	<-source.done
	return r
}

// within fails the test if the best of three requests takes longer: the first
// has to warm up, and the machine has other work.
func (r *rig) within(limit time.Duration, what string, q api.FlowQuery, total, listed int) {
	r.t.Helper()
	best := time.Hour
	for range 3 {
		start := time.Now()
		l, err := r.client.Flows(r.t.Context(), q)
		best = min(best, time.Since(start))
		if err != nil || l.Total != total || len(l.Flows) != listed {
			r.t.Fatalf("%s: %d of %d flows, want %d of %d: %v", what, len(l.Flows), l.Total, listed, total, err)
		}
	}
	r.t.Logf("%s: %v", what, best)
	if best > limit {
		r.t.Errorf("%s takes %v, not %v", what, best, limit)
	}
}

func TestMillionFlows(t *testing.T) {
	r := newFullRig(t)
	const one, half = 100 * time.Millisecond, 500 * time.Millisecond
	r.clock.Add(int64(time.Minute))
	r.within(one, "a page", api.FlowQuery{Limit: 50}, million, 50)
	r.within(one, "a page in the middle", api.FlowQuery{Limit: 50, Cursor: "b0b0"}, million, 50)
	for words, n := range map[string]int{"proto=udp rule=egress state=ACTIVE": million, "state=ESTABLISHED": 0} { // counted anyway
		r.within(one, words, api.FlowQuery{Filter: mustFilter(t, words), Limit: 50}, n, min(n, 50))
	}
	tests := []struct {
		words         string
		total, listed int
	}{
		{"proto=udp rule=egress idle>30s", million, 50},
		{"remote=11.0.0.0/16", 1 << 16, 50},
		{"remote=11.15.0.1:53 frontend=public backend=10.0.0.10", 1, 1},
		{"state=ESTABLISHED remote=0.0.0.0/0", 0, 0},
	}
	for _, tt := range tests {
		r.within(half, tt.words, api.FlowQuery{Filter: mustFilter(t, tt.words), Limit: 50}, tt.total, tt.listed)
	}
	start := time.Now()
	if got := r.ports(api.ByRule); got[:23] != "egress tcp 32 0 0 32 0\n" {
		t.Error(got)
	}
	t.Logf("ports: %v", time.Since(start))
	start = time.Now()
	n, err := r.client.DeleteFlows(t.Context(), mustFilter(t, "remote=11.0.0.0/12"))
	if err != nil || n != million {
		t.Fatal(n, err)
	}
	t.Logf("kill: %v", time.Since(start))
	r.within(one, "a page of the empty table", api.FlowQuery{Limit: 50}, 0, 0)
}
