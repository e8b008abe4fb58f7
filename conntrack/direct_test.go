package conntrack

import (
	"testing"
	"time"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// oneWayFlow is a flow of direct server return: only the client's segments come by.
type oneWayFlow struct {
	t     *testing.T
	table *Table
	ref   Ref
	now   int64
}

func newOneWay(t *testing.T, rule Rule) *oneWayFlow {
	t.Helper()
	table, err := New(2, testTimers, []Rule{rule}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	k := packettest.Tuple(packet.TCP, "192.0.2.66:6666", "203.0.113.5:443")
	return &oneWayFlow{t: t, table: table, ref: insert(t, table, &Admission{Original: k, Translated: k, Via: 0x0a00000a}, 0)}
}

// from has the client, or the server past us after all, send a segment.
func (o *oneWayFlow) from(d Direction, flags uint8, seq, ack uint32, n int) {
	o.table.Observe(o.ref|Ref(d), segment(flags, seq, ack, n), 1, o.now)
}

func (o *oneWayFlow) want(state State, end, ack [2]uint32) {
	o.t.Helper()
	if f := o.table.Flow(o.ref, o.now); f.State != state || f.MaxEnd != end || f.MaxAck != ack {
		o.t.Errorf("%v, ends %d, acks %d; want %v, %d, %d", f.State, f.MaxEnd, f.MaxAck, state, end, ack)
	}
}

var resetting = Rule{Idle: 4 * time.Minute, Reset: true}

// TestOneWay goes through the client's half of a connection. What the server
// expects is what the client has sent, as far as anyone can tell, and what the
// client expects is what it has said.
func TestOneWay(t *testing.T) {
	for _, first := range firsts {
		o := newOneWay(t, resetting)
		c, s := first[0], first[1]
		o.from(Original, packet.SYN, c, 0, 0)
		if st := o.table.State(o.ref); st != SynSent {
			t.Fatalf("after the SYN it is %v", st)
		}
		o.from(Original, packet.ACK, c+1, s+1, 0)
		o.want(Established, [2]uint32{c + 1, s + 1}, [2]uint32{s + 1, c + 1})
		o.from(Original, packet.ACK|packet.PSH, c+1, s+1, 500)
		o.want(Established, [2]uint32{c + 501, s + 1}, [2]uint32{s + 1, c + 501})
		o.from(Original, packet.ACK, c+501, s+100_001, 0) // the server has sent that much
		o.want(Established, [2]uint32{c + 501, s + 100_001}, [2]uint32{s + 100_001, c + 501})
		o.from(Original, packet.ACK|packet.PSH, c+1, s+1, 500) // sent again
		o.from(Original, packet.ACK, c+500, s+100_001, 0)      // keepalive
		o.want(Established, [2]uint32{c + 501, s + 100_001}, [2]uint32{s + 100_001, c + 501})
		_, e := lifetime(o.table, 0)
		if !e.Reset || e.Reason != Idle || e.MaxAck != [2]uint32{s + 100_001, c + 501} || e.MaxEnd != [2]uint32{c + 501, s + 100_001} {
			t.Errorf("it ended %v with reset %t, ends %d, acks %d", e.Reason, e.Reset, e.MaxEnd, e.MaxAck)
		}
	}
}

// TestOneWayStrangers: segments far from the client's teach nothing.
func TestOneWayStrangers(t *testing.T) {
	for _, far := range []int64{20 << 20, 1 << 30, -20 << 20, -1 << 30, 1 << 31} {
		for _, flags := range []uint8{packet.ACK, packet.ACK | packet.FIN, packet.SYN, packet.RST, packet.RST | packet.ACK, 0} {
			o := newOneWay(t, resetting)
			o.from(Original, packet.SYN, 1000, 0, 0)
			o.from(Original, packet.ACK, 1001, 5001, 0)
			o.from(Original, flags, uint32(1001+far), 77, 10)
			o.want(Established, [2]uint32{1001, 5001}, [2]uint32{5001, 1001})
		}
	}
}

// TestOneWayOpensWithTheClient: by whatever of it comes by first.
func TestOneWayOpensWithTheClient(t *testing.T) {
	o := newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	o.from(Original, packet.SYN, 1000, 0, 0) // again
	o.from(Original, packet.ACK|packet.PSH, 1001, 5001, 100)
	o.want(Established, [2]uint32{1101, 5001}, [2]uint32{5001, 1101})

	o = newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	if got, e := lifetime(o.table, 0); got < 30*time.Second || got > 31*time.Second || e.Reason != HalfOpen || e.Reset {
		t.Errorf("a SYN alone lived %v, and ended %v", got, e.Reason)
	}
}

func TestOneWayCloses(t *testing.T) {
	o := newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	o.from(Original, packet.ACK, 1001, 5001, 0)
	o.from(Original, packet.FIN|packet.ACK, 1001, 5001, 0)
	o.want(FinWait, [2]uint32{1002, 5001}, [2]uint32{5001, 1002})
	if _, e := lifetime(o.table, 0); e.Reset {
		t.Error("a flow that its client has closed wants its RSTs")
	}

	o = newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	o.from(Original, packet.ACK, 1001, 5001, 0)
	o.from(Original, packet.RST, 1001, 0, 0)
	if s := o.table.State(o.ref); s != Closed {
		t.Errorf("after the client's RST it is %v", s)
	}
}

// TestOneWayReopens: a client that has closed takes the same port again. That the
// server has closed too nobody has seen.
func TestOneWayReopens(t *testing.T) {
	for _, seq := range []uint32{2_000_000_000, 1003, 0} {
		o := newOneWay(t, resetting)
		o.from(Original, packet.SYN, 1000, 0, 0)
		o.from(Original, packet.ACK, 1001, 5001, 0)
		o.from(Original, packet.FIN|packet.ACK, 1001, 5001, 0)
		o.from(Original, packet.ACK, 1002, 5002, 0)
		o.from(Original, packet.SYN, seq, 0, 0)
		if s := o.table.State(o.ref); s != SynSent {
			t.Fatalf("after another SYN it is %v", s)
		}
		o.from(Original, packet.ACK, seq+1, 9001, 0)
		o.want(Established, [2]uint32{seq + 1, 9001}, [2]uint32{9001, seq + 1})
	}
}

// TestDirectBothWays: answers that come by after all are tracked as anywhere.
func TestDirectBothWays(t *testing.T) {
	o := newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	o.from(Reply, packet.SYN|packet.ACK, 5000, 1001, 0)
	if s := o.table.State(o.ref); s != SynReceived {
		t.Fatalf("after both SYNs it is %v", s)
	}
	o.from(Original, packet.ACK, 1001, 5001, 0)
	o.from(Original, packet.ACK|packet.PSH, 1001, 5001, 500)
	o.want(Established, [2]uint32{1501, 5001}, [2]uint32{5001, 1001}) // not acknowledged yet
	o.from(Reply, packet.ACK|packet.PSH, 5001, 1501, 100)
	o.want(Established, [2]uint32{1501, 5101}, [2]uint32{5001, 1501})
	o.from(Original, packet.ACK, 1501+100_000, 5101, 0) // beyond the server's window
	o.want(Established, [2]uint32{1501, 5101}, [2]uint32{5001, 1501})
	o.from(Reply, packet.FIN|packet.ACK, 5101, 1501, 0)
	o.from(Original, packet.FIN|packet.ACK, 1501, 5102, 0)
	if s := o.table.State(o.ref); s != TimeWait {
		t.Errorf("after both FINs it is %v", s)
	}
}

// TestStrayAnswer: a server's segment that comes by once, of a flow whose opening
// did not, is no beginning.
func TestStrayAnswer(t *testing.T) {
	o := newOneWay(t, resetting)
	o.from(Original, packet.SYN, 1000, 0, 0)
	o.from(Original, packet.ACK, 1001, 5001, 0)
	o.from(Reply, packet.ACK|packet.PSH, 5001, 1001, 100)
	o.from(Original, packet.ACK, 1001, 5101, 0)
	o.want(Established, [2]uint32{1001, 5101}, [2]uint32{5101, 1001})
}

// TestOneWayAsked: only the client can be asked, and its answer is enough.
func TestOneWayAsked(t *testing.T) {
	asking := resetting
	asking.Ask = true
	for _, answers := range []bool{true, false} {
		o := newOneWay(t, asking)
		o.from(Original, packet.SYN, 1000, 0, 0)
		o.from(Original, packet.ACK, 1001, 5001, 0)
		asked, ended := 0, false
		for ; o.now < 250*second; o.now += 50 * ms {
			got, _ := o.table.Sweep(o.now, make([]Ended, 0, 1))
			switch {
			case len(got) == 0:
			case !got[0].Doubtful():
				ended = true
			case got[0].Ask[Reply] || got[0].MaxAck != [2]uint32{5001, 1001}:
				t.Fatalf("asked %v with %d", got[0].Ask, got[0].MaxAck)
			default:
				if asked++; answers {
					o.from(Original, packet.ACK, 1001, 5001, 0)
				}
			}
		}
		if want := map[bool]int{true: 1, false: 3}[answers]; asked != want || ended == answers {
			t.Errorf("answers %t: asked %d times, ended %t", answers, asked, ended)
		}
	}
}
