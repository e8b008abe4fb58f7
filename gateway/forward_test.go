package gateway

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/nexthop"
	"tidegate/packet"
	"tidegate/packet/packettest"
)

const server = "198.51.100.7:443"

// conversation is a TCP flow from a member to the server, as both ends see it.
type conversation struct {
	r              *rig
	client, public string
	clientSeq      uint32 // SND.NXT of each end
	serverSeq      uint32
}

// open makes an ESTABLISHED flow.
func (r *rig) open(client string) *conversation {
	r.t.Helper()
	c := &conversation{r: r, client: client, clientSeq: 1000, serverSeq: 0xfffffff0}
	syn := r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{
		Src: client, Dst: server, Seq: c.clientSeq, Flags: packet.SYN,
		Options: []packettest.Option{packettest.MSS(1460), packettest.WScale(7)},
	}))
	c.public = syn.Src
	c.clientSeq++
	r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{
		Src: server, Dst: c.public, Seq: c.serverSeq, Ack: c.clientSeq, Flags: packet.SYN | packet.ACK,
		Options: []packettest.Option{packettest.MSS(1460), packettest.WScale(7)},
	}))
	c.serverSeq++
	c.fromClient("", packet.ACK)
	return c
}

func (c *conversation) fromClient(payload string, flags uint8) packettest.View {
	c.r.t.Helper()
	v := c.r.pass(nexthop.Inside, packettest.TCP(packettest.Segment{
		Src: c.client, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: flags, Payload: payload,
	}))
	c.clientSeq += uint32(len(payload))
	return v
}

func (c *conversation) fromServer(payload string, flags uint8) packettest.View {
	c.r.t.Helper()
	v := c.r.pass(nexthop.Outside, packettest.TCP(packettest.Segment{
		Src: server, Dst: c.public, Seq: c.serverSeq, Ack: c.clientSeq, Flags: flags, Payload: payload,
	}))
	c.serverSeq += uint32(len(payload))
	return v
}

func TestOutboundTCP(t *testing.T) {
	r := newRig(t)
	c := r.open("10.0.0.10:40000")
	sent := packettest.TCP(packettest.Segment{Src: c.client, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: packet.ACK, Payload: "hello"})
	want := packettest.Fields(t, sent)
	want.Src, want.TTL = c.public, want.TTL-1
	if diff := cmp.Diff(want, r.pass(nexthop.Inside, sent)); diff != "" {
		t.Error(diff)
	}
	answer := c.fromServer("world", packet.ACK)
	if answer.Src != server || answer.Dst != c.client || answer.Payload != "world" {
		t.Errorf("the client got %+v", answer)
	}
}

func TestResetOnIdle(t *testing.T) {
	r := newRig(t)
	c := r.open("10.0.0.10:40000")
	c.fromClient("GET /", packet.ACK)
	c.fromServer("a long answer that goes round the sequence numbers", packet.ACK)
	c.fromClient("", packet.ACK)
	r.sleep(testIdle - time.Second)
	if n := len(r.sent[0]) + len(r.sent[1]); n != 0 {
		t.Fatalf("%d packets before the timeout", n)
	}
	r.sleep(testIdle/50 + time.Second)
	toClient, toServer := r.one(nexthop.Inside), r.one(nexthop.Outside)
	wantClient := packettest.View{Src: server, Dst: c.client, Seq: c.serverSeq, Ack: c.clientSeq, Flags: packet.RST | packet.ACK}
	wantServer := packettest.View{Src: c.public, Dst: server, Seq: c.clientSeq, Ack: c.serverSeq, Flags: packet.RST | packet.ACK}
	for _, pair := range [][2]packettest.View{{wantClient, toClient}, {wantServer, toServer}} {
		want, got := pair[0], pair[1]
		want.Proto, want.TTL, want.DF, want.ID = packet.TCP, 64, true, got.ID
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if r.table.Len() != 0 {
		t.Error("the flow still lives")
	}
}
