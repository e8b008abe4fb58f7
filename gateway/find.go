package gateway

import "tidegate/conntrack"

// Find returns a copy of the living flow with that ID, without a walk.
func (g *Gateway) Find(id conntrack.ID) (f conntrack.Flow, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	ref, ok := g.table.Find(id)
	if !ok {
		return conntrack.Flow{}, false
	}
	return g.table.Flow(ref, g.now()), true
}

// KillOne is Kill for the flow with that ID alone.
func (g *Gateway) KillOne(id conntrack.ID, match func(*conntrack.Flow) bool) (killed int, err error) {
	f, ok := g.Find(id)
	if !ok {
		return 0, nil
	}
	ended := g.end([]conntrack.Flow{f}, match, conntrack.Killed)
	return len(ended), g.control.resetAll(ended)
}
