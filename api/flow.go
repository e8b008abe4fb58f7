package api

import (
	"net/netip"
	"time"
)

// The directions of a flow: from a pool member to the outside, or from a client to
// a backend. A client may be on the inside too.
const (
	Outbound = "outbound"
	Inbound  = "inbound"
)

// Flow is one live flow. Out is from the internal to the remote endpoint, which is
// from the inside to the outside unless both are inside.
type Flow struct {
	ID        string `json:"id" doc:"16 hexadecimal digits, never used twice while the gateway runs"`
	Protocol  string `json:"protocol" enum:"tcp,udp,icmp"`
	State     string `json:"state" enum:"SYN_SENT,SYN_RECEIVED,ESTABLISHED,FIN_WAIT,TIME_WAIT,CLOSED,ACTIVE"`
	Direction string `json:"direction" enum:"outbound,inbound"`
	Rule      string `json:"rule" doc:"Name of the rule that admitted it"`
	RuleType  string `json:"ruleType" doc:"outboundRule, inboundNatRule, ..."`
	Frontend  string `json:"frontend" doc:"Name of the frontend configuration"`

	Internal netip.AddrPort `json:"internal" doc:"The backend's endpoint; for ICMP the port is the identifier if it asks, else 0"`
	External netip.AddrPort `json:"external" doc:"The frontend's endpoint; for ICMP as internal"`
	Remote   netip.AddrPort `json:"remote" doc:"The other side's endpoint; for ICMP the port is the identifier if it asks, else 0"`

	Created          time.Time `json:"created"`
	IdleSeconds      float64   `json:"idleSeconds" doc:"Since the last packet in either direction"`
	ExpiresInSeconds float64   `json:"expiresInSeconds" minimum:"0" doc:"If no more packet comes"`

	PacketsOut uint64 `json:"packetsOut" doc:"From internal to remote"`
	PacketsIn  uint64 `json:"packetsIn" doc:"From remote to internal"`
	BytesOut   uint64 `json:"bytesOut"`
	BytesIn    uint64 `json:"bytesIn"`
	Offloaded  bool   `json:"offloaded" doc:"Forwarded by the kernel fast path"`
}

// FlowList is one page of flows.
type FlowList struct {
	Flows []Flow `json:"flows" nullable:"false"`
	Next  string `json:"next" doc:"Cursor of the next page, empty on the last one"`
	Total int    `json:"total" doc:"How many flows match, on all pages"`
}

// Killed says what DELETE /v1/flows has done.
type Killed struct {
	Killed int `json:"killed" doc:"How many flows were ended"`
}
