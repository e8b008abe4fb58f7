package api

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

func TestNewClient(t *testing.T) {
	for _, good := range []string{"unix:/run/tidegate/api.sock", "http://127.0.0.1:9180", "http://[::1]:9180/", "http://gw:1", "https://gw:1"} {
		if _, err := NewClient(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "unix:", "unix:api.sock", "/run/api.sock", "127.0.0.1:9180", "http://127.0.0.1",
		"https://127.0.0.1", "ftp://127.0.0.1:9180", "http://127.0.0.1:9180/v1", "http://a:1?x", "http://u@a:1", "http://:80"} {
		_, err := NewClient(bad)
		if err == nil || err.Error() != `api: address "`+bad+`": it is unix:/PATH, http://HOST:PORT or https://HOST:PORT` {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func client(t *testing.T, address string) *Client {
	t.Helper()
	c, err := NewClient(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestNotReachable(t *testing.T) {
	missing := "unix:" + filepath.Join(t.TempDir(), "api.sock")
	stale := filepath.Join(t.TempDir(), "api.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + tcp.Addr().String()
	tcp.Close()
	for address, cause := range map[string]string{
		missing:         "no such file or directory",
		"unix:" + stale: "connection refused",
		closed:          "connection refused",
	} {
		want := "api: connect " + address + ": " + cause + "; is tidegate running?"
		if err := client(t, address).Healthy(t.Context()); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
	}
}

func TestCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := client(t, "http://127.0.0.1:1").Healthy(ctx)
	if !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "running?") {
		t.Error(err)
	}
}

// refused asks a server that answers with that status, type and body.
func refused(t *testing.T, status int, media, body string) (address string, err error) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(s.Close)
	_, err = client(t, s.URL).Flows(t.Context(), FlowQuery{})
	return s.URL, err
}

func TestRefusal(t *testing.T) {
	_, err := refused(t, 400, "application/problem+json; charset=utf-8",
		`{"title":"Bad Request","status":400,"detail":"no","errors":[{"message":"really","location":"query.x"}]}`)
	var p *Problem
	if !errors.As(err, &p) || p.Status != 400 || p.Errors[0].Location != "query.x" {
		t.Fatalf("%#v", err)
	}
	if want := "api: GET /v1/flows: 400 Bad Request: no; query.x: really"; err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// Who mistakes http for https, or the other way round, is told which it is.
func TestSchemeMismatch(t *testing.T) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	plain, secure := httptest.NewServer(nothing), httptest.NewUnstartedServer(nothing)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	for address, want := range map[string]string{
		strings.Replace(plain.URL, "http:", "https:", 1):  "use http://",
		strings.Replace(secure.URL, "https:", "http:", 1): "use https://",
	} {
		c, err := NewClient(address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Status(t.Context()); err == nil || !strings.HasSuffix(err.Error(), "; "+want) {
			t.Errorf("%s: %v, want %s", address, err, want)
		}
	}
}

func TestNotATidegate(t *testing.T) {
	_, err := refused(t, 404, "text/html", "<h1>It works!</h1>")
	if err == nil || err.Error() != "api: GET /v1/flows: 404 Not Found, and not from a tidegate" {
		t.Error(err)
	}
	address, err := refused(t, 200, "text/html", "<h1>It works!</h1>")
	if err == nil || !strings.HasSuffix(err.Error(), "; is "+address+" a tidegate?") {
		t.Error(err)
	}
}
