package main

import (
	"context"
	"net/netip"
	"time"
)

// generatorCPU is the core that the generator has to itself, as far as it goes.
const generatorCPU = 0

// floodOrder is what the generator sends: frames of flow 0, 1, 2, … Flows−1, 0, ….
type floodOrder struct {
	Interface string
	Link      link
	Source    netip.Addr
	Flows     uint64 // 0: each packet is a flow of its own
	Count     uint64 // packets; 0: until it is killed
	Rate      uint64 // packets per second; 0: as fast as it goes
}

// flood is the generator.
func flood(o floodOrder) (nothing, error) {
	if err := pin(generatorCPU); err != nil {
		return nothing{}, err
	}
	w, err := openWire(o.Interface, sendOnly)
	if err != nil {
		return nothing{}, err
	}
	defer w.close()
	frames, template := newBatch(frameLength), newDatagram(o.Link, o.Source)
	start := time.Now()
	for sent := uint64(0); o.Count == 0 || sent < o.Count; {
		n := uint64(batchSize)
		if o.Count != 0 {
			n = min(n, o.Count-sent)
		}
		for i := range n {
			template.write(frames.frames[i][:frameLength], o.flow(sent+i))
		}
		if err := w.send(frames, int(n)); err != nil {
			return nothing{}, err
		}
		sent += n
		pace(start, sent, o.Rate)
	}
	return nothing{}, nil
}

func (o floodOrder) flow(packet uint64) uint64 {
	if o.Flows == 0 {
		return packet
	}
	return packet % o.Flows
}

// pace sleeps until sent packets are due at the given rate.
func pace(start time.Time, sent, rate uint64) {
	if rate == 0 {
		return
	}
	due := start.Add(time.Duration(float64(sent) / float64(rate) * float64(time.Second)))
	if wait := time.Until(due); wait > 0 {
		time.Sleep(wait)
	}
}

func (r *row) floodOrder(flows uint64) floodOrder {
	return floodOrder{
		Interface: clientLink, Source: clientAddr, Flows: flows,
		Link: link{r.client.Interface(clientLink).MAC, r.gw.Interface(insideLink).MAC},
	}
}

// gentleRate is one that every peer takes without loss, new flows too.
const gentleRate = 150_000 // packets per second

// visit sends one packet of each flow, gently, so that the flows are there.
func (r *row) visit(ctx context.Context, flows uint64) error {
	order := r.floodOrder(flows)
	order.Count, order.Rate = flows, gentleRate
	c, err := startChild(ctx, r.client, "flood", order)
	if err != nil {
		return err
	}
	return c.result(&nothing{})
}
