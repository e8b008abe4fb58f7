package fragment

import (
	"encoding/binary"
	"testing"
	"time"

	"tidegate/packet"
)

// FuzzTable reads calls from the fuzzer's bytes, six each, and wants no panic, no
// datagram that is followed twice, and nothing left in the end.
func FuzzTable(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x08\x01\x01\x00\x00\x01\x08\x01"))
	f.Add([]byte("\x01\x00\x1f\xff\xff\xff\x00\x00\x00\x00\xff\xff\x02\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, calls []byte) {
		table, now, held := New(), int64(0), 0
		for ; len(calls) >= 6; calls = calls[6:] {
			k := Key{Src: packet.Addr(calls[0] >> 4 & 3), ID: uint16(calls[1] & 1), Inside: calls[1]&2 != 0}
			offset := int(binary.BigEndian.Uint16(calls[2:])) & 0x1fff * 8
			length := int(binary.BigEndian.Uint16(calls[4:]))
			switch calls[0] & 7 {
			case 0:
				table.First(k, length, Flow{}, now)
			case 1:
				table.Refuse(k, now)
			case 2:
				now += int64(calls[1]) * int64(time.Second) / 4
				table.Expire(now)
			default:
				if _, known, fate := table.Later(k, max(8, offset), length, calls[0]&8 != 0, now); fate == Fits && !known {
					table.Hold(k, make([]byte, length))
				}
			}
			if held = table.Held(); held < 0 || held > maxHeldBytes || table.Len() > 16 {
				t.Fatalf("%d bytes are held, %d datagrams followed", held, table.Len())
			}
		}
		if table.Expire(now + int64(30*time.Second)); table.Len() != 0 || table.Held() != 0 || len(table.held) != 0 {
			t.Fatalf("%d datagrams and %d bytes are left", table.Len(), table.Held())
		}
	})
}
