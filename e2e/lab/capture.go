package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// captureBuffer is the socket's receive buffer in bytes: a bulk transfer outruns
// the recording goroutine on a busy machine.
const captureBuffer = 64 << 20

// Capture records the frames of one interface, both directions, from the return
// of Host.Capture until Close.
type Capture struct {
	host  *Host
	iface string
	conn  *packet.Conn
	raw   syscall.RawConn
	tape  tape[frame]
	done  chan struct{}
	end   func() error // finish, once

	mu   sync.Mutex
	lost int
}

// Capture starts a capture on an interface. A filter, in the machine language of
// the kernel, says how many bytes to keep of which frames; without one it is all
// of all.
func (h *Host) Capture(iface string, filter ...bpf.Instruction) (*Capture, error) {
	c := &Capture{host: h, iface: iface, done: make(chan struct{})}
	program, err := bpf.Assemble(filter)
	if err == nil {
		err = h.inside(func() error { return c.open(program) })
	}
	if err != nil {
		return nil, fmt.Errorf("lab: capture %s of %s: %w", iface, h.Name, err)
	}
	c.end = sync.OnceValue(c.finish)
	go c.record()
	if err := h.lab.own(c); err != nil {
		return nil, err
	}
	return c, nil
}

// open opens the socket; with what it needs to tell partial checksums and times.
func (c *Capture) open(program []bpf.RawInstruction) error {
	ifi, err := net.InterfaceByName(c.iface)
	if err != nil {
		return err
	}
	c.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: program})
	if err != nil {
		return err
	}
	if err := c.equip(); err != nil {
		return errors.Join(err, c.conn.Close())
	}
	return nil
}

func (c *Capture) equip() (err error) {
	if c.raw, err = c.conn.SyscallConn(); err != nil {
		return err
	}
	var failed error
	err = c.raw.Control(func(fd uintptr) {
		failed = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, captureBuffer),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		)
	})
	return errors.Join(err, failed)
}

// record runs until Close sets a deadline, and then takes what the kernel has
// queued: what the interface carried before Close counts.
func (c *Capture) record() {
	defer close(c.done)
	defer c.tape.end()
	r := newReceiver()
	for c.raw.Read(r.receive) == nil && r.err == nil {
		c.tape.record(r.frame)
	}
	c.raw.Control(func(fd uintptr) {
		for r.receive(fd) && r.err == nil {
			c.tape.record(r.frame)
		}
	})
}

// Packets returns what is captured so far, oldest first. The packets are the
// caller's; their bytes are shared and read only.
func (c *Capture) Packets() []Packet {
	frames := c.tape.all()
	packets := make([]Packet, len(frames))
	for i, f := range frames {
		packets[i] = f.packet()
	}
	return packets
}

// Wait returns the first packet that matches, of those already captured and
// those to come.
func (c *Capture) Wait(ctx context.Context, match func(Packet) bool) (Packet, error) {
	for seen := 0; ; {
		frames, err := c.tape.beyond(ctx, seen)
		for _, f := range frames[seen:] {
			if p := f.packet(); match(p) {
				return p, nil
			}
		}
		seen = len(frames)
		if err != nil {
			return Packet{}, fmt.Errorf("lab: wait for a packet on %s of %s: none of %d matched: %w",
				c.iface, c.host.Name, seen, err)
		}
	}
}

// Lost returns how many frames the kernel dropped because the capture was slow.
func (c *Capture) Lost() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stats, err := c.conn.Stats(); err == nil { // reading resets the kernel's count
		c.lost += int(stats.Drops)
	}
	return c.lost
}

// WritePcap writes what is captured so far as a pcap file.
func (c *Capture) WritePcap(w io.Writer) error {
	file := pcapgo.NewWriterNanos(w)
	err := file.WriteFileHeader(maxFrame, layers.LinkTypeEthernet)
	for _, f := range c.tape.all() {
		if err != nil {
			break
		}
		err = file.WritePacket(f.seen, f.bytes)
	}
	if err != nil {
		return fmt.Errorf("lab: write capture of %s of %s: %w", c.iface, c.host.Name, err)
	}
	return nil
}

// Close ends the capture; what it captured stays readable. Calls after the first
// do nothing.
func (c *Capture) Close() error { return c.end() }

func (c *Capture) finish() error {
	err := c.conn.SetReadDeadline(time.Unix(1, 0))
	<-c.done
	c.Lost()
	c.host.lab.disown(c)
	if err := errors.Join(err, c.conn.Close()); err != nil {
		return fmt.Errorf("lab: close capture of %s of %s: %w", c.iface, c.host.Name, err)
	}
	return nil
}
