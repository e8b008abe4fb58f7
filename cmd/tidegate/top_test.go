package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"tidegate/api"
)

var update = flag.Bool("update", false, "write testdata/top anew")

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// topFlow is the n-th of some flows; the first has the most packets, the last the most bytes.
func topFlow(n int) api.Flow {
	return api.Flow{ID: fmt.Sprintf("%016x", n), Protocol: "tcp", State: "ESTABLISHED", Direction: api.Outbound, Rule: "egress", RuleType: "outboundRule",
		Internal: ap(fmt.Sprintf("10.0.0.10:%d", 40000+n)), External: ap(fmt.Sprintf("203.0.113.5:%d", 1024+n)), Remote: ap("198.51.100.7:443"),
		IdleSeconds: float64(n), ExpiresInSeconds: float64(240 - n), PacketsOut: uint64(10000 - 100*n), PacketsIn: 1, BytesOut: uint64(1000 * n), BytesIn: 1}
}

// glanceAt is a busy gateway, so many seconds after the first look.
func glanceAt(seconds int) glance {
	n := uint64(seconds)
	g := glance{at: time.Unix(int64(1000+seconds), 0), status: api.Status{
		Version: "v1.2", Ready: true, Datapath: "packet", UptimeSeconds: float64(7200 + seconds),
		Rules: []api.RuleStatus{
			{Name: "egress", Type: "outboundRule", IdleTimeoutSeconds: 240, Flows: 40, States: map[string]int{"ESTABLISHED": 30, "SYN_SENT": 10}},
			{Name: "ssh", Type: "inboundNatRule", IdleTimeoutSeconds: 1800, Flows: 1, States: map[string]int{"ESTABLISHED": 1}},
		},
		Totals: api.Totals{Flows: 41, MaxFlows: 1000, Created: 100 * n, Closed: 90 * n,
			Inside: api.Traffic{PacketsIn: 12345 * n, PacketsOut: 23456 * n, BytesIn: 1000000 * n, BytesOut: 20000000 * n},
			Drops:  map[string]uint64{"no-port": 7 * n, "martian": 2 * n, "acl": 0}, Resets: map[string]uint64{"idle": 4 * n}},
	}}
	g.ports = []api.PortRow{{Backend: "10.0.0.10", Protocol: "tcp", Allocated: 64, Used: 60, Free: 4}, {Backend: "10.0.0.11", Protocol: "tcp", Allocated: 64, Used: 1, Free: 63}}
	g.backends = []api.Backend{{Pool: "vms", Backend: netip.MustParseAddr("10.0.0.10"), Known: true, Up: true}, {Pool: "vms", Backend: netip.MustParseAddr("10.0.0.11"), Probe: "http", AdminState: "None", Known: true, Result: "connection refused"}}
	for i := range 20 {
		g.events = append(g.events, api.Event{Seq: uint64(i + 1), Time: time.Date(2020, 1, 2, 3, 4, i, 0, time.Local), Type: api.BackendDown, Rule: "web", Message: fmt.Sprintf("Event %d.", i+1)})
	}
	for i := range 40 {
		g.flows.Flows = append(g.flows.Flows, topFlow(i))
	}
	g.flows.Total = 1000
	return g
}

// named are keys that type no character.
var named = map[string]tea.KeyPressMsg{
	"up": {Code: tea.KeyUp}, "down": {Code: tea.KeyDown}, "end": {Code: tea.KeyEnd}, "tab": {Code: tea.KeyTab}, "shift+tab": {Code: tea.KeyTab, Mod: tea.ModShift},
	"enter": {Code: tea.KeyEnter}, "esc": {Code: tea.KeyEscape}, "backspace": {Code: tea.KeyBackspace}, "delete": {Code: tea.KeyDelete},
	"ctrl+c": {Code: 'c', Mod: tea.ModCtrl}, "ctrl+u": {Code: 'u', Mod: tea.ModCtrl}, "alt+x": {Code: 'x', Mod: tea.ModAlt},
}

// press presses keys and returns what the last of them wants done.
func press(m *topModel, keys ...string) (last tea.Cmd) {
	for _, k := range keys {
		msg, ok := named[k]
		if !ok {
			msg = tea.KeyPressMsg{Text: k}
		}
		_, last = m.Update(msg)
	}
	return last
}

func busyTop(width, height int) *topModel {
	m := newTopModel(api.Filter{}, palette{})
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(glanceAt(1))
	m.Update(glanceAt(2))
	return m
}

