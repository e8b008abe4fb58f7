package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"tidegate/api"
)

// View has the whole terminal.
func (m *topModel) View() tea.View {
	return tea.View{Content: m.screen(), AltScreen: true}
}

// screen is head, panes' names, the pane's body, prompt. It has as many lines as the
// terminal, none wider than it.
func (m *topModel) screen() string {
	lines := append(m.head(), m.paneBar(), "")
	body := m.body(m.bodyHeight())
	lines = append(lines, body...)
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(0, min(len(lines), m.height-1))], m.paintLine(m.prompt()))
	for i, l := range lines {
		lines[i] = ansi.Truncate(l, m.width, "…")
	}
	return strings.Join(lines, "\n")
}

const headHeight = 5

// bodyHeight is what is left beside the head, the panes' names, an empty line and the
// prompt.
func (m *topModel) bodyHeight() int { return max(0, m.height-headHeight-3) }

// paintLine paints text that may come from anywhere.
func (m *topModel) paintLine(parts ...any) string {
	p := page{paint: m.paint}
	return p.join(parts...)
}

func (m *topModel) head() []string {
	s := &m.now.status
	if m.now.at.IsZero() {
		return []string{m.stateLine(), "", "", "", ""}
	}
	share := 0.0
	if s.Totals.MaxFlows > 0 {
		share = 100 * float64(s.Totals.Flows) / float64(s.Totals.MaxFlows)
	}
	flows := fmt.Sprintf("Flows    %d of %d (%.0f %%), %s/s created, %s/s closed", s.Totals.Flows, s.Totals.MaxFlows, share,
		m.rate(func(t *api.Totals) uint64 { return t.Created }), m.rate(func(t *api.Totals) uint64 { return t.Closed }))
	losses := m.paintLine("Drops    "+m.rates(func(t *api.Totals) map[string]uint64 { return t.Drops })+"   Resets  ",
		m.rates(func(t *api.Totals) map[string]uint64 { return t.Resets }))
	return []string{
		m.stateLine(), m.paintLine(flows),
		m.sideLine("Inside", func(t *api.Totals) *api.Traffic { return &t.Inside }),
		m.sideLine("Outside", func(t *api.Totals) *api.Traffic { return &t.Outside }),
		losses,
	}
}

// stateLine is the first: which gateway, and whether what is shown is what is.
func (m *topModel) stateLine() string {
	s := &m.now.status
	state := painted{good, "ready"}
	switch {
	case m.lost != nil:
		state = painted{bad, "away; trying again"}
	case m.now.at.IsZero():
		state = painted{faint, "asking the gateway"}
	case m.paused:
		state = painted{warn, "paused, p goes on"}
	case !s.Ready:
		state = stateOf(s)
	}
	if m.now.at.IsZero() {
		return m.paintLine(painted{strong, "Tidegate"}, "  ", state)
	}
	up := time.Duration(s.UptimeSeconds) * time.Second
	return m.paintLine(painted{strong, "Tidegate " + s.Version}, "  "+s.Datapath+"  up "+up.String()+"  ", state)
}

func (m *topModel) sideLine(name string, side func(*api.Totals) *api.Traffic) string {
	rate := func(of func(*api.Traffic) uint64, factor float64) string {
		return scaled(factor * m.perSecond(func(t *api.Totals) uint64 { return of(side(t)) }))
	}
	return m.paintLine(fmt.Sprintf("%-8s in %7s pkt/s %7s bit/s   out %7s pkt/s %7s bit/s", name,
		rate(func(t *api.Traffic) uint64 { return t.PacketsIn }, 1), rate(func(t *api.Traffic) uint64 { return t.BytesIn }, 8),
		rate(func(t *api.Traffic) uint64 { return t.PacketsOut }, 1), rate(func(t *api.Traffic) uint64 { return t.BytesOut }, 8)))
}

// perSecond is how fast a counter rose between the last two answers; 0 if there is only
// one, or the gateway has been started anew.
func (m *topModel) perSecond(counter func(*api.Totals) uint64) float64 {
	seconds := m.now.at.Sub(m.before.at).Seconds()
	a, b := counter(&m.before.status.Totals), counter(&m.now.status.Totals)
	if m.before.at.IsZero() || seconds <= 0 || b < a {
		return 0
	}
	return float64(b-a) / seconds
}

func (m *topModel) rate(counter func(*api.Totals) uint64) string { return scaled(m.perSecond(counter)) }

// rates sums counters up and names those that rise, the fastest first.
func (m *topModel) rates(counters func(*api.Totals) map[string]uint64) string {
	rise := map[string]float64{}
	sum := 0.0
	for name := range counters(&m.now.status.Totals) {
		if r := m.perSecond(func(t *api.Totals) uint64 { return counters(t)[name] }); r > 0 {
			rise[name] = r
			sum += r
		}
	}
	names := slices.SortedFunc(maps.Keys(rise), func(a, b string) int {
		if rise[a] != rise[b] {
			return int(rise[b] - rise[a])
		}
		return strings.Compare(a, b)
	})
	text := scaled(sum) + "/s"
	for i, name := range names[:min(len(names), 2)] {
		text += [2]string{" (", ", "}[i] + name + " " + scaled(rise[name])
	}
	if len(names) > 0 {
		text += ")"
	}
	return text
}

// scaled writes a number with three digits and k, M, G.
func scaled(x float64) string {
	for _, unit := range []string{"", "k", "M", "G"} {
		switch {
		case x >= 999.5:
			x /= 1000
		case x >= 99.95 || x == float64(int(x)):
			return fmt.Sprintf("%.0f%s", x, unit)
		default:
			return fmt.Sprintf("%.1f%s", x, unit)
		}
	}
	return fmt.Sprintf("%.0fT", x)
}

func (m *topModel) paneBar() string {
	var parts []any
	for i, name := range paneNames {
		if pane(i) == m.pane {
			parts = append(parts, painted{strong, "[" + name + "]"}, " ")
		} else {
			parts = append(parts, painted{faint, " " + name + " "}, " ")
		}
	}
	return m.paintLine(parts...)
}

// body draws the pane that is shown.
func (m *topModel) body(height int) []string {
	switch {
	case m.help:
		return strings.Split(topKeys, "\n")
	case m.now.at.IsZero():
		return nil
	}
	switch m.pane {
	case flowPane:
		return m.flowBody(height)
	case portPane:
		return m.scroll(portTable(api.ByBackend, m.now.ports, false), height)
	case backendPane:
		return m.scroll(backendTable(m.now.backends, false), height)
	case eventPane:
		return m.scroll(m.eventRows(), height)
	default:
		return m.overviewBody(height)
	}
}

const topKeys = `Keys
  q, Ctrl-C          quit
  tab, ← →, 1–5      another pane
  ↑ ↓, j K           move; PgUp, PgDn, Home, End too
  /                  filter flows: proto=tcp remote=198.51.100.0/24 idle>30s
  s                  sort flows by packets, bytes, idle, expires
  k, Del             end the flow under the cursor; y confirms
  p, space           pause, go on
  ?                  this list; any key leaves it`
