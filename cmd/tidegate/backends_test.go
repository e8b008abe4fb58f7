package main

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidegate/api"
)

// rendered is a page as it is printed where there is no terminal.
func rendered(t *testing.T, g *global, v any, text func(*page)) string {
	t.Helper()
	var b bytes.Buffer
	if err := g.show(&b, v, text); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func TestBackendTable(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local)
	vm := netip.MustParseAddr("10.0.0.10")
	b := api.Backends{Rows: []api.Backend{
		{Pool: "vms", Backend: vm, AdminState: "None", Probe: "http", Up: true, Known: true, TakesNewFlows: true, NewFlows: 7,
			Since: at, LastProbe: at.Add(time.Minute), ProbeSeconds: 0.00154, Result: "200 OK", Succeeded: 5, Failed: 1},
		{Pool: "vms", Backend: vm.Next(), AdminState: "Down", Probe: "http", Known: true, Since: at, LastProbe: at, Result: "refused", Failed: 1},
		{Pool: "new", Backend: vm, AdminState: "None", Probe: "tcp"},
		{Pool: "old", Backend: vm, AdminState: "None", Left: true, Draining: true, DrainSeconds: 12.04},
	}}
	want := strings.Join([]string{
		"POOL  BACKEND    PROBE  STATE         ADMIN  NEW FLOWS  SINCE                LAST RESULT",
		"vms   10.0.0.10  http   up            None           7  2026-01-02 03:04:05  200 OK",
		"vms   10.0.0.11  http   down          Down           0  2026-01-02 03:04:05  refused",
		"new   10.0.0.10  tcp    unknown       None           0  -                    -",
		"old   10.0.0.10  -      draining 12s  None           0  -                    -",
	}, "\n")
	g := &global{output: "table"}
	if diff := cmp.Diff(want, rendered(t, g, b, func(p *page) { p.table(backendTable(b.Rows, g.wide())) })); diff != "" {
		t.Error(diff)
	}
	g.output = "wide"
	wide := rendered(t, g, b, func(p *page) { p.table(backendTable(b.Rows, g.wide())) })
	if !strings.Contains(wide, "200 OK       yes              2026-01-02 03:05:05  1.5ms          5       1") {
		t.Error(wide)
	}
}

func TestExplainTable(t *testing.T) {
	e := api.Explanation{Verdict: "no-flow", Summary: "It belongs to none.", Steps: []string{"First.", "Second."}}
	got := rendered(t, &global{output: "table"}, e, func(p *page) { explainPage(p, &e) })
	if want := "no-flow: It belongs to none.\n\n  1. First.\n  2. Second."; got != want {
		t.Error(got)
	}
}

// What can't be meant is found before the gateway is asked: there is none here.
func TestExplainUsage(t *testing.T) {
	for words, says := range map[string]string{
		"explain tcp 10.0.0.10:1":                         "accepts 3 arg(s), received 2",
		"explain sctp 10.0.0.10:1 10.0.0.11:2":            "is not one of tcp, udp, icmp",
		"explain tcp 10.0.0.10 10.0.0.11:2":               "explain source: \"10.0.0.10\" has no port",
		"explain tcp 10.0.0.10:1 10.0.0.11:2 --side=left": "is not one of inside, outside",
		"explain tcp 10.0.0.10:1 10.0.0.11:2 -o yaml":     "must be table, wide or json",
		"backends vms": "see `tidegate backends --help`",
		"explain UDP 10.0.0.10:1 10.0.0.11:2 --api unix:/none.sock":  "",
		"explain icmp 10.0.0.10 10.0.0.11 --api unix:/none/api.sock": "",
	} {
		root := newRoot()
		root.SetArgs(strings.Fields(words))
		root.SetOut(io.Discard)
		err := root.Execute()
		if usage := errors.As(err, new(usageError)); err == nil || usage != (says != "") || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", words, err)
		}
	}
}
