package main

import (
	"fmt"
	"slices"

	"tidegate/api"
)

// scroll shows the part of a table that fits, below its heads.
func (m *topModel) scroll(t *table, height int) []string {
	lines := t.lines(m.width, m.paint)
	room := max(1, height-1)
	m.offset = max(0, min(m.offset, len(lines)-1-room))
	rows := lines[1:][m.offset:]
	return append(lines[:1:1], rows[:min(len(rows), room)]...)
}

// flowBody is the flow table with a cursor.
func (m *topModel) flowBody(height int) []string {
	l := &m.now.flows
	title := fmt.Sprintf("%d flows by %s", l.Total, orderNames[m.order])
	if len(l.Flows) < l.Total {
		title = fmt.Sprintf("%d of %d flows, these by %s", len(l.Flows), l.Total, orderNames[m.order])
	}
	if !m.filter.Empty() {
		title += "  " + m.filter.String()
	}
	room := max(1, height-2)
	first := max(0, min(m.cursor-room/2, len(l.Flows)-room))
	shown := l.Flows[first:min(len(l.Flows), first+room)]
	t := newTable(column{}, column{head: "PROTO", rank: 2}, column{head: "STATE", rank: 3}, column{head: "INTERNAL"}, column{head: "EXTERNAL", rank: 5},
		column{head: "REMOTE"}, column{head: "PACKETS", right: true, rank: m.rankOf(byPackets)}, column{head: "BYTES", right: true, rank: m.rankOf(byBytes)},
		column{head: "IDLE", right: true, rank: m.rankOf(byIdle)}, column{head: "EXPIRES", right: true, rank: m.rankOf(byExpiry)}, column{head: "RULE", rank: 8, min: 8})
	for i := range shown {
		f := &shown[i]
		mark, name := painted{plain, " "}, painted{plain, f.Internal.String()}
		if first+i == m.cursor {
			mark, name.look = painted{strong, ">"}, strong
		}
		t.add(mark, f.Protocol, flowState(f), name, f.External, f.Remote, scaled(float64(f.PacketsOut+f.PacketsIn)),
			scaled(float64(f.BytesOut+f.BytesIn)), short(f.IdleSeconds), short(f.ExpiresInSeconds), f.Rule)
	}
	return append([]string{m.paintLine(painted{faint, title})}, t.lines(m.width, m.paint)...)
}

// rankOf keeps the column that flows are sorted by where there is room for few.
func (m *topModel) rankOf(o order) int {
	if m.order == o {
		return 1
	}
	return 4
}

func (m *topModel) eventRows() *table {
	newest := slices.Clone(m.now.events)
	slices.Reverse(newest)
	return eventTable(&page{width: m.width}, newest, false)
}

// roomy is the height from which on the parts of the overview stand apart.
const roomy = 24

// overviewBody is the rules, whatever wants to be looked at, and the last events in what
// room is left.
func (m *topModel) overviewBody(height int) (lines []string) {
	add := func(part []string) {
		if lines = append(lines, part...); height >= roomy {
			lines = append(lines, "")
		}
	}
	add(m.section(ruleStates(m.now.status.Rules), max(4, height/3)))
	add(m.worries("No backend has used 80 % of its ports.", portTable(api.ByBackend, m.tightPorts(), false), height))
	add(m.worries("No backend is down.", backendTable(m.downBackends(), false), height))
	if room := height - len(lines); room > 1 {
		lines = append(lines, m.section(m.eventRows(), room)...)
	}
	return lines
}

// section is as much of a table as there is room for; the last line says how many rows
// are left out.
func (m *topModel) section(t *table, room int) []string {
	lines := t.lines(m.width, m.paint)
	if len(lines) > room {
		left := len(lines) - room + 1
		lines = append(lines[:room-1:room-1], m.paintLine(painted{faint, fmt.Sprintf("… %d more", left)}))
	}
	return lines
}

// worries is a table that had better be empty.
func (m *topModel) worries(none string, t *table, height int) []string {
	if len(t.rows) == 0 {
		return []string{m.paintLine(painted{faint, none})}
	}
	return m.section(t, max(3, height/4))
}

// tightPorts are the backends that have used most of their ports, the tightest first.
func (m *topModel) tightPorts() (tight []api.PortRow) {
	for _, r := range m.now.ports {
		if r.Allocated > 0 && float64(r.Used) >= nearExhaustion*float64(r.Allocated) {
			tight = append(tight, r)
		}
	}
	slices.SortStableFunc(tight, func(a, b api.PortRow) int { return b.Used*a.Allocated - a.Used*b.Allocated })
	return tight
}

func (m *topModel) downBackends() (down []api.Backend) {
	for _, b := range m.now.backends {
		if b.Known && !b.Up {
			down = append(down, b)
		}
	}
	return down
}

// ruleStates is the flows of each rule by state.
func ruleStates(rules []api.RuleStatus) *table {
	t := newTable(column{head: "RULE", min: 12}, column{head: "FLOWS", right: true}, column{head: "IDLE", right: true, rank: 2}, column{head: "STATES", rank: 1, min: 16})
	for _, r := range rules {
		t.add(r.Name, r.Flows, short(r.IdleTimeoutSeconds), states(r.States))
	}
	return t
}
