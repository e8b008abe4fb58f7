package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// The tests here measure, briefly, on rows like those of a real run. They need root.

// TestMain is main for the parts of the program that run in processes of their own,
// as tests start them from the test's program.
func TestMain(m *testing.M) {
	if runChild(os.Args) {
		return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	restore, err := prepareMachine()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	left, err := lab.Leftovers(fmt.Sprintf("%s-%d-", labName, os.Getpid()))
	if err := errors.Join(err, restore()); err != nil || len(left) > 0 {
		fmt.Fprintln(os.Stderr, "left over:", left, err)
		return 1
	}
	return code
}

const smokeDuration = 300 * time.Millisecond

// smoke takes the steps of a run, without waiting for the machine to be quiet.
func smoke(t *testing.T, peers, metrics string) []reading {
	t.Helper()
	p, err := newPlan(options{peers: peers, only: metrics, rounds: 1, duration: smokeDuration})
	if err != nil {
		t.Fatal(err)
	}
	var readings []reading
	for step := range p.steps() {
		got, err := p.leg(t.Context(), step)
		if err != nil || len(got) == 0 {
			t.Fatalf("%s: %d readings, %v", step, len(got), err)
		}
		readings = append(readings, got...)
	}
	for _, r := range readings {
		// CPU time is the machine's, and what else runs there now may even make a
		// gateway's share negative.
		if r.value <= 0 && !strings.HasPrefix(r.unit, "CPU") {
			t.Errorf("%s of %s is %v %s", r.line, r.peer, r.value, r.unit)
		}
	}
	return readings
}

// What the kernel forwards it forwards in the generator's own soft interrupt: every
// packet that was sent is delivered, but for one under way at each end.
func TestPacketsSmoke(t *testing.T) {
	for _, r := range smoke(t, "nft,forward", "pps") {
		if r.unit == "%" && (r.value < 99 || r.value > 101) {
			t.Errorf("%s of %s is %.1f %%", r.line, r.peer, r.value)
		}
	}
}

func TestConnectionsAndLatencySmoke(t *testing.T) { smoke(t, "nft", "crr,latency") }

// Each packet of the flood of new flows has to be one for connection tracking too.
func TestNewFlowsAreNew(t *testing.T) {
	l := startedLeg(t, nft{}, load{})
	order := l.floodOrder(0)
	order.Count, order.Rate = 2000, gentleRate
	c, err := startChild(t.Context(), l.client, "flood", order)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.result(&nothing{}); err != nil {
		t.Fatal(err)
	}
	if n, err := l.gateway.flows(t.Context()); err != nil || n < 2000 || n > 2010 {
		t.Errorf("2000 packets made %d flows, %v", n, err)
	}
}

// A gateway that does not translate must not pass for one that does.
func TestPathIsVerified(t *testing.T) {
	l := startedLeg(t, forward{}, load{})
	if err := l.verifyPath(frontendAddr); err == nil {
		t.Error("no error for packets that arrive untranslated")
	}
}

func startedLeg(t *testing.T, p peer, want load) *leg {
	t.Helper()
	r, err := newRow()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	l := &leg{row: r, peer: p, duration: smokeDuration}
	if err := l.start(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	return l
}

// The ends of a storm are tried with a gateway that only forwards, while the test
// resets the connections in its stead: each at both ends, one twice, and one with
// a wrong number.
func TestEndsCountResets(t *testing.T) {
	const flows = 300
	l := startedLeg(t, forward{}, load{})
	sent := make(chan error, 1)
	go func() {
		time.Sleep(time.Second) // the ends are done in a tenth of that
		sent <- l.resetAll(flows)
	}()
	client, server, err := l.weatherStorm(context.WithoutCancel(t.Context()), flows)
	if err := errors.Join(err, <-sent); err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]endResult{"client": client, "server": server} {
		if e.Resets != flows+1 || e.Connections != flows || e.Wrong != 1 || e.Lost != 0 {
			t.Errorf("the %s's end saw %+v", name, e)
		}
		if e.First == 0 || e.First > e.Last || e.Last > monotonic() {
			t.Errorf("the %s's end saw resets from %d to %d", name, e.First, e.Last)
		}
	}
	if client.Refreshed == 0 || client.Refreshed > client.First {
		t.Errorf("refreshed at %d, first reset at %d", client.Refreshed, client.First)
	}
}

func (l *leg) resetAll(flows int) error {
	in := link{l.gw.Interface(insideLink).MAC, l.client.Interface(clientLink).MAC}
	out := link{l.gw.Interface(outsideLink).MAC, l.server.Interface(serverLink).MAC}
	toClient := func(n int, wrong uint32) segment {
		s := connection(n, 0, 0, 0)
		return segment{src: s.dst, dst: s.src, seq: serverISN + 1 + wrong, flags: flagRST}
	}
	toServer := func(n int, wrong uint32) segment { return connection(n, clientISN+1+wrong, 0, flagRST) }
	return l.gw.Do(func() error {
		return errors.Join(sendResets(insideLink, in, flows, toClient), sendResets(outsideLink, out, flows, toServer))
	})
}

func sendResets(iface string, on link, flows int, reset func(n int, wrong uint32) segment) error {
	w, err := openWire(iface, sendOnly)
	if err != nil {
		return err
	}
	defer w.close()
	b := newBatch(segmentLength)
	for n := range flows + 1 {
		wrong := uint32(0)
		if n == flows {
			wrong = 1
		}
		reset(n%flows, wrong).write(b.frames[0][:], on)
		if err := w.send(b, 1); err != nil {
			return err
		}
	}
	return nil
}

// The frames of one connection look alike at both ends but for what is translated.
func TestConnectionKey(t *testing.T) {
	there := connection(7, 0, 0, flagSYN)
	translated := there
	translated.src = netip.AddrPortFrom(frontendAddr, 1024)
	if connectionKey(there) != connectionKey(there.reply(0, 0, flagACK)) {
		t.Error("the two directions of a connection have different keys")
	}
	if connectionKey(translated) == connectionKey(there) {
		t.Error("the translated port is not in the key")
	}
}
