package api

import (
	"net/netip"
	"time"
)

// Backend is one backend of a pool of load-balancing rules. Rules that share a pool
// and not the probe see it in rows of their own.
type Backend struct {
	Pool       string     `json:"pool" doc:"Name of the backend address pool"`
	Backend    netip.Addr `json:"backend"`
	AdminState string     `json:"adminState" enum:"None,Up,Down" doc:"What the operator says; None: the probe decides"`
	Probe      string     `json:"probe" doc:"Name of the probe; empty where the rules have none"`

	Up            bool    `json:"up" doc:"What the probe has found; true without a probe"`
	Known         bool    `json:"known" doc:"False: the probe has no result yet, and the backend counts as down"`
	TakesNewFlows bool    `json:"takesNewFlows"`
	Left          bool    `json:"left" doc:"It is in the pool no longer"`
	Draining      bool    `json:"draining" doc:"Its flows are reset in drainSeconds"`
	DrainSeconds  float64 `json:"drainSeconds" minimum:"0"`

	Since        time.Time `json:"since,omitzero" doc:"Of the result that made it up or down"`
	LastProbe    time.Time `json:"lastProbe,omitzero" doc:"Of the last result"`
	ProbeSeconds float64   `json:"probeSeconds" minimum:"0" doc:"What the last probe took"`
	Result       string    `json:"result" doc:"Of the last probe, in words"`
	Succeeded    uint64    `json:"succeeded" doc:"Probes since the start"`
	Failed       uint64    `json:"failed" doc:"Probes since the start"`

	NewFlows uint64 `json:"newFlows" doc:"Flows that the rules with this pool and probe have led here since the start"`
}

// Backends is every backend of load-balancing rules, pool by pool.
type Backends struct {
	Rows []Backend `json:"backends" nullable:"false"`
}
