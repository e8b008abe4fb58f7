package lab

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolRequest is struct ifreq with a pointer to a struct ethtool_value
// (linux/if.h, linux/ethtool.h).
type ethtoolRequest struct {
	name  [unix.IFNAMSIZ]byte
	value unsafe.Pointer
	_     [16]byte
}

type ethtoolValue struct{ command, value uint32 }

// SetOffload says whether the host may leave the checksums, and with them the
// segmentation, of what it sends by an interface to the card. New interfaces
// do. Off, frames have the size and the checksums that they have on a wire.
func (h *Host) SetOffload(iface string, on bool) error {
	err := h.inside(func() error { return setChecksumOffload(iface, on) })
	if err != nil {
		return fmt.Errorf("lab: set offload of %s of %s: %w", iface, h.Name, err)
	}
	return nil
}

// setChecksumOffload changes checksum offload; the kernel itself drops
// segmentation offload with it.
func setChecksumOffload(iface string, on bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	value := ethtoolValue{command: unix.ETHTOOL_STXCSUM}
	if on {
		value.value = 1
	}
	request := ethtoolRequest{value: unsafe.Pointer(&value)}
	copy(request.name[:unix.IFNAMSIZ-1], iface)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	if errno != 0 {
		return os.NewSyscallError("ioctl SIOCETHTOOL", errno)
	}
	return nil
}
