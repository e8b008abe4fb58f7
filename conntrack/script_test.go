package conntrack

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// A script is one TCP flow as it passes, a line for each thing that happens or
// holds:
//
//	> S 0              the original end sends SYN with its first sequence number
//	< SA 0 ack 1       > and < are the directions; numbers count from the first of each end
//	> PA 1(100) ack 1  100 bytes; "win 9" (512 without) and "ws 7" may follow,
//	                   and "raw" where the sequence number is the one on the wire
//	+ 30s              time goes by, swept all along
//	= ESTABLISHED      the state now
//	= >end 101         likewise >ack, <end and <ack
//	= expires 4m
//	= gone idle reset  the flow has ended, for that reason, and wants its RSTs or (silent) not
//
// Lines that begin with # are comments.
type script struct {
	name  string
	rule  uint16
	lines string
}

// opened is how most scripts begin.
const opened = `
	> S 0 ws 7
	< SA 0 ack 1 ws 7
	> A 1 ack 1
	= ESTABLISHED
`

// firsts are the sequence numbers that each script is run with: on the way
// through zero and through the sign everything must stay the same.
var firsts = [][2]uint32{
	{1000, 900000}, {0xffffffff, 0xffffffff}, {0xffffff80, 0x7fffffff}, {0, 0x80000000}, {0x7fffff00, 0},
}

func runScripts(t *testing.T, scripts []script) {
	for _, s := range scripts {
		for _, first := range firsts {
			t.Run(fmt.Sprintf("%s/%08x", s.name, first[0]), func(t *testing.T) { s.run(t, first) })
		}
	}
}

func (s *script) run(t *testing.T, first [2]uint32) {
	start := 5 * int64(time.Second)
	st := &stage{T: t, table: newTable(t, 4, start), now: start, first: first}
	ref, err := st.table.Insert(admission(packet.TCP, 1, s.rule), start)
	if err != nil {
		t.Fatal(err)
	}
	st.ref = ref
	for _, line := range strings.Split(s.lines, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		st.line = strings.TrimSpace(line)
		st.play(words[0], words[1:])
	}
}

// stage is where a script is played.
type stage struct {
	*testing.T
	table *Table
	now   int64
	first [2]uint32
	ref   Ref
	ended *Ended
	line  string
}

func (st *stage) play(what string, words []string) {
	st.Helper()
	switch what {
	case ">":
		st.send(Original, words)
	case "<":
		st.send(Reply, words)
	case "+":
		st.wait(st.duration(words[0]))
	case "=":
		st.check(words)
	default:
		st.Fatalf("%q is no line", st.line)
	}
}

func (st *stage) send(d Direction, words []string) {
	st.Helper()
	tuple := admission(packet.TCP, 1, 0).Original
	if d == Reply {
		tuple = admission(packet.TCP, 1, 0).Translated.Reverse()
	}
	s := packettest.Segment{Src: tuple.Source().String(), Dst: tuple.Destination().String(), Window: 512}
	seq, length, _ := strings.Cut(strings.TrimSuffix(words[1], ")"), "(")
	s.Seq, s.Flags = st.number(seq)+st.first[d], flags(words[0])
	n := int(st.number("0" + length))
	for i := 2; i < len(words); i++ {
		switch words[i] {
		case "raw":
			s.Seq -= st.first[d]
			continue
		case "ack":
			s.Ack = st.number(words[i+1]) + st.first[d^1]
		case "win":
			s.Window = uint16(st.number(words[i+1]))
			s.ZeroWindow = s.Window == 0
		case "ws":
			s.Options = append(s.Options, packettest.WScale(uint8(st.number(words[i+1]))))
		default:
			st.Fatalf("%s: what is %q?", st.line, words[i])
		}
		i++
	}
	st.observe(tuple, s, n)
}

// observe has the segment decoded from its bytes; what of its n bytes of payload
// no IPv4 packet can carry is added afterwards.
func (st *stage) observe(tuple packet.Tuple, s packettest.Segment, n int) {
	st.Helper()
	const most = 60000
	s.Payload = strings.Repeat("x", min(n, most))
	var p packet.Parsed
	if f := packet.Decode(packettest.TCP(s), &p); f != packet.FaultNone {
		st.Fatalf("%s: fault %v", st.line, f)
	}
	if n > most {
		p.Payload, p.Total = n, p.Total-most+n
	}
	ref, ok := st.table.Lookup(&tuple)
	if !ok {
		st.Fatalf("%s: no such flow", st.line)
	}
	st.table.Observe(ref, &p, 1, st.now)
}

func (st *stage) wait(d time.Duration) {
	for until := st.now + int64(d); st.now < until; {
		st.now = min(st.now+50*int64(time.Millisecond), until)
		ended, _ := st.table.Sweep(st.now, make([]Ended, 0, 4))
		for _, e := range ended {
			st.ended = &e
		}
	}
}

func (st *stage) check(words []string) {
	st.Helper()
	if words[0] == "gone" {
		st.checkGone(words[1], words[2] == "reset")
		return
	}
	if st.ended != nil {
		st.Fatalf("%s: the flow has ended: %v", st.line, st.ended.Reason)
	}
	f := st.table.Flow(st.ref, st.now)
	for i := 0; i < len(words); i++ {
		var got, want any
		switch words[i] {
		case ">end", ">ack", "<end", "<ack":
			got, want = st.numbers(&f)[words[i]], int32(st.number(words[i+1]))
			i++
		case "expires":
			got, want = time.Duration(f.ExpiresIn), st.duration(words[i+1])
			i++
		default:
			got, want = f.State.String(), words[i]
		}
		if got != want {
			st.Errorf("%s: %s is %v", st.line, words[i], got)
		}
	}
}

// numbers returns what is known of the sequence numbers, counted from the first.
func (st *stage) numbers(f *Flow) map[string]int32 {
	return map[string]int32{
		">end": int32(f.MaxEnd[0] - st.first[0]), "<end": int32(f.MaxEnd[1] - st.first[1]),
		">ack": int32(f.MaxAck[0] - st.first[1]), "<ack": int32(f.MaxAck[1] - st.first[0]),
	}
}

func (st *stage) checkGone(reason string, reset bool) {
	st.Helper()
	if st.ended == nil {
		st.Fatalf("%s: it is %v", st.line, st.table.State(st.ref))
	}
	if st.ended.Reason.String() != reason || st.ended.Reset != reset {
		st.Errorf("%s: it went for reason %v, reset %v", st.line, st.ended.Reason, st.ended.Reset)
	}
}

func (st *stage) number(s string) uint32 {
	st.Helper()
	if s != "0" && !strings.HasPrefix(s, "0x") && !strings.HasPrefix(s, "-0x") {
		s = strings.TrimPrefix(s, "0")
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		st.Fatalf("%s: %v", st.line, err)
	}
	return uint32(n)
}

func (st *stage) duration(s string) time.Duration {
	st.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		st.Fatalf("%s: %v", st.line, err)
	}
	return d
}

// flags reads "SA".
func flags(s string) (f uint8) {
	for _, c := range s {
		f |= map[rune]uint8{'F': packet.FIN, 'S': packet.SYN, 'R': packet.RST, 'P': packet.PSH, 'A': packet.ACK}[c]
	}
	return f
}
