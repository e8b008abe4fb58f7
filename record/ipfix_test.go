package record

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/packet/packettest"
)

const testDomain = 77

// listenUDP is a collector's socket.
func listenUDP(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// datagram reads the next one.
func datagram(t testing.TB, conn *net.UDPConn) []byte {
	t.Helper()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 65536)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// tape is a link that keeps what it is given.
type tape struct {
	sent    [][]byte
	session bool // not the first any more
	stream  bool
	err     error
}

func (l *tape) ready() (fresh, ok bool) {
	fresh, l.session = !l.session, true
	return fresh, true
}

func (l *tape) send(b []byte) error {
	l.sent = append(l.sent, append([]byte(nil), b...))
	return l.err
}

func (l *tape) repeats() bool { return l.stream }
func (*tape) Close() error    { return nil }

func newTape() (*ipfixSink, *tape) {
	l := new(tape)
	return &ipfixSink{link: l, domain: testDomain, lost: new(atomic.Uint64), message: newMessage()}, l
}

// udpSink is a sink whose collector listens.
func udpSink(t testing.TB) (*ipfixSink, *net.UDPConn, *atomic.Uint64) {
	t.Helper()
	conn, lost := listenUDP(t), new(atomic.Uint64)
	s, err := newIPFIXSink(t.Context(), IPFIXOptions{Collector: conn.LocalAddr().String(), ObservationDomainID: testDomain}, lost)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	return s, conn, lost
}

func millis(t time.Time) uint64 { return uint64(t.UnixMilli()) }

func ip(s string) uint64 { return uint64(packettest.Addr(s)) }

// What a collector reads by the templates is what has happened.
func TestIPFIXRecords(t *testing.T) {
	s, conn, lost := udpSink(t)
	s.take(batchOf(began(1, outbound()), ended(2, inbound(), conntrack.Killed), exhausted(3)), 0)
	s.tick(time.Now())
	c := newCollector(t)
	for range 2 {
		if rest := c.message(datagram(t, conn), testDomain); len(rest) != 0 {
			t.Errorf("%d bytes behind the message", len(rest))
		}
	}
	start := noon.Add(-time.Minute)
	want := []map[string]uint64{
		{"template": 256, "323": millis(start), "230": 4, "8": ip("10.0.0.10"), "225": ip("203.0.113.5"), "4": 6, "7": 40000, "227": 1024,
			"12": ip("198.51.100.7"), "226": ip("198.51.100.7"), "11": 443, "228": 443, "229": 1, "148": 0x5f0e},
		{"template": 257, "323": millis(noon), "230": 5, "8": ip("198.51.100.9"), "225": ip("198.51.100.9"), "4": 6, "7": 5000, "227": 5000,
			"12": ip("203.0.113.5"), "226": ip("10.0.0.11"), "11": 2222, "228": 22, "229": 2, "148": 7,
			"152": millis(start), "153": millis(noon.Add(-10 * time.Second)), "136": 4,
			"2": 10, "1": 900, "29305/2": 9, "29305/1": 8000},
		{"template": 258, "323": millis(noon), "230": 12, "8": ip("10.0.0.10"), "4": 17, "12": ip("198.51.100.7"), "11": 53, "3": 12},
	}
	if diff := cmp.Diff(want, c.records); diff != "" {
		t.Error(diff)
	}
	if lost.Load() != 0 {
		t.Errorf("%d are lost", lost.Load())
	}
}

func TestEndReasons(t *testing.T) {
	want := map[conntrack.Reason]byte{
		conntrack.Idle: 1, conntrack.HalfOpen: 1, conntrack.Fin: 3, conntrack.Rst: 3,
		conntrack.Killed: 4, conntrack.BackendDown: 4, conntrack.Drained: 4, conntrack.RuleRemoved: 4,
	}
	for r := range conntrack.NumReasons {
		if got := endReason(r); got != want[r] {
			t.Errorf("%v is %d, want %d", r, got, want[r])
		}
	}
}

// Messages are full but not too full, numbered by records, and lose nothing, however
// the kinds of records follow each other.
func TestIPFIXMessages(t *testing.T) {
	for name, events := range map[string][]gateway.Event{
		"by turns": many(1000), "alike": slicesOf(1000, ended(1, outbound(), conntrack.Fin)), "few bytes": slicesOf(1000, exhausted(1)),
	} {
		s, l := newTape()
		s.take(batchOf(events...), 0)
		s.tick(time.Now())
		c, largest := newCollector(t), 0
		for _, b := range l.sent {
			c.message(b, testDomain)
			largest = max(largest, len(b))
		}
		if len(c.records) != 1000 || largest < maxMessage-deleteTemplate.size()-setHeader {
			t.Errorf("%s: %d records, messages up to %d bytes", name, len(c.records), largest)
		}
		for i, r := range c.records {
			if want := uint64(i / 2); name == "by turns" && (r["148"] != want || r["230"] != 4+uint64(i%2)) {
				t.Fatalf("record %d is %v", i, r)
			}
		}
	}
}

// Over UDP the templates are sent again; in a stream they are not.
func TestTemplatesAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		stream   bool
		messages int
		apart    time.Duration
		want     int // announcements
	}{
		{"by time", false, 61, time.Minute, 7},
		{"by messages", false, 2*refreshAfterMessages + 1, time.Millisecond, 3},
		{"stream", true, 61, time.Minute, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, l := newTape()
			l.stream = c.stream
			for range c.messages {
				s.take(batchOf(began(1, outbound())), 0)
				s.tick(time.Now())
				time.Sleep(c.apart)
			}
			announced := 0
			for _, b := range l.sent {
				if number(b[16:18]) == templateSet {
					announced++
				}
			}
			if announced != c.want || len(l.sent) != c.want+c.messages {
				t.Errorf("%s: %d announcements in %d messages, want %d", c.name, announced, len(l.sent), c.want)
			}
		})
	}
}

