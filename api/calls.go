package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Status returns how the gateway is doing.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Flows returns one page of flows.
func (c *Client) Flows(ctx context.Context, q FlowQuery) (l FlowList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/flows", q.Query(), &l)
}

// DeleteFlows ends the flows that match and returns how many. The empty filter
// is refused.
func (c *Client) DeleteFlows(ctx context.Context, f Filter) (killed int, err error) {
	var answer Killed
	err = c.do(ctx, http.MethodDelete, "/v1/flows", f.Query(), &answer)
	return answer.Killed, err
}

// Ports returns the use of SNAT ports.
func (c *Client) Ports(ctx context.Context, by PortsBy) (p Ports, err error) {
	return p, c.do(ctx, http.MethodGet, "/v1/ports", url.Values{"by": {string(by)}}, &p)
}

// PortsUncounted is Ports without PortRow.Held, which stays 0: to count what is held
// the gateway walks through all flows.
func (c *Client) PortsUncounted(ctx context.Context, by PortsBy) (p Ports, err error) {
	return p, c.do(ctx, http.MethodGet, "/v1/ports", url.Values{"by": {string(by)}, "held": {"false"}}, &p)
}

// Backends returns how the backends of load-balancing rules stand.
func (c *Client) Backends(ctx context.Context) (b Backends, err error) {
	return b, c.do(ctx, http.MethodGet, "/v1/backends", nil, &b)
}

// Explain returns what would happen to a packet. Nothing is sent.
func (c *Client) Explain(ctx context.Context, r ExplainRequest) (e Explanation, err error) {
	body, err := json.Marshal(r)
	if err != nil {
		return e, fmt.Errorf("api: explain: %w", err)
	}
	return e, c.send(ctx, http.MethodPost, "/v1/explain", bytes.NewReader(body), &e)
}

// Events returns what has happened last.
func (c *Client) Events(ctx context.Context, q EventQuery) (l EventList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/events", q.Query(), &l)
}

// Idle returns how long the flows have been silent.
func (c *Client) Idle(ctx context.Context) (i IdleAges, err error) {
	return i, c.do(ctx, http.MethodGet, "/v1/idle", nil, &i)
}

// Config returns the configuration in force, as JSON that SetConfig takes.
func (c *Client) Config(ctx context.Context) (tree json.RawMessage, err error) {
	return tree, c.do(ctx, http.MethodGet, "/v1/config", nil, &tree)
}

// The media types of a configuration.
const (
	JSONType = "application/json"
	YAMLType = "application/yaml"
)

// SetConfig puts a whole configuration in force, JSONType or YAMLType. What is wrong
// with it is a *Problem, whose Errors name the keys; then the one before stays.
func (c *Client) SetConfig(ctx context.Context, mediaType string, body io.Reader) error {
	return c.sendAs(ctx, http.MethodPut, "/v1/config", mediaType, body)
}

// ValidateConfig says whether SetConfig would take a configuration, and changes nothing.
func (c *Client) ValidateConfig(ctx context.Context, mediaType string, body io.Reader) error {
	return c.sendAs(ctx, http.MethodPost, "/v1/config:validate", mediaType, body)
}

// Healthy returns nil if the gateway answers. Whether packets flow is Status.Ready.
func (c *Client) Healthy(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/healthz", nil, nil)
}
