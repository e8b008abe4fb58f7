package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// streaming is a server that answers with a text and then, if it is silent, with
// nothing until the client goes.
func streaming(t *testing.T, text string, silent bool) *Client {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != EventStream || r.URL.RequestURI() != "/v1/events?after=7&rule=egress&type=flow.closed" {
			t.Errorf("%s is asked for as %s", r.URL.RequestURI(), r.Header.Get("Accept"))
		}
		w.Header().Set("Content-Type", EventStream)
		_, _ = w.Write([]byte(text))
		_ = http.NewResponseController(w).Flush()
		if silent {
			<-r.Context().Done()
		}
	}))
	t.Cleanup(s.Close)
	return client(t, s.URL)
}

var following = EventQuery{Types: []string{FlowClosed}, Rule: "egress", After: 7, Limit: 5}

const streamText = ": events\n\nid: 8\nevent: flow.closed\ndata: {\"seq\":8,\"type\":\"flow.closed\",\"message\":\"a\"}\n\n: ping\n\n" +
	"event: missed\ndata: {\"missed\":3}\n\nevent: missed\ndata:{\"missed\":4}\n\nretry: 5\n\ndata: {\"seq\":16,\ndata: \"message\":\"b: c\"}\n\n"

func TestFollowEvents(t *testing.T) {
	var got []string
	err := streaming(t, streamText, false).FollowEvents(t.Context(), following, func(e Event, missed uint64) error {
		got = append(got, fmt.Sprintf("%d %s %d", e.Seq, e.Message, missed))
		return nil
	})
	if !slices.Equal(got, []string{"8 a 0", "16 b: c 7"}) {
		t.Errorf("%q", got)
	}
	if err == nil || err.Error() != "api: GET /v1/events: stream: unexpected EOF" {
		t.Errorf("a gateway that goes: %v", err)
	}
}

// It ends without an error when it is to end, and with the caller's own.
func TestFollowEventsEnds(t *testing.T) {
	own := errors.New("enough")
	c := streaming(t, streamText, true)
	if err := c.FollowEvents(t.Context(), following, func(Event, uint64) error { return own }); err != own {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.FollowEvents(ctx, following, func(e Event, _ uint64) error {
		if e.Seq == 16 {
			cancel()
		}
		return nil
	})
	if err != nil {
		t.Errorf("canceled: %v", err)
	}
	if err := c.FollowEvents(ctx, following, nil); err != nil {
		t.Errorf("canceled before: %v", err)
	}
}

func TestFollowEventsGarbage(t *testing.T) {
	for text, want := range map[string]string{
		"data: <h1>\n\n":                "invalid character",
		"event: missed\ndata: no\n\n":   "invalid character",
		strings.Repeat("x", maxLine+10): "token too long",
	} {
		err := streaming(t, text, false).FollowEvents(t.Context(), following, func(Event, uint64) error { return nil })
		if err == nil || !strings.HasPrefix(err.Error(), "api: GET /v1/events: stream: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	_, err := refused(t, 503, ProblemType, `{"status":503,"detail":"full"}`)
	if err == nil || !strings.Contains(err.Error(), "full") {
		t.Error(err)
	}
}

// A gateway that is connected and says nothing is given up after 45 seconds; a caller
// who takes longer than that over an event loses nothing.
func TestFollowEventsSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		c := client(t, "http://gw:1")
		c.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return here, nil }
		go func() {
			buf := make([]byte, 4096)
			_, _ = there.Read(buf)
			event := "data: {\"seq\":1,\"message\":\"\"}\n\n"
			fmt.Fprintf(there, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n%s%s", event, event)
			_, _ = there.Read(buf) // until the client goes
		}()
		start, events := time.Now(), 0
		err := c.FollowEvents(t.Context(), EventQuery{}, func(Event, uint64) error {
			events++
			time.Sleep(time.Minute)
			return nil
		})
		if err == nil || err.Error() != "api: GET /v1/events: stream: nothing for 45s" || events != 2 || time.Since(start) != 2*time.Minute+silence {
			t.Errorf("%v after %v and %d events", err, time.Since(start), events)
		}
		there.Close()
	})
}

// guarded answers with that status to whoever has no token, or another.
func guarded(t *testing.T, status int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "Bearer 0123456789abcdef" {
			_, _ = w.Write([]byte(`{}`))
			return
		}
		w.Header().Set("Content-Type", ProblemType)
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"status":%d,"detail":"no"}`, status)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestToken(t *testing.T) {
	for _, tt := range []struct {
		status int
		token  string
		want   string
	}{
		{401, "", "api: GET /v1/idle: 401 Unauthorized: no; give a token of the gateway's api.tokenFile with --token-file"},
		{401, "wrong", "api: GET /v1/idle: 401 Unauthorized: no; the token of --token-file is none of the gateway's api.tokenFile"},
		{403, "wrong", "api: GET /v1/idle: 403 Forbidden: no; give a read-write token with --token-file"},
		{403, "", "api: GET /v1/idle: 403 Forbidden: no"},
		{401, "0123456789abcdef", ""},
	} {
		c, err := NewClient(guarded(t, tt.status), WithToken(tt.token))
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Idle(t.Context())
		c.Close()
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
	for _, bad := range []string{"read-only 0123456789abcdef", "0123456789abcdef\n", "ü"} {
		if _, err := NewClient("http://gw:1", WithToken(bad)); err == nil || !strings.HasPrefix(err.Error(), "api: token: ") || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// Every query comes through the URL as it was given.
func TestEventQueryRoundTrip(t *testing.T) {
	for _, q := range []EventQuery{
		{Limit: DefaultEvents},
		{Types: []string{FlowCreated, BackendUp}, Rule: "a&b=c", Limit: 7, After: 1<<64 - 1},
	} {
		got, err := ParseEventQuery(q.Query())
		if err != nil || !slices.Equal(got.Types, q.Types) || got.Rule != q.Rule || got.Limit != q.Limit || got.After != q.After {
			t.Errorf("%+v, %v\nwant %+v", got, err, q)
		}
	}
	if !slices.Contains(EventTypes(), ConfigRejected) || len(EventTypes()) != 7 {
		t.Errorf("%v", EventTypes())
	}
}
