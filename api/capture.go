package api

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// CaptureType is the media type of a capture file (draft-ietf-opsawg-pcapng).
const CaptureType = "application/x-pcapng"

// The limits of a capture.
const (
	MinSnaplen        = 20     // bytes: an IPv4 header
	MaxSnaplen        = 65535  // bytes: the largest IPv4 packet
	MaxCaptureSeconds = 86_400 // a day
	MaxCapturePackets = 1_000_000_000
)

// CaptureQuery asks for packets as they come and as they leave.
type CaptureQuery struct {
	Filter  Filter // a packet that is of no flow goes by its own addresses
	Packets int    // end after so many, 1 to MaxCapturePackets; one that is forwarded counts twice; 0 means never
	Seconds int    // end after so long, 1 to MaxCaptureSeconds; 0 means never
	Snaplen int    // bytes of each packet, MinSnaplen to MaxSnaplen; 0 means MaxSnaplen
}

// Captured says how far a capture has come.
type Captured struct {
	Packets uint64 // in the file
	Lost    uint64 // came faster than they could be sent
}

// number is a query parameter that is a whole number.
type number struct {
	name        string
	least, most int
	field       func(*CaptureQuery) *int
}

var captureNumbers = []number{
	{"packets", 1, MaxCapturePackets, func(q *CaptureQuery) *int { return &q.Packets }},
	{"seconds", 1, MaxCaptureSeconds, func(q *CaptureQuery) *int { return &q.Seconds }},
	{"snaplen", MinSnaplen, MaxSnaplen, func(q *CaptureQuery) *int { return &q.Snaplen }},
}

// ParseCaptureQuery reads the query parameters of GET /v1/capture.
func ParseCaptureQuery(v url.Values) (q CaptureQuery, err error) {
	if q.Filter, err = parseFilter(v, "packets", "seconds", "snaplen"); err != nil {
		return CaptureQuery{}, err
	}
	for _, n := range captureNumbers {
		if err := n.parse(v[n.name], n.field(&q)); err != nil {
			return CaptureQuery{}, fmt.Errorf("api: parameter %s: %w", n.name, err)
		}
	}
	return q, nil
}

func (n *number) parse(values []string, into *int) (err error) {
	switch len(values) {
	case 0:
		return nil
	case 1:
	default:
		return errors.New("given more than once")
	}
	if *into, err = strconv.Atoi(values[0]); err != nil || *into < n.least || *into > n.most {
		return fmt.Errorf("%q is no number in %d–%d", values[0], n.least, n.most)
	}
	return nil
}

// Query returns the query parameters that ParseCaptureQuery reads.
func (q CaptureQuery) Query() url.Values {
	v := q.Filter.Query()
	for _, n := range captureNumbers {
		if value := *n.field(&q); value != 0 {
			v.Set(n.name, strconv.Itoa(value))
		}
	}
	return v
}

// Capture writes packets to w as a pcapng file, from when the gateway has accepted the
// query, and calls told, if it is not nil, with every packet. It returns nil when the
// gateway has ended the capture, or when ctx is done meanwhile. Whatever the end, what
// is in w is whole.
func (c *Client) Capture(ctx context.Context, q CaptureQuery, w io.Writer, told func(Captured)) error {
	target := "/v1/capture?" + q.Query().Encode()
	resp, err := c.open(ctx, http.MethodGet, target, http.Header{"Accept": {CaptureType}}, http.NoBody)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if told == nil {
		told = func(Captured) {}
	}
	f := captureFile{w: bufio.NewWriterSize(w, captureChunk), statistics: map[uint32][]byte{}, told: told}
	if err = f.copy(bufio.NewReaderSize(resp.Body, captureChunk)); err == nil || ctx.Err() != nil && !errors.Is(err, errFile) {
		err = f.end()
	}
	if err != nil {
		return fmt.Errorf("api: GET /v1/capture: %w", err)
	}
	return nil
}

// Blocks of a pcapng file, and the option of statistics that says how many packets the
// interface has lost.
const (
	statisticsBlock = 5
	packetBlock     = 6
	lostOption      = 5
	maxBlock        = 1 << 20 // bytes; the largest packet, its comment and headers have fewer
	captureChunk    = 64 << 10
)

// errFile means that the file can't be written, not that the stream can't be read.
var errFile = errors.New("write")

// captureFile is written block by block, and has all that has come by the time that
// more is waited for. Statistics, which the gateway tells now and then, come last.
type captureFile struct {
	w          *bufio.Writer
	statistics map[uint32][]byte // by interface
	captured   Captured
	told       func(Captured)
}

// copy writes blocks until the stream ends between two of them.
func (f *captureFile) copy(r *bufio.Reader) error {
	for {
		if r.Buffered() == 0 {
			if err := f.flush(); err != nil {
				return err
			}
		}
		block, err := readBlock(r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f.take(block)
		}
		if err != nil {
			return err
		}
	}
}

// readBlock returns the next block, io.EOF if there is none.
func readBlock(r *bufio.Reader) ([]byte, error) {
	head, err := r.Peek(8)
	if len(head) == 0 {
		return nil, err
	}
	if err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	n := binary.LittleEndian.Uint32(head[4:])
	if n < 12 || n > maxBlock || n%4 != 0 {
		return nil, fmt.Errorf("a block of %d bytes: this is no pcapng of a tidegate", n)
	}
	block := make([]byte, n)
	if _, err := io.ReadFull(r, block); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return block, nil
}

func (f *captureFile) take(block []byte) error {
	kind := binary.LittleEndian.Uint32(block)
	if kind == statisticsBlock {
		f.statistics[binary.LittleEndian.Uint32(block[8:])] = block
		f.captured.Lost = f.lost()
		f.told(f.captured)
		return nil
	}
	if err := f.write(block); err != nil || kind != packetBlock {
		return err
	}
	f.captured.Packets++
	f.told(f.captured)
	return nil
}

func (f *captureFile) write(block []byte) error {
	_, err := f.w.Write(block)
	return fileError(err)
}

func (f *captureFile) flush() error { return fileError(f.w.Flush()) }

func fileError(err error) error {
	if err != nil {
		return fmt.Errorf("%w: %w", errFile, err)
	}
	return nil
}

// end writes the statistics.
func (f *captureFile) end() error {
	for _, i := range slices.Sorted(maps.Keys(f.statistics)) {
		if err := f.write(f.statistics[i]); err != nil {
			return err
		}
	}
	return f.flush()
}

// lost adds up what the interfaces have lost.
func (f *captureFile) lost() (n uint64) {
	for _, block := range f.statistics {
		for b := block[min(20, len(block)):]; len(b) >= 12; {
			code, length := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
			if code == lostOption && length == 8 {
				n += binary.LittleEndian.Uint64(b[4:])
			}
			b = b[min(len(b), 4+(length+3)&^3):]
		}
	}
	return n
}
