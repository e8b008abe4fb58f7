package packetio

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/songgao/water"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tunOpener is one way to open a queue of a TUN interface, which is created where
// there is none, and what frames it then has. open is told whether there will be
// several queues, and returns the interface's name.
type tunOpener struct {
	open   func(name string, several bool) (*os.File, string, error)
	layout Layout
}

var (
	offloading = tunOpener{openOffloading, Layout{Vnet: vnetLen}}
	plain      = tunOpener{openPlain, Layout{}}
)

// openOffloading opens a queue whose packets come and go with a virtio_net_hdr,
// super-packets and unfinished checksums among them. Where the kernel does not do
// that, its error is errors.ErrUnsupported.
func openOffloading(name string, several bool) (*os.File, string, error) {
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	if name, err = attach(fd, name, several); err == nil {
		err = negotiate(fd)
	}
	if err != nil {
		return nil, "", errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), path), name, nil
}

// attach makes fd a queue of the interface and returns its name.
func attach(fd int, name string, several bool) (string, error) {
	known, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil {
		return "", unsupported("TUNGETFEATURES", err)
	}
	if known&unix.IFF_VNET_HDR == 0 { // the kernel would ignore the flag
		return "", unsupported("IFF_VNET_HDR", unix.EINVAL)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		return "", err
	}
	flags := uint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if several {
		flags |= unix.IFF_MULTI_QUEUE
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return "", fmt.Errorf("TUNSETIFF: %w", err)
	}
	return request.Name(), nil
}

// offloads are what the kernel may leave to us, who leave it to the next interface.
// ECN is a flag of a super-packet that passes through. IPv6 is dropped all the same,
// but the kernel (6.2) has both kinds of UDP super-packets or none.
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO_ECN

// negotiate sets what was perhaps set otherwise by a previous user of the interface.
func negotiate(fd int) error {
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, vnetLen); err != nil {
		return unsupported("TUNSETVNETHDRSZ", err)
	}
	err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads|unix.TUN_F_USO4|unix.TUN_F_USO6)
	if errors.Is(err, unix.EINVAL) {
		err = unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads)
	}
	if err != nil {
		return unsupported("TUNSETOFFLOAD", err)
	}
	return nil
}

func unsupported(what string, err error) error {
	return fmt.Errorf("%s: %w (%w)", what, err, errors.ErrUnsupported)
}

// forgo takes the offloads off an interface that outlives its queues: who opens it
// next may not expect super-packets.
func forgo(fd int) error { return unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, 0) }

// openPlain opens a queue of bare packets, each segment by itself: what every TUN
// device can do.
func openPlain(name string, several bool) (*os.File, string, error) {
	c := water.Config{DeviceType: water.TUN}
	c.Name, c.MultiQueue, c.Persist = name, several, persistent(name)
	device, err := water.New(c)
	if err != nil {
		return nil, "", err
	}
	return device.ReadWriteCloser.(*os.File), device.Name(), nil
}

// persistent says whether the interface is there and outlives its users: water sets
// that anew each time it opens one, and an operator's must stay as it is.
func persistent(name string) bool {
	link, err := netlink.LinkByName(name)
	return err == nil && outlives(link)
}

// outlives says whether a link is a TUN interface that stays without its queues.
func outlives(link netlink.Link) bool {
	tun, ok := link.(*netlink.Tuntap)
	return ok && !tun.NonPersist
}

// tunRemedy adds to an error what the operator can do about it.
func tunRemedy(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w; run: modprobe tun, or give the container the device /dev/net/tun", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; run as root or with CAP_NET_ADMIN and access to /dev/net/tun", err)
	case errors.Is(err, unix.ENOTTY):
		return fmt.Errorf("%w; /dev/net/tun is not the TUN device: give the container the real one", err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("%w; another process has %s open, or set gateway.tun.name to a name of its own", err, name)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w; %s exists as another kind of interface, or was made with multi_queue for one worker "+
			"or without it for more: set gateway.tun.name", err, name)
	}
	return err
}
