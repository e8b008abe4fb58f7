package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/api"
	"tidegate/gateway"
)

var errEnough = errors.New("enough")

// follow reads so many events of a stream.
func (r *rig) follow(q api.EventQuery, n int) (events []api.Event, missed []uint64) {
	r.t.Helper()
	err := r.client.FollowEvents(r.t.Context(), q, func(e api.Event, lost uint64) error {
		events, missed = append(events, e), append(missed, lost)
		if len(events) == n {
			return errEnough
		}
		return nil
	})
	if err != errEnough {
		r.t.Fatal(err)
	}
	return events, missed
}

// A stream goes on where the last one has stopped, and with no number begins now.
func TestFollowEvents(t *testing.T) {
	r := newRig(t)
	r.note(gateway.ConfigReloaded, -1, 3)
	if got, _ := r.follow(api.EventQuery{After: 1}, 2); !slices.Equal(numbers(got), []uint64{2, 3}) {
		t.Errorf("%v", numbers(got))
	}
	if got, _ := r.follow(api.EventQuery{After: 99}, 3); !slices.Equal(numbers(got), []uint64{1, 2, 3}) {
		t.Errorf("after a restart: %v", numbers(got))
	}
	var noted sync.Once
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for ctx.Err() == nil { // until the stream is open
			r.note(gateway.BackendDown, 1, 1)
			noted.Do(func() { r.note(gateway.ConfigReloaded, -1, 1) })
			time.Sleep(10 * time.Millisecond)
		}
	}()
	got, _ := r.follow(api.EventQuery{Types: []string{api.BackendDown}, Rule: "wide"}, 2)
	if got[0].Seq <= 3 || got[0].Type != api.BackendDown || got[0].Rule != "wide" {
		t.Errorf("from now on: %+v", got)
	}
}

func TestMissedEvents(t *testing.T) {
	r := newRig(t)
	r.note(gateway.ConfigReloaded, -1, 1100)
	got, missed := r.follow(api.EventQuery{After: 10}, 2)
	if got[0].Seq != 1100-1024+1 || missed[0] != 1100-1024-10 || missed[1] != 0 {
		t.Errorf("%v, missed %v", numbers(got), missed)
	}
}

// raw opens a stream as curl would, and returns its lines.
func (r *rig) raw(ctx context.Context, target string, header ...string) (*http.Response, *bufio.Scanner) {
	r.t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}
	r.t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tidegate"+target, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html, text/event-stream;q=0.9")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp, bufio.NewScanner(resp.Body)
}

func TestStreamText(t *testing.T) {
	r := newRig(t)
	r.note(gateway.ConfigReloaded, -1, 3)
	resp, lines := r.raw(t.Context(), "/v1/events?after=1", "Last-Event-ID", "2")
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != api.EventStream {
		t.Fatalf("%+v", resp)
	}
	var got []string
	for range 5 {
		lines.Scan()
		got = append(got, lines.Text())
	}
	want := []string{": events", "", "id: 3", "event: config.reloaded", `data: {"seq":3,"time":"`}
	if !slices.EqualFunc(got, want, strings.HasPrefix) || !strings.HasSuffix(got[4], `,"message":"3 <b>"}`) {
		t.Errorf("%q", got)
	}
	if a := r.request("GET", "/v1/events", "Accept", api.EventStream, "Last-Event-ID", "x"); a.status != 400 {
		t.Errorf("%+v", a)
	}
}

func TestTooManyStreams(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	one, endOne := context.WithCancel(ctx)
	defer endOne()
	_, lines := r.raw(one, "/v1/events")
	lines.Scan()
	for range maxStreams - 1 {
		_, lines := r.raw(ctx, "/v1/events")
		lines.Scan()
	}
	a := r.request("GET", "/v1/events", "Accept", api.EventStream)
	if p := problem(t, a); a.status != 503 || a.header.Get("Retry-After") == "" || !strings.Contains(p.Detail, "64 event streams") {
		t.Errorf("%+v", a)
	}
	if a := r.get("/v1/events"); a.status != 200 {
		t.Errorf("a list is no stream: %+v", a)
	}
	endOne()
	waitFor(t, func() bool {
		soon, end := context.WithTimeout(ctx, time.Second)
		defer end()
		resp, _ := r.raw(soon, "/v1/events")
		return resp.StatusCode == 200
	})
}

