package probe

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// running is a Prober that runs until the test ends.
type running struct {
	*Prober
	stop func()
}

func run(t *testing.T, p *Prober) running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return running{p, stop}
}

func mustNew(t *testing.T, o Options) *Prober {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// hosts are n targets of one probe, 127.0.1.1 and on.
func hosts(probe string, n int) (targets []Target) {
	for i := range n {
		targets = append(targets, Target{probe, netip.AddrFrom4([4]byte{127, 0, byte(1 + (i+1)/256), byte(i + 1)})})
	}
	return targets
}

// times notes when each backend was asked, in a synctest bubble.
type times struct {
	mu    sync.Mutex
	start time.Time
	asked map[netip.Addr][]time.Duration
}

func newTimes() *times { return &times{start: time.Now(), asked: map[netip.Addr][]time.Duration{}} }

func (s *times) note(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[a] = append(s.asked[a], time.Since(s.start))
}

func TestScheduleOfFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, targets := newTimes(), hosts("web", 3)
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: targets})
		quick, late, hanging := targets[0].Backend, targets[1].Backend, targets[2].Backend
		p.ask = func(ctx context.Context, q *question, _, a netip.Addr) answer {
			s.note(a)
			time.Sleep(map[netip.Addr]time.Duration{quick: 0, late: 3 * time.Second, hanging: q.Timeout}[a])
			return answer{kind: yes}
		}
		r := run(t, p)
		time.Sleep(16 * time.Second)
		r.stop()
		want := []time.Duration{0, 5 * time.Second, 10 * time.Second, 15 * time.Second}
		for _, a := range []netip.Addr{quick, late, hanging} {
			if !slices.Equal(s.asked[a], want) {
				t.Errorf("%s was asked at %v, want %v", a, s.asked[a], want)
			}
		}
	})
}

// TestNoCatchingUp: a probe that overran three intervals, as when the machine
// slept, is followed by one, not by three.
func TestNoCatchingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, targets := newTimes(), hosts("web", 1)
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: targets})
		p.ask = func(_ context.Context, _ *question, _, a netip.Addr) answer {
			if s.note(a); len(s.asked[a]) == 1 {
				time.Sleep(17 * time.Second)
			}
			return answer{kind: yes}
		}
		r := run(t, p)
		time.Sleep(26 * time.Second)
		r.stop()
		want := []time.Duration{0, 17 * time.Second, 20 * time.Second, 25 * time.Second}
		if got := s.asked[targets[0].Backend]; !slices.Equal(got, want) {
			t.Errorf("asked at %v, want %v", got, want)
		}
	})
}

func TestScheduleOfMany(t *testing.T) {
	const n = 5000
	synctest.Test(t, func(t *testing.T) {
		s := newTimes()
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: hosts5000(n)})
		p.ask = func(_ context.Context, q *question, _, a netip.Addr) answer {
			s.note(a)
			time.Sleep(q.Timeout) // every one hangs, and none waits for another
			return answer{kind: silence}
		}
		r := run(t, p)
		time.Sleep(10*time.Second + 500*time.Millisecond)
		r.stop()
		perMoment := map[time.Duration]int{}
		for a, asked := range s.asked {
			if asked[0] >= spread || len(asked) < 2 || asked[1]-asked[0] != 5*time.Second {
				t.Fatalf("%s was asked at %v, want within a second of the start, and 5s later", a, asked)
			}
			perMoment[asked[0].Truncate(10*time.Millisecond)]++
		}
		if len(s.asked) != n {
			t.Errorf("%d were asked, want %d", len(s.asked), n)
		}
		for at, asked := range perMoment {
			if asked > 2*n/100 {
				t.Errorf("%d were asked in the 10ms from %s, want them evenly over a second", asked, at)
			}
		}
	})
}

func hosts5000(n int) (targets []Target) {
	for i := range n {
		targets = append(targets, Target{"web", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})})
	}
	return targets
}

// TestChanged: the callback hears the first result and each change, after Status.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []answer{
			{kind: silence, result: "no answer within 5s"}, {kind: yes, result: "200 OK"}, {kind: yes, result: "200 OK"},
			{kind: silence, result: "no answer within 5s"}, {kind: yes, result: "200 OK"}, {kind: no, result: "connection refused"},
		}
		var log bytes.Buffer
		var got []string
		var p *Prober
		p = mustNew(t, Options{
			Specs: []Spec{web(func(s *Spec) { s.Threshold = 2 })}, Targets: hosts("web", 1),
			Changed: func(x Target, up bool) {
				s := p.Status()[0]
				got = append(got, fmt.Sprintf("%s %s %v %v %s", x.Probe, x.Backend, up, s.Up, s.Result))
			},
			Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		p.ask = func(context.Context, *question, netip.Addr, netip.Addr) (a answer) {
			a, answers = answers[0], answers[1:]
			return a
		}
		r := run(t, p)
		time.Sleep(26 * time.Second)
		r.stop()
		want := []string{
			"web 127.0.1.1 false false no answer within 5s",
			"web 127.0.1.1 true true 200 OK",
			"web 127.0.1.1 false false connection refused",
		}
		if !slices.Equal(got, want) {
			t.Errorf("Changed heard\n%q, want\n%q", got, want)
		}
		checkLog(t, log.String())
	})
}

