package api

import (
	"strings"
	"testing"
)

func TestExplainRequestTuple(t *testing.T) {
	tests := []struct{ words, source, destination, err string }{
		{"tcp 10.0.0.10:40000 198.51.100.7:443", "10.0.0.10:40000", "198.51.100.7:443", ""},
		{"udp 10.0.0.10:1 198.51.100.7:65535 inside", "10.0.0.10:1", "198.51.100.7:65535", ""},
		{"tcp [::ffff:10.0.0.10]:1 198.51.100.7:2 outside", "10.0.0.10:1", "198.51.100.7:2", ""},
		{"icmp 10.0.0.10 198.51.100.7", "10.0.0.10:0", "198.51.100.7:0", ""},
		{"icmp 10.0.0.10:4711 198.51.100.7:0", "10.0.0.10:4711", "198.51.100.7:0", ""},
		{"sctp 10.0.0.10:1 198.51.100.7:2", "", "", `api: explain protocol: "sctp" is not one of tcp, udp, icmp`},
		{"TCP 10.0.0.10:1 198.51.100.7:2 OutSide", "10.0.0.10:1", "198.51.100.7:2", ""},
		{"ICMP 10.0.0.10 198.51.100.7 INSIDE", "10.0.0.10:0", "198.51.100.7:0", ""},
		{"ICMP 10.0.0.10 198.51.100.7:8", "", "", `api: explain destination: "198.51.100.7:8" has a port, and icmp has none; the identifier belongs to the source`},
		{"SCTP 10.0.0.10:1 198.51.100.7:2", "", "", `api: explain protocol: "SCTP" is not one of tcp, udp, icmp`},
		{"tcp 10.0.0.10:1 198.51.100.7:2 in", "", "", `api: explain side: "in" is not one of inside, outside; leave it out to have it guessed`},
		{"tcp 10.0.0.10 198.51.100.7:2", "", "", `api: explain source: "10.0.0.10" has no port; give ADDR:PORT, as 198.51.100.7:443`},
		{"tcp 10.0.0.10:1 198.51.100.7", "", "", `api: explain destination: "198.51.100.7" has no port; give ADDR:PORT, as 198.51.100.7:443`},
		{"tcp 10.0.0.10:x 198.51.100.7:2", "", "", `api: explain source: "10.0.0.10:x" is no ADDR:PORT, as 198.51.100.7:443`},
		{"tcp 10.0.0.10:65536 198.51.100.7:2", "", "", `api: explain source: "10.0.0.10:65536" is no ADDR:PORT, as 198.51.100.7:443`},
		{"udp 10.0.0.10:1 198.51.100.7:0", "", "", `api: explain destination: "198.51.100.7:0": nobody has port 0; give one of 1–65535`},
		{"udp 10.0.0.10:1 [2001:db8::1]:53", "", "", `api: explain destination: 2001:db8::1 is IPv6, and the gateway translates IPv4 only`},
		{"icmp 2001:db8::1 198.51.100.7", "", "", `api: explain source: 2001:db8::1 is IPv6, and the gateway translates IPv4 only`},
		{"icmp ten 198.51.100.7", "", "", `api: explain source: "ten" is no address, as 198.51.100.7; an echo identifier may follow that of the source, as 10.0.0.10:1`},
		{"icmp 10.0.0.10 198.51.100.7:8", "", "", `api: explain destination: "198.51.100.7:8" has a port, and icmp has none; the identifier belongs to the source`},
	}
	for _, tt := range tests {
		w := append(strings.Fields(tt.words), "")
		r := ExplainRequest{Protocol: w[0], Source: w[1], Destination: w[2], Side: w[3]}
		got, err := r.Tuple()
		switch {
		case tt.err != "" && (err == nil || err.Error() != tt.err):
			t.Errorf("%s: %v\nwant %s", tt.words, err, tt.err)
		case tt.err == "" && (err != nil || got.Source.String() != tt.source || got.Destination.String() != tt.destination):
			t.Errorf("%s: %v, %v", tt.words, got, err)
		case tt.err == "" && (r.Protocol != strings.ToLower(w[0]) || r.Side != strings.ToLower(w[3])):
			t.Errorf("%s: left as %q, %q", tt.words, r.Protocol, r.Side)
		}
	}
}
