package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"tidegate/api"
)

// pane is one of the things that the body of the screen can show.
type pane int

const (
	overview pane = iota
	flowPane
	portPane
	backendPane
	eventPane
	panes // how many there are
)

var paneNames = [panes]string{"Overview", "Flows", "Ports", "Backends", "Events"}

// order is what flows are sorted by.
type order int

const (
	byPackets order = iota
	byBytes
	byIdle
	byExpiry
	orders // how many there are
)

var orderNames = [orders]string{"packets", "bytes", "idle", "expires"}

// topModel is what `tidegate top` shows. Update and View alone touch it; the gateway is
// asked by commands.
type topModel struct {
	poller *poller // nil in tests: nothing is asked
	paint  palette
	width  int
	height int

	now, before glance // the last answers, of which rates are made; zero: there was none
	lost        error  // why there is no newer answer
	filter      api.Filter
	order       order

	pane     pane
	cursor   int    // in the flow table
	chosen   string // Flow.ID under the cursor, which stays on it when the rows move
	offset   int    // first row of a pane that is longer than the screen
	paused   bool
	help     bool
	typing   bool   // a filter
	typed    string // so far
	complain string // about what was typed
	doomed   *api.Flow
	note     string // what came of the last kill
}

func newTopModel(filter api.Filter, paint palette) *topModel {
	return &topModel{filter: filter, paint: paint, width: 80, height: 24}
}

// Init looks for the first time.
func (m *topModel) Init() tea.Cmd { return m.poller.look(m.filter) }

// Update takes a key, an answer of the gateway or a new size in.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) { return m, m.update(msg) }

func (m *topModel) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(1, msg.Width), max(1, msg.Height)
	case tick:
		if m.paused {
			return wait()
		}
		return m.poller.look(m.filter)
	case glance:
		m.take(msg)
		return wait()
	case killed:
		m.note = msg.flow + ": ended"
		if msg.err != nil {
			m.note = "kill: " + msg.err.Error()
		} else if msg.count == 0 {
			m.note = msg.flow + ": had ended already"
		}
	case tea.KeyPressMsg:
		return m.key(msg)
	case tea.PasteMsg:
		m.paste(msg.Content)
	}
	return nil
}

// take takes an answer in, unless it is to an older question or nobody wants one now.
func (m *topModel) take(g glance) {
	switch {
	case m.paused:
	case g.err != nil:
		m.lost = g.err
	default:
		m.lost = nil
		if g.filter != m.filter {
			g.flows = api.FlowList{}
		}
		m.before, m.now = m.now, g
		m.sort()
	}
}

// sort puts the flows in order and the cursor back on its flow.
func (m *topModel) sort() {
	flows := m.now.flows.Flows
	slices.SortStableFunc(flows, func(a, b api.Flow) int {
		var c int
		switch m.order {
		case byPackets:
			c = cmp.Compare(b.PacketsOut+b.PacketsIn, a.PacketsOut+a.PacketsIn)
		case byBytes:
			c = cmp.Compare(b.BytesOut+b.BytesIn, a.BytesOut+a.BytesIn)
		case byIdle:
			c = cmp.Compare(b.IdleSeconds, a.IdleSeconds)
		case byExpiry:
			c = cmp.Compare(a.ExpiresInSeconds, b.ExpiresInSeconds)
		}
		return cmp.Or(c, cmp.Compare(a.ID, b.ID))
	})
	if i := slices.IndexFunc(flows, func(f api.Flow) bool { return f.ID == m.chosen }); i >= 0 {
		m.cursor = i
	}
	m.move(0)
}

// move moves the cursor, or what is shown of a long pane.
func (m *topModel) move(by int) {
	if m.pane != flowPane {
		m.offset = max(0, m.offset+by)
	}
	flows := m.now.flows.Flows
	if m.pane == flowPane {
		m.cursor += by
	}
	m.cursor = max(0, min(m.cursor, len(flows)-1))
	m.chosen = ""
	if len(flows) > 0 {
		m.chosen = flows[m.cursor].ID
	}
}

