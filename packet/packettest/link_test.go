package packettest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	"github.com/google/gopacket/layers"
)

func TestPartial(t *testing.T) {
	for _, i := range []int{0, 3} {
		b := slices.Clone(built[i].b)
		p := Partial(b)
		if !bytes.Equal(b, built[i].b) {
			t.Errorf("%s: Partial wrote into its argument", built[i].name)
		}
		if bytes.Equal(b, p) || !bytes.Equal(p, Partial(p)) {
			t.Errorf("%s: partial form % x of % x", built[i].name, p, b)
		}
		if !bytes.Equal(Complete(p), b) {
			t.Errorf("%s: completed % x, want % x", built[i].name, Complete(p), b)
		}
	}
}

func TestEthernet(t *testing.T) {
	b := UDP(Datagram{Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", IP: IP{Options: []Option{RouterAlert}}})
	header := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0}
	for _, c := range []struct {
		name string
		link Link
		want []byte
	}{
		{"plain", Link{}, slices.Concat(header, b)},
		{"addresses", Link{Src: "02:00:00:00:00:01", Dst: "02:00:00:00:00:02"}, slices.Concat(header, b)},
		{"vnet header", Link{VNet: true}, slices.Concat(make([]byte, 10), header, b)},
		{
			"checksum to be computed from byte 38 on, into its byte 6", Link{NeedsCsum: true},
			slices.Concat([]byte{1, 0, 0, 0, 0, 0}, native(38), native(6), header, Partial(b)),
		},
	} {
		if got := Ethernet(b, c.link); !bytes.Equal(got, c.want) {
			t.Errorf("%s:\ngot  % x\nwant % x", c.name, got, c.want)
		}
	}
}

func native(v uint16) []byte { return binary.NativeEndian.AppendUint16(nil, v) }

// TestFragments has gopacket put them together, which knows no IP options.
func TestFragments(t *testing.T) {
	b := UDP(Datagram{
		Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: strings.Repeat("fragment", 1000) + "odd",
		IP: IP{ID: 77, DF: true},
	})
	defrag := ip4defrag.NewIPv4Defragmenter()
	var whole *layers.IPv4
	for i, f := range Fragments(b, 1500) {
		Check(t, f)
		if len(f) > 1500 {
			t.Errorf("fragment %d has %d bytes", i, len(f))
		}
		ip := new(layers.IPv4)
		must(ip.DecodeFromBytes(f, gopacket.NilDecodeFeedback))
		out, err := defrag.DefragIPv4(ip)
		if err != nil {
			t.Fatal(err)
		}
		whole = out
	}
	if whole == nil || !bytes.Equal(whole.Payload, b[20:]) {
		t.Errorf("put together again: %+v", whole)
	}
}

func TestFragmentsCarryOptions(t *testing.T) {
	b := UDP(Datagram{
		Src: "10.0.0.10:5353", Dst: "198.51.100.7:53", Payload: "twelve bytes",
		IP: IP{Options: []Option{RouterAlert}},
	})
	var payload string
	for i, f := range Fragments(b, 32) {
		Check(t, f)
		v := Fields(t, f)
		if v.Offset != i*8 || v.MF != (i < 2) || v.IPOptions != string(RouterAlert) {
			t.Errorf("fragment %d: %+v", i, v)
		}
		payload += v.Payload
	}
	if payload != string(b[24:]) {
		t.Errorf("together % x, want % x", payload, b[24:])
	}
}
