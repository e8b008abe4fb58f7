package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidegate/gateway"
)

// connect opens a connection from an address of this machine.
func connect(t *testing.T, from, to string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange asks over a connection, with a token if one is given, and returns the answer;
// nil if there is none.
func exchange(c net.Conn, target, token string) *http.Response {
	authorization := ""
	if token != "" {
		authorization = "Authorization: Bearer " + token + "\r\n"
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: gw\r\n%s\r\n", target, authorization)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return nil
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp
}

// Nobody alone takes all connections, and what is given back can be had again.
func TestPerSource(t *testing.T) {
	_, address := remote(t)
	var open []net.Conn
	for range maxPerSource {
		c := connect(t, "127.0.0.1", address)
		if resp := exchange(c, "/v1/status", viewToken); resp == nil || resp.StatusCode != 200 || resp.Close {
			t.Fatalf("connection %d: %+v", len(open)+1, resp)
		}
		open = append(open, c)
	}
	if resp := exchange(connect(t, "127.0.0.1", address), "/v1/status", viewToken); resp != nil {
		t.Errorf("one too many is answered: %+v", resp)
	}
	if resp := exchange(connect(t, "127.0.0.2", address), "/v1/status", viewToken); resp == nil || resp.StatusCode != 200 {
		t.Errorf("another source: %+v", resp)
	}
	open[0].Close()
	waitFor(t, func() bool {
		return exchange(connect(t, "127.0.0.1", address), "/v1/status", viewToken) != nil
	})
}

// Who shows no good token keeps no connection, whatever the answer is.
func TestNoTokenNoConnection(t *testing.T) {
	r, address := remote(t)
	wrong := strings.Repeat("x", 20)
	for range triesPerSecond {
		exchange(connect(t, "127.0.0.3", address), "/v1/status", wrong)
	}
	for _, tt := range []struct {
		from, target, token string
		close               bool
	}{
		{"127.0.0.1", "/healthz", "", true},
		{"127.0.0.1", "/readyz", "", true},
		{"127.0.0.1", "/", "", true},
		{"127.0.0.1", "/ui/main.js", "", true},
		{"127.0.0.1", "/ui/nothing", "", true},
		{"127.0.0.1", "/v1/status", "", true},
		{"127.0.0.1", "/v1/status", wrong, true},
		{"127.0.0.3", "/v1/status", wrong, true},
		{"127.0.0.1", "/v1/status", viewToken, false},
		{"127.0.0.1", "/v1/nothing", viewToken, false},
	} {
		if resp := exchange(connect(t, tt.from, address), tt.target, tt.token); resp == nil || resp.Close != tt.close {
			t.Errorf("%s with %q: %+v", tt.target, tt.token, resp)
		}
	}
	c, err := net.Dial("unix", r.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if resp := exchange(c, "/healthz", ""); resp == nil || resp.Close {
		t.Errorf("over the unix socket: %+v", resp)
	}
}

// A connection that is silent is closed, over other listeners than the machine's own soon.
func TestIdleConnections(t *testing.T) {
	const request = "GET /v1/status HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer " + viewToken + "\r\n\r\n"
	for at, want := range map[net.Addr]time.Duration{
		&net.UnixAddr{Name: "pipe", Net: "unix"}:             nearIdle,
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9180}: farIdle,
		&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9180}: nearIdle,
		&net.TCPAddr{IP: net.IPv4(0, 0, 0, 0), Port: 9180}:   farIdle,
	} {
		stillAt(t, at, request, func(t *testing.T, _ *gateway.Gateway, client net.Conn) {
			start, text := time.Now(), bufio.NewReader(client)
			resp, err := http.ReadResponse(text, nil)
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%v: %v %+v", at, err, resp)
			}
			_, _ = io.Copy(io.Discard, text)
			if took := time.Since(start); took != want {
				t.Errorf("%v: closed after %v, want %v", at, took, want)
			}
		})
	}
}
