package metrics

import "tidegate/gateway"

// countBackends shows the backends that are in their pools: what has left one is
// no longer something to be up.
func (c *Collector) countBackends(f *families) {
	backends := c.Gateway.Backends()
	rules := c.Gateway.Rules() // not older than those: a reload may come between
	for _, b := range backends {
		if b.Left {
			continue
		}
		labels := []string{b.Pool, b.Backend.String(), b.Probe}
		f.backendUp.set(truth(b.Up), labels...)
		f.taking.set(truth(b.Taking), labels...)
		for _, rule := range b.Rules {
			f.chosen.add(0, rules[rule].Name, b.Backend.String())
		}
	}
}

// countChosen counts by rule, which is finer than by pool: rules of a pool may
// distribute by different things.
func (c *Collector) countChosen(f *families, s *gateway.Snapshot) {
	rules := c.Gateway.Rules()
	for choice, n := range s.Counters.Chosen {
		f.chosen.add(float64(n), rules[choice.Rule].Name, choice.Backend.String())
	}
}

func (c *Collector) countProbes(f *families) {
	if c.Probes == nil {
		return
	}
	for _, p := range c.Probes() {
		backend := p.Backend.String()
		f.probes.add(float64(p.Succeeded), p.Probe, backend, "success")
		f.probes.add(float64(p.Failed), p.Probe, backend, "failure")
		if p.Known {
			f.probeTook.set(p.Took.Seconds(), p.Probe, backend)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
