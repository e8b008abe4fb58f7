package gateway

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tidegate/e2e/lab"
	"tidegate/nexthop"
	"tidegate/packet/packettest"
)

// TestKernelRouter asks a real kernel: 198.51.100.7 lies outside by way of the
// router 203.0.113.254, 10.0.0.10 inside on the link, 203.0.113.1 is the host's.
func TestKernelRouter(t *testing.T) {
	l, err := lab.New(lab.Options{Name: "tggw", Hosts: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var table *nexthop.Table
	if err := l.Gateway.Do(func() (err error) {
		table, err = nexthop.Open(nexthop.Options{Inside: "in0", Outside: "out0"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	running := make(chan error, 1)
	go func() { running <- table.Run(t.Context()) }()
	t.Cleanup(func() { _ = table.Close(); <-running })
	r := NewKernelRouter(table)
	for _, c := range []struct {
		dst  string
		side nexthop.Side
	}{{serverHost, nexthop.Outside}, {"10.0.0.10", nexthop.Inside}} {
		if err := resolves(r, c.dst, c.side); err != nil {
			t.Error(err)
		}
		if hop, s := r.Hop(packettest.Addr(c.dst), opposite(c.side)); s != nexthop.Elsewhere || hop != nil {
			t.Errorf("out %v, %s is %v", opposite(c.side), c.dst, s)
		}
		if r.Local(packettest.Addr(c.dst)) {
			t.Errorf("%s is the host's own", c.dst)
		}
	}
	if !r.Local(packettest.Addr("203.0.113.1")) {
		t.Error("203.0.113.1 is not the host's own")
	}
}

// resolves waits for the neighbour on the way, as the gateway does.
func resolves(r *KernelRouter, dst string, side nexthop.Side) error {
	a := packettest.Addr(dst)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		hop, s := r.Hop(a, side)
		switch s {
		case nexthop.Resolved:
			if hop.MTU != 1500 || hop.Side != side {
				return fmt.Errorf("the hop to %s is %v with MTU %d", dst, hop.Side, hop.MTU)
			}
			return nil
		case nexthop.Unresolved:
			r.Solicit(a)
		default:
			return fmt.Errorf("out %v, %s is %v", side, dst, s)
		}
	}
	return errors.New(dst + " is not resolved")
}
