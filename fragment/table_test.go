package fragment

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"tidegate/packet"
)

// piece is a fragment of a datagram.
type piece struct {
	key            Key
	offset, length int
	more           bool
	frame          []byte // its number
}

// cut makes n pieces of random lengths.
func cut(rnd *rand.Rand, k Key, n int) (all []piece) {
	offset := 0
	for i := range n {
		length := 8 * (1 + rnd.IntN(180))
		if i == n-1 {
			length -= rnd.IntN(8)
		}
		all = append(all, piece{k, offset, length, i < n-1, []byte{byte(k.ID), byte(i)}})
		offset += length
	}
	return all
}

// way is what has passed through a Table, in order.
type way struct {
	table *Table
	went  [][]byte
	flows []Flow
}

// put hands a piece to the table as the gateway does.
func (w *way) put(p piece, flow Flow, now int64) {
	if p.offset == 0 {
		waited, fate := w.table.First(p.key, p.length, flow, now)
		if fate != Misfit {
			w.went = append(append(w.went, p.frame), waited...)
		}
		return
	}
	f, known, fate := w.table.Later(p.key, p.offset, p.length, p.more, now)
	switch {
	case fate == Fits && known:
		w.went, w.flows = append(w.went, p.frame), append(w.flows, f)
	case fate == Fits:
		w.table.Hold(p.key, p.frame)
	}
}

func key(n int) Key {
	return Key{Src: packet.Addr(n >> 16), Dst: 7, ID: uint16(n), Proto: packet.UDP}
}

// TestWholeInAnyOrder cuts datagrams at random, mixes their pieces with each other,
// with copies and with those of datagrams that never fit, and wants every piece of
// the whole ones to have passed.
func TestWholeInAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	for round := range 300 {
		clean := round%3 == 0 // nothing but each piece once
		w := &way{table: New()}
		var all []piece
		want := map[string]bool{}
		for n := range 1 + rnd.IntN(4) {
			for _, p := range cut(rnd, key(n), 2+rnd.IntN(43)) {
				want[string(p.frame)] = true
				all = append(all, p)
				if p.more && rnd.IntN(4) == 0 && p.offset != 0 && !clean {
					all = append(all, p)
				}
			}
		}
		if !clean {
			all = append(all, hostile(rnd)...)
		}
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for _, p := range all {
			w.put(p, Flow{ID: uint64(p.key.ID)}, 0)
		}
		for _, frame := range w.went {
			delete(want, string(frame))
		}
		if len(want) != 0 {
			t.Fatalf("%d pieces did not pass: %v", len(want), want)
		}
		if clean && (w.table.Len() != 0 || w.table.Held() != 0) {
			t.Fatalf("%d whole datagrams are not forgotten, %d bytes held", w.table.Len(), w.table.Held())
		}
		w.table.Expire(int64(31 * time.Second))
		if w.table.Len() != 0 || w.table.Held() != 0 {
			t.Fatalf("%d datagrams and %d bytes are left", w.table.Len(), w.table.Held())
		}
	}
}

// hostile are pieces that overlap, leave gaps, go on for ever, or are too long.
func hostile(rnd *rand.Rand) (all []piece) {
	for n := range 5 {
		k := Key{Src: 66, Dst: 7, ID: uint16(n)}
		for range 20 {
			all = append(all, piece{k, 8 * rnd.IntN(8192), 8 * rnd.IntN(200), rnd.IntN(9) != 0, []byte("hostile")})
		}
	}
	return all
}

// TestOverlapSpoils: whatever overlaps, nothing of the datagram passes afterwards.
func TestOverlapSpoils(t *testing.T) {
	k := key(1)
	for _, bad := range []piece{
		{k, 8, 16, true, nil}, {k, 8, 4000, true, nil}, {k, 40, 16, true, nil}, {k, 16, 40, true, nil},
		{k, 96, 8, true, nil}, {k, 96, 4, false, nil}, {k, 80, 8, false, nil}, {k, 88, 16, true, nil}, {k, 32, 0, true, nil}, {k, 32, 7, true, nil},
		{k, 65520, 16, false, nil}, {k, 65528, 8, false, nil}, {k, 32, 65500, false, nil},
	} {
		w := &way{table: New()}
		w.put(piece{k, 48, 24, true, nil}, Flow{}, 0)
		w.put(piece{k, 88, 8, false, nil}, Flow{}, 0)
		if _, fate := w.table.First(k, 16, Flow{ID: 1}, 0); fate != Fits {
			t.Fatal(fate)
		}
		if _, _, fate := w.table.Later(k, bad.offset, bad.length, bad.more, 0); fate != Misfit {
			t.Errorf("[%d, %d) more %t: %v", bad.offset, bad.offset+bad.length, bad.more, fate)
		}
		for _, offset := range []int{16, 24, 48, 72} {
			if _, known, fate := w.table.Later(k, offset, 8, true, 0); fate != Misfit || known {
				t.Errorf("after it, what is at %d passes: %v", offset, fate)
			}
		}
		if w.table.Held() != 0 {
			t.Errorf("%d bytes still wait", w.table.Held())
		}
		if _, fate := w.table.First(k, 16, Flow{ID: 2}, 1); fate != Fits {
			t.Errorf("a new datagram of that key: %v", fate)
		}
	}
}

// TestFirstSpoiled: a first fragment that overlaps what waits for it.
func TestFirstSpoiled(t *testing.T) {
	w := &way{table: New()}
	w.put(piece{key(1), 16, 8, true, []byte("later")}, Flow{}, 0)
	if waited, fate := w.table.First(key(1), 24, Flow{}, 0); fate != Misfit || waited != nil || w.table.Held() != 0 {
		t.Errorf("%v, %d waited, %d bytes are held", fate, len(waited), w.table.Held())
	}
}