func TestTopGolden(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {120, 40}} {
		for name, keys := range map[string][]string{
			"overview": nil, "flows": {"2"}, "flows-bytes": {"2", "s", "down"}, "ports": {"3"}, "backends": {"4"}, "events": {"5"},
			"help": {"?"}, "filter": {"/", "p", "r", "o"}, "kill": {"2", "down", "k"}, "paused": {"p"},
		} {
			m := busyTop(size[0], size[1])
			press(m, keys...)
			golden(t, fmt.Sprintf("%s-%dx%d", name, size[0], size[1]), m.screen())
		}
	}
	m := newTopModel(api.Filter{}, palette{})
	golden(t, "start-80x24", m.screen())
	m = busyTop(80, 24)
	m.Update(glance{err: errors.New("api: connect unix:/run/tidegate/api.sock: connection refused; is tidegate running?")})
	golden(t, "away-80x24", m.screen())
}

// golden compares a screen with the one in testdata/top; -update writes those.
func golden(t *testing.T, name, got string) {
	t.Helper()
	var trimmed strings.Builder
	for l := range strings.Lines(got) {
		trimmed.WriteString(strings.TrimRight(l, " \n") + "\n")
	}
	file := filepath.Join("testdata", "top", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(trimmed.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(content(t, file), trimmed.String()); diff != "" {
		t.Errorf("%s: %s", name, diff)
	}
}

// Whatever the size, the screen has as many lines as the terminal, and none is wider.
func TestTopFits(t *testing.T) {
	for width := 1; width < 130; width += 7 {
		for height := 1; height < 45; height += 3 {
			for p := range panes {
				m := busyTop(width, height)
				m.show(p)
				press(m, "end")
				lines := strings.Split(m.screen(), "\n")
				if len(lines) != height {
					t.Fatalf("%d×%d %s: %d lines", width, height, paneNames[p], len(lines))
				}
				for _, l := range lines {
					if ansi.StringWidth(l) > width {
						t.Fatalf("%d×%d %s: %q", width, height, paneNames[p], l)
					}
				}
			}
		}
	}
}

// Names that come from anywhere can't steer the terminal, in any pane.
func TestTopHarmless(t *testing.T) {
	evil := "\x1b]0;x\x07\x1b[2J\u009b31m\n\u202e"
	g := glanceAt(3)
	g.status.Version, g.status.Datapath, g.status.NotReady, g.status.Ready = evil, evil, evil, false
	g.status.Rules[0].Name, g.status.Rules[0].States = evil, map[string]int{evil: 1}
	g.status.Totals.Drops = map[string]uint64{evil: 9}
	g.ports[0].Backend, g.backends[1].Pool, g.backends[1].Result = evil, evil, evil
	g.events[19].Type, g.events[19].Rule, g.events[19].Message = evil, evil, evil
	g.flows.Flows[0].State, g.flows.Flows[0].Rule, g.flows.Flows[0].Protocol = evil, evil, evil
	m := newTopModel(api.Filter{Rule: evil}, palette{colours: true})
	m.Update(tea.WindowSizeMsg{Width: 200, Height: 40})
	m.Update(glance{err: errors.New(evil)})
	harmless(t, m.screen())
	g.filter = m.filter
	m.Update(g)
	for p := range panes {
		m.show(p)
		harmless(t, m.screen())
	}
	m.Update(killed{evil, 0, errors.New(evil)})
	harmless(t, m.screen())
	m.show(flowPane)
	press(m, "k")
	harmless(t, m.screen())
	press(m, "n", "/", evil)
	harmless(t, m.screen())
}

func TestTopQuits(t *testing.T) {
	for _, keys := range [][]string{{"q"}, {"ctrl+c"}, {"?", "q"}, {"/", "q", "ctrl+c"}, {"2", "k", "ctrl+c"}} {
		if a := press(busyTop(80, 24), keys...); a == nil || a() != tea.Quit() {
			t.Errorf("%s does not quit", keys)
		}
	}
	for _, keys := range [][]string{{"esc"}, {"/", "q"}, {"2", "k", "q"}, {"?", "x"}} {
		if a := press(busyTop(80, 24), keys...); a != nil {
			t.Errorf("%s does something", keys)
		}
	}
}

func TestTopSortsAndMoves(t *testing.T) {
	m := busyTop(80, 24)
	press(m, "2", "down", "j")
	if m.chosen != topFlow(2).ID {
		t.Errorf("by packets the cursor is at %s", m.chosen)
	}
	press(m, "s")
	if m.order != byBytes || m.now.flows.Flows[0].ID != topFlow(39).ID || m.chosen != topFlow(2).ID || m.cursor != 37 {
		t.Errorf("by bytes the first is %s, the cursor at %s, %d", m.now.flows.Flows[0].ID, m.chosen, m.cursor)
	}
	press(m, "s", "s")
	if m.order != byExpiry || m.now.flows.Flows[0].ID != topFlow(39).ID {
		t.Error("what expires first is not the first")
	}
	press(m, "end", "down")
	if m.cursor != 39 {
		t.Errorf("the end is at %d", m.cursor)
	}
	g := glanceAt(3)
	g.flows.Flows = g.flows.Flows[:1]
	m.Update(g)
	if m.cursor != 0 || m.chosen != topFlow(0).ID {
		t.Errorf("after the others are gone the cursor is at %d, %s", m.cursor, m.chosen)
	}
	g = glanceAt(4)
	g.flows = api.FlowList{}
	m.Update(g)
	press(m, "down", "k", "end")
	if m.doomed != nil || m.chosen != "" {
		t.Error("there is a flow in an empty table")
	}
}

func TestTopFilters(t *testing.T) {
	m := busyTop(80, 24)
	press(m, "/")
	for _, r := range "colour=blue" {
		press(m, string(r))
	}
	press(m, "enter")
	if !m.typing || !strings.Contains(m.screen(), "colour=blue") || m.complain == "" {
		t.Errorf("nonsense is taken:\n%s", m.screen())
	}
	press(m, "ctrl+u", "p", "r", "o", "t", "o", "=", "u", "d", "p", "x", "backspace", "enter")
	if m.typing || m.filter.Proto != "udp" || len(m.now.flows.Flows) != 0 {
		t.Errorf("the filter is %v", m.filter)
	}
	m.Update(glanceAt(3))
	if len(m.now.flows.Flows) != 0 {
		t.Error("flows of the filter before are shown")
	}
	press(m, "/", "x", "alt+x", "up", "esc")
	if m.typing || m.typed != "proto=udpx" || m.filter.Proto != "udp" {
		t.Errorf("Esc changes the filter: %s", m.typed)
	}
}

// What is pasted is text for the filter, and never commands.
func TestTopPastes(t *testing.T) {
	m := busyTop(80, 24)
	if _, cmd := m.Update(tea.PasteMsg{Content: "q"}); cmd != nil || m.pane != overview {
		t.Error("a pasted q is a command")
	}
	press(m, "/")
	m.Update(tea.PasteMsg{Content: "proto=udp\n remote=198.51.100.7\r\n"})
	if m.typed != "proto=udp remote=198.51.100.7" {
		t.Errorf("pasted: %q", m.typed)
	}
	m.Update(tea.PasteMsg{Content: "\x1b[2J"})
	harmless(t, m.screen())
}

func TestTopKills(t *testing.T) {
	m := busyTop(80, 24)
	press(m, "2", "down", "k")
	if m.doomed == nil || m.doomed.ID != topFlow(1).ID || !strings.Contains(m.screen(), "End tcp 10.0.0.10:40001 – 198.51.100.7:443? y/n") {
		t.Fatal(m.screen())
	}
	m.Update(glanceAt(3)) // rows move while the question stands
	press(m, "n")
	if m.doomed != nil || m.note != "left alone" {
		t.Error("n does not leave it alone")
	}
	press(m, "k", "y")
	if m.doomed != nil || !strings.HasPrefix(m.note, "ending tcp 10.0.0.10:40001") {
		t.Error(m.note)
	}
	for msg, want := range map[killed]string{{flow: "x", count: 1}: "x: ended", {flow: "x"}: "x: had ended already", {err: errors.New("no")}: "kill: no"} {
		if m.Update(msg); m.note != want {
			t.Errorf("%v: %s", msg, m.note)
		}
	}
}

func TestTopPausesAndComesBack(t *testing.T) {
	m := busyTop(80, 24)
	press(m, "p")
	m.Update(glanceAt(9))
	if m.now.at != glanceAt(2).at {
		t.Error("a paused screen changes")
	}
	press(m, "p")
	m.Update(glance{err: errors.New("refused")})
	if m.lost == nil || m.now.at != glanceAt(2).at || !strings.Contains(m.screen(), "away; trying again") {
		t.Error(m.screen())
	}
	restarted := glanceAt(3)
	restarted.status.Totals = api.Totals{}
	m.Update(restarted)
	if m.lost != nil || !strings.Contains(m.screen(), "0/s created") {
		t.Error(m.screen())
	}
}

func TestScaled(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.25: "0.2", 7: "7", 99.9: "99.9", 100.4: "100", 999.4: "999", 999.6: "1.0k", 12345: "12.3k", 2.5e6: "2.5M", 1e9: "1G", 123e12: "123T"} {
		if got := scaled(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
}
