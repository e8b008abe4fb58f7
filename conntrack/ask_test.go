package conntrack

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/packet"
)

// The rules of asking tests.
const (
	asks        = iota // 4 minutes, asks, with RST
	asksBriefly        // 1 second, the same
	asksSilent         // 4 minutes, asks, without RST
)

var askRule = []Rule{
	asks:        {Idle: 4 * time.Minute, Reset: true, Ask: true},
	asksBriefly: {Idle: time.Second, Reset: true, Ask: true},
	asksSilent:  {Idle: 4 * time.Minute, Ask: true},
}

// interview is an open flow whose ends answer, or don't, what they are asked.
type interview struct {
	t       tester
	table   *Table
	now     int64
	ref     Ref
	answers func(end Direction, nth int) bool
	delay   int64 // ns until an answer comes
	asked   [2]int
	due     [2]int64 // when its answer comes; 0: none is on the way
	heard   int64    // when an answer last came
	ended   *Ended
}

func newInterview(t tester, rule uint16, epoch int64, answers func(end Direction, nth int) bool) *interview {
	t.Helper()
	table, err := New(4, testTimers, askRule, epoch)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	v := &interview{t: t, table: table, now: epoch, answers: answers, delay: 20 * ms}
	v.ref = insert(t, table, admission(packet.TCP, 1, rule), epoch)
	establish(table, v.ref, epoch)
	return v
}

// pass lets time go by, in which the sweep comes every step.
func (v *interview) pass(d time.Duration, step int64) {
	v.t.Helper()
	for until := v.now + int64(d); v.now < until && v.ended == nil; {
		next := min(v.now+step, until)
		v.speak(next)
		v.now = next
		ended, _ := v.table.Sweep(v.now, make([]Ended, 0, 4))
		for i := range ended {
			v.note(&ended[i])
		}
	}
}

// speak delivers the answers that have come by then.
func (v *interview) speak(until int64) {
	for end, at := range v.due {
		if at == 0 || at > until {
			continue
		}
		seq, ack := uint32(1001), uint32(5001)
		if end == int(Reply) {
			seq, ack = ack, seq
		}
		v.table.Observe(v.ref|Ref(end), segment(packet.ACK, seq, ack, 0), 1, at)
		v.due[end], v.heard = 0, max(v.heard, at)
	}
}

func (v *interview) note(e *Ended) {
	v.t.Helper()
	if !e.Doubtful() {
		v.ended = e
		return
	}
	if e.Reset || e.State != Established {
		v.t.Fatal(fmt.Sprintf("asked when it is %v, reset %t", e.State, e.Reset))
	}
	for end, ask := range e.Ask {
		if !ask {
			continue
		}
		if v.answers(Direction(end), v.asked[end]) {
			v.due[end] = v.now + v.delay
		}
		v.asked[end]++
	}
}

func always(Direction, int) bool { return true }
func never(Direction, int) bool  { return false }

func only(end Direction) func(Direction, int) bool {
	return func(d Direction, _ int) bool { return d == end }
}

// TestAskedAndAnswered: a flow whose ends both answer lives, for another timeout
// from the answer on, and is asked again then.
func TestAskedAndAnswered(t *testing.T) {
	for _, epoch := range epochs {
		v := newInterview(t, asks, int64(epoch)+1_234_567, always)
		v.pass(4*time.Minute, 50*ms)
		if v.asked != [2]int{} {
			t.Fatalf("asked %v times before the timeout", v.asked)
		}
		v.pass(5*time.Second, 50*ms)
		if v.asked != [2]int{1, 1} || v.ended != nil {
			t.Fatalf("asked %v times, ended %t; want once each, and to live", v.asked, v.ended != nil)
		}
		left := time.Duration(v.table.Flow(v.ref, v.now).ExpiresIn)
		if want := 4*time.Minute - time.Duration(v.now-v.heard); left < want-time.Millisecond || left > want+time.Millisecond {
			t.Errorf("it expires in %v, want %v", left, want)
		}
		v.pass(40*time.Minute, 50*ms)
		if v.ended != nil || v.asked[0] < 9 || v.asked[0] > 11 || v.asked[0] != v.asked[1] {
			t.Errorf("after 40 minutes more it was asked %v times, ended %t", v.asked, v.ended != nil)
		}
	}
}

