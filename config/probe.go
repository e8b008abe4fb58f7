package config

import "time"

// Probe asks the members of a pool whether they are well. Every load-balancing
// rule that names it has its members asked by it.
type Probe struct {
	Name                      string            `mapstructure:"name"`
	Protocol                  ProbeProtocol     `mapstructure:"protocol"`
	Port                      int               `mapstructure:"port"`                      // 1–65535
	RequestPath               string            `mapstructure:"requestPath"`               // begins with "/"; empty with ProbeTCP
	IntervalInSeconds         int               `mapstructure:"intervalInSeconds"`         // 5–86,400, 1–86,400 in profile custom
	NumberOfProbes            int               `mapstructure:"numberOfProbes"`            // 1–100
	ProbeThreshold            int               `mapstructure:"probeThreshold"`            // 1–100: answers in a row that change the state
	NoHealthyBackendsBehavior NoHealthyBackends `mapstructure:"noHealthyBackendsBehavior"` // when every member is down
}

// ProbeProtocol is how a probe asks.
type ProbeProtocol string

// The protocols of probes, in Azure's spelling.
const (
	ProbeTCP   ProbeProtocol = "Tcp"   // up: the connection opens
	ProbeHTTP  ProbeProtocol = "Http"  // up: the answer is 200
	ProbeHTTPS ProbeProtocol = "Https" // as ProbeHTTP, over TLS
)

// NoHealthyBackends says what becomes of new flows when no member is up.
type NoHealthyBackends string

// The behaviours, in Azure's spelling.
const (
	AllProbedDown NoHealthyBackends = "AllProbedDown" // they are dropped; the default
	AllProbedUp   NoHealthyBackends = "AllProbedUp"   // they go to all members
)

// slowestAnswer bounds the wait for an answer over HTTP; from Azure Load
// Balancer's page on health probes.
const slowestAnswer = 30 * time.Second

// Interval returns the time from one question to the next.
func (p Probe) Interval() time.Duration { return time.Duration(p.IntervalInSeconds) * time.Second }

// Timeout returns how long an answer is waited for: until the next question,
// over HTTP at most 30 s.
func (p Probe) Timeout() time.Duration {
	if p.Protocol == ProbeTCP {
		return p.Interval()
	}
	return min(p.Interval(), slowestAnswer)
}

// Probe returns the probe of that name.
func (c *Config) Probe(name string) (Probe, bool) {
	for _, p := range c.Probes {
		if p.Name == name {
			return p, true
		}
	}
	return Probe{}, false
}
