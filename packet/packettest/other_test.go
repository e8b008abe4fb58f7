package packettest

import (
	"bytes"
	"strings"
	"testing"
)

func TestReassemble(t *testing.T) {
	whole := UDP(Datagram{Src: "10.0.0.10:1", Dst: "10.0.0.11:2", Payload: strings.Repeat("tidegate", 40), IP: IP{Options: []Option{RouterAlert}}})
	all := Fragments(whole, 100)
	shuffled := [][]byte{all[2], all[0], all[4], all[1], all[3]}
	got, err := Reassemble(shuffled)
	if err != nil || !bytes.Equal(got, whole) {
		t.Errorf("%v: % x, want % x", err, got, whole)
	}
	for name, pieces := range map[string][][]byte{
		"a gap":          {all[0], all[1], all[3], all[4]},
		"a copy":         {all[0], all[1], all[1], all[2], all[3], all[4]},
		"no first":       all[1:],
		"no last":        all[:4],
		"only the first": all[:1],
		"another cut":    {all[0], Fragments(whole, 92)[1], all[2], all[3], all[4]},
	} {
		if _, err := Reassemble(pieces); err == nil {
			t.Errorf("%s makes a packet", name)
		}
	}
}

func TestVerifyUDPLite(t *testing.T) {
	for coverage, covered := range map[int]int{0: 13, 8: 8, 9: 9, 13: 13} {
		b := UDPLite("10.0.0.10:1", "10.0.0.11:2", coverage, "bytes")
		if err := VerifyUDPLite(b); err != nil {
			t.Errorf("coverage %d: %v", coverage, err)
		}
		for at := 12; at < len(b); at++ {
			bad := bytes.Clone(b)
			bad[at] ^= 1
			if at == 20+4 || at == 20+5 {
				continue // the coverage itself
			}
			if err := VerifyUDPLite(bad); (err != nil) != (at < 20+covered) {
				t.Errorf("coverage %d, byte %d damaged: %v", coverage, at, err)
			}
		}
	}
	if VerifyUDPLite(IPv4(Packet{Src: "10.0.0.10", Dst: "10.0.0.11", Proto: 136, Payload: strings.Repeat("\x00", 8)})) == nil {
		t.Error("none is right")
	}
}

// TestSCTP: ports, a tag, the CRC, and what follows.
func TestSCTP(t *testing.T) {
	v := Fields(t, SCTP("10.0.0.10:3868", "10.0.0.11:3868", "chunk"))
	if want := "\x0f\x1c\x0f\x1c\x00\x00\x00\x09"; v.Payload[:8] != want || v.Payload[12:] != "chunk" {
		t.Errorf("% x", v.Payload)
	}
}
