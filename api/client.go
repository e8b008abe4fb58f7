package api

import (
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
	token   string // "" is none
	http    *http.Client
}

// NewClient returns a Client for "unix:/PATH", "http://HOST:PORT" or
// "https://HOST:PORT". It does not connect yet.
func NewClient(address string, options ...ClientOption) (*Client, error) {
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
		return nil, fmt.Errorf("api: address %q: it is unix:/PATH, http://HOST:PORT or https://HOST:PORT", address)
	}
	for _, apply := range options {
		if err := apply(c, transport); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// isBase says whether s is http://HOST:PORT or https://HOST:PORT and nothing more.
func isBase(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && u.Port() != "" &&
		(u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// Close drops idle connections. The Client can still be used.
func (c *Client) Close() { c.http.CloseIdleConnections() }

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
	header := http.Header{}
	if body != http.NoBody {
		header.Set("Content-Type", JSONType)
	}
	resp, err := c.open(ctx, method, target, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		path, _, _ := strings.Cut(target, "?")
		return fmt.Errorf("api: %s %s: answer: %w; is %s a tidegate?", method, path, err, c.address)
	}
	return nil
}

// sendAs sends a body of that type; what is answered, if it is no error, is not of interest.
func (c *Client) sendAs(ctx context.Context, method, target, mediaType string, body io.Reader) error {
	resp, err := c.open(ctx, method, target, http.Header{"Content-Type": {mediaType}}, body)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// open sends a request. The answer is a 200, whose body the caller closes; any other
// is an error.
func (c *Client) open(ctx context.Context, method, target string, header http.Header, body io.Reader) (*http.Response, error) {
	path, _, _ := strings.Cut(target, "?")
	req, err := http.NewRequestWithContext(ctx, method, c.base+target, body)
	if err != nil {
		return nil, fmt.Errorf("api: %s %s: %w", method, path, err)
	}
	req.Header = header
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.failure(method, path, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, fmt.Errorf("api: %s %s: %w%s", method, path, refusal(resp), c.remedy(resp.StatusCode))
	}
	return resp, nil
}

// remedy is what to do about a refusal for want of a right.
func (c *Client) remedy(status int) string {
	switch {
	case status == http.StatusUnauthorized && c.token == "":
		return "; give a token of the gateway's api.tokenFile with --token-file"
	case status == http.StatusUnauthorized:
		return "; the token of --token-file is none of the gateway's api.tokenFile"
	case status == http.StatusForbidden && c.token != "":
		return "; give a read-write token with --token-file"
	}
	return ""
}

// failure explains why there is no answer.
func (c *Client) failure(method, path string, err error) error {
	var op *net.OpError
	var call *os.SyscallError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Errorf("api: %s %s %s: there is no TLS at that address; use http://", method, c.address, path)
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

// needsTLS is in what net/http answers to plain HTTP where it is to speak TLS.
const needsTLS = "HTTP request to an HTTPS server"

// refusal reads the problem that the gateway has with a request.
func refusal(resp *http.Response) error {
	p := NewProblem(resp.StatusCode, "")
	media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	switch {
	case media != ProblemType && strings.Contains(string(text), needsTLS):
		return errors.New("that address speaks TLS; use https://")
	case media != ProblemType || err != nil || json.Unmarshal(text, p) != nil:
		return fmt.Errorf("%s, and not from a tidegate", resp.Status)
	}
	return fmt.Errorf("%s: %w", resp.Status, p)
}
