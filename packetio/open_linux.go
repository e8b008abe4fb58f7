package packetio

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// PacketOptions says what to open.
type PacketOptions struct {
	Interface string // an Ethernet interface that is up
	TxOnly    bool   // for WriteBatch alone: receives nothing and has no receive memory

	// Fanout, if not 0, is a number that queues of one interface have in common
	// to share its frames (PACKET_FANOUT_HASH): all frames of one direction of a
	// flow go to one of them, its fragments together to one, maybe another. It is
	// of the whole network namespace, and an interface's own.
	Fanout uint16
}

// socketBuffer bounds what waits in the kernel, in bytes: super-packets on their
// way to the reader (a full 64 KB one counts as about 70 KB), and frames that the
// device has not sent yet.
const socketBuffer = 16 << 20

// OpenPacket opens a queue on a network interface of the calling thread's network
// namespace. It needs CAP_NET_RAW.
func OpenPacket(o PacketOptions) (*PacketQueue, error) {
	q, err := openPacket(o)
	if err != nil {
		return nil, fmt.Errorf("packetio: open %s: %w", o.Interface, remedy(o.Interface, err))
	}
	return q, nil
}

func openPacket(o PacketOptions) (q *PacketQueue, err error) {
	port, err := openSocket(o)
	if err != nil {
		return nil, err
	}
	q = &PacketQueue{port: port, tx: newSender(port)}
	err = port.control(func(fd int) error { return setOptions(fd, o) })
	if err == nil && !o.TxOnly {
		q.rx, err = newReceiver(port)
	}
	if err == nil && q.rx != nil && o.Fanout != 0 {
		err = port.control(func(fd int) error { return join(fd, o.Fanout) })
	}
	if err == nil && q.rx != nil {
		err = port.control(admit)
	}
	if err != nil {
		return nil, errors.Join(err, q.Close())
	}
	return q, nil
}

func openSocket(o PacketOptions) (*port, error) {
	ifi, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, ErrNoInterface
	}
	if ifi.Flags&net.FlagUp == 0 {
		return nil, ErrLinkDown
	}
	deaf, err := deafFilter()
	if err != nil {
		return nil, err
	}
	// All protocols, although the filter lets only one pass: those bound to a
	// single protocol get a frame after the ingress hooks, where the guard that
	// keeps the host's own stack out of it drops it.
	protocol := unix.ETH_P_ALL
	if o.TxOnly {
		protocol = 0
	}
	conn, err := packet.Listen(ifi, packet.Raw, protocol, &packet.Config{Filter: deaf})
	if err != nil {
		return nil, err
	}
	if !o.TxOnly {
		return newPort(ifi.Name, conn)
	}
	file, err := unpolled(conn)
	if err = errors.Join(err, conn.Close()); err != nil {
		return nil, err
	}
	return newPort(ifi.Name, file)
}

// unpolled returns a file for what conn has open, of which the runtime's poller
// does not know once conn is closed. It would have the kernel wake an idle thread
// for each frame that the device has done with, which costs a tenth of the
// processor time of forwarding.
func unpolled(conn *packet.Conn) (*os.File, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	err = raw.Control(func(old uintptr) { fd, dupErr = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr); err != nil {
		return nil, err
	}
	// What is set not to block, os.NewFile gives to the poller. No call here
	// blocks all the same (MSG_DONTWAIT).
	if err := unix.SetNonblock(fd, false); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "packet"), nil
}

// setOptions sets the socket's options but for the receive ring, which comes after
// PACKET_VNET_HDR.
func setOptions(fd int, o PacketOptions) error {
	if err := checkEthernet(fd); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1); err != nil {
		return fmt.Errorf("PACKET_VNET_HDR: %w", err)
	}
	if err := setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF); err != nil || o.TxOnly {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("PACKET_IGNORE_OUTGOING: %w", err)
	}
	return setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
}

// join shares the interface's frames with the group's other sockets.
func join(fd int, group uint16) error {
	how := int(group) | (unix.PACKET_FANOUT_HASH|unix.PACKET_FANOUT_FLAG_IGNORE_OUTGOING)<<16
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_FANOUT, how); err != nil {
		return fmt.Errorf("PACKET_FANOUT group %d: %w", group, err)
	}
	return nil
}

func checkEthernet(fd int) error {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return err
	}
	if t := sa.(*unix.SockaddrLinklayer).Hatype; t != unix.ARPHRD_ETHER && t != unix.ARPHRD_LOOPBACK {
		return fmt.Errorf("not an Ethernet interface (ARPHRD %d); use datapath tun", t)
	}
	return nil
}

// setBuffer sets the size beyond the system's limit (net.core.rmem_max,
// wmem_max), or up to it without CAP_NET_ADMIN.
func setBuffer(fd, force, polite int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, polite, socketBuffer)
	}
	if err != nil {
		return fmt.Errorf("socket buffer: %w", err)
	}
	return nil
}

// remedy adds to an error what the operator can do about it.
func remedy(name string, err error) error {
	switch {
	case errors.Is(err, ErrNoInterface):
		return fmt.Errorf("%w; set gateway.inside.interface and gateway.outside.interface to one of %s", err, interfaces())
	case errors.Is(err, ErrLinkDown):
		return fmt.Errorf("%w; run: ip link set %s up", err, name)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w; run as root or with CAP_NET_RAW and CAP_NET_ADMIN", err)
	}
	return err
}

// interfaces lists those of this network namespace.
func interfaces() string {
	var names []string
	all, _ := net.Interfaces() // what is known helps, nothing doesn't hurt
	for _, i := range all {
		names = append(names, i.Name)
	}
	return strings.Join(names, ", ")
}