// TestAskedInVain: who doesn't answer is asked three times, who does but once; the
// flow ends six seconds after the first question.
func TestAskedInVain(t *testing.T) {
	for _, c := range []struct {
		name    string
		rule    uint16
		answers func(Direction, int) bool
		asked   [2]int
		reset   bool
	}{
		{"nobody answers", asks, never, [2]int{3, 3}, true},
		{"the client answers", asks, only(Original), [2]int{1, 3}, true},
		{"the server answers", asks, only(Reply), [2]int{3, 1}, true},
		{"nobody answers, and the rule is silent", asksSilent, never, [2]int{3, 3}, false},
		{"the client answers late, the server never", asks, func(d Direction, nth int) bool { return d == Original && nth == 1 }, [2]int{2, 3}, true},
	} {
		v := newInterview(t, c.rule, 0, c.answers)
		v.pass(4*time.Minute+5900*time.Millisecond, 50*ms)
		if v.ended != nil {
			t.Errorf("%s: it ended after %v", c.name, time.Duration(v.now))
			continue
		}
		v.pass(time.Second, 50*ms)
		if v.ended == nil || v.asked != c.asked || v.ended.Reset != c.reset || v.ended.Reason != Idle {
			t.Errorf("%s: asked %v times, want %v; %+v", c.name, v.asked, c.asked, v.ended)
		}
		if v.table.Len() != 0 {
			t.Errorf("%s: %d flows live", c.name, v.table.Len())
		}
	}
}

// TestLastAnswer: one answer out of three is enough, whichever it is.
func TestLastAnswer(t *testing.T) {
	for nth := range questions {
		v := newInterview(t, asks, 0, func(_ Direction, n int) bool { return n == nth })
		v.pass(4*time.Minute+10*time.Second, 50*ms)
		if v.ended != nil || v.asked != [2]int{nth + 1, nth + 1} {
			t.Errorf("asked %v times, ended %t; want to live after %d", v.asked, v.ended != nil, nth+1)
		}
	}
}

// TestAnswersAreOfEither: what one end has answered the first time and the other
// the third counts for both.
func TestAnswersAreOfEither(t *testing.T) {
	v := newInterview(t, asks, 0, func(d Direction, n int) bool { return d == Original || n == 2 })
	v.pass(4*time.Minute+10*time.Second, 50*ms)
	if v.ended != nil || v.asked != [2]int{1, 3} {
		t.Errorf("asked %v times, ended %t", v.asked, v.ended != nil)
	}
}

// TestTimeoutShorterThanQuestions: two seconds after the question the timeout is
// over again. That is another question, and no end.
func TestTimeoutShorterThanQuestions(t *testing.T) {
	v := newInterview(t, asksBriefly, 0, always)
	v.pass(time.Minute, 50*ms)
	if v.ended != nil || v.asked[0] < 20 {
		t.Errorf("after a minute it was asked %v times, ended %t", v.asked, v.ended != nil)
	}
	v.answers = never
	v.pass(10*time.Second, 50*ms)
	if v.ended == nil {
		t.Error("it lives though nobody answers any more")
	}
}

// TestAnswersBeforeALateSweep: the answer came right after the question, and it is
// the sweep that is late.
func TestAnswersBeforeALateSweep(t *testing.T) {
	for _, late := range []int64{500 * ms, 1100 * ms, 1900 * ms, 2100 * ms, 3000 * ms, 60_000 * ms} {
		for delay := ms; delay < 2000*ms; delay += 333 * ms {
			v := newInterview(t, asks, 0, always)
			v.delay = delay
			v.pass(4*time.Minute, 50*ms)
			v.pass(2*time.Minute, late)
			// Answers that take longer than two seconds, as they do when the sweep is
			// on time, may draw another question, but no end.
			if v.ended != nil || v.asked != [2]int{1, 1} {
				t.Errorf("swept every %v, answered within %v: asked %v times, ended %t",
					time.Duration(late), time.Duration(delay), v.asked, v.ended != nil)
			}
		}
	}
}