// A server that stops ends its streams, and does not wait for them.
func TestStreamEndsWithServer(t *testing.T) {
	o := newRig(t).options
	path := filepath.Join(t.TempDir(), "api.sock")
	listeners, err := Listen([]string{"unix:" + path}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(o).Serve(ctx, listeners) }()
	_, lines := (&rig{t: t, socket: path}).raw(t.Context(), "/v1/events")
	lines.Scan()
	start := time.Now()
	cancel()
	if err := <-done; err != nil || time.Since(start) > grace/2 {
		t.Errorf("%v after %v", err, time.Since(start))
	}
	for lines.Scan() {
		if lines.Text() != "" {
			t.Errorf("then %q", lines.Text())
		}
	}
}

// pipes is a Listener of connections in memory.
type pipes struct {
	conns chan net.Conn
	close func() // once
	addr  net.Addr
}

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error {
	p.close()
	return nil
}

func (p pipes) Addr() net.Addr { return p.addr }

const askStream = "GET /v1/events?after=99 HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"

// still is a Server over a gateway that does not run, and a connection to it over which
// something has been asked. Time is not real.
func still(t *testing.T, request string, test func(t *testing.T, g *gateway.Gateway, client net.Conn)) {
	t.Helper()
	stillAt(t, &net.UnixAddr{Name: "pipe", Net: "unix"}, request, test)
}

// stillAt is a still Server that listens at an address.
func stillAt(t *testing.T, at net.Addr, request string, test func(t *testing.T, g *gateway.Gateway, client net.Conn)) {
	t.Helper()
	tokens := testTokens(t)
	synctest.Test(t, func(t *testing.T) {
		o, start := testOptions(t), time.Now()
		o.Now = func() int64 { return int64(time.Hour + time.Since(start)) }
		o.Control = memoryPort(new([2]chan []byte))
		g, err := gateway.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		conns := make(chan net.Conn)
		listener := pipes{conns, sync.OnceFunc(func() { close(conns) }), at}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		s := New(Options{Gateway: g, Ready: func() error { return nil }, Metrics: http.NotFoundHandler(), Log: o.Log, Tokens: tokens})
		go func() { served <- s.Serve(ctx, []net.Listener{listener}) }()
		client, conn := net.Pipe()
		listener.conns <- conn
		fmt.Fprint(client, request)
		test(t, g, client)
		client.Close()
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// A stream outlives the time that other requests have, and says that it lives.
func TestStreamPings(t *testing.T) {
	still(t, askStream, func(t *testing.T, g *gateway.Gateway, client net.Conn) {
		start := time.Now()
		go func() {
			time.Sleep(100 * time.Second)
			g.Note(gateway.Notice{Kind: gateway.ConfigReloaded, Rule: -1, Message: "late"})
		}()
		pings, lines := 0, bufio.NewScanner(client)
		for lines.Scan() && !strings.Contains(lines.Text(), "late") {
			if lines.Text() == ": ping" {
				pings++
			}
		}
		if took := time.Since(start); pings != 6 || took < 100*time.Second || took > 101*time.Second {
			t.Errorf("%d pings, and the event after %v: %v", pings, took, lines.Err())
		}
	})
}

// Whoever does not read loses the stream, and holds nothing up.
func TestStreamSlowReader(t *testing.T) {
	still(t, askStream, func(t *testing.T, g *gateway.Gateway, client net.Conn) {
		for range 1000 {
			g.Note(gateway.Notice{Kind: gateway.ConfigReloaded, Rule: -1, Message: strings.Repeat("x", 1000)})
		}
		time.Sleep(streamTimeout + 2*time.Second)
		synctest.Wait()
		n := 0
		for lines := bufio.NewScanner(client); lines.Scan(); n++ {
		}
		if n > 500 {
			t.Errorf("it got %d lines", n)
		}
	})
}

// Whoever does not come to the end of a request is told so, or loses the connection.
func TestSlowRequest(t *testing.T) {
	for request, want := range map[string]struct {
		text  string
		after time.Duration
	}{
		"GET /v1/status HTTP/1.1\r\nHost:": {"", headerTimeout},
		"PUT /v1/config HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{": {"HTTP/1.1 408 ", readTimeout},
		"PUT /v1/config HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": {
			"HTTP/1.1 400 ", 0},
		"POST /v1/explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n": {
			"HTTP/1.1 400 ", 0},
		"POST /v1/explain HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{": {"HTTP/1.1 408 ", readTimeout},
	} {
		still(t, request, func(t *testing.T, _ *gateway.Gateway, client net.Conn) {
			start := time.Now()
			line, _ := bufio.NewReader(client).ReadString('\n')
			if took := time.Since(start); !strings.HasPrefix(line, want.text) || took != want.after {
				t.Errorf("%.30q: %q after %v, want %q after %v", request, line, took, want.text, want.after)
			}
		})
	}
}
