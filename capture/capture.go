// Package capture writes packets as a capture file in the format pcapng, which
// Wireshark, tshark and tcpdump open (draft-ietf-opsawg-pcapng).
//
// A file has one section with two interfaces, "before" and "after": a packet as it
// came, and as it leaves. Packets are IPv4 without a link header, dated to the
// nanosecond, each with a comment. It knows nothing of the gateway.
package capture

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// The interfaces of a file.
const (
	Before = iota // packets as they come
	After         // packets as they leave
)

// linkRaw is LINKTYPE_RAW: packets begin with the IP header.
const linkRaw layers.LinkType = 101

// maxComment is the most bytes that a comment has, far below what an option takes.
const maxComment = 1024

// Packet is what is written of one packet.
type Packet struct {
	Interface int // Before or After
	Time      time.Time
	Outbound  bool   // it goes to the wire; else it came from it
	Length    int    // on the wire, bytes
	Bytes     []byte // those kept, from the IP header on
	Comment   string // one line of UTF-8; empty for none
}

// Writer writes one file. It does not buffer, and is not safe for concurrent use.
type Writer struct {
	w       io.Writer
	headers *pcapgo.NgWriter // the blocks around the packets; it has no comments, nor flags
	block   []byte
	written [2]uint64 // packets, by interface
}

// NewWriter writes the beginning of a file, made by a program of that name, of whose
// packets at most snaplen bytes each are kept.
func NewWriter(w io.Writer, program string, snaplen int) (*Writer, error) {
	of := func(name, description string) pcapgo.NgInterface {
		return pcapgo.NgInterface{Name: name, Description: description, LinkType: linkRaw, SnapLength: uint32(snaplen)}
	}
	headers, err := pcapgo.NewNgWriterInterface(w, of("before", "packets as they come"), pcapgo.NgWriterOptions{
		SectionInfo: pcapgo.NgSectionInfo{Hardware: runtime.GOARCH, OS: runtime.GOOS, Application: program},
	})
	if err == nil {
		_, err = headers.AddInterface(of("after", "packets as they leave"))
	}
	if err == nil {
		err = headers.Flush()
	}
	if err != nil {
		return nil, fmt.Errorf("capture: write header: %w", err)
	}
	return &Writer{w: w, headers: headers}, nil
}

// Codes of an enhanced packet block and of its options (draft-ietf-opsawg-pcapng §4.3).
const (
	enhancedPacket = 6
	optComment     = 1
	optFlags       = 2

	flagInbound  = 1
	flagOutbound = 2
)

// Write adds one packet, in one call of the underlying Write.
func (w *Writer) Write(p *Packet) error {
	le := binary.LittleEndian
	at := uint64(p.Time.UnixNano())
	flags := uint32(flagInbound)
	if p.Outbound {
		flags = flagOutbound
	}
	b := le.AppendUint32(w.block[:0], enhancedPacket)
	b = le.AppendUint32(b, 0) // its length, below
	b = le.AppendUint32(b, uint32(p.Interface))
	b = le.AppendUint32(b, uint32(at>>32))
	b = le.AppendUint32(b, uint32(at))
	b = le.AppendUint32(b, uint32(len(p.Bytes)))
	b = le.AppendUint32(b, uint32(p.Length))
	b = padded(append(b, p.Bytes...))
	if p.Comment != "" {
		b = option(b, optComment, []byte(strings.ToValidUTF8(p.Comment[:min(len(p.Comment), maxComment)], "")))
	}
	b = option(b, optFlags, le.AppendUint32(nil, flags))
	b = le.AppendUint32(b, 0) // the end of the options
	b = le.AppendUint32(b, uint32(len(b)+4))
	le.PutUint32(b[4:], uint32(len(b)))
	w.block = b
	if _, err := w.w.Write(b); err != nil {
		return fmt.Errorf("capture: write packet: %w", err)
	}
	w.written[p.Interface]++
	return nil
}

func option(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return padded(append(b, value...))
}

// padded fills b up to whole words; what is in front of it is whole words.
func padded(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }

// Statistics writes how many packets each interface has had by now, and how many more
// were lost on the way here. Readers go by the last ones in a file, which has to end
// with them, or with any whole block.
func (w *Writer) Statistics(lost [2]uint64, now time.Time) error {
	for i := range w.written {
		stats := pcapgo.NgInterfaceStatistics{LastUpdate: now, PacketsReceived: w.written[i] + lost[i], PacketsDropped: lost[i]}
		if err := w.headers.WriteInterfaceStats(i, stats); err != nil {
			return fmt.Errorf("capture: write statistics: %w", err)
		}
	}
	if err := w.headers.Flush(); err != nil {
		return fmt.Errorf("capture: write statistics: %w", err)
	}
	return nil
}
