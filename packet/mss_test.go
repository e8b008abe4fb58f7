package packet_test

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/packet"
	"tidegate/packet/packettest"
)

var clamps = []struct {
	name string
	opts options
	mtu  int
	want []packettest.Option // nil: as sent
}{
	{"to a smaller link", options{packettest.MSS(1460)}, 1400, options{packettest.MSS(1360)}},
	{"at an odd offset", options{packettest.NOP, packettest.MSS(1460), shift7}, 1400, options{packettest.NOP, packettest.MSS(1360), shift7}},
	{"at an odd offset further on", options{shift7, packettest.MSS(65535)}, 1401, options{shift7, packettest.MSS(1361)}},
	{"at an even offset further on", options{packettest.NOP, shift7, packettest.MSS(0x0600)}, 1500, options{packettest.NOP, shift7, packettest.MSS(1460)}},
	{"at the end", options{make7(packettest.NOP), {1}, packettest.MSS(9000)}, 1500, options{make7(packettest.NOP), {1}, packettest.MSS(1460)}},
	{"that fits", options{packettest.MSS(1360)}, 1400, nil},
	{"that is lower", options{packettest.MSS(536)}, 1400, nil},
	{"of zero", options{packettest.MSS(0)}, 1400, nil},
	{"that is one too much", options{packettest.MSS(1361)}, 1400, options{packettest.MSS(1360)}},
	{"that is not there", options{shift7, {4, 2}}, 1400, nil},
	{"without options", nil, 1400, nil},
	{"of another length", options{{2, 3, 9}, {1}}, 1400, nil},
	{"behind the end of options", options{{0}, packettest.MSS(1460)}, 1400, nil},
	{"twice: the last counts", options{packettest.MSS(9000), packettest.MSS(8000)}, 1500, options{packettest.MSS(9000), packettest.MSS(1460)}},
	{"a link below what every host takes", options{packettest.MSS(1460)}, 296, options{packettest.MSS(536)}},
	{"a link of nothing", options{packettest.MSS(1460)}, 0, options{packettest.MSS(536)}},
	{"the largest link", options{packettest.MSS(65535)}, 1 << 20, options{packettest.MSS(65495)}},
}

func TestClampMSS(t *testing.T) {
	for _, c := range clamps {
		for _, flags := range []uint8{packet.SYN, packet.SYN | packet.ACK} {
			build := func(opts options) []byte {
				return packettest.TCP(packettest.Segment{
					Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: flags, Options: opts, Payload: "early",
					IP: packettest.IP{Options: options{packettest.RouterAlert}},
				})
			}
			sent, want := build(c.opts), build(c.opts)
			if c.want != nil {
				want = build(c.want)
			}
			same(t, c.name, clamped(t, sent, c.mtu, false), want)
			partial := clamped(t, packettest.Partial(sent), c.mtu, true)
			same(t, c.name+", partial", packettest.Complete(partial), want)
		}
	}
}

func clamped(t *testing.T, b []byte, mtu int, partial bool) []byte {
	t.Helper()
	b = slices.Clone(b)
	p := decode(t, b)
	packet.ClampMSS(b, &p, mtu, partial)
	return b
}

// TestClampMSSOnlyOnSYN: in another segment the bytes mean nothing.
func TestClampMSSOnlyOnSYN(t *testing.T) {
	for _, flags := range []uint8{packet.ACK, packet.RST, packet.FIN | packet.ACK, 0} {
		b := packettest.TCP(packettest.Segment{Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: flags, Options: options{packettest.MSS(1460)}})
		if diff := cmp.Diff(b, clamped(t, b, 1000, false)); diff != "" {
			t.Errorf("flags %#x: %s", flags, diff)
		}
	}
}

// TestClampMSSEveryValue looks at both places of the option with every value.
func TestClampMSSEveryValue(t *testing.T) {
	for _, opts := range []options{{packettest.MSS(0)}, {packettest.NOP, packettest.MSS(0)}} {
		b := packettest.TCP(packettest.Segment{Src: "10.0.0.10:40000", Dst: "198.51.100.7:443", Flags: packet.SYN, Options: opts})
		at := decode(t, b).MSSAt
		for value := 0; value <= 0xffff; value += 7 {
			binary.BigEndian.PutUint16(b[at:], uint16(value))
			packettest.Fix(b)
			got := clamped(t, b, 1300, false)
			if err := packettest.Verify(got); err != nil || int(binary.BigEndian.Uint16(got[at:])) != min(value, 1260) {
				t.Fatalf("%d becomes %d: %v", value, binary.BigEndian.Uint16(got[at:]), err)
			}
		}
	}
}
