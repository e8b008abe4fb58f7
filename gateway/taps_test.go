package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// TestTaps: each gets what matches, as much of it as it wants, until it is closed.
func TestTaps(t *testing.T) {
	r := newRig(t)
	all := r.tap(TapOptions{Snaplen: 24})
	left := r.tap(TapOptions{Match: func(s *Sighting) bool { return s.After && s.Length == len(s.Packet) }})
	r.pass(nexthop.Inside, datagram(client, server))
	seen := r.seen(all)
	if len(seen) != 2 || len(seen[0].Packet) != 24 || seen[0].Length != len(datagram(client, server)) || !bytes.Equal(seen[0].Packet, datagram(client, server)[:24]) {
		t.Errorf("seen %+v", seen)
	}
	all.Close()
	all.Close()
	r.pass(nexthop.Inside, datagram(client, server))
	if seen := r.seen(left); len(seen) != 2 || !seen[0].After || !seen[1].After {
		t.Errorf("seen %+v", seen)
	}
	if _, err := all.Next(t.Context()); !errors.Is(err, io.EOF) {
		t.Errorf("after its end: %v", err)
	}
	for range maxTaps - 1 {
		r.tap(TapOptions{})
	}
	if _, err := r.Tap(TapOptions{}); err == nil || !strings.HasPrefix(err.Error(), "gateway: tap: 8 look on already") {
		t.Errorf("one too many: %v", err)
	}
}

// TestTapLoses what does not fit, counts it, and goes on once it is emptied.
func TestTapLoses(t *testing.T) {
	for name, size := range map[string]int{"many small": 0, "few large": 1000} {
		r := newRig(t)
		tap, b := r.tap(TapOptions{Buffer: 1 << 18}), packettest.UDP(packettest.Datagram{Src: client, Dst: server, Payload: strings.Repeat("x", size)})
		for range 2 {
			before, after := tap.Lost()
			for range 1000 {
				r.pass(nexthop.Inside, b)
			}
			lostBefore, lostAfter := tap.Lost()
			got := len(r.seen(tap))
			lost := int(lostBefore - before + lostAfter - after)
			if got < 50 || lost < 50 || got+lost != 2000 || lostBefore == before || lostAfter == after {
				t.Errorf("%s: %d seen and %d lost of 2000", name, got, lost)
			}
		}
	}
}

// TestTapsComeAndGo while packets flow, and Next waits for them.
func TestTapsComeAndGo(t *testing.T) {
	r := newRig(t)
	r.udp(client, server)
	r.mute()
	done := make(chan struct{})
	var wait sync.WaitGroup
	wait.Go(func() {
		for b := newBatch(framed(datagram(client, server))); ; {
			select {
			case <-done:
				return
			default:
				r.forward(nexthop.Inside, b.restore())
			}
		}
	})
	var lookers sync.WaitGroup
	for i := range maxTaps {
		lookers.Go(func() {
			for range 20 {
				if err := r.lookOn(i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	lookers.Wait()
	close(done)
	wait.Wait()
	if len(r.taps.all) != 0 {
		t.Errorf("%d look on still", len(r.taps.all))
	}
}

// lookOn looks on for a moment: until it has seen enough, or is closed by another.
func (r *rig) lookOn(i int) error {
	tap, err := r.Tap(TapOptions{Snaplen: maxPacket})
	if err != nil {
		return err
	}
	if i%2 == 0 {
		defer tap.Close()
	} else {
		go tap.Close()
	}
	for n := 0; n < 100; {
		batch, err := tap.Next(context.Background())
		if errors.Is(err, io.EOF) && i%2 == 1 {
			return nil
		}
		if err != nil {
			return err
		}
		for i := range batch {
			if s := &batch[i]; s.Length != len(s.Packet) || s.Packet[0] != 0x45 {
				return fmt.Errorf("seen %+v", s)
			}
		}
		n += len(batch)
	}
	tap.Close()
	return nil
}

// TestAfterATapNothingIsLeft: who has looked on costs nothing any more.
func TestAfterATapNothingIsLeft(t *testing.T) {
	r := newRig(t)
	r.udp(client, server)
	r.mute()
	b := newBatch(framed(datagram(client, server)))
	tap := r.tap(TapOptions{Buffer: 1 << 20})
	watched := testing.AllocsPerRun(100, func() { r.forward(nexthop.Inside, b.restore()) })
	if seen := r.seen(tap); len(seen) != 202 {
		t.Errorf("seen %d times", len(seen))
	}
	tap.Close()
	if n := testing.AllocsPerRun(100, func() { r.forward(nexthop.Inside, b.restore()) }); n != 0 || watched != 0 {
		t.Errorf("%v allocations, and %v while somebody looks on", n, watched)
	}
	if seen := r.seen(tap); len(seen) != 0 {
		t.Errorf("seen %d times after the end", len(seen))
	}
}
