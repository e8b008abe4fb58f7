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
	hello, report, piece := syn(packettest.MSS(1460)), slices.Clone(unreachable), make([]byte, 68)
	opening, about := decode(t, hello), decode(t, report)
	var quote packet.Quote
	packet.DecodeQuote(report, &about, &quote)
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
		"ClampMSS":        func() { packet.ClampMSS(hello, &opening, 1400, false) },
		"PutFragment":     func() { packet.PutFragment(piece, segment, &p, 0) },
		"DecodeQuote":     func() { packet.DecodeQuote(report, &about, &quote) },
		"RewriteError":    func() { packet.RewriteError(report, &about, &quote, 1, 2, to, packet.KeepTTL) },
		"EchoReply":       func() { packet.EchoReply(echo, &ping) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