// TestStateChangesMeanwhile: the timer of the new state holds, and nobody is asked
// any more.
func TestStateChangesMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(*Table, Ref, int64)
		life time.Duration
		why  Reason
	}{
		{"closed", closeBoth, 65 * time.Second, Fin},
		{"reset", reset, 16 * time.Second, Rst},
		{"half closed", func(table *Table, r Ref, now int64) {
			table.Observe(r, segment(packet.FIN|packet.ACK, 1001, 5001, 0), 1, now)
		}, 4 * time.Minute, Idle},
	} {
		v := newInterview(t, asks, 0, never)
		v.pass(4*time.Minute+3*time.Second, 50*ms)
		if v.asked != [2]int{2, 2} {
			t.Fatalf("%s: asked %v times after 3 s", c.name, v.asked)
		}
		from := v.now
		c.then(v.table, v.ref, v.now)
		v.pass(time.Hour, 50*ms)
		if v.asked != [2]int{2, 2} || v.ended == nil || v.ended.Reason != c.why || v.ended.Reset {
			t.Errorf("%s: asked %v times; %+v", c.name, v.asked, v.ended)
		}
		if life := time.Duration(v.now - from); life < c.life || life > c.life+grace(c.life) {
			t.Errorf("%s: it lived %v, want %v", c.name, life, c.life)
		}
	}
}

// TestNobodyElseIsAsked: flows of other states, of other protocols and rules.
func TestNobodyElseIsAsked(t *testing.T) {
	for _, c := range []struct {
		name  string
		proto packet.Protocol
		ask   bool
		then  func(*Table, Ref, int64)
	}{
		{"half-open", packet.TCP, true, nil}, {"UDP", packet.UDP, true, nil}, {"ICMP", packet.ICMP, true, nil},
		{"half closed", packet.TCP, true, func(table *Table, r Ref, now int64) {
			establish(table, r, now)
			table.Observe(r, segment(packet.FIN|packet.ACK, 1001, 5001, 0), 1, now)
		}},
		{"closed", packet.TCP, true, closeBoth}, {"reset", packet.TCP, true, reset},
		{"a rule that doesn't ask", packet.TCP, false, establish},
	} {
		table, err := New(1, testTimers, []Rule{{Idle: time.Minute, Reset: true, Ask: c.ask}}, 0)
		if err != nil {
			t.Fatal(err)
		}
		r := insert(t, table, admission(c.proto, 1, 0), 0)
		if c.then != nil {
			c.then(table, r, 0)
		}
		if _, e := lifetime(table, 0); e.Doubtful() {
			t.Errorf("%s: asked", c.name)
		}
		table.Close()
	}
}

// TestInterviews has ends that answer by chance, soon or late, and sweeps that come
// when they like. A flow ends if and only if an end has left three questions of one
// round unanswered.
func TestInterviews(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		chance := rapid.IntRange(0, 100)
		odds := [2]int{chance.Draw(t, "client"), chance.Draw(t, "server")}
		var silent [2]int // questions in a row
		v := newInterview(t, asks, 0, nil)
		v.delay = rapid.Int64Range(1, 1900).Draw(t, "delay") * ms
		v.answers = func(d Direction, _ int) bool {
			if silent[d]++; rapid.IntRange(1, 100).Draw(t, "dice") <= odds[d] {
				silent[d] = 0
				return true
			}
			return false
		}
		for v.ended == nil && v.now < int64(time.Hour) {
			v.pass(time.Minute, rapid.Int64Range(20, 3000).Draw(t, "step")*ms)
		}
		if gaveUp := max(silent[0], silent[1]) >= questions; gaveUp != (v.ended != nil) {
			t.Fatalf("%v questions in a row are without answer, ended: %t", silent, v.ended != nil)
		}
	})
}
