package conntrack

import (
	"errors"
	"fmt"
	"testing"

	"tidegate/packet"

	"pgregory.net/rapid"
)

// TestFull puts in as many flows as New was asked for, down to the last, and
// finds and removes every one: at the load of three quarters that no table exceeds
// (3 << n flows), and at less.
func TestFull(t *testing.T) {
	for _, maxFlows := range []int{1, 2, 3, 5, 6, 1 << 10, 1500, 3 << 9, 3 << 12, 1 << 18, 3 << 16, 200_000} {
		t.Run(fmt.Sprint(maxFlows), func(t *testing.T) {
			table := newTable(t, maxFlows, 0)
			for i := range uint32(maxFlows) {
				insert(t, table, admission(packet.UDP, i, resets), 0)
			}
			if _, err := table.Insert(admission(packet.TCP, 0, resets), 0); !errors.Is(err, ErrFull) {
				t.Errorf("one flow too many: %v", err)
			}
			checkAll(t, table, maxFlows)
			for i := range uint32(maxFlows) {
				r, ok := table.Lookup(&admission(packet.UDP, i, resets).Original)
				if !ok {
					t.Fatalf("flow %d of %d is not found", i, maxFlows)
				}
				table.End(r, Idle, 0)
			}
			if n := entries(&table.index); n != 0 || table.Len() != 0 {
				t.Errorf("%d entries and %d flows are left", n, table.Len())
			}
		})
	}
}

func checkAll(t *testing.T, table *Table, flows int) {
	t.Helper()
	if n := entries(&table.index); n != 2*flows {
		t.Errorf("%d entries, want %d", n, 2*flows)
	}
	for i := range uint32(flows) {
		a := admission(packet.UDP, i, resets)
		there, ok := table.Lookup(&a.Original)
		back, ok2 := table.Lookup(&packet.Tuple{
			Src: a.Translated.Dst, SrcPort: a.Translated.DstPort,
			Dst: a.Translated.Src, DstPort: a.Translated.SrcPort, Proto: packet.UDP,
		})
		if !ok || !ok2 || there.Direction() != Original || back != there|1 {
			t.Fatalf("flow %d of %d: %d %v, and back %d %v", i, flows, there, ok, back, ok2)
		}
		if f := table.Flow(there, 0); f.Owner != i {
			t.Fatalf("flow %d is found as %d", i, f.Owner)
		}
	}
}

func entries(x *index) (n int) {
	for b := range x.buckets {
		_, free := x.vacancy(uint32(b))
		n += bucketSize - free
	}
	return n
}

// TestFullForLong has flows come and go in a table that stays full to the last.
func TestFullForLong(t *testing.T) {
	const maxFlows, turns = 3 << 9, 200_000
	table := newTable(t, maxFlows, 0)
	refs := make([]Ref, maxFlows)
	for i := range refs {
		refs[i] = insert(t, table, admission(packet.UDP, uint32(i), resets), 0)
	}
	for i := range turns {
		at := i * 7919 % maxFlows
		table.End(refs[at], Idle, 0)
		refs[at] = insert(t, table, admission(packet.UDP, uint32(maxFlows+i), resets), 0)
	}
	if n := entries(&table.index); n != 2*maxFlows {
		t.Errorf("%d entries, want %d", n, 2*maxFlows)
	}
}

// TestDisplacement fills both buckets of a tuple and sees one entry move over.
func TestDisplacement(t *testing.T) {
	x, err := newIndex(400, [2]uint64{1, 3})
	if err != nil {
		t.Fatal(err)
	}
	defer unmap(x.buckets)
	const b1, tag = 5, 0x1234
	b2 := x.other(b1, tag)
	want := make(map[uint64]bool)
	for _, b := range []uint32{b1, b2} {
		for i := range uint32(bucketSize) {
			e := makeEntry(i<<8|b, Ref(b<<4|i)) // each with another second bucket
			x.buckets[b][i] = e
			want[e] = true
		}
	}
	if !x.insert(tag<<32|b1, 77) {
		t.Fatal("no room")
	}
	want[makeEntry(tag, 77)] = true
	if n := entries(&x); n != len(want) {
		t.Errorf("%d entries, want %d", n, len(want))
	}
	for b := range x.buckets {
		for _, e := range x.buckets[b] {
			if e == 0 {
				continue
			}
			if !want[e] || e>>32 != tag && uint32(b) != (uint32(e>>32))&0xff && uint32(b) != x.other(uint32(e>>32)&0xff, uint32(e>>32)) {
				t.Errorf("entry %x in bucket %d", e, b)
			}
		}
	}
	x.remove(tag<<32|b1, 77)
	if n := entries(&x); n != len(want)-1 {
		t.Errorf("%d entries after one was removed, want %d", n, len(want)-1)
	}
}