func (m *topModel) key(msg tea.KeyPressMsg) tea.Cmd {
	k := msg.String()
	switch {
	case k == "ctrl+c":
		return tea.Quit
	case m.typing:
		m.typeKey(msg)
		return nil
	case m.doomed != nil:
		return m.confirmKey(k)
	case m.help:
		m.help = false
		if k != "q" {
			return nil
		}
	}
	m.note = ""
	return m.command(k)
}

// command does what a key stands for.
func (m *topModel) command(k string) tea.Cmd {
	page := max(1, m.bodyHeight()-2)
	switch k {
	case "q":
		return tea.Quit
	case "?":
		m.help = true
	case "/":
		m.show(flowPane)
		m.typing, m.typed, m.complain = true, m.filter.String(), ""
	case "s":
		m.show(flowPane)
		m.order = (m.order + 1) % orders
		m.sort()
	case "k", "delete":
		m.doom()
	case "p", "space":
		m.paused = !m.paused
	case "tab", "right":
		m.show((m.pane + 1) % panes)
	case "shift+tab", "left":
		m.show((m.pane + panes - 1) % panes)
	case "1", "2", "3", "4", "5":
		m.show(pane(k[0] - '1'))
	case "down", "j":
		m.move(1)
	case "up", "K":
		m.move(-1)
	case "pgdown":
		m.move(page)
	case "pgup":
		m.move(-page)
	case "home", "g":
		m.move(-sampleSize)
	case "end", "G":
		m.move(sampleSize)
	}
	return nil
}

func (m *topModel) show(p pane) {
	if p != m.pane {
		m.pane, m.offset = p, 0
	}
}

// doom asks whether the flow under the cursor is to be ended.
func (m *topModel) doom() {
	if m.pane != flowPane || len(m.now.flows.Flows) == 0 {
		m.show(flowPane)
		return
	}
	f := m.now.flows.Flows[m.cursor]
	m.doomed = &f
}

func (m *topModel) confirmKey(k string) tea.Cmd {
	f := m.doomed
	m.doomed = nil
	if k != "y" && k != "Y" {
		m.note = "left alone"
		return nil
	}
	m.note = "ending " + flowName(f) + " …"
	return m.poller.kill(f)
}

// typeKey edits the filter.
func (m *topModel) typeKey(msg tea.KeyPressMsg) {
	switch msg.String() {
	case "esc":
		m.typing = false
	case "enter":
		m.apply()
	case "backspace":
		if r := []rune(m.typed); len(r) > 0 {
			m.typed = string(r[:len(r)-1])
		}
	case "ctrl+u":
		m.typed = ""
	default:
		m.typed += clean(msg.Text)
	}
}

// paste adds to the filter. Where none is being typed, text is no command.
func (m *topModel) paste(text string) {
	if m.typing {
		m.typed += clean(strings.Join(strings.Fields(text), " "))
	}
}

// apply filters by what was typed, or complains about it.
func (m *topModel) apply() {
	f, err := api.ParseFilter(strings.Fields(m.typed))
	if err != nil {
		m.complain = strings.TrimPrefix(err.Error(), "api: ")
		return
	}
	m.typing, m.complain = false, ""
	if f != m.filter {
		m.filter, m.now.flows, m.cursor = f, api.FlowList{}, 0
	}
}

// prompt is the last line: a question, what is being typed, or what came of a kill.
func (m *topModel) prompt() painted {
	switch {
	case m.typing && m.complain != "":
		return painted{bad, "/" + m.typed + "▏ " + m.complain}
	case m.typing:
		return painted{strong, "/" + m.typed + "▏ Enter: filter, Esc: leave"}
	case m.doomed != nil:
		return painted{bad, fmt.Sprintf("End %s? y/n", flowName(m.doomed))}
	case m.lost != nil:
		return painted{bad, m.lost.Error()}
	case m.note != "":
		return painted{warn, m.note}
	}
	return painted{faint, "q quit  ? help  tab pane  / filter  s sort  k kill  p pause  ↑↓ move"}
}
