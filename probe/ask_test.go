package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func mustQuestion(t *testing.T, s Spec) *question {
	t.Helper()
	q, err := newQuestion(s)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// askPort asks once, on loopback.
func askPort(t *testing.T, p Protocol, port uint16, timeout time.Duration) answer {
	t.Helper()
	s := Spec{Protocol: p, Port: port, Interval: time.Minute, Timeout: timeout, Threshold: 1}
	if p != TCP {
		s.Path = "/"
	}
	return ask(t.Context(), mustQuestion(t, s), netip.Addr{}, loopback)
}

const (
	patient   = 10 * time.Second       // where the answer must come sooner
	impatient = 200 * time.Millisecond // where there is none
)

func TestAnswers(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		want  kind
		says  string
	}{
		{"200", says(ok), yes, "200 OK"},
		{"200 in words of its own", says("HTTP/1.0 200 All\x1b[2J\u202ewell\r\n\r\n"), yes, "200 All?[2J?well"},
		{"200 without words", says("HTTP/1.1 200\r\n\r\n"), yes, "200"},
		{"200 after hints", says("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok), yes, "200 OK"},
		{"200 before the body ends", says("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwell"), yes, "200 OK"},
		{"204", says("HTTP/1.1 204 No Content\r\n\r\n"), no, "204 No Content"},
		{"404", says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), no, "404 Not Found"},
		{"503", says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"), no, "503 Service Unavailable"},
		{"a redirect", says("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n"), no, "302 Found: redirect to http://127.0.0.1:1/"},
		{"a switch of protocols", says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), no, "101 Switching Protocols"},
		{"garbage", says("SSH-2.0-OpenSSH_10.0\r\n"), no, `malformed HTTP response "SSH-2.0-OpenSSH_10.0"`},
		{"zeros", says(strings.Repeat("\x00", 64) + "\r\n\r\n"), no, `malformed HTTP response "` + strings.Repeat(`\x00`, 23) + "…"},
		{"a header that is none", says("HTTP/1.1 200 OK\r\n: \r\n\r\n"), no, `malformed MIME header line: ":"`},
		{"half a header", says("HTTP/1.1 200 OK\r\nContent-"), no, "closed before the answer was whole"},
		{"nothing", says(""), no, "closed before the answer was whole"},
		{"a reset", reset, no, "connection reset by peer"},
		{"a giant header", forever("HTTP/1.1 200 OK\r\nX: ", strings.Repeat("x", 4096), 0), no, "headers of more than 16384 bytes"},
		{"headers without end", forever("HTTP/1.1 200 OK\r\n", strings.Repeat("X: y\r\n", 512), 0), no, "headers of more than 16384 bytes"},
		{"hints without end", forever("", "HTTP/1.1 103 Early Hints\r\n\r\n", 0), no, "headers of more than 16384 bytes"},
		{"a line without end", forever("", strings.Repeat("\xff", 4096), 0), no, "headers of more than 16384 bytes"},
		{"a body without end", forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096), 0), yes, "200 OK"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := serve(t, netip.AddrPortFrom(loopback, 0), c.serve)
			start := time.Now()
			a := askPort(t, HTTP, b.port(), patient)
			if a.kind != c.want || a.result != c.says {
				t.Errorf("answer %d %q, want %d %q", a.kind, a.result, c.want, c.says)
			}
			if took := time.Since(start); took > patient/2 || a.took <= 0 || a.took > took {
				t.Errorf("it took %s and says %s; nothing was to wait for", took, a.took)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	for _, c := range []struct {
		name     string
		protocol Protocol
		port     func(*testing.T) uint16
	}{
		{"no word to HTTP", HTTP, served(silent)},
		{"no word to TLS", HTTPS, served(silent)},
		{"half a status line", HTTP, served(func(c net.Conn) { says("HTTP/1.1 2")(c); silent(c) })},
		{"headers in a trickle", HTTP, served(forever("HTTP/1.1 200 OK\r\n", "X: y\r\n", impatient/20))},
		{"TLS in a trickle", HTTPS, served(func(c net.Conn) { trickle(c, "\x16\x03\x03\x3f\xff") })},
		{"SYNs dropped", TCP, blackHole},
		{"SYNs dropped, HTTP", HTTP, blackHole},
	} {
		t.Run(c.name, func(t *testing.T) {
			port := c.port(t)
			start := time.Now()
			a := askPort(t, c.protocol, port, impatient)
			if a.kind != silence || a.result != "no answer within 200ms" {
				t.Errorf("answer %d %q, want that there was none within 200ms", a.kind, a.result)
			}
			if took := time.Since(start); took < impatient || took > 10*impatient {
				t.Errorf("it took %s, want the timeout, %s", took, impatient)
			}
		})
	}
}

func served(f func(net.Conn)) func(*testing.T) uint16 {
	return func(t *testing.T) uint16 { return serve(t, netip.AddrPortFrom(loopback, 0), f).port() }
}

// trickle sends a byte now and then until the other end is gone.
func trickle(c net.Conn, start string) {
	_, err := io.WriteString(c, start)
	for err == nil {
		time.Sleep(impatient / 20)
		_, err = c.Write([]byte{0})
	}
}

func TestSlowBodyDecidesNothing(t *testing.T) {
	b := serve(t, netip.AddrPortFrom(loopback, 0), forever("HTTP/1.1 200 OK\r\n\r\n", "x", impatient/20))
	start := time.Now()
	a := askPort(t, HTTP, b.port(), patient)
	if a.kind != yes || a.took > impatient {
		t.Errorf("answer %d %q after %s, want 200 OK at once", a.kind, a.result, a.took)
	}
	if took := time.Since(start); took > lingering+patient/5 {
		t.Errorf("the body was waited for for %s, want %s", took, lingering)
	}
	if a := askPort(t, HTTP, b.port(), impatient); a.kind != yes {
		t.Errorf("answer %d %q within a short timeout, want 200 OK", a.kind, a.result)
	}
}

// TestLateBody: a server whose page comes in parts can write all of them.
func TestLateBody(t *testing.T) {
	wrote := make(chan error, 1)
	b := serve(t, netip.AddrPortFrom(loopback, 0), func(c net.Conn) {
		says("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nwell")(c)
		var err error
		for range 2 { // the first would be answered by RST, the second then fail
			time.Sleep(impatient / 4)
			_, err = io.WriteString(c, "well")
		}
		wrote <- err
	})
	if a := askPort(t, HTTP, b.port(), patient); a.kind != yes {
		t.Errorf("answer %d %q, want 200 OK", a.kind, a.result)
	}
	if err := <-wrote; err != nil {
		t.Errorf("the last part of the body: %v, want it to be taken", err)
	}
}

// TestCloseNotify: TLS ends as it should, with an alert; many servers log it otherwise.
func TestCloseNotify(t *testing.T) {
	config := certified(t)
	config.MaxVersion = tls.VersionTLS12 // where the type of an alert can be read
	last := make(chan byte, 1)
	b := serve(t, netip.AddrPortFrom(loopback, 0), func(c net.Conn) {
		var raw bytes.Buffer
		secure := tls.Server(heard{c, io.TeeReader(c, &raw)}, config)
		says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(secure)
		io.Copy(io.Discard, secure)
		var kind byte
		for r := raw.Bytes(); len(r) >= 5; r = r[5+int(r[3])<<8+int(r[4]):] {
			kind = r[0]
		}
		last <- kind
	})
	if a := askPort(t, HTTPS, b.port(), patient); a.kind != yes {
		t.Errorf("answer %d %q, want 200 OK", a.kind, a.result)
	}
	const alert = 21 // RFC 5246 §6.2.1
	if kind := <-last; kind != alert {
		t.Errorf("the last record's type is %d, want an alert, %d", kind, alert)
	}
}

// heard is a connection whose bytes read are also written elsewhere.
type heard struct {
	net.Conn
	r io.Reader
}

func (h heard) Read(b []byte) (int, error) { return h.r.Read(b) }

func TestTCP(t *testing.T) {
	ended := make(chan error, 1)
	open := serve(t, netip.AddrPortFrom(loopback, 0), func(c net.Conn) {
		_, err := c.Read(make([]byte, 1))
		ended <- err
	})
	if a := askPort(t, TCP, open.port(), patient); a.kind != yes || a.result != "connected" {
		t.Errorf("answer of an open port %d %q, want connected", a.kind, a.result)
	}
	if err := <-ended; err != io.EOF {
		t.Errorf("the connection ended with %v, want in good order", err)
	}
	for _, p := range []Protocol{TCP, HTTP, HTTPS} {
		if a := askPort(t, p, closedPort(t), patient); a.kind != no || a.result != "connection refused" {
			t.Errorf("answer of a closed port to %s %d %q, want connection refused", p, a.kind, a.result)
		}
	}
}

func TestTLS(t *testing.T) {
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(code) }
	}
	old := &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}
	for _, c := range []struct {
		name string
		port uint16
		want kind
		says string
	}{
		{"a certificate of nobody's", secure(t, nil, status(200)), yes, "200 OK"},
		{"503", secure(t, nil, status(503)), no, "503 Service Unavailable"},
		{"TLS 1.0", secure(t, old, status(200)), yes, "200 OK"},
		{"plain HTTP", served(says("HTTP/1.1 400 Bad Request\r\n\r\n"))(t), no, "closed before the answer was whole"},
		{"plain HTTP that answers anything", served(func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
		})(t), no, "tls: first record does not look like a TLS handshake"},
		{"a reset", served(reset)(t), no, "connection reset by peer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if a := askPort(t, HTTPS, c.port, patient); a.kind != c.want || a.result != c.says {
				t.Errorf("answer %d %q, want %d %q", a.kind, a.result, c.want, c.says)
			}
		})
	}
	// A TLS server takes a plain request for a broken one, and says so in plain text.
	if a := askPort(t, HTTP, secure(t, nil, status(200)), patient); a.kind != no || a.result != "400 Bad Request" {
		t.Errorf("answer of HTTPS to HTTP %d %q, want 400 Bad Request", a.kind, a.result)
	}
}

