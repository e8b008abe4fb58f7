package record

import (
	"fmt"
	"math/big"
	"testing"
)

// collector reads IPFIX as a stranger would, by the templates that it was sent.
type collector struct {
	t         testing.TB
	templates map[int][][3]int // element, length, enterprise
	sequence  int              // of records so far
	messages  int
	records   []map[string]uint64
}

func newCollector(t testing.TB) *collector {
	return &collector{t: t, templates: make(map[int][][3]int)}
}

func number(b []byte) int { return int(new(big.Int).SetBytes(b).Int64()) }

// message reads one message and returns what follows it.
func (c *collector) message(b []byte, domain int) (rest []byte) {
	c.t.Helper()
	if len(b) < 16 || number(b[:2]) != 10 {
		c.t.Fatalf("no IPFIX header: %x", b)
	}
	length := number(b[2:4])
	if length > len(b) || length > 1400 {
		c.t.Fatalf("length %d of %d bytes", length, len(b))
	}
	if got := number(b[8:12]); got != c.sequence {
		c.t.Errorf("sequence number %d after %d records", got, c.sequence)
	}
	if got := number(b[12:16]); got != domain {
		c.t.Errorf("observation domain %d, want %d", got, domain)
	}
	for at := 16; at < length; {
		id, size := number(b[at:at+2]), number(b[at+2:at+4])
		if size < 5 || at+size > length {
			c.t.Fatalf("set %d of %d bytes at %d in %d", id, size, at, length)
		}
		c.set(id, b[at+4:at+size])
		at += size
	}
	c.messages++
	return b[length:]
}

func (c *collector) set(id int, b []byte) {
	c.t.Helper()
	if id == 2 {
		c.learn(b)
		return
	}
	fields, ok := c.templates[id]
	if !ok {
		c.t.Fatalf("a record of template %d, which nobody has explained", id)
	}
	for len(b) > 0 {
		record := map[string]uint64{"template": uint64(id)}
		for _, f := range fields {
			name := fmt.Sprint(f[0])
			if f[2] != 0 {
				name = fmt.Sprintf("%d/%d", f[2], f[0])
			}
			record[name] = new(big.Int).SetBytes(b[:f[1]]).Uint64()
			b = b[f[1]:]
		}
		c.sequence++
		c.records = append(c.records, record)
	}
}

func (c *collector) learn(b []byte) {
	for len(b) > 0 {
		id, n := number(b[:2]), number(b[2:4])
		b = b[4:]
		c.templates[id] = nil
		for range n {
			f := [3]int{number(b[:2]), number(b[2:4])}
			b = b[4:]
			if f[0] >= 1<<15 {
				f[0] -= 1 << 15
				f[2] = number(b[:4])
				b = b[4:]
			}
			c.templates[id] = append(c.templates[id], f)
		}
	}
}