func checkLog(t *testing.T, log string) {
	t.Helper()
	for line, times := range map[string]int{
		`level=DEBUG msg="probe failed" probe=web backend=127.0.1.1 result="no answer within 5s"`:   2,
		`level=DEBUG msg="probe failed" probe=web backend=127.0.1.1 result="connection refused"`:    1,
		`level=DEBUG msg="backend is down" probe=web backend=127.0.1.1 result="connection refused"`: 1,
		`level=DEBUG msg="backend is up" probe=web backend=127.0.1.1 result="200 OK"`:               1,
		`msg="backend is`: 3,
	} {
		if n := strings.Count(log, line); n != times {
			t.Errorf("the log has %d of %s, want %d:\n%s", n, line, times, log)
		}
	}
}

// TestCutShort: what Run's end interrupts is no result.
func TestCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: hosts("web", 1),
			Changed: func(Target, bool) { t.Error("Changed was called for a probe that was cut short") }})
		p.ask = func(ctx context.Context, _ *question, _, _ netip.Addr) answer {
			<-ctx.Done()
			return answer{kind: no}
		}
		r := run(t, p)
		time.Sleep(time.Second)
		r.stop()
		if s := p.Status()[0]; s.Known || s.Failed != 0 {
			t.Errorf("the status is %+v, want unknown", s)
		}
	})
}

// TestHangingBesideGood: with real sockets, one that never answers delays none of 50.
func TestHangingBesideGood(t *testing.T) {
	const good, interval = 50, 200 * time.Millisecond
	targets := hosts("web", good+1)
	ok := says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	b := serve(t, netip.AddrPortFrom(targets[0].Backend, 0), ok)
	for i, x := range targets[1:] {
		f := ok
		if i == good/2 {
			f = silent
		}
		serve(t, netip.AddrPortFrom(x.Backend, b.port()), f)
	}
	hanging := targets[good/2+1].Backend
	specs := []Spec{web(func(s *Spec) { s.Port, s.Interval, s.Timeout = b.port(), interval, interval })}
	r := run(t, mustNew(t, Options{Specs: specs, Targets: targets}))
	time.Sleep(5*interval + interval/2)
	r.stop()
	for _, s := range r.Status() {
		switch {
		case s.Backend == hanging && (s.Up || s.Result != "no answer within 200ms" || s.Failed < 4):
			t.Errorf("of the hanging one there is %+v, want down for want of an answer", s)
		case s.Backend != hanging && (!s.Up || s.Failed > 0 || s.Succeeded < 5 || s.Succeeded > 6):
			t.Errorf("of a good one there is %+v, want up by a probe every 200ms", s)
		}
	}
}

// TestKillAndRevive: a real server dies in three ways, and comes back each time.
func TestKillAndRevive(t *testing.T) {
	const interval, threshold = 100 * time.Millisecond, 3
	ok := says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	var mind atomic.Pointer[func(net.Conn)] // what the server does at present
	mind.Store(&ok)
	does := func(c net.Conn) { (*mind.Load())(c) }
	b := serve(t, netip.MustParseAddrPort("127.0.5.5:0"), does)
	at := netip.MustParseAddrPort(b.Addr().String())
	news := make(chan Status, 16)
	var p *Prober
	p = mustNew(t, Options{
		Specs:   []Spec{web(func(s *Spec) { s.Port, s.Interval, s.Timeout, s.Threshold = at.Port(), interval, interval, threshold })},
		Targets: []Target{{"web", at.Addr()}},
		Changed: func(Target, bool) { news <- p.Status()[0] },
	})
	run(t, p)
	up := wait(t, news, true)
	for _, c := range []struct {
		dies func(net.Conn)
		says string
		cost uint64 // failures until it is down
	}{
		{silent, "no answer within 100ms", threshold},
		{says("HTTP/1.1 503 Service Unavailable\r\n\r\n"), "503 Service Unavailable", 1},
	} {
		mind.Store(&c.dies)
		down := wait(t, news, false)
		if n := down.Failed - up.Failed; down.Result != c.says || n < c.cost {
			t.Errorf("down by %q after %d failures, want %q after %d", down.Result, n, c.says, c.cost)
		}
		mind.Store(&ok)
		up = wait(t, news, true)
		if n := up.Succeeded - down.Succeeded; n < threshold {
			t.Errorf("up after %d successes, want %d", n, threshold)
		}
	}
	b.stop()
	wait(t, news, false) // refused, or closed if it was just being asked
	serve(t, at, does)
	wait(t, news, true)
}

func wait(t *testing.T, news <-chan Status, up bool) (s Status) {
	t.Helper()
	select {
	case s = <-news:
		if s.Up != up {
			t.Fatalf("the news is %+v, want up %v", s, up)
		}
	case <-time.After(patient):
		t.Fatalf("no news within %s, want up %v", patient, up)
	}
	return s
}
