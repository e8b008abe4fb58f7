package record

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/gateway"
)

// serve accepts the next connection of a collector.
func serve(t *testing.T, l net.Listener) net.Conn {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	return conn
}

// read reads messages until so many records have come.
func (c *collector) read(conn net.Conn, records int) {
	c.t.Helper()
	for len(c.records) < records {
		header := make([]byte, 16)
		if _, err := io.ReadFull(conn, header); err != nil {
			c.t.Fatal(err)
		}
		body := make([]byte, number(header[2:4])-16)
		if _, err := io.ReadFull(conn, body); err != nil {
			c.t.Fatal(err)
		}
		c.message(append(header, body...), testDomain)
	}
}

func listenTCP(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// A collector that goes and comes back gets all there was meanwhile, in a session
// with templates and numbers of its own.
func TestReconnect(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	source := &past{events: many(100)}
	r, stop := start(t, Options{Gateway: source, IPFIX: &IPFIXOptions{Collector: l.Addr().String(), Protocol: "tcp", ObservationDomainID: testDomain}})
	first := serve(t, l)
	newCollector(t).read(first, 100)
	l.Close()
	first.(*net.TCPConn).CloseWrite()
	if _, err := io.Copy(io.Discard, first); err != nil { // until the other end has understood
		t.Fatal(err)
	}
	first.Close()
	source.add(many(300)[100:]...)
	time.Sleep(300 * time.Millisecond) // nobody is there when it is sent
	second := serve(t, listenTCP(t, l.Addr().String()))
	defer second.Close()
	c := newCollector(t)
	c.read(second, 200)
	if c.records[0]["148"] != 50 {
		t.Errorf("the second session begins with flow %d", c.records[0]["148"])
	}
	if err := stop(); err != nil || r.Lost()["ipfix"] != 0 {
		t.Error(err, r.Lost())
	}
}

// A collector that was never there costs the end a second, and is counted.
func TestNeverThere(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	l.Close()
	r, stop := start(t, Options{Gateway: &past{events: many(100)}, IPFIX: &IPFIXOptions{Collector: l.Addr().String(), Protocol: "tcp"}})
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < drainTime/2 || took > 2*drainTime {
		t.Errorf("the end took %v", took)
	}
	if r.Lost()["ipfix"] != 100 {
		t.Error(r.Lost())
	}
}

// A collector that accepts and reads nothing is waited for, but not at the end.
func TestCollectorStalls(t *testing.T) {
	l := listenTCP(t, "127.0.0.1:0")
	const n = laneEvents + 400*256
	r, stop := start(t, Options{Gateway: &past{events: many(n)}, IPFIX: &IPFIXOptions{Collector: l.Addr().String(), Protocol: "tcp"}})
	conn := serve(t, l)
	defer conn.Close()
	until(t, "a queue that is full", func() bool { return r.Lost()["ipfix"] > 0 })
	began := time.Now()
	if err := stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 2*drainTime {
		t.Errorf("the end took %v", took)
	}
}

// A collector that is away for a minute, while an event comes every 20 ms in a batch of
// its own, gets all of them when it is back.
func TestAwayForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events = 3000
		back := time.Now().Add(time.Minute)
		ours, theirs := net.Pipe()
		lost := new(atomic.Uint64)
		r := &Recorder{gateway: &past{}}
		r.batches.New = func() any { return &batch{pool: &r.batches} }
		over, cancel := context.WithCancel(t.Context())
		r.over = over
		s := &stream{ctx: over, dial: func(context.Context) (net.Conn, error) {
			if time.Now().Before(back) {
				return nil, errors.New("away")
			}
			return ours, nil
		}}
		l := r.add("ipfix", ipfixFlush, &ipfixSink{link: s, domain: testDomain, lost: lost, message: newMessage()})
		l.lost = lost
		go l.run()
		c, done := newCollector(t), make(chan struct{})
		go func() { c.read(theirs, events); close(done) }()
		for _, e := range many(events) {
			r.feed([]gateway.Event{e}, 0)
			time.Sleep(20 * time.Millisecond)
		}
		select {
		case <-done:
		case <-time.After(time.Minute):
			t.Errorf("a minute later %d events are there", len(c.records))
			theirs.Close()
		}
		close(l.queue)
		cancel()
		synctest.Wait()
		if lost.Load() != 0 || l.waiting.Load() != 0 {
			t.Errorf("%d lost, %d wait", lost.Load(), l.waiting.Load())
		}
	})
}

// Few events that wait hold no room for many, whatever the batch was used for before.
func TestWaitingMemory(t *testing.T) {
	b := batchOf(many(512)...)
	b.fill(&past{}, many(1), 0)
	if cap(b.events) > 2 {
		t.Errorf("one event has room for %d", cap(b.events))
	}
}

// A collector that accepts and hangs up is tried as seldom as one that is not there;
// after a connection that has lasted, the next comes soon.
func TestHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lasts time.Duration
		s := &stream{ctx: t.Context(), dial: func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				theirs.Read(make([]byte, 9))
				time.Sleep(lasts)
				theirs.Close()
			}()
			return ours, nil
		}}
		session := func() (paused time.Duration) {
			began := time.Now()
			s.ready()
			paused = time.Since(began)
			for s.send(make([]byte, 9)) == nil {
				time.Sleep(lasts + time.Millisecond)
			}
			return paused
		}
		for i, want := range []time.Duration{0, 100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000} {
			if got := session(); got != want*time.Millisecond {
				t.Errorf("before attempt %d it rests %v, want %v", i, got, want*time.Millisecond)
			}
		}
		lasts = steady
		session()
		if got := session(); got != firstPause {
			t.Errorf("after a connection that lasted it rests %v", got)
		}
	})
}
