package fragment

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"tidegate/packet"
)

// modelDatagram is what has come of a datagram, unit by unit.
type modelDatagram struct {
	units      map[int]bool
	last       int // in units; 0: not known
	until      int64
	flow       Flow
	known, bad bool
	held       [][]byte
}

// model is a Table as dumb as can be, but for its bound on datagrams.
type model struct {
	table *Table
	now   int64
	all   map[Key]*modelDatagram
	sent  byte
	lost  int
}

func (m *model) at(k Key) *modelDatagram {
	d := m.all[k]
	if d != nil && m.now >= d.until {
		m.lost += len(d.held)
		d = nil
	}
	if d == nil {
		d = &modelDatagram{units: make(map[int]bool), until: m.now + int64(500*time.Millisecond)}
		m.all[k] = d
	}
	return d
}

// add says what the fragment [offset, offset+length) is to the datagram.
func (d *modelDatagram) add(offset, length int, more bool) Fate {
	from, to := offset/8, (offset+length+7)/8
	overlap, farthest := 0, 0
	for u := range d.units {
		if u >= from && u < to {
			overlap++
		}
		farthest = max(farthest, u+1)
	}
	switch {
	case length == 0, offset+length > 65535-20, more && length%8 != 0:
		return Misfit
	case d.last != 0 && (to > d.last || more == (to == d.last)):
		return Misfit
	case d.last == 0 && !more && farthest >= to:
		return Misfit
	case overlap == to-from:
		return Duplicate
	case overlap > 0:
		return Misfit
	}
	for u := from; u < to; u++ {
		d.units[u] = true
	}
	if !more {
		d.last = to
	}
	if d.runs() > maxSpans {
		return Misfit
	}
	return Fits
}

// runs counts the pieces between gaps.
func (d *modelDatagram) runs() (n int) {
	for u := range d.units {
		if !d.units[u-1] {
			n++
		}
	}
	return n
}

func (d *modelDatagram) whole() bool { return d.last != 0 && len(d.units) == d.last }

// TestModel does at random what can be done with a Table.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{table: New(), all: make(map[Key]*modelDatagram)}
		t.Repeat(map[string]func(*rapid.T){
			"first": m.first, "later": m.later, "another later": m.later, "one more": m.later,
			"refuse": m.refuse, "pass": m.pass, "": m.compare,
		})
	})
}

func drawKey(t *rapid.T) Key {
	n := rapid.IntRange(0, 5).Draw(t, "key")
	return Key{Src: packet.Addr(n % 2), Dst: 9, ID: uint16(n / 4), Proto: packet.UDP, Inside: n%4 > 1}
}

func (m *model) first(t *rapid.T) {
	k, length := drawKey(t), rapid.SampledFrom([]int{8, 16, 24, 1480, 7}).Draw(t, "length")
	m.sent++
	flow := Flow{ID: uint64(m.sent), Base: 5, Way: 1}
	waited, fate := m.table.First(k, length, flow, m.now)
	if d := m.all[k]; d != nil && d.known {
		delete(m.all, k)
	}
	d := m.at(k)
	want := Misfit
	if !d.bad {
		want = d.add(0, length, true)
	}
	if fate != want {
		t.Fatalf("first fragment of %d bytes: %v, want %v", length, fate, want)
	}
	if fate == Misfit {
		m.spoil(d)
		return
	}
	if fmt.Sprint(waited) != fmt.Sprint(d.held) {
		t.Fatalf("%v waited, want %v", waited, d.held)
	}
	d.known, d.flow, d.held, d.until = true, flow, nil, m.now+int64(30*time.Second)
	m.finish(k)
}

func (m *model) finish(k Key) {
	if m.all[k].whole() {
		delete(m.all, k)
	}
}

func (m *model) later(t *rapid.T) {
	k, more := drawKey(t), rapid.Bool().Draw(t, "more")
	offset := rapid.OneOf(rapid.SampledFrom([]int{8, 16, 24, 32, 40, 48}), rapid.Map(rapid.IntRange(1, 8191), func(n int) int { return 8 * n })).Draw(t, "offset")
	length := rapid.OneOf(rapid.SampledFrom([]int{8, 16, 24}), rapid.IntRange(0, 65515)).Draw(t, "length")
	d := m.at(k)
	want := Misfit
	if !d.bad {
		want = d.add(offset, length, more)
	}
	flow, known, fate := m.table.Later(k, offset, length, more, m.now)
	if fate != want || fate != Misfit && (known != d.known || flow != d.flow) {
		t.Fatalf("[%d, %d) more %t: %v of %v, known %t; want %v of %v, known %t", offset, offset+length, more, fate, flow, known, want, d.flow, d.known)
	}
	switch {
	case fate == Misfit:
		m.spoil(d)
	case known:
		m.finish(k)
	case fate == Fits:
		m.hold(t, k, d)
	}
}

func (m *model) hold(t *rapid.T, k Key, d *modelDatagram) {
	m.sent++
	frame := bytes.Repeat([]byte{m.sent}, 100)
	got, want := m.table.Hold(k, frame), len(d.held) < maxHeld
	if got != want {
		t.Fatalf("held: %t with %d before it", got, len(d.held))
	}
	if got {
		d.held = append(d.held, bytes.Clone(frame))
	}
	clear(frame) // it is the caller's again
}

func (m *model) spoil(d *modelDatagram) {
	m.lost += len(d.held)
	d.bad, d.held = true, nil
}

func (m *model) refuse(t *rapid.T) {
	k := drawKey(t)
	d := m.at(k)
	m.table.Refuse(k, m.now)
	m.spoil(d)
}

func (m *model) pass(t *rapid.T) {
	m.now += rapid.SampledFrom([]int64{1e6, 2e8, 4e8, 7e8, 2e10}).Draw(t, "time")
	if !rapid.Bool().Draw(t, "looks") {
		return // the table notices by itself
	}
	lost := m.lost
	m.lost = 0
	for k, d := range m.all {
		if m.now >= d.until {
			lost += len(d.held)
			delete(m.all, k)
		}
	}
	if got := m.table.Expire(m.now); got != lost {
		t.Fatalf("%d are lost, want %d", got, lost)
	}
}

func (m *model) compare(t *rapid.T) {
	held := 0
	for _, d := range m.all {
		held += (frameCost + 100) * len(d.held)
	}
	if m.table.Len() != len(m.all) || m.table.Held() != held {
		t.Fatalf("%d datagrams and %d bytes, want %d and %d", m.table.Len(), m.table.Held(), len(m.all), held)
	}
}
