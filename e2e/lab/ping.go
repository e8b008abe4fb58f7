package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

const icmpProtocol = 1 // IANA protocol number, as icmp.ParseMessage wants it

// Ping sends one ICMP echo request from the host with a random identifier and
// returns how long its reply took. It waits as long as ctx lets it.
func (h *Host) Ping(ctx context.Context, to netip.Addr) (time.Duration, error) {
	conn, err := h.ListenPacket("ip4:icmp", "0.0.0.0")
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	start := time.Now()
	if err := echoOnce(conn, to); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no answer: %w", ctx.Err())
		}
		return 0, fmt.Errorf("lab: ping %s from %s: %w", to, h.Name, err)
	}
	return time.Since(start), nil
}

// echoOnce sends a request and reads until its reply comes.
func echoOnce(conn net.PacketConn, to netip.Addr) error {
	id, seq := rand.IntN(1<<16), 1
	request := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: seq, Data: []byte("tidegate lab")}}
	b, err := request.Marshal(nil)
	if err != nil {
		return err
	}
	if _, err := conn.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			return err
		}
		reply, err := icmp.ParseMessage(icmpProtocol, buf[:n])
		if err != nil || reply.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if e, ok := reply.Body.(*icmp.Echo); ok && e.ID == id && e.Seq == seq {
			return nil
		}
	}
}
