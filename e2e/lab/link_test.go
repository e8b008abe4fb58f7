package lab_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

func TestSetMTU(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 2})
	h := l.Hosts[0]
	if err := h.SetMTU("eth0", 1300); err != nil {
		t.Fatal(err)
	}
	mtu := map[string]int{}
	for _, h := range l.Hosts {
		err := h.Do(func() error {
			i, err := net.InterfaceByName("eth0")
			if err == nil {
				mtu[h.Name] = i.MTU
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if mtu["h1"] != 1300 || mtu["h2"] != 1500 {
		t.Errorf("MTUs are %v, want 1300 and 1500", mtu)
	}
	for iface, mtu := range map[string]int{"nope0": 1300, "eth0": 1} {
		if err := h.SetMTU(iface, mtu); err == nil || !strings.Contains(err.Error(), "set MTU "+iface) {
			t.Errorf("MTU %d of %s: %v", mtu, iface, err)
		}
	}
}

// One Injector sends many frames, in order, and says what it can't send.
func TestInjector(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 2})
	from, to := l.Hosts[0], l.Hosts[1]
	c := capture(t, to, "eth0")
	i, err := from.Injector("eth0")
	if err != nil {
		t.Fatal(err)
	}
	frame := append([]byte(to.Interface("eth0").MAC), make([]byte, 60)...)
	copy(frame[6:], from.Interface("eth0").MAC)
	frame[12], frame[13] = 0x88, 0xb5 // for experiments (IEEE 802)
	const frames = 200
	for n := range byte(frames) {
		frame[14] = n
		if err := i.Send(frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := i.Send(make([]byte, 2000)); !errors.Is(err, unix.EMSGSIZE) {
		t.Errorf("sent more than the interface takes: %v", err)
	}
	c.Close()
	next := byte(0)
	for _, p := range c.Packets() {
		if b := p.Data(); b[12] == 0x88 && b[13] == 0xb5 {
			if b[14] != next {
				t.Fatalf("frame %d came where %d was expected", b[14], next)
			}
			next++
		}
	}
	if next != frames {
		t.Errorf("%d frames came, want %d", next, frames)
	}
	if err := errors.Join(i.Close(), i.Send(frame)); err == nil {
		t.Error("sent by a closed injector")
	}
	if _, err := from.Injector("nope0"); err == nil {
		t.Error("injector into an interface that is not there")
	}
}
