package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/charmbracelet/x/ansi"

	"tidegate/api"
)

func event(seq uint64, kind string) api.Event {
	return api.Event{Seq: seq, Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Type: kind, Rule: "egress", Message: fmt.Sprintf("Event %d.", seq)}
}

func TestEvents(t *testing.T) {
	a := newAnswers(t, false)
	a.set("/v1/events", api.EventList{Events: []api.Event{event(7, api.SNATExhausted), event(9, api.BackendUp)}})
	out, _, err := call(t, "events", "--api", a.URL, "--type", api.SNATExhausted, "--type", api.BackendUp, "--rule", "egress", "--limit", "5")
	want := "               TIME  TYPE            RULE    MESSAGE\n" +
		"2026-01-02 03:04:05  snat.exhausted  egress  Event 7.\n" +
		"2026-01-02 03:04:05  backend.up      egress  Event 9.\n"
	if err != nil || out != want {
		t.Errorf("%v:\n%s", err, out)
	}
	if got, want := a.questions()[0].URL.RawQuery, "limit=5&rule=egress&type=snat.exhausted&type=backend.up"; got != want {
		t.Errorf("asked for %s, want %s", got, want)
	}
	var l api.EventList
	if out, _, err = call(t, "events", "--api", a.URL, "-o", "json"); err != nil || json.Unmarshal([]byte(out), &l) != nil || len(l.Events) != 2 {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, bad := range []string{"--limit=0", "--limit=-1 --follow", "--limit=10001", "--type=flow", "now"} {
		if _, _, err := call(t, append([]string{"events"}, strings.Fields(bad)...)...); exitStatus(err) != exitUsage {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestEventsOnATerminal(t *testing.T) {
	e := event(1, api.FlowClosed)
	e.Reason, e.Resets = "idle", []string{"client", "server"}
	e.Flow = &api.Flow{Protocol: "tcp", Direction: api.Outbound, Internal: netip.MustParseAddrPort("10.0.0.10:40000"), Remote: netip.MustParseAddrPort("198.51.100.7:443")}
	p := &page{width: 120}
	p.table(eventTable(p, []api.Event{e}, false))
	if want := "01-02 03:04:05  flow.closed  egress  idle, RST to both: tcp 10.0.0.10:40000 → 198.51.100.7:443\n"; !strings.HasSuffix(p.out.String(), want) {
		t.Error(p.out.String())
	}
}

// However narrow the terminal, a message is there to its last word.
func TestEventsFold(t *testing.T) {
	e := event(1, api.SNATExhausted)
	e.Message = "Member 10.0.0.10 has no tcp port left of the 16 that rule egress gives it: 5 flows refused, the last towards 198.51.100.7:443."
	for width := 50; width < 180; width++ {
		p := &page{width: width}
		p.table(folded(p, eventTable(p, []api.Event{e, event(2, api.BackendUp)}, false)))
		text := p.out.String()
		var words []string
		for l := range strings.Lines(text) {
			if n := ansi.StringWidth(strings.TrimSuffix(l, "\n")); n > width {
				t.Errorf("width %d: %q", width, l)
			}
			words = append(words, strings.Fields(l)...)
		}
		if all := strings.Join(words, " "); !strings.Contains(all, e.Message) || !strings.Contains(all, "Event 2.") {
			t.Errorf("width %d:\n%s", width, text)
		}
	}
	p := &page{width: 80}
	p.table(folded(p, eventTable(p, []api.Event{e}, false)))
	want := "          TIME  TYPE            RULE    MESSAGE\n" +
		"01-02 03:04:05  snat.exhausted  egress  Member 10.0.0.10 has no tcp port left of\n" +
		"                                        the 16 that rule egress gives it: 5\n" +
		"                                        flows refused, the last towards\n" +
		"                                        198.51.100.7:443.\n"
	if p.out.String() != want {
		t.Error(p.out.String())
	}
}

// journal is a gateway that can be restarted.
type journal struct {
	*httptest.Server
	started time.Time
	events  []api.Event
	streams chan string // what each stream says, before it breaks off
	cancel  context.CancelFunc
}

func newJournal(t *testing.T) (j *journal, ctx context.Context) {
	t.Helper()
	j = &journal{started: time.Unix(1000, 0), streams: make(chan string, 8)}
	ctx, j.cancel = context.WithCancel(t.Context())
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(api.Status{Started: j.started})
	})
	mux.HandleFunc("/v1/events", j.serve)
	j.Server = httptest.NewServer(mux)
	t.Cleanup(j.Close)
	return j, ctx
}

func (j *journal) serve(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Accept") != api.EventStream {
		_ = json.NewEncoder(w).Encode(api.EventList{Events: j.events})
		return
	}
	select {
	case text := <-j.streams:
		w.Header().Set("Content-Type", api.EventStream)
		fmt.Fprint(w, strings.ReplaceAll(text, "AFTER", r.URL.Query().Get("after")))
		j.started = j.started.Add(time.Minute)
	default:
		j.cancel()
	}
}

func line(e api.Event) string {
	text, _ := json.Marshal(e)
	return fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, e.Type, text)
}

// What has been printed is not printed again, what is missed is told, and a gateway
// that comes back begins anew.
func TestFollow(t *testing.T) {
	j, ctx := newJournal(t)
	j.events = []api.Event{event(1, api.BackendUp), event(2, api.BackendDown)}
	j.streams <- line(event(2, api.BackendDown)) + "event: missed\ndata: {\"missed\":37}\n\n" + line(event(40, api.BackendUp))
	j.streams <- line(event(1, api.ConfigReloaded))
	out, notes, err := callWith(ctx, "events", "--follow", "--api", j.URL, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for text := range strings.Lines(out) {
		var e api.Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err, text)
		}
		seqs = append(seqs, e.Seq)
	}
	if fmt.Sprint(seqs) != "[1 2 40 1]" {
		t.Errorf("printed %v", seqs)
	}
	if !strings.Contains(notes, "tidegate: 37 events missed\n") || strings.Count(notes, "waiting for the gateway\n") != 2 {
		t.Error(notes)
	}
}

func TestFollowTable(t *testing.T) {
	j, ctx := newJournal(t)
	j.events = []api.Event{event(1, api.BackendUp)}
	j.streams <- line(event(2, api.ConfigReloaded))
	out, _, err := callWith(ctx, "events", "--follow", "--limit", "0", "--api", j.URL)
	if want := "2026-01-02 03:04:05  config.reloaded  egress    Event 2.\n"; err != nil || out != want {
		t.Errorf("%v: %s", err, out)
	}
}

func TestFollowGivesUp(t *testing.T) {
	if _, _, err := call(t, "events", "--follow", "--api", "http://127.0.0.1:1"); exitStatus(err) != exitFailed {
		t.Error("a gateway that was never there is waited for:", err)
	}
	for err, want := range map[error]bool{
		api.NewProblem(http.StatusUnauthorized, ""): true, api.NewProblem(http.StatusServiceUnavailable, ""): false,
		errors.New("EOF"): false, errFollowed{errors.New("disk full")}: true,
	} {
		if got := notFollowable(fmt.Errorf("api: %w", err)); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// A gateway that is away is asked once a second, and says so once.
func TestFollowAwaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := api.NewClient("unix:/none/api.sock")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		var notes bytes.Buffer
		f := &follower{client: c, notes: &notes}
		if f.await(ctx) || notes.Len() > 0 {
			t.Error(notes.String())
		}
	})
}
