// Package metrics shows what a gateway counts to Prometheus, in the OpenMetrics
// format for those who ask for it.
//
// A Collector copies the counters once a scrape (gateway.Snapshot holds the lock
// for that long) and keeps none of its own. Names and labels are a promise to
// dashboards and alerts. Every label value out of a closed set is there from the
// start with 0, so that rates and alerts see the first increment.
package metrics

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidegate/gateway"
	"tidegate/probe"
)

// Options is everything a Collector is made of. Functions may be nil.
type Options struct {
	Gateway  *gateway.Gateway
	Datapath string                   // the one in use
	Probes   func() []probe.Status    // what is known of each probe's targets
	Reloaded func() bool              // whether the last attempt to read the configuration succeeded; nil: it did
	Drops    func() map[string]uint64 // packets lost outside the gateway, by reason, only growing
	Lost     func() map[string]uint64 // events lost, by who was too slow for them, only growing
}

// Handler serves a registry of its own: the gateway, the Go runtime, the process.
func Handler(o Options) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(
		NewCollector(o),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// Collector is a prometheus.Collector over one gateway.
type Collector struct{ Options }

// NewCollector returns a Collector, to be registered once.
func NewCollector(o Options) *Collector { return &Collector{o} }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range newFamilies().all() {
		ch <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(ch chan<- prometheus.Metric) {
	s, f := c.Gateway.Snapshot(), newFamilies()
	for i, r := range s.Rules {
		c.countRule(f, r.Name, i, &s)
	}
	for i := range s.Leases {
		if s.Leases[i].Member != 0 { // else made for hairpin flows: of no backend, out of ports that no rule gives out
			c.countLease(f, &s.Leases[i])
		}
	}
	countTraffic(f, &s)
	c.countDrops(f, &s)
	c.countBackends(f)
	c.countChosen(f, &s)
	c.countProbes(f)
	f.datapath.add(1, c.Datapath)
	f.flowsMax.add(float64(s.MaxFlows))
	f.draining.add(float64(s.Draining))
	c.countLost(f)
	f.reloaded.add(truth(c.Reloaded == nil || c.Reloaded()))
	for _, family := range f.all() {
		family.send(ch)
	}
}
