package record

import (
	"io"
	"net"
	"testing"
	"time"
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
	const n = 256 * (laneBatches + 400)
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
