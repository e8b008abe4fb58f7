package conntrack

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"tidegate/packet"
)

// TestSizes keeps the layout at whole cache lines.
func TestSizes(t *testing.T) {
	for name, c := range map[string]struct{ got, want uintptr }{
		"half":   {unsafe.Sizeof(half{}), 64},
		"entry":  {unsafe.Sizeof(entry{}), 128},
		"side":   {unsafe.Sizeof(side{}), 32},
		"bucket": {unsafe.Sizeof(bucket{}), 64},
	} {
		if c.got != c.want {
			t.Errorf("%s has %d bytes, want %d", name, c.got, c.want)
		}
	}
}

// TestAligned: a half that straddled two cache lines would cost two.
func TestAligned(t *testing.T) {
	table := newTable(t, 100, 0)
	for name, at := range map[string]unsafe.Pointer{
		"entries": unsafe.Pointer(&table.entries[0]), "index": unsafe.Pointer(&table.index.buckets[0]),
	} {
		if uintptr(at)%64 != 0 {
			t.Errorf("%s begin at %p", name, at)
		}
	}
}

// TestMemoryPerFlow counts all that is mapped for a table that is full.
func TestMemoryPerFlow(t *testing.T) {
	const maxFlows = 1 << 20
	table := newTable(t, maxFlows, 0)
	if got := mappedBytes(table) / maxFlows; got > 208 {
		t.Errorf("%d bytes per flow, want at most 208", got)
	}
}

func mappedBytes(table *Table) int {
	return len(table.index.buckets)*int(unsafe.Sizeof(bucket{})) +
		len(table.entries)*int(unsafe.Sizeof(entry{})) + len(table.sides)*int(unsafe.Sizeof(side{}))
}

func TestNoAllocations(t *testing.T) {
	udp, tcp := admission(packet.UDP, 1, resets), admission(packet.TCP, 2, resets)
	data, buf, now := segment(packet.ACK, 1001, 5001, 0), make([]Ended, 0, 32), int64(0)
	for _, c := range []struct {
		name string
		run  func(table *Table, open Ref)
	}{
		{"Lookup and Observe", func(table *Table, open Ref) {
			r, _ := table.Lookup(&tcp.Original)
			data.Payload = 1
			table.Observe(r, data, 1, now)
		}},
		{"Insert and End", func(table *Table, open Ref) {
			r, _ := table.Insert(udp, now)
			table.End(r, Killed, now)
		}},
		{"Insert and Sweep", func(table *Table, open Ref) {
			table.Insert(udp, now)
			now += 245 * second
			table.Observe(open, data, 1, now)
			table.Sweep(now, buf)
		}},
		{"tombstones", func(table *Table, open Ref) {
			r, _ := table.Insert(another, now)
			establish(table, r, now)
			table.End(r, Killed, now)
			now += 31 * second
			table.Sweep(now, buf)
		}},
		{"Flow", func(table *Table, open Ref) { table.Flow(open, now) }},
	} {
		now = 0
		table := newTable(t, 1000, now)
		open := insert(t, table, tcp, now)
		establish(table, open, now)
		if n := testing.AllocsPerRun(100, func() { c.run(table, open) }); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
	}
}

var another = admission(packet.TCP, 3, resets)

// TestInvisibleToGC fills a table: neither its heap nor what is scanned grows.
func TestInvisibleToGC(t *testing.T) {
	const flows = 1 << 16
	table := newTable(t, flows, 0)
	before := heap()
	a := *admission(packet.TCP, 0, resets)
	for i := range uint32(flows) {
		a.Original.SrcPort, a.Translated.SrcPort = uint16(i), uint16(i)
		establish(table, insert(t, table, &a, 0), 0)
	}
	if grown := int64(heap()) - int64(before); grown > flows {
		t.Errorf("the heap grew by %d bytes for %d flows", grown, flows)
	}
	runtime.KeepAlive(table)
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestObserveTouchesNoSides: a packet of an open flow costs the cache lines of
// its two halves and no more.
func TestObserveTouchesNoSides(t *testing.T) {
	table := newTable(t, 1, 0)
	r := insert(t, table, admission(packet.TCP, 1, resets), 0)
	establish(table, r, 0)
	sides := table.sides
	table.sides = nil // whoever touches them panics
	table.Observe(r, segment(packet.ACK, 1001, 5001, 100), 1, 0)
	table.Observe(r^1, segment(packet.ACK, 5001, 1101, 100), 1, 0)
	table.sides = sides
}

// TestUntouchedMemory: what no flow has used yet costs nothing, and Close gives
// everything back.
func TestUntouchedMemory(t *testing.T) {
	const maxFlows = 1 << 22
	size, resident := memory(t)
	table, err := New(maxFlows, testTimers, testRule[:], 0)
	if err != nil {
		t.Fatal(err)
	}
	insert(t, table, admission(packet.UDP, 1, resets), 0)
	full := mappedBytes(table)
	grownSize, grownResident := memory(t)
	if grownSize-size < full {
		t.Errorf("%d bytes mapped, want %d", grownSize-size, full)
	}
	if grownResident-resident > full/8 {
		t.Errorf("%d bytes in use for one flow", grownResident-resident)
	}
	table.Close()
	if left, _ := memory(t); left-size > full/8 {
		t.Errorf("%d bytes still mapped after Close", left-size)
	}
	table.Close() // again does nothing
}

// memory returns the process's mapped and resident size in bytes.
func memory(t *testing.T) (size, resident int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(b))
	size, _ = strconv.Atoi(words[0])
	resident, _ = strconv.Atoi(words[1])
	return size * os.Getpagesize(), resident * os.Getpagesize()
}