// TestNoRoom is what Insert does when even displacement finds no place: it takes
// nothing and forgets nothing.
func TestNoRoom(t *testing.T) {
	table := newTable(t, 100, 0)
	for b := range table.index.buckets {
		for i := range table.index.buckets[b] {
			table.index.buckets[b][i] = makeEntry(^uint32(0), 0)
		}
	}
	a := admission(packet.UDP, 1, resets)
	if _, err := table.Insert(a, 0); !errors.Is(err, ErrFull) {
		t.Errorf("without any place: %v", err)
	}
	table.index.buckets[table.index.first(table.index.hash(&a.Original))][0] = 0 // room for one of two
	if _, err := table.Insert(a, 0); !errors.Is(err, ErrFull) {
		t.Errorf("with one place: %v", err)
	}
	if n := entries(&table.index); n != len(table.index.buckets)*bucketSize-1 {
		t.Errorf("%d entries: the first of two was left in", n)
	}
	clear(table.index.buckets)
	for i := range uint32(100) {
		insert(t, table, admission(packet.UDP, i, resets), 0)
	}
}

// TestOther: an entry can be moved to and fro without its tuple.
func TestOther(t *testing.T) {
	for _, n := range []int{1, 6, 7, 100, 1 << 12, 1 << 20} {
		x, err := newIndex(n, [2]uint64{1, 3})
		if err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			b, tag := rapid.Uint32().Draw(t, "bucket")&x.mask, rapid.Uint32().Draw(t, "tag")
			o := x.other(b, tag)
			if o > x.mask || x.other(o, tag) != b || o == b && x.mask > 0 {
				t.Fatalf("other of %d is %d, and of that %d", b, o, x.other(o, tag))
			}
		})
		unmap(x.buckets)
	}
}

// TestHashSpreads has tuples as they come in life, one number after the other,
// fall evenly into the buckets: a bad hash would pile them up.
func TestHashSpreads(t *testing.T) {
	const buckets, each = 1 << 10, 64
	for name, next := range map[string]func(k *packet.Tuple){
		"source ports":      func(k *packet.Tuple) { k.SrcPort++ },
		"destination ports": func(k *packet.Tuple) { k.DstPort++ },
		"sources":           func(k *packet.Tuple) { k.Src++ },
		"destinations":      func(k *packet.Tuple) { k.Dst++ },
		"networks":          func(k *packet.Tuple) { k.Dst += 1 << 8 },
		"high bits":         func(k *packet.Tuple) { k.Dst += 1 << 16 },
		"both ends":         func(k *packet.Tuple) { k.Src++; k.Dst++ },
		"ends and ports":    func(k *packet.Tuple) { k.Src++; k.Dst--; k.SrcPort += 2; k.DstPort -= 2 },
	} {
		x := index{mask: buckets - 1, seed: [2]uint64{0x243f6a8885a308d3, 0x13198a2e03707345}}
		k := admission(packet.TCP, 1, resets).Original
		var low, second [buckets]int
		tags := make(map[uint32]int)
		for range buckets * each {
			next(&k)
			h := x.hash(&k)
			low[x.first(h)]++
			second[x.other(x.first(h), uint32(h>>32))]++
			tags[uint32(h>>32)]++
		}
		for _, c := range [][buckets]int{low, second} {
			if chi := chiSquare(c[:], each); chi > buckets+5*46 { // 5 σ: σ² is twice the degrees of freedom
				t.Errorf("%s: χ² of %.0f with %d buckets", name, chi, buckets)
			}
		}
		if len(tags) < buckets*each-8 { // 65,536 of 2³² values: half a pair is expected
			t.Errorf("%s: only %d tags", name, len(tags))
		}
	}
}

// TestHashIsSecret: who does not know the seed can't tell the bucket.
func TestHashIsSecret(t *testing.T) {
	k := admission(packet.TCP, 1, resets).Original
	seen := make(map[uint64]bool)
	for i := range uint64(1000) {
		x := index{seed: [2]uint64{i<<1 | 1, 1}}
		y := index{seed: [2]uint64{1, i<<1 | 1}}
		seen[x.hash(&k)] = true
		seen[y.hash(&k)] = true
	}
	if len(seen) != 1999 { // one pair of seeds is the same
		t.Errorf("%d hashes by 1999 seeds", len(seen))
	}
}

func chiSquare(counts []int, want float64) (sum float64) {
	for _, n := range counts {
		d := float64(n) - want
		sum += d * d / want
	}
	return sum
}

func TestNewErrors(t *testing.T) {
	for _, n := range []int{-1, 0, 1<<30 + 1, 1 << 40} {
		if _, err := New(n, testTimers, testRule[:], 0); err == nil {
			t.Errorf("a table for %d flows", n)
		}
	}
}
