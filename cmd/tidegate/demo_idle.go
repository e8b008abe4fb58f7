package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// idle lets one connection fall silent, and another live by TCP keepalives.
func (s *stage) idle() error {
	s.scene(fmt.Sprintf("h1 opens two connections to s1 and says no more; the rule's idle timeout is %v", demoIdle))
	client, server, err := s.connect()
	if err != nil {
		return err
	}
	defer client.Close()
	defer server.Close()
	kept, keptServer, err := s.connect()
	if err != nil {
		return err
	}
	defer kept.Close()
	defer keptServer.Close()
	if err := kept.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}); err != nil {
		return err
	}
	external, err := s.flowsOf(client.LocalAddr())
	if err != nil || len(external) != 1 {
		return errors.Join(err, fmt.Errorf("demo: the gateway lists %d flows of %v", len(external), client.LocalAddr()))
	}
	expected, err := expectations(client, server)
	if err != nil {
		return err
	}
	began := time.Now()
	s.out.line("   %v ↔ %v falls silent; %v has keepalives on …", client.LocalAddr(), server.LocalAddr(), kept.LocalAddr())
	if err := s.awaitResets(client, server, began); err != nil {
		return err
	}
	if err := s.showResets(client, external[0], expected); err != nil {
		return err
	}
	if err := roundTrip(kept, keptServer); err != nil {
		return fmt.Errorf("demo: the connection with keepalives: %w", err)
	}
	s.note("keepalive", "%v had TCP keepalives on, and still works", kept.LocalAddr())
	return nil
}

// connect opens a connection from h1 to s1 and says something in both directions.
func (s *stage) connect() (client, server *net.TCPConn, err error) {
	ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
	defer cancel()
	client, server, err = lab.Connect(ctx, s.lab.Hosts[0], s.lab.Servers[0])
	if err != nil {
		return nil, nil, err
	}
	if err := roundTrip(client, server); err != nil {
		return nil, nil, errors.Join(err, client.Close(), server.Close())
	}
	return client, server, nil
}

func roundTrip(client, server net.Conn) error {
	go func() {
		buf := make([]byte, 16)
		if n, err := server.Read(buf); err == nil {
			_, _ = server.Write(buf[:n])
		}
	}()
	return exchange(client, "hello")
}

// expectations returns the only sequence number at which each end's kernel takes a RST.
func expectations(client, server net.Conn) (expect [2]uint32, err error) {
	for i, c := range []net.Conn{client, server} {
		n, err := lab.SequencesOf(c)
		if err != nil {
			return expect, err
		}
		expect[i] = n.RcvNxt
	}
	return expect, nil
}

func (s *stage) awaitResets(client, server net.Conn, began time.Time) error {
	defer context.AfterFunc(s.ctx, func() {
		client.Close()
		server.Close()
	})()
	type outcome struct {
		at  time.Time
		err error
	}
	wait := func(c net.Conn) <-chan outcome {
		done := make(chan outcome, 1)
		go func() {
			at, err := lab.WaitReset(c, demoIdle+5*time.Second)
			done <- outcome{at, err}
		}()
		return done
	}
	atClient, atServer := wait(client), wait(server)
	c, v := <-atClient, <-atServer
	if err := errors.Join(c.err, v.err); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.note("reset", "after %.2f s h1's read returned \"connection reset by peer\"", c.at.Sub(began).Seconds())
	s.note("reset", "after %.2f s s1's read returned \"connection reset by peer\"", v.at.Sub(began).Seconds())
	return nil
}

// showResets finds both RSTs as they were on the wire: to h1 from s1's endpoint,
// to s1 from the external one.
func (s *stage) showResets(client net.Conn, external string, expected [2]uint32) error {
	local, remote := client.LocalAddr().String(), client.RemoteAddr().String()
	for i, end := range []struct{ name, from, to string }{{"h1", remote, local}, {"s1", external, remote}} {
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		p, err := s.capture[i].Wait(ctx, func(p lab.Packet) bool { return isReset(p, end.from, end.to) })
		cancel()
		if err != nil {
			return fmt.Errorf("demo: find the RST to %s: %w", end.name, err)
		}
		s.note("captured", "%s → %s RST seq %d; %s's kernel expected %d", end.from, end.to, p.TCP().Seq, end.name, expected[i])
		if p.TCP().Seq != expected[i] {
			return errors.New("demo: that is not the number")
		}
	}
	return nil
}

func isReset(p lab.Packet, from, to string) bool {
	ip, t := p.IPv4(), p.TCP()
	return ip != nil && t != nil && t.RST &&
		fmt.Sprintf("%v:%d", ip.SrcIP, t.SrcPort) == from && fmt.Sprintf("%v:%d", ip.DstIP, t.DstPort) == to
}

// flowsOf returns the external endpoints of the flows that an inside socket has.
func (s *stage) flowsOf(local net.Addr) (external []string, err error) {
	filter, err := api.ParseFilter([]string{"internal=" + local.String()})
	if err != nil {
		return nil, err
	}
	list, err := s.client.Flows(s.ctx, api.FlowQuery{Filter: filter})
	if err != nil {
		return nil, err
	}
	for _, f := range list.Flows {
		external = append(external, f.External.String())
	}
	return external, nil
}

// sumUp prints what happened, and takes the gateway down as an operator would.
func (s *stage) sumUp() error {
	s.out.line("\n== In short")
	for _, line := range s.summary {
		s.out.line("   %-10s %s", line[0], line[1])
	}
	if err := s.gateway.Close(); err != nil {
		return fmt.Errorf("demo: end the gateway: %w", err)
	}
	s.out.line("\nThe gateway has ended, and the network is being removed.")
	return s.out.err
}