func TestBounds(t *testing.T) {
	table := New()
	for n := range maxDatagrams + 5000 {
		table.Later(key(n), 8, 8, true, int64(n))
		table.Hold(key(n), []byte{byte(n)})
		if table.Len() > maxDatagrams {
			t.Fatalf("%d datagrams are followed", table.Len())
		}
	}
	if table.Len() != maxDatagrams || table.Held() != (frameCost+1)*maxDatagrams {
		t.Errorf("%d datagrams, %d bytes", table.Len(), table.Held())
	}
	if _, known, fate := table.Later(key(5000), 8, 8, true, 0); known || fate != Duplicate {
		t.Errorf("the oldest that is left: %v", fate)
	}
	if _, _, fate := table.Later(key(4999), 8, 8, true, 0); fate != Fits {
		t.Errorf("the last that gave way: %v", fate)
	}
	if lost := table.Expire(int64(time.Hour)); lost == 0 || table.Len() != 0 || table.Held() != 0 {
		t.Errorf("%d lost; %d datagrams and %d bytes are left", lost, table.Len(), table.Held())
	}
}

// TestHeldBounds: frames of one datagram, and of all.
func TestHeldBounds(t *testing.T) {
	table, frame := New(), make([]byte, 1500)
	table.Later(key(0), 8, 8, true, 0)
	for n := range 2 * maxHeld {
		if got := table.Hold(key(0), frame); got != (n < maxHeld) {
			t.Fatalf("frame %d of one datagram: held %t", n, got)
		}
	}
	if table.Hold(key(1), frame) {
		t.Error("a frame of no datagram is held")
	}
	for n := 1; n < 8000; n++ {
		table.Later(key(n), 8, 8, true, 0)
		table.Hold(key(n), frame)
	}
	if held := table.Held(); held > maxHeldBytes || held < maxHeldBytes*9/10 {
		t.Errorf("%d bytes are held", held)
	}
	if waited, _ := table.First(key(0), 8, Flow{}, 0); len(waited) != 0 {
		t.Errorf("%d frames of the oldest are handed over, which has made room", len(waited))
	}
	if waited, _ := table.First(key(7999), 8, Flow{}, 0); len(waited) != 1 || !slices.Equal(waited[0], frame) {
		t.Errorf("%d frames of the newest are handed over", len(waited))
	}
}

// TestPatience: a datagram has half a minute from its first fragment on, and without
// it half a second, however many others come.
func TestPatience(t *testing.T) {
	for _, c := range []struct {
		first bool
		end   time.Duration
		lost  int
	}{{true, 30 * time.Second, 0}, {false, 500 * time.Millisecond, maxHeld}} {
		table, end := New(), int64(c.end)
		if c.first {
			table.First(key(1), 8, Flow{}, 0)
		}
		for n := range int64(100) {
			now := n * end / 100
			if lost := table.Expire(now); lost != 0 {
				t.Fatalf("%d lost after %v", lost, time.Duration(now))
			}
			if _, known, _ := table.Later(key(1), 8+int(n)*8, 8, true, now); !known {
				table.Hold(key(1), []byte("x"))
			}
		}
		if lost := table.Expire(end - 1); lost != 0 || table.Len() != 1 {
			t.Errorf("%d lost before its time", lost)
		}
		if lost := table.Expire(end); lost != c.lost || table.Len() != 0 {
			t.Errorf("%d lost, %d left", lost, table.Len())
		}
	}
}

// TestIdentifierComesAgain: what a datagram has left, or that it was refused, is nothing
// to the next one of its identifier, whether somebody looked meanwhile or not.
func TestIdentifierComesAgain(t *testing.T) {
	again := int64(650 * time.Millisecond) // 65,536 identifiers at 100,000 a second
	for _, refused := range []bool{false, true} {
		table := New()
		if refused {
			table.Refuse(key(1), 0)
		} else {
			table.Later(key(1), 8, 8, false, 0)
			table.Hold(key(1), []byte("old"))
		}
		if waited, fate := table.First(key(1), 8, Flow{ID: 7}, again); len(waited) != 0 || fate != Fits {
			t.Errorf("refused %t: the next one gets %q, %v", refused, waited, fate)
		}
		if f, known, fate := table.Later(key(1), 8, 8, false, again+1); !known || f.ID != 7 || fate != Fits {
			t.Errorf("refused %t: its own tail is %v", refused, fate)
		}
		if table.Len() != 0 {
			t.Error("it is not whole")
		}
	}
}

// TestMemory fills a table with what takes most room: small frames of as many
// datagrams as there can be, and large ones.
func TestMemory(t *testing.T) {
	const budget = 16_000_000
	for name, size := range map[string]int{"smallest frames": 24 + 20 + 8, "full frames": 24 + 1500} {
		before := heap()
		table, frame := New(), make([]byte, size)
		for round := range maxHeld {
			for n := range maxDatagrams {
				table.Later(key(n), 8+16*(round%20), 8, true, 0)
				table.Hold(key(n), frame)
			}
			if table.Held()+frameCost+size > maxHeldBytes && round > 20 {
				break
			}
		}
		took := heap() - before
		t.Logf("%s: %d datagrams, %d bytes held, take %d kB", name, table.Len(), table.Held(), took>>10)
		if took > budget {
			t.Errorf("%s: %d kB, the budget is %d", name, took>>10, budget>>10)
		}
		runtime.KeepAlive(table)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
