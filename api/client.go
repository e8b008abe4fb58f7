package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// DefaultAddress is where a gateway listens unless its configuration says otherwise.
const DefaultAddress = "unix:/run/tidegate/api.sock"

// dialTimeout is for a host that swallows packets; a gateway is near.
const dialTimeout = 5 * time.Second

// Client asks a gateway. It is safe for concurrent use.
type Client struct {
	address string // as given, for messages
	base    string // of the URLs
	http    *http.Client
}

// NewClient returns a Client for "unix:/PATH" or "http://HOST:PORT". It does not
// connect yet.
func NewClient(address string) (*Client, error) {
	dialer := &net.Dialer{Timeout: dialTimeout}
	transport := &http.Transport{DialContext: dialer.DialContext}
	c := &Client{address: address, http: &http.Client{Transport: transport}}
	path, socket := strings.CutPrefix(address, "unix:")
	switch {
	case socket && filepath.IsAbs(path):
		c.base = "http://tidegate"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
	case isBase(address):
		c.base = strings.TrimSuffix(address, "/")
	default:
		return nil, fmt.Errorf("api: address %q: it is unix:/PATH or http://HOST:PORT", address)
	}
	return c, nil
}

// isBase says whether s is http://HOST:PORT and nothing more.
func isBase(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && u.Hostname() != "" && u.Port() != "" &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// Close drops idle connections. The Client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

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

// Healthy returns nil if the gateway answers. Whether packets flow is Status.Ready.
func (c *Client) Healthy(ctx context.Context) error {
	return c.do(ctx, http.MethodGet, "/healthz", nil, nil)
}

// do asks with query parameters.
func (c *Client) do(ctx context.Context, method, path string, q url.Values, out any) error {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return c.send(ctx, method, path, http.NoBody, out)
}

// send sends a request, whose body if any is JSON, and decodes the answer into out,
// if out is not nil. Errors name the path without its query.
func (c *Client) send(ctx context.Context, method, target string, body io.Reader, out any) error {
	path, _, _ := strings.Cut(target, "?")
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, body)
	if err != nil {
		return fmt.Errorf("api: %s %s: %w", method, path, err)
	}
	if body != http.NoBody {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.failure(method, path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("api: %s %s: %w", method, path, refusal(resp))
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("api: %s %s: answer: %w; is %s a tidegate?", method, path, err, c.address)
	}
	return nil
}

// failure explains why there is no answer.
func (c *Client) failure(method, path string, err error) error {
	var op *net.OpError
	var call *os.SyscallError
	switch {
	case !errors.As(err, &op) || op.Op != "dial":
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the rest of it is said already
		}
		return fmt.Errorf("api: %s %s %s: %w", method, c.address, path, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("api: connect %s: %w", c.address, op.Err)
	case errors.As(err, &call):
		err = call.Err
	default:
		err = op.Err
	}
	remedy := "is tidegate running?"
	if errors.Is(err, fs.ErrPermission) {
		remedy = "run as root, or in the group of the socket"
	}
	return fmt.Errorf("api: connect %s: %w; %s", c.address, err, remedy)
}

// refusal reads the problem that the gateway has with a request.
func refusal(resp *http.Response) error {
	p := NewProblem(resp.StatusCode, "")
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if media != ProblemType || json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(p) != nil {
		return fmt.Errorf("%s, and not from a tidegate", resp.Status)
	}
	return fmt.Errorf("%s: %w", resp.Status, p)
}
