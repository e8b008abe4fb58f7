package api

import "time"

// Status is how the gateway is doing.
type Status struct {
	Version        string       `json:"version"`
	Healthy        bool         `json:"healthy" doc:"The gateway answers"`
	Ready          bool         `json:"ready" doc:"Packets flow"`
	NotReady       string       `json:"notReady,omitempty" doc:"Why it is not ready"`
	Datapath       string       `json:"datapath" doc:"The one in use: packet, tun, ..."`
	DatapathReason string       `json:"datapathReason" doc:"Why this one and not another"`
	Started        time.Time    `json:"started"`
	UptimeSeconds  float64      `json:"uptimeSeconds"`
	Config         ConfigStatus `json:"config"`
	Rules          []RuleStatus `json:"rules" nullable:"false"`
	Totals         Totals       `json:"totals"`
}

// ConfigStatus is where the configuration in force comes from.
type ConfigStatus struct {
	Source    string    `json:"source" doc:"The file, or api after PUT /v1/config"`
	Loaded    time.Time `json:"loaded"`
	LastError string    `json:"lastError,omitempty" doc:"Why the last attempt to change it was rejected; absent if it was not"`
}

// RuleStatus is one rule and how many flows it has.
type RuleStatus struct {
	Name               string  `json:"name"`
	Type               string  `json:"type" doc:"outboundRule, inboundNatRule, ..."`
	IdleTimeoutSeconds float64 `json:"idleTimeoutSeconds"`
	EnableTCPReset     bool    `json:"enableTcpReset"`
	Position           string  `json:"position,omitempty" doc:"Where the configuration has it: tidegate.yaml:23"`
	Removed            bool    `json:"removed,omitempty" doc:"It is no longer in the configuration, but has flows that are about to end"`

	Flows  int            `json:"flows" doc:"Live and held ones"`
	States map[string]int `json:"states" nullable:"false" doc:"The same by state; states without flows are left out"`
}

// Totals are counted since the gateway started, but for Flows.
type Totals struct {
	Flows    int               `json:"flows" doc:"Live and held ones, now"`
	MaxFlows int               `json:"maxFlows"`
	Created  uint64            `json:"created"`
	Closed   uint64            `json:"closed"`
	Inside   Traffic           `json:"inside"`
	Outside  Traffic           `json:"outside"`
	Drops    map[string]uint64 `json:"drops" doc:"Packets by reason; every reason is there"`
	Resets   map[string]uint64 `json:"resets" doc:"RST segments sent, by reason; every reason is there"`
}

// Traffic is what crossed the interface of one side. In is into the gateway.
type Traffic struct {
	PacketsIn  uint64 `json:"packetsIn"`
	PacketsOut uint64 `json:"packetsOut"`
	BytesIn    uint64 `json:"bytesIn"`
	BytesOut   uint64 `json:"bytesOut"`
}
