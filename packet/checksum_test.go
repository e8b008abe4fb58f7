package packet

import (
	"encoding/binary"
	"testing"

	"pgregory.net/rapid"
)

// TestDeltaRFC1624 has the example of RFC 1624 §4, where its predecessor's
// equation came out as 0xffff, and neighbours of both zeros.
func TestDeltaRFC1624(t *testing.T) {
	for _, c := range []struct {
		name               string
		sum, from, to, now uint16
	}{
		{"section 4", 0xdd2f, 0x5555, 0x3285, 0x0000},
		{"section 4 backwards", 0x0000, 0x3285, 0x5555, 0xdd2f},
		{"from 0xffff, the other zero", 0xffff, 0x3285, 0x5555, 0xdd2f},
		{"no change", 0x1234, 0x5555, 0x5555, 0x1234},
		{"no change of zero", 0x0000, 0x5555, 0x5555, 0x0000},
		{"zero to negative zero", 0x1234, 0x0000, 0xffff, 0x1234},
		{"negative zero to zero", 0x1234, 0xffff, 0x0000, 0x1234},
		{"up by one", 0x1234, 0x0001, 0x0002, 0x1233},
		{"down through zero", 0xfffe, 0x0002, 0x0001, 0x0000},
	} {
		var b [2]byte
		binary.BigEndian.PutUint16(b[:], c.sum)
		got := wordDelta(c.from, c.to).apply(b[:])
		if got != c.now || binary.BigEndian.Uint16(b[:]) != got {
			t.Errorf("%s: %#04x (% x), want %#04x", c.name, got, b, c.now)
		}
	}
}

func TestTTLDelta(t *testing.T) {
	for ttl := uint16(1); ttl <= 255; ttl++ {
		if got := wordDelta(ttl<<8|6, (ttl-1)<<8|6); got != ttlDelta {
			t.Errorf("TTL %d: %#04x, want %#04x", ttl, got, ttlDelta)
		}
	}
}

// slow adds up byte by byte (RFC 1071 §1).
func slow(b []byte) uint16 {
	s := 0
	for i, c := range b {
		s += int(c) << (8 * (1 - i%2))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func TestSum(t *testing.T) {
	longest := make([]byte, 65535)
	for i := range longest {
		longest[i] = 0xff
	}
	if got := sum(longest); got != slow(longest) {
		t.Errorf("65535 times 0xff: %#04x, want %#04x", got, slow(longest))
	}
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "bytes")
		if got := sum(b); got != slow(b) {
			t.Fatalf("%#04x, want %#04x", got, slow(b))
		}
	})
}

func TestFold(t *testing.T) {
	for _, c := range []struct {
		s    uint64
		want uint16
	}{
		{0, 0}, {0xffff, 0xffff}, {0x10000, 1}, {0x1ffff, 1}, {0xffff0000, 0xffff},
		{0xffffffff, 0xffff}, {0xffffffffffffffff, 0xffff}, {0xfffeffff00000001, 0xffff}, {0x100000000, 1},
	} {
		if got := fold(c.s); got != c.want {
			t.Errorf("%#x: %#04x, want %#04x", c.s, got, c.want)
		}
	}
}

// TestDeltas changes words and addresses of some bytes, collects the deltas in
// one, and compares with adding up the changed bytes.
func TestDeltas(t *testing.T) {
	words := rapid.OneOf(rapid.Uint16(), rapid.SampledFrom([]uint16{0, 1, 0xfffe, 0xffff}))
	rapid.Check(t, func(t *rapid.T) {
		b := make([]byte, 12)
		binary.BigEndian.PutUint16(b, 0x4500) // a header is never zero all over
		for i := 2; i < len(b); i += 2 {
			binary.BigEndian.PutUint16(b[i:], words.Draw(t, "word"))
		}
		var full, partial [2]byte
		binary.BigEndian.PutUint16(full[:], ^slow(b))
		binary.BigEndian.PutUint16(partial[:], slow(b))

		from := Addr(binary.BigEndian.Uint32(b[4:]))
		to := Addr(words.Draw(t, "high"))<<16 | Addr(words.Draw(t, "low"))
		d := addrDelta(from, to)
		binary.BigEndian.PutUint32(b[4:], uint32(to))
		for range rapid.IntRange(0, 4).Draw(t, "changes") {
			at := rapid.IntRange(1, 5).Draw(t, "at") * 2
			w := words.Draw(t, "new")
			d = d.Plus(wordDelta(binary.BigEndian.Uint16(b[at:]), w))
			binary.BigEndian.PutUint16(b[at:], w)
		}
		d.apply(full[:])
		d.applyPartial(partial[:])
		if got, want := binary.BigEndian.Uint16(full[:]), ^slow(b); got != want {
			t.Fatalf("checksum %#04x, want %#04x", got, want)
		}
		if got, want := binary.BigEndian.Uint16(partial[:]), slow(b); got != want {
			t.Fatalf("partial checksum %#04x, want %#04x", got, want)
		}
	})
}