// Nobody listens: what is refused is counted, and when somebody does, the first
// message explains the rest.
func TestCollectorAway(t *testing.T) {
	s, conn, lost := udpSink(t)
	address := conn.LocalAddr().(*net.UDPAddr)
	conn.Close()
	sent := 0
	for ; sent < 10; sent++ {
		s.take(batchOf(began(1, outbound())), 0)
		s.tick(time.Now())
	}
	if n := lost.Load(); n < 4 || n > 10 {
		t.Errorf("%d of 10 are lost", n)
	}
	conn, err := net.ListenUDP("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 2 { // the first may be told of the refusal before
		s.take(batchOf(began(1, outbound())), 0)
		s.tick(time.Now())
	}
	c := newCollector(t)
	first := datagram(t, conn)
	c.sequence = number(first[8:12])
	c.message(first, testDomain)
	c.message(datagram(t, conn), testDomain)
	if len(c.records) != 1 || c.sequence < sent+1 {
		t.Errorf("%d records, sequence %d", len(c.records), c.sequence)
	}
}

func TestNoAllocations(t *testing.T) {
	s, l := newTape()
	b := batchOf(many(256)...)
	discard := discarding{l}
	s.link = discard
	s.take(b, 0)
	if n := testing.AllocsPerRun(50, func() { s.take(b, 0) }); n != 0 {
		t.Errorf("IPFIX: %v allocations for 256 records", n)
	}
	f, _ := newTestFile(t, FileOptions{Path: t.TempDir() + "/flows.json"})
	f.take(b, 0)
	if n := testing.AllocsPerRun(50, func() { f.take(b, 0) }); n != 0 {
		t.Errorf("file: %v allocations for 256 records", n)
	}
}

// discarding is a tape that keeps nothing.
type discarding struct{ *tape }

func (discarding) send([]byte) error { return nil }

// The manual has every element of every template, in order.
func TestTemplatesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/monitoring.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tmpl := range templates {
		var elements []string
		for _, f := range tmpl.fields {
			name := strconv.Itoa(int(f.element))
			if f.back {
				name = "29305/" + name
			}
			elements = append(elements, name)
		}
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^\| %d \| .* \| %s \|$`, tmpl.id, strings.Join(elements, ", ")))
		if !row.Match(page) {
			t.Errorf("no row with %d and %v", tmpl.id, elements)
		}
	}
}
