package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"tidegate/e2e/lab"
)

// visit is one question that a backend has answered.
type visit struct {
	backend string // the name of the host that answered
	seen    string // the client as that host sees it
	local   string // the client as its own kernel sees it
}

// serveWeb serves Blobs on several hosts, each of which says its name and whom it sees.
func (r *rig) serveWeb(address string, hosts ...*lab.Host) {
	r.Helper()
	for _, h := range hosts {
		must(lab.ServeHTTP(h, address, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Backend", h.Name)
			w.Header().Set("Client", q.RemoteAddr)
			lab.Blobs().ServeHTTP(w, q)
		})))(r)
	}
}

// serveNames does it by UDP.
func (r *rig) serveNames(address string, hosts ...*lab.Host) {
	r.Helper()
	for _, h := range hosts {
		must(lab.ServeUDP(h, address, func(_ []byte, from netip.AddrPort) []byte {
			return fmt.Appendf(nil, "%s %v", h.Name, from)
		}))(r)
	}
}

// page is large enough for many segments and windows.
const page = 256 << 10

// visit asks for a page over a connection of its own, and checks every byte of it.
func (r *rig) visit(from *lab.Host, to string) visit {
	r.Helper()
	return r.visitFrom(from, netip.AddrPort{}, to)
}

// visitFrom does it from a local endpoint, whose port may be 0.
func (r *rig) visitFrom(from *lab.Host, local netip.AddrPort, to string) (v visit) {
	r.Helper()
	v, err := fetch(r.within(5*time.Second), from, local, to)
	r.check(err)
	return v
}

func fetch(ctx context.Context, from *lab.Host, local netip.AddrPort, to string) (v visit, err error) {
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := from.DialFrom(ctx, "tcp4", local, address)
		if err == nil {
			v.local = conn.LocalAddr().String()
		}
		return conn, err
	}}
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/blob/%d", to, page), http.NoBody)
	if err != nil {
		return v, err
	}
	response, err := transport.RoundTrip(get)
	if err != nil {
		return v, fmt.Errorf("from %s to %s: %w", from.Name, to, err)
	}
	defer response.Body.Close()
	got, err := lab.Digest(response.Body)
	if want, _ := lab.Digest(lab.Blob(page)); err != nil || got != want {
		return v, fmt.Errorf("from %s to %s: a page that is not whole: %w", from.Name, to, err)
	}
	v.backend, v.seen = response.Header.Get("Backend"), response.Header.Get("Client")
	return v, nil
}

// query asks who answers by UDP, from a local endpoint whose port may be 0.
func (r *rig) query(from *lab.Host, local netip.AddrPort, to string) (v visit) {
	r.Helper()
	conn := must(from.DialFrom(r.Context(), "udp4", local, to))(r)
	defer conn.Close()
	v, err := queryOver(conn)
	r.check(err)
	return v
}

// queryOver asks over a socket, which stays open.
func queryOver(conn net.Conn) (v visit, err error) {
	v.local = conn.LocalAddr().String()
	if err := conn.SetDeadline(time.Now().Add(soon)); err != nil {
		return v, err
	}
	if _, err := io.WriteString(conn, line); err != nil {
		return v, err
	}
	b := make([]byte, 100)
	n, err := conn.Read(b)
	if err != nil {
		return v, err
	}
	_, err = fmt.Sscan(string(b[:n]), &v.backend, &v.seen)
	return v, err
}

// wantNoAnswer checks that a connection is neither made nor refused.
func (r *rig) wantNoAnswer(from *lab.Host, to string) {
	r.Helper()
	conn, err := from.Dial(r.within(300*time.Millisecond), "tcp4", to)
	var late net.Error
	switch {
	case err == nil:
		conn.Close()
		r.Errorf("%s reached %s", from.Name, to)
	case !errors.As(err, &late) || !late.Timeout():
		r.Errorf("%s was told about %s: %v", from.Name, to, err)
	}
}

// wantDropped checks that a connection gets no answer, and is counted.
func (r *rig) wantDropped(from *lab.Host, to, reason string) {
	r.Helper()
	before := r.status().Totals.Drops[reason]
	r.wantNoAnswer(from, to)
	if after := r.status().Totals.Drops[reason]; after == before {
		r.Errorf("from %s to %s nothing is counted as %s: %v", from.Name, to, reason, r.status().Totals.Drops)
	}
}

// listeners accept connections on the same port of several hosts.
type listeners struct {
	*rig
	accepted chan accepted
}

type accepted struct {
	host *lab.Host
	conn net.Conn
}

func (r *rig) listen(address string, hosts ...*lab.Host) listeners {
	r.Helper()
	l := listeners{r, make(chan accepted)}
	for _, h := range hosts {
		listener := must(h.Listen("tcp4", address))(r)
		r.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				select {
				case l.accepted <- accepted{h, conn}:
				case <-r.Context().Done():
					conn.Close()
				}
			}
		}()
	}
	return l
}

// connect opens a connection to a frontend, and says which host has it.
func (l listeners) connect(from *lab.Host, to string) (pair, *lab.Host) {
	l.Helper()
	client := must(from.Dial(l.within(5*time.Second), "tcp4", to))(l)
	select {
	case a := <-l.accepted:
		return l.adopt(pair{inside: a.conn.(*net.TCPConn), outside: client.(*net.TCPConn)}), a.host
	case <-time.After(5 * time.Second):
		l.Fatalf("%s connected to %s, and nobody accepted", from.Name, to)
		return pair{}, nil
	}
}

// connectTo opens connections until one reaches the host, and closes the others.
func (l listeners) connectTo(host, from *lab.Host, to string) pair {
	l.Helper()
	for range 64 {
		p, got := l.connect(from, to)
		if got == host {
			return p
		}
		p.inside.Close()
		p.outside.Close()
	}
	l.Fatalf("of 64 connections to %s none reached %s", to, host.Name)
	return pair{}
}

// health is what a host answers to an HTTP probe.
type health struct {
	status atomic.Int32
	asked  atomic.Int32
	by     atomic.Value // of string: the address of who asked last
}

// serveHealth answers probes on a host, at first with 200.
func (r *rig) serveHealth(address string, h *lab.Host) *health {
	r.Helper()
	a := new(health)
	a.status.Store(http.StatusOK)
	must(lab.ServeHTTP(h, address, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		a.by.Store(q.RemoteAddr)
		a.asked.Add(1)
		w.WriteHeader(int(a.status.Load()))
	})))(r)
	return a
}

// awaitProbed waits until all have been asked twice: after the second question the
// gateway has long made use of the first answer.
func (r *rig) awaitProbed(all ...*health) {
	r.Helper()
	for _, h := range all {
		before := h.asked.Load()
		r.eventually(4*time.Second, "two probes", func() bool { return h.asked.Load() >= before+2 })
	}
}

// wantBackends checks which backends get new flows.
func (r *rig) wantBackends(from *lab.Host, to string, want ...string) {
	r.Helper()
	seen := map[string]int{}
	for range 24 { // both of two are missed once in eight million times
		seen[r.visit(from, to).backend]++
	}
	for _, name := range want {
		if seen[name] == 0 {
			r.Errorf("%s gets no new flows: %v", name, seen)
		}
	}
	if len(seen) != len(want) {
		r.Errorf("new flows go to %v, want %v", seen, want)
	}
}
