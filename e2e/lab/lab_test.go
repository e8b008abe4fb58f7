package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"tidegate/e2e/lab"
)

const testName = "labtest"

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		beVictim()
	}
	goleak.VerifyTestMain(m)
}

// newLab makes a lab that the test's end closes, and checks that nothing is left.
func newLab(t *testing.T, o lab.Options) *lab.Lab {
	t.Helper()
	o.Name = testName
	l, err := lab.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		wantNoNamespaces(t, l.Prefix())
	})
	return l
}

// masquerade makes the gateway a NAT gateway of the kernel's, the stand-in for ours.
func masquerade(t *testing.T, l *lab.Lab) {
	t.Helper()
	const rules = `table ip nat { chain post { type nat hook postrouting priority srcnat; oifname "out0" masquerade; }; }`
	if _, err := l.Gateway.Run(within(t, 5*time.Second), "nft", rules); err != nil {
		t.Fatal(err)
	}
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func wantNoNamespaces(t *testing.T, prefix string) {
	t.Helper()
	left, err := lab.Leftovers(prefix)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestOptionsRefused(t *testing.T) {
	for _, o := range []lab.Options{
		{Name: "no-dash"}, {Name: "../up"}, {Name: "seventeenletterss"}, {Hosts: -1}, {Hosts: 201},
	} {
		if l, err := lab.New(o); err == nil {
			l.Close()
			t.Errorf("New(%+v) succeeded", o)
		}
	}
}

func TestTopology(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 4, MTU: 1400})
	want := map[string]string{
		"h1 eth0": "10.0.0.10/24", "h2 eth0": "10.0.0.11/24", "h3 eth0": "10.0.0.12/24", "h4 eth0": "10.0.0.13/24",
		"gw in0": "10.0.0.1/24", "gw out0": "203.0.113.1/24",
		"rt wan0": "203.0.113.254/24", "rt srv1": "198.51.100.1/24", "rt srv2": "192.0.2.1/24",
		"s1 eth0": "198.51.100.7/24", "s2 eth0": "192.0.2.9/24",
	}
	for _, h := range append(append([]*lab.Host{l.Gateway, l.Router}, l.Hosts...), l.Servers...) {
		for _, i := range h.Interfaces {
			key := h.Name + " " + i.Name
			if i.Prefix.String() != want[key] {
				t.Errorf("%s has %s, want %s", key, i.Prefix, want[key])
			}
			delete(want, key)
			wantInKernel(t, h, i, 1400)
		}
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
}

// wantInKernel compares an Interface with what the kernel says of it.
func wantInKernel(t *testing.T, h *lab.Host, i lab.Interface, mtu int) {
	t.Helper()
	var link netlink.Link
	var addrs []netlink.Addr
	err := h.Do(func() (err error) {
		if link, err = netlink.LinkByName(i.Name); err != nil {
			return err
		}
		addrs, err = netlink.AddrList(link, netlink.FAMILY_ALL)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a := link.Attrs()
	if len(addrs) != 1 || addrs[0].IPNet.String() != i.Prefix.String() || a.MTU != mtu ||
		a.HardwareAddr.String() != i.MAC.String() {
		t.Errorf("%s %s: %v, kernel has %v, MTU %d, MAC %s", h.Name, i.Name, i, addrs, a.MTU, a.HardwareAddr)
	}
}

func TestReachability(t *testing.T) {
	l := newLab(t, lab.Options{})
	masquerade(t, l)
	for _, c := range []struct {
		from *lab.Host
		to   netip.Addr
	}{
		{l.Hosts[0], l.Hosts[1].Addr},
		{l.Hosts[0], l.Gateway.Addr},
		{l.Gateway, l.Servers[1].Addr},
		{l.Servers[0], l.Servers[1].Addr},
		{l.Servers[0], netip.MustParseAddr("203.0.113.1")},
		{l.Hosts[2], l.Servers[0].Addr},
	} {
		// A new lab loses no packet: an ARP request is repeated after a second.
		if _, err := c.from.Ping(within(t, 900*time.Millisecond), c.to); err != nil {
			t.Error(err)
		}
	}
}

// Without a gateway that translates, a packet leaks, is seen outside, and gets
// no answer.
func TestLeakIsRealAndUnanswered(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{})
	host, server := l.Hosts[0], l.Servers[0]
	atRouter, atServer := capture(t, l.Router, "wan0"), capture(t, server, "eth0")
	if _, err := host.Ping(within(t, 300*time.Millisecond), server.Addr); err == nil {
		t.Error("a leaked ping was answered")
	}
	for _, c := range []*lab.Capture{atRouter, atServer} {
		_, err := c.Wait(within(t, time.Second), func(p lab.Packet) bool {
			return p.ICMP() != nil && p.IPv4().SrcIP.String() == host.Addr.String() && !p.Outgoing
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestNoForwarding(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 1, NoForwarding: true})
	masquerade(t, l)
	ctx := within(t, 300*time.Millisecond)
	if _, err := l.Hosts[0].Ping(ctx, l.Servers[0].Addr); err == nil {
		t.Error("the gateway forwards")
	}
	if err := l.Gateway.SetSysctl("net.ipv4.ip_forward", "1"); err != nil {
		t.Fatal(err)
	}
	if value, err := l.Gateway.Sysctl("net.ipv4.ip_forward"); value != "1" {
		t.Errorf("ip_forward is %q, %v", value, err)
	}
	if _, err := l.Hosts[0].Ping(within(t, 2*time.Second), l.Servers[0].Addr); err != nil {
		t.Error(err)
	}
	if err := l.Gateway.SetSysctl("net.ipv4.no_such_key", "1"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set a key that is not there: %v", err)
	}
	if _, err := l.Gateway.Sysctl("net.ipv4.no_such_key"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read a key that is not there: %v", err)
	}
}

func TestLinkDownAndUp(t *testing.T) {
	t.Parallel()
	l := newLab(t, lab.Options{Hosts: 2})
	c := capture(t, l.Hosts[1], "eth0")
	for _, step := range []struct {
		change func(string) error
		answer bool
	}{{l.LAN.SetDown, false}, {l.LAN.SetUp, true}} {
		if err := step.change("h1"); err != nil {
			t.Fatal(err)
		}
		// The failed ping's ARP request is repeated after a second.
		_, err := l.Hosts[1].Ping(within(t, 1500*time.Millisecond), l.Hosts[0].Addr)
		if (err == nil) != step.answer {
			t.Errorf("ping: %v, want an answer: %v", err, step.answer)
		}
	}
	// A capture outlives its own interface's bad times.
	for _, change := range []func(string) error{l.Hosts[1].SetDown, l.Hosts[1].SetUp} {
		if err := change("eth0"); err != nil {
			t.Fatal(err)
		}
	}
	up := time.Now()
	if _, err := l.Hosts[1].Ping(within(t, 1500*time.Millisecond), l.Hosts[0].Addr); err != nil {
		t.Error(err)
	}
	_, err := c.Wait(within(t, time.Second), func(p lab.Packet) bool {
		return p.ICMP() != nil && p.Metadata().Timestamp.After(up)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	filesBefore := openFiles(t)
	goroutines := goleak.IgnoreCurrent()
	l := newLab(t, lab.Options{})
	gone := tieToCaller(t, l.Hosts[0])
	process := useEverything(t, l)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	wantNoNamespaces(t, l.Prefix())
	wantDead(t, process.Pid())
	gone(t)
	goleak.VerifyNone(t, goroutines)
	wantOpenFiles(t, filesBefore)
	wantClosed(t, l)
}

// useEverything starts one of each thing that Close has to end.
func useEverything(t *testing.T, l *lab.Lab) *lab.Process {
	t.Helper()
	masquerade(t, l)
	capture(t, l.Router, "wan0")
	echo, err := lab.ServeTCPEcho(l.Servers[0], ":7")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.ServeUDPEcho(l.Servers[0], ":7"); err != nil {
		t.Fatal(err)
	}
	if _, err := lab.ServeHTTP(l.Servers[0], ":80", lab.Blobs()); err != nil {
		t.Fatal(err)
	}
	conn, err := l.Hosts[0].Dial(within(t, 2*time.Second), "tcp", echo.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	wantEcho(t, conn)
	return start(t, l.Hosts[1], "sleep", "1000")
}

func openFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil {
			targets = append(targets, target)
		}
	}
	return targets
}

// wantOpenFiles waits for the number of open files to be as before: the runtime
// pools pipes that it spliced by, and closes them when it collects garbage.
func wantOpenFiles(t *testing.T, before []string) {
	t.Helper()
	var after []string
	for range 100 {
		runtime.GC()
		if after = openFiles(t); len(after) <= len(before) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("open files before %v, after %v", before, after)
}

// tieToCaller puts one end of a cable into the host and the other here. The
// kernel removes both when the host's namespace ends, so that the returned check
// sees whether anything still holds the namespace.
func tieToCaller(t *testing.T, h *lab.Host) (gone func(*testing.T)) {
	t.Helper()
	ns, err := netns.GetFromName(h.Namespace())
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = fmt.Sprintf("lt%d", os.Getpid())
	link := &netlink.Veth{LinkAttrs: attrs, PeerName: "tie", PeerNamespace: netlink.NsFd(ns)}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(link) })
	return func(t *testing.T) {
		for range 100 {
			if _, err := netlink.LinkByName(attrs.Name); err != nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("namespace %s lives on without a name", h.Namespace())
	}
}

func wantClosed(t *testing.T, l *lab.Lab) {
	t.Helper()
	_, dial := l.Hosts[0].Dial(t.Context(), "tcp", "198.51.100.7:7")
	_, run := l.Hosts[0].Run(t.Context(), "true")
	_, capture := l.Hosts[0].Capture("eth0")
	do, down := l.Hosts[0].Do(func() error { return nil }), l.Hosts[0].SetDown("eth0")
	for _, err := range []error{dial, run, capture, do, down} {
		if err == nil || !strings.HasPrefix(err.Error(), "lab: ") || strings.Count(err.Error(), "lab: ") > 1 {
			t.Errorf("use after Close: %v", err)
		}
	}
}

// The kernel refuses an MTU of 10 when half the lab is there.
func TestFailedNewLeavesNothing(t *testing.T) {
	if l, err := lab.New(lab.Options{Name: testName, MTU: 10}); err == nil {
		l.Close()
		t.Fatal("New succeeded")
	}
	wantNoNamespaces(t, fmt.Sprintf("%s-%d-", testName, os.Getpid()))
}

// A namespace that is somebody else's makes New fail and survives that.
func TestNewTouchesNoForeignNamespace(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	var n int
	if _, err := fmt.Sscanf(strings.TrimPrefix(l.Prefix(), testName), "-%d-%d-", new(int), &n); err != nil {
		t.Fatal(err)
	}
	next := fmt.Sprintf("%s-%d-%d-", testName, os.Getpid(), n+1)
	foreign := filepath.Join("/run/netns", next+"s1")
	if err := os.WriteFile(foreign, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(foreign) })
	if l, err := lab.New(lab.Options{Name: testName}); err == nil {
		l.Close()
		t.Fatal("New succeeded")
	}
	left, err := lab.Leftovers(next)
	if err != nil || len(left) != 1 || left[0] != next+"s1" {
		t.Errorf("left: %v, %v; want the foreign one alone", left, err)
	}
}
