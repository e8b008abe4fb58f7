package packet_test

import (
	"slices"
	"testing"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

// TestNoAllocations covers what runs per packet or in a storm of resets.
func TestNoAllocations(t *testing.T) {
	to := packettest.Tuple(packet.TCP, "203.0.113.5:1024", "198.51.100.7:443")
	b, echo := slices.Clone(segment), slices.Clone(request)
	p, ping := decode(t, b), decode(t, echo)
	r := packet.NewRewrite(p.Tuple, to)
	out := make([]byte, packet.ICMPErrorLen(len(segment)))
	var parsed packet.Parsed
	for name, run := range map[string]func(){
		"Decode":         func() { packet.Decode(segment, &parsed) },
		"NewRewrite":     func() { r = packet.NewRewrite(p.Tuple, to) },
		"Apply":          func() { r.Apply(b, &p, false, packet.KeepTTL) },
		"Apply, partial": func() { r.Apply(b, &p, true, packet.KeepTTL) },
		"PutSegment": func() {
			s := packet.ResetFor(&p)
			packet.PutSegment(out, &s)
		},
		"PutTimeExceeded": func() { packet.PutTimeExceeded(out, 1, 2, segment) },
		"EchoReply":       func() { packet.EchoReply(echo, &ping) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
