package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

const (
	maxInterval  = 24 * 60 * 60 // seconds: as long as any wait here; Azure's schema has no upper bound
	maxThreshold = 100          // answers in a row: Terraform's bound of probe_threshold
)

// minInterval returns the shortest interval in seconds: Azure's schema has 5.
func minInterval(p Profile) int {
	if p == ProfileCustom {
		return 1
	}
	return 5
}

// refusedHTTP is the ports that Azure refuses for HTTP probes, from its page on
// them: what listens there speaks another protocol.
var refusedHTTP = []int{19, 21, 25, 70, 110, 119, 143, 220, 993}

func (v *validator) checkProbes() {
	for i, p := range v.config.Probes {
		path := at("probes", i)
		v.name("probes", i, p.Name, v.probes)
		oneOf(v, path+".protocol", p.Protocol, ProbeTCP, ProbeHTTP, ProbeHTTPS)
		v.between(path+".port", p.Port, 1, 65535)
		switch p.Protocol {
		case ProbeTCP:
			if p.RequestPath != "" {
				v.add(path+".requestPath", "a Tcp probe has none; remove it or use protocol Http")
			}
		case ProbeHTTP, ProbeHTTPS:
			v.overHTTP(path, p)
		}
		v.between(path+".intervalInSeconds", p.IntervalInSeconds, minInterval(v.config.Profile), maxInterval)
		v.between(path+".numberOfProbes", p.NumberOfProbes, 1, maxThreshold)
		v.between(path+".probeThreshold", p.ProbeThreshold, 1, maxThreshold)
		oneOf(v, path+".noHealthyBackendsBehavior", p.NoHealthyBackendsBehavior, AllProbedDown, AllProbedUp)
	}
}

func (v *validator) overHTTP(path string, p Probe) {
	if slices.Contains(refusedHTTP, p.Port) {
		v.add(path+".port", "%d is none for %s probes, nor are the others of %s", p.Port, p.Protocol, strings.Trim(fmt.Sprint(refusedHTTP), "[]"))
	}
	path += ".requestPath"
	_, err := url.ParseRequestURI(p.RequestPath)
	switch {
	case p.RequestPath == "":
		v.add(path, "is required with protocol %s", p.Protocol)
	case p.RequestPath[0] != '/':
		v.add(path, "%s does not begin with /", quote(p.RequestPath))
	case err != nil, strings.ContainsAny(p.RequestPath, " #"):
		v.add(path, "%s is no path of a URL; write odd characters as %%20", quote(p.RequestPath))
	}
}
