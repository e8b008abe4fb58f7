package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
)

// Host is one network namespace of a lab.
type Host struct {
	// Name is the host's short name: "h1", "lan", "gw", "rt", "s1".
	Name string
	// Addr is the address of the first interface that has one.
	Addr netip.Addr
	// Interfaces are those the lab made, without lo. Read only.
	Interfaces []Interface

	lab *Lab
}

// Interface is an Ethernet interface of a host.
type Interface struct {
	Name   string
	MAC    net.HardwareAddr
	Prefix netip.Prefix // address and length; the zero Prefix for a bridge and its ports
}

// addHost makes a namespace and the Host in it.
func (l *Lab) addHost(name string) (*Host, error) {
	h := &Host{Name: name, lab: l}
	if err := addNamespace(h.Namespace()); err != nil {
		return nil, err
	}
	l.hosts = append(l.hosts, h)
	return h, h.prepare()
}

// prepare brings the new namespace into a known state: lo up, IPv6 off and no
// forwarding, which a namespace may inherit from the machine.
func (h *Host) prepare() error {
	err := errors.Join(
		h.preset("net.ipv6.conf.all.disable_ipv6", "1"),
		h.preset("net.ipv6.conf.default.disable_ipv6", "1"),
		h.preset("net.ipv4.ip_forward", "0"),
	)
	if err != nil {
		return err
	}
	return h.setLink("set up", "lo", netlink.LinkSetUp)
}

// Namespace returns the name that "ip netns exec" knows the host by.
func (h *Host) Namespace() string { return h.lab.prefix + h.Name }

// Interface returns the host's interface of that name, or the zero Interface.
func (h *Host) Interface(name string) Interface {
	for _, i := range h.Interfaces {
		if i.Name == name {
			return i
		}
	}
	return Interface{}
}

// Do runs f on an operating system thread inside the host's namespace and
// returns f's error. Sockets that f opens stay in the namespace for good, and the
// functions of package netlink act on the host's links, addresses, routes and
// neighbours; a netlink.Handle must not, because a closed one acts on the
// caller's. Goroutines that f starts are not in the namespace. f runs in another
// goroutine than Do's caller, so it must not call t.Fatal.
func (h *Host) Do(f func() error) error {
	entered := false
	err := h.inside(func() error {
		entered = true
		return f()
	})
	if err != nil && !entered {
		return fmt.Errorf("lab: %w", err)
	}
	return err
}

// inside is Do for callers that put the package's name on its errors.
func (h *Host) inside(f func() error) error { return within(h.Namespace(), f) }

// Sysctl reads a kernel setting of the host by its dotted name. Interface names
// in it must have no dot.
func (h *Host) Sysctl(key string) (string, error) {
	var value []byte
	err := h.inside(func() (err error) {
		value, err = os.ReadFile(sysctlPath(key))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("lab: read sysctl %s of %s: %w", key, h.Name, err)
	}
	return strings.TrimSpace(string(value)), nil
}

// SetSysctl changes a kernel setting of the host.
func (h *Host) SetSysctl(key, value string) error {
	err := h.inside(func() error {
		file, err := os.OpenFile(sysctlPath(key), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(value)
		return errors.Join(err, file.Close())
	})
	if err != nil {
		return fmt.Errorf("lab: set sysctl %s=%s of %s: %w", key, value, h.Name, err)
	}
	return nil
}

// preset is SetSysctl for a setting that needs no change where the kernel has
// no such part.
func (h *Host) preset(key, value string) error {
	err := h.SetSysctl(key, value)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sysctlPath is the file of a setting: the kernel shows it by the namespace of
// the thread that opens it.
func sysctlPath(key string) string {
	return "/proc/sys/" + strings.ReplaceAll(key, ".", "/")
}
