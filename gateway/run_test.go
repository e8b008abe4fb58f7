package gateway

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tidegate/conntrack"
	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// TestRun has four workers, traffic both ways, short timeouts, and somebody who
// lists, counts and kills all the while.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	w := newWorld(t, func(o *Options) { o.Rules[ruleEgress].Idle, o.Rules[ruleSSH].Idle = time.Second, time.Second })
	w.populate()
	var ends sync.WaitGroup
	over := make(chan struct{})
	for _, busy := range []func(n int){
		func(n int) { w.inject(nexthop.Inside, syn(endpoint("10.0.0.10", uint16(n%50)), server)) },
		func(n int) {
			w.inject(nexthop.Inside, packettest.UDP(packettest.Datagram{Src: endpoint("10.0.0.11", uint16(n%16)), Dst: endpoint(serverHost, uint16(n%99)), Payload: "9"}))
		},
		func(n int) { w.inject(nexthop.Outside, syn(endpoint(serverHost, uint16(5000+n%50)), frontendSSH)) },
		func(int) { w.list() },
		func(n int) { w.kill(uint16(n % 50)) },
	} {
		ends.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-over:
					return
				case <-time.After(time.Millisecond):
					busy(n)
				}
			}
		})
	}
	time.Sleep(2500 * time.Millisecond)
	close(over)
	ends.Wait()
	for n := 0; n < 500 && (w.arrived[0].Load() < w.written(0) || w.arrived[1].Load() < w.written(1)); n++ {
		time.Sleep(10 * time.Millisecond) // some are still on their way
	}
	w.end()
	w.verify()
}

func (w *world) written(side nexthop.Side) int64 {
	return int64(w.Snapshot().Counters.Traffic[side].PacketsOut)
}

func (w *world) list() {
	seen := map[conntrack.ID]bool{}
	w.Flows(0, func(f *conntrack.Flow) bool {
		if seen[f.ID] {
			w.t.Errorf("flow %x is listed twice", f.ID)
		}
		seen[f.ID] = true
		return true
	})
	if s := w.Snapshot(); s.Flows > s.MaxFlows {
		w.t.Errorf("%d flows of %d", s.Flows, s.MaxFlows)
	}
}

func (w *world) kill(port uint16) {
	if _, err := w.Kill(func(f *conntrack.Flow) bool { return f.Tuple[0].SrcPort == port }); err != nil {
		w.t.Errorf("Kill: %v", err)
	}
}

// verify compares what the hosts have seen with what is counted.
func (w *world) verify() {
	w.t.Helper()
	s := w.Snapshot()
	for side := range w.arrived {
		if n := w.arrived[side].Load(); n < 1000 {
			w.t.Errorf("%v: only %d packets arrived", nexthop.Side(side), n)
		}
		if w.resets[side].Load() == 0 {
			w.t.Errorf("%v: no RST arrived", nexthop.Side(side))
		}
	}
	var made, ended uint64
	for rule := range s.Counters.Created {
		for proto := range s.Counters.Created[rule] {
			made += s.Counters.Created[rule][proto]
			for _, n := range s.Counters.Closed[rule][proto] {
				ended += n
			}
		}
	}
	if made-ended != uint64(s.Flows) {
		w.t.Errorf("%d flows were made and %d have ended, %d live", made, ended, s.Flows)
	}
}

// A gateway that is told to stop in the middle of traffic has nothing to complain of.
func TestRunEndsCleanlyUnderTraffic(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for range 8 {
		w := newWorld(t, func(o *Options) { o.Rules[ruleEgress].Idle = time.Second })
		w.populate()
		var ends sync.WaitGroup
		var over atomic.Bool
		for side, b := range [][]byte{datagram(client, server), ping(serverHost, "203.0.113.5", 1)} {
			ends.Go(func() {
				for !over.Load() {
					w.inject(nexthop.Side(side), b)
				}
			})
		}
		time.Sleep(10 * time.Millisecond)
		w.end()
		over.Store(true)
		ends.Wait()
	}
}

var errBroken = errors.New("test: the queue is broken")

type brokenWriter struct{ Writer }

func (brokenWriter) WriteBatch([][]byte) (int, error) { return 0, errBroken }

type brokenReader struct{ Reader }

func (brokenReader) ReadBatch([][]byte) (int, error) { return 0, errBroken }

// Whichever queue fails, Run ends with its error, and everybody else with it.
func TestRunEndsWithAQueue(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, breakIt := range map[string]func(*Options){
		"worker's writer":  func(o *Options) { o.Workers[0].Writers[nexthop.Outside] = brokenWriter{o.Workers[0].Writers[0]} },
		"control's writer": func(o *Options) { o.Control.Writers[nexthop.Outside] = brokenWriter{o.Control.Writers[0]} },
		"worker's reader":  func(o *Options) { o.Workers[1].Reader = brokenReader{o.Workers[1].Reader} },
		"queue that somebody closed": func(o *Options) {
			o.Workers[1].Reader.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(o *Options) { o.Rules[ruleEgress].Idle = time.Second }, breakIt)
			w.populate()
			defer func() { close(w.silence); w.hosts.Wait() }()
			for range 100 {
				w.inject(nexthop.Inside, syn(client, server))
			}
			select {
			case err := <-w.done:
				if !errors.Is(err, errBroken) && (err == nil || !strings.Contains(err.Error(), "closed")) {
					t.Errorf("Run returned %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Fatal("Run goes on")
			}
		})
	}
}

// Kill tells its caller when the resets could not be written.
func TestKillReportsAFailedWrite(t *testing.T) {
	r := newRig(t)
	r.dial(nexthop.Inside, 1, 2)
	r.control.port.Writers[nexthop.Outside] = brokenWriter{r.control.port.Writers[0]}
	if n, err := r.Kill(everything); n != 1 || !errors.Is(err, errBroken) {
		t.Errorf("killed %d: %v", n, err)
	}
}

// TestFragmentsOnManyQueues: the pieces of a datagram come by different queues, in
// whatever order those are read.
func TestFragmentsOnManyQueues(t *testing.T) {
	const datagrams = 500
	w := newWorld(t)
	w.populate()
	pieces := 0
	for id := range uint16(datagrams) {
		for _, piece := range orders[[]string{"in order", "reversed", "shuffled"}[id%3]](packettest.Fragments(grown(t, datagram(client, server), id), pieceMTU)) {
			w.inject(nexthop.Inside, piece)
			pieces++
		}
	}
	for deadline := time.Now().Add(10 * time.Second); w.arrived[nexthop.Outside].Load() < int64(pieces) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := w.arrived[nexthop.Outside].Load(); n != int64(pieces) {
		t.Errorf("%d of %d pieces arrived", n, pieces)
	}
	w.end()
	if w.fragments.Len() != 0 || w.fragments.Held() != 0 {
		t.Errorf("%d datagrams and %d bytes are left", w.fragments.Len(), w.fragments.Held())
	}
}
