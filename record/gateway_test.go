package record

import (
	"context"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
	"tidegate/nat"
	"tidegate/packet"
	"tidegate/packet/packettest"
	"tidegate/packetio"
)

// wire is a Reader of packets written down before, and a Writer that keeps the
// last packet.
type wire struct {
	packets [][]byte
	ended   chan struct{}
	closed  chan struct{}
	once    sync.Once
	last    []byte
}

func (*wire) Layout() packetio.Layout { return packetio.Layout{} }

func (w *wire) ReadBatch(frames [][]byte) (int, error) {
	if len(w.packets) == 0 {
		close(w.ended)
		<-w.closed
		return 0, net.ErrClosed
	}
	frames[0], w.packets = w.packets[0], w.packets[1:]
	return 1, nil
}

func (w *wire) WriteBatch(frames [][]byte) (int, error) {
	w.last = append([]byte(nil), frames[len(frames)-1]...)
	return len(frames), nil
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return nil
}

// play runs a gateway over packets until it has decided on all.
func play(t *testing.T, w *wire) *gateway.Gateway {
	t.Helper()
	public, member := packettest.Addr("203.0.113.5"), packettest.Addr("10.0.0.10")
	policy, err := nat.NewPolicy(nat.Rules{
		Frontends: []packet.Addr{public},
		Outbound: []nat.OutboundRule{{Rule: 0, Name: "egress", Protocols: []packet.Protocol{packet.UDP},
			Frontends: []packet.Addr{public}, Members: []packet.Addr{member}, Ports: 8}},
		Inbound: []nat.InboundRule{{Rule: 1, Name: "ssh", Protocol: packet.TCP,
			Frontend: nat.Endpoint{Addr: public, Port: 2222}, Backend: nat.Endpoint{Addr: member, Port: 22}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	port := gateway.Port{Writers: [2]gateway.Writer{w, w}, Router: gateway.NewTunnelRouter(), Tunnel: true}
	worker := port
	worker.Reader = w
	g, err := gateway.New(gateway.Options{
		MaxFlows: 64, Policy: policy, Control: port, Workers: []gateway.Port{worker}, Log: silence,
		Names: gateway.Names{public: "public"}, Now: func() int64 { return now },
		Rules:  []gateway.Rule{{Name: "egress", Type: gateway.OutboundRule, Idle: time.Minute}, {Name: "ssh", Type: gateway.InboundNATRule, Idle: time.Minute}},
		Timers: conntrack.Timers{HalfOpen: time.Minute, FinHold: time.Minute, ResetHold: time.Minute, ICMP: time.Minute},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		g.Close()
	})
	<-w.ended
	return g
}

// What is recorded of a flow is what its packets looked like before and after the
// gateway, whichever side began it.
func TestGateway(t *testing.T) {
	for _, c := range []struct {
		name, rule, direction, internal, external, remote string
		packet                                            []byte
	}{
		{"out", "egress", "outbound", "10.0.0.10:40000", "", "198.51.100.7:53",
			packettest.UDP(packettest.Datagram{Src: "10.0.0.10:40000", Dst: "198.51.100.7:53"})},
		{"in", "ssh", "inbound", "10.0.0.10:22", "203.0.113.5:2222", "198.51.100.9:5000",
			packettest.TCP(packettest.Segment{Src: "198.51.100.9:5000", Dst: "203.0.113.5:2222", Flags: packet.SYN})},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := packettest.Fields(t, c.packet)
			w := &wire{packets: [][]byte{c.packet}, ended: make(chan struct{}), closed: make(chan struct{})}
			g := play(t, w)
			path, conn := filepath.Join(t.TempDir(), "flows.json"), listenUDP(t)
			_, stop := start(t, Options{Gateway: g, File: &FileOptions{Path: path},
				IPFIX: &IPFIXOptions{Collector: conn.LocalAddr().String(), ObservationDomainID: testDomain}})
			after := packettest.Fields(t, w.last)
			if n, err := g.Kill(func(*conntrack.Flow) bool { return true }); n != 1 || err != nil {
				t.Fatal(n, err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if c.external == "" {
				c.external = after.Src
			}
			lines := linesOf(t, path)
			if len(lines) != 2 || lines[1]["reason"] != "killed" {
				t.Fatal(lines)
			}
			for key, want := range map[string]string{"rule": c.rule, "direction": c.direction, "internal": c.internal, "external": c.external, "remote": c.remote, "frontend": "public"} {
				for _, l := range lines {
					if l[key] != want {
						t.Errorf("%s is %v, want %s", key, l[key], want)
					}
				}
			}
			collector := newCollector(t)
			for len(collector.records) < 2 {
				collector.message(datagram(t, conn), testDomain)
			}
			for element, want := range map[string]string{"8 7": before.Src, "225 227": after.Src, "12 11": before.Dst, "226 228": after.Dst} {
				address, port, _ := strings.Cut(element, " ")
				at := netip.MustParseAddrPort(want)
				if r := collector.records[0]; r[address] != uint64(packet.AddrFrom(at.Addr())) || r[port] != uint64(at.Port()) {
					t.Errorf("elements %s are %d and %d, want %s", element, r[address], r[port], want)
				}
			}
		})
	}
}
