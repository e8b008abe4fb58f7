package probe

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var letters = map[rune]kind{'y': yes, 'n': no, 's': silence}

// TestStateChanges plays answers, one letter each, and writes the state after each:
// u up, d down, and in capitals where it was news.
func TestStateChanges(t *testing.T) {
	for _, c := range []struct {
		name      string
		threshold int
		answers   string
		states    string
	}{
		{"the first answer decides", 3, "y", "U"},
		{"also when it is a no", 3, "n", "D"},
		{"also when there is none", 3, "s", "D"},
		{"silence counts to the threshold", 3, "ysss", "UuuD"},
		{"an answer in between starts again", 3, "yssyssyssss", "UuuuuuuuuDd"},
		{"no is down at once", 3, "yn", "UD"},
		{"no after some silence, too", 5, "ysn", "UuD"},
		{"yes counts to the threshold", 3, "nyyy", "DddU"},
		{"a failure in between starts again", 3, "nyysyynyyy", "DddddddddU"},
		{"threshold 1 follows each answer", 1, "ysyny", "UDUDU"},
		{"down is no news when it is down", 2, "nnssn", "Ddddd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var s state
			var got strings.Builder
			for i, letter := range c.answers {
				news := s.observe(answer{kind: letters[letter]}, time.Unix(int64(i), 0), c.threshold)
				got.WriteString(draw(s, news))
			}
			if got.String() != c.states {
				t.Errorf("%s with threshold %d: %s, want %s", c.answers, c.threshold, got.String(), c.states)
			}
		})
	}
}

func draw(s state, news bool) string {
	letter := map[bool]string{true: "u", false: "d"}[s.Up]
	if news {
		return strings.ToUpper(letter)
	}
	return letter
}

func TestStateIsWrittenDown(t *testing.T) {
	var s state
	at := func(i int) time.Time { return time.Unix(int64(i), 0) }
	s.observe(answer{kind: yes, result: "200 OK", took: 3}, at(1), 2)
	s.observe(answer{kind: yes, result: "200 OK", took: 4}, at(2), 2)
	s.observe(answer{kind: silence, result: "no answer within 5s", took: 5}, at(3), 2)
	want := Status{Up: true, Known: true, Since: at(1), Last: at(3), Took: 5, Result: "no answer within 5s", Succeeded: 2, Failed: 1}
	if s.Status != want {
		t.Errorf("after yes, yes, silence\n%+v, want\n%+v", s.Status, want)
	}
	s.observe(answer{kind: silence, result: "no answer within 5s", took: 6}, at(4), 2)
	want = Status{Known: true, Since: at(4), Last: at(4), Took: 6, Result: "no answer within 5s", Succeeded: 2, Failed: 2}
	if s.Status != want {
		t.Errorf("after a second silence\n%+v, want\n%+v", s.Status, want)
	}
}

// TestStateAgainstHistory compares with the rules read off the whole history.
func TestStateAgainstHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		threshold := rapid.IntRange(1, 4).Draw(t, "threshold")
		history := rapid.SliceOfN(rapid.SampledFrom([]kind{yes, yes, yes, no, silence, silence}), 1, 40).Draw(t, "history")
		var s state
		for i, k := range history {
			s.observe(answer{kind: k}, time.Unix(int64(i), 0), threshold)
			if want := upAfter(history[:i+1], threshold); s.Up != want {
				t.Fatalf("up is %v after %v with threshold %d, want %v", s.Up, history[:i+1], threshold, want)
			}
		}
	})
}

// upAfter looks back for the last answer that settled the state by itself.
func upAfter(history []kind, threshold int) bool {
	for end := len(history); end > 0; end-- {
		last := history[max(0, end-threshold):end]
		failed := !slices.Contains(last, yes)
		switch {
		case end == 1, history[end-1] == no:
			return history[end-1] == yes
		case len(last) == threshold && failed:
			return false
		case len(last) == threshold && !slices.ContainsFunc(last, func(k kind) bool { return k != yes }):
			return true
		}
	}
	return false
}
