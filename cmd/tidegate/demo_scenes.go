package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"tidegate/e2e/lab"
)

const frontend = "203.0.113.5"

// scene begins a paragraph, note adds a line to the summary.
func (s *stage) scene(title string) { s.out.line("\n== %s", title) }

func (s *stage) note(what, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	s.summary = append(s.summary, [2]string{what, text})
	s.out.line("   %s", text)
}

// web fetches a page and 4 MB as a browser would.
func (s *stage) web() error {
	s.scene("h1 fetches a page from s1")
	h1, s1 := s.lab.Hosts[0], s.lab.Servers[0]
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: h1.Dial, DisableKeepAlives: true}}
	seen, err := get(client, fmt.Sprintf("http://%v/remote", s1.Addr), io.ReadAll)
	if err != nil {
		return err
	}
	const size = 4 << 20
	begin := time.Now()
	got, err := get(client, fmt.Sprintf("http://%v/blob/%d", s1.Addr, size), digest)
	if err != nil {
		return err
	}
	want, err := lab.Digest(lab.Blob(size))
	if err != nil || string(got) != want {
		return errors.Join(err, fmt.Errorf("demo: %d bytes did not arrive intact", size))
	}
	s.note("HTTP", "h1 %v → s1 %v:80; s1 saw %s; 4 MB arrived intact in %v", h1.Addr, s1.Addr, seen, time.Since(begin).Round(time.Millisecond))
	return nil
}

func get(c *http.Client, url string, read func(io.Reader) ([]byte, error)) ([]byte, error) {
	r, err := c.Get(url)
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	defer r.Body.Close()
	return read(r.Body)
}

func digest(r io.Reader) ([]byte, error) {
	d, err := lab.Digest(r)
	return []byte(d), err
}

// datagrams shows that UDP works, and how the outside sees the sender.
func (s *stage) datagrams() error {
	s.scene("h2 sends datagrams to s2")
	h2, s2 := s.lab.Hosts[1], s.lab.Servers[1]
	conn, err := h2.Dial(s.ctx, "udp4", netip.AddrPortFrom(s2.Addr, 7).String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := exchange(conn, "a datagram"); err != nil {
		return err
	}
	flows, err := s.flowsOf(conn.LocalAddr())
	if err != nil {
		return err
	}
	s.note("UDP", "h2 %v → s2 %v:7 and back, as %s", conn.LocalAddr(), s2.Addr, strings.Join(flows, ", "))
	return nil
}

// exchange sends a line and waits for its echo.
func exchange(conn net.Conn, line string) error {
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, line); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(conn, got); err != nil {
		return fmt.Errorf("demo: wait for the echo: %w", err)
	}
	if string(got) != line {
		return fmt.Errorf("demo: echo of %q was %q", line, got)
	}
	return conn.SetDeadline(time.Time{})
}

func (s *stage) ping() error {
	s.scene("h1 pings s1, and the frontend address itself")
	h1, s1 := s.lab.Hosts[0], s.lab.Servers[0]
	for _, to := range []netip.Addr{s1.Addr, netip.MustParseAddr(frontend)} {
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		rtt, err := h1.Ping(ctx, to)
		cancel()
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		s.note("ping", "h1 → %v answered in %v", to, rtt.Round(time.Microsecond))
	}
	return nil
}

// inbound reaches a member from the outside.
func (s *stage) inbound() error {
	s.scene("s2 connects to the frontend's port 2222, which an inbound NAT rule leads to h1")
	s2, h1 := s.lab.Servers[1], s.lab.Hosts[0]
	conn, err := s2.Dial(s.ctx, "tcp4", frontend+":2222")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := exchange(conn, "is this h1?"); err != nil {
		return err
	}
	s.note("inbound", "s2 %v → %s:2222 reached h1 %v:22", conn.LocalAddr(), frontend, h1.Addr)
	return nil
}

// stranger shows that who is in no pool gets nothing out.
func (s *stage) stranger() error {
	s.scene("h3, which is in no pool, tries to get out")
	h3, s1 := s.lab.Hosts[2], s.lab.Servers[0]
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	if conn, err := h3.Dial(ctx, "tcp4", netip.AddrPortFrom(s1.Addr, 80).String()); err == nil {
		conn.Close()
		return errors.New("demo: h3 got through")
	}
	for _, p := range s.capture[1].Packets() {
		if ip := p.IPv4(); ip != nil && strings.HasPrefix(ip.SrcIP.String(), "10.") {
			return fmt.Errorf("demo: an untranslated packet left: %v", p)
		}
	}
	status, err := s.client.Status(s.ctx)
	if err != nil {
		return err
	}
	s.note("no pool", "h3 %v got nothing out; %d of its packets were dropped as \"not-a-member\"", h3.Addr, status.Totals.Drops["not-a-member"])
	return nil
}
