package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// Names that would steer a terminal are refused, and told so that they steer none; what
// else the file may hold is shown as it is.
func TestNamesSteerNoTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	text := strings.ReplaceAll(r.text(settings{}), "egress", `"a\e[31mred\e]0;title\a\u202eb"`)
	r.check(os.WriteFile(r.file(), []byte(text), 0o644))
	o := r.cli("check", "-c", r.file())
	if o.status != 2 || !strings.Contains(o.stderr, "outboundRules[0].name: ") || !strings.Contains(o.stderr, "control character") {
		r.Errorf("%+v", o)
	}
	for _, c := range o.stdout + o.stderr {
		if c < ' ' && c != '\n' || c == 0x7f || c == '\u202e' {
			r.Fatalf("%q is shown in\n%q", c, o.stderr)
		}
	}
}

const (
	idlers    = 300             // more than may come from elsewhere at once
	idlersEnd = 8 * time.Second // what a client has to say something, and a busy machine
)

// Clients that connect and say nothing, too much, or nonsense, harm neither what is
// forwarded nor those who behave.
func TestAPIUnderAbuse(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.startEdited(settings{listen: loopback}, "listen: [ ", fmt.Sprintf("tokenFile: %s, listen: [ %q, ", r.keep("tokens", "read-write "+writer), farInside))
	near := func(path string) {
		r.Helper()
		began := time.Now()
		if status, _, err := r.get("http://"+loopback, path); err != nil || status != 200 || time.Since(began) > soon {
			r.Errorf("%s: %d, %v, after %v", path, status, err, time.Since(began))
		}
	}
	p := r.connect(r.Hosts[0], r.Servers[0])
	before := r.memory()
	dial := func(from *lab.Host, to string) net.Conn {
		r.Helper()
		conn := must(from.Dial(r.within(5*time.Second), "tcp4", to))(r)
		r.Cleanup(func() { conn.Close() })
		return conn
	}
	for range idlers {
		dial(r.Gateway, loopback)
		dial(r.Hosts[1], farInside)
	}
	near("/healthz")
	for _, garbage := range []string{
		"\x00\x01\x02\xff\xfe", "GET / HTTP/9.9\r\n\r\n", "GET /v1/flows HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
		"POST /v1/explain HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n" + strings.Repeat("[", 3<<20),
		"GET /v1/flows HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + strings.Repeat("x", 1<<20),
	} {
		conn := dial(r.Gateway, loopback)
		go io.WriteString(conn, garbage)
		conn.SetReadDeadline(time.Now().Add(settle))
		if first, _ := bufio.NewReader(conn).ReadString('\n'); strings.Contains(first, " 200 ") || strings.Contains(first, " 500 ") {
			r.Errorf("%.40q is answered with %q", garbage, first)
		}
	}
	r.exchange(p)
	r.connect(r.Hosts[0], r.Servers[0])
	near("/healthz")
	near("/readyz")
	near("/metrics")
	r.status()
	far := r.remote(r.openapi(), r.Hosts[0], "http://"+farInside, "")
	r.eventually(idlersEnd, "who may not block the way from elsewhere is gone", func() bool {
		response, err := far.client.Do(must(http.NewRequestWithContext(r.within(time.Second), "GET", far.base+"/healthz", http.NoBody))(r))
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	if grown := r.memory() - before; grown > hostileGrowth {
		r.Errorf("the gateway has grown by %d bytes", grown)
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 2*time.Second {
		r.Errorf("with silent clients it takes %v to end", took)
	}
}