func TestRequest(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	got := make(chan []byte, 1)
	b := serve(t, netip.AddrPortFrom(loopback, 0), func(c net.Conn) {
		var request bytes.Buffer
		for !bytes.HasSuffix(request.Bytes(), []byte("\r\n\r\n")) {
			if _, err := io.CopyN(&request, c, 1); err != nil {
				break
			}
		}
		got <- request.Bytes()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\n\r\n")
	})
	q := mustQuestion(t, web(func(s *Spec) { s.Port, s.Path = b.port(), "//is/it%20well?deep=1&a=%0a" }))
	want := "GET //is/it%20well?deep=1&a=%0a HTTP/1.1\r\nHost: " + b.Addr().String() +
		"\r\nUser-Agent: tidegate-probe\r\nConnection: close\r\n\r\n"
	for range 2 { // the second has no cookie either
		ask(t.Context(), q, netip.Addr{}, loopback)
		if request := <-got; string(request) != want {
			t.Errorf("the request is\n%q, want\n%q", request, want)
		}
	}
}

func TestSource(t *testing.T) {
	from := make(chan net.Addr, 1)
	b := serve(t, netip.AddrPortFrom(loopback, 0), func(c net.Conn) { from <- c.RemoteAddr() })
	q := mustQuestion(t, Spec{Protocol: TCP, Port: b.port(), Interval: patient, Timeout: patient, Threshold: 1})
	source := netip.MustParseAddr("127.0.3.4")
	if a := ask(t.Context(), q, source, loopback); a.kind != yes {
		t.Errorf("answer %d %q from %s, want connected", a.kind, a.result, source)
	}
	if got := (<-from).(*net.TCPAddr).AddrPort().Addr(); got != source {
		t.Errorf("the backend was asked from %s, want %s", got, source)
	}
	for source, want := range map[string]string{
		"192.0.2.77": "can't probe from 192.0.2.77: cannot assign requested address",
		"::1":        "can't probe from ::1: address [::1]:0: no suitable address found",
	} {
		if a := ask(t.Context(), q, netip.MustParseAddr(source), loopback); a.kind != silence || a.result != want {
			t.Errorf("answer from an address of nobody's %d %q, want %q", a.kind, a.result, want)
		}
	}
}

// TestCancel: a probe that is cut short leaves nothing, whatever it waits for.
func TestCancel(t *testing.T) {
	hole := blackHole(t)
	for name, q := range map[string]Spec{
		"opening":   {Protocol: TCP, Port: hole},
		"TLS":       {Protocol: HTTPS, Path: "/", Port: served(silent)(t)},
		"an answer": {Protocol: HTTP, Path: "/", Port: served(silent)(t)},
		"a body":    {Protocol: HTTP, Path: "/", Port: served(forever("HTTP/1.1 200 OK\r\n\r\n", "x", impatient/20))(t)},
	} {
		q.Interval, q.Timeout, q.Threshold = time.Minute, time.Minute, 1
		ctx, cancel := context.WithTimeout(t.Context(), impatient)
		start := time.Now()
		ask(ctx, mustQuestion(t, q), netip.Addr{}, loopback)
		if took := time.Since(start); took > 4*impatient {
			t.Errorf("waiting for %s it ended %s after the start, want soon after %s", name, took, impatient)
		}
		cancel()
	}
}

func TestEndlessBodiesLeaveNothing(t *testing.T) {
	b := serve(t, netip.AddrPortFrom(loopback, 0), forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 64<<10), 0))
	q := mustQuestion(t, web(func(s *Spec) { s.Port = b.port() }))
	start := time.Now()
	for range 20 {
		if a := ask(t.Context(), q, netip.Addr{}, loopback); a.kind != yes {
			t.Fatalf("answer %d %q, want 200 OK", a.kind, a.result)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("20 probes took %s, want no waiting", took)
	}
	b.Close()
	b.all.Wait() // each of its connections was closed by the probe
	goleak.VerifyNone(t)
}
