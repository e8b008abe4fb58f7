package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"

	"tidegate/e2e/lab"
)

// tidegate is the project's own program on one of its datapaths.
type tidegate struct{ program, datapath string }

func (t tidegate) name() string        { return t.datapath }
func (tidegate) appearsAs() netip.Addr { return frontendAddr }

func isTidegate(p peer) bool {
	_, ok := p.(tidegate)
	return ok
}

// memberPorts is half of the frontend's: there are two members, the client and the
// one of crafted frames.
const memberPorts = 32_000

// defaultFlows is the program's own default of maxFlows.
const defaultFlows = 1 << 20

var configFile = template.Must(template.New("config").Parse(`profile: custom
gateway:
  datapath: {{.Datapath}}
  inside: { interface: ` + insideLink + ` }
  outside: { interface: ` + outsideLink + ` }
  tun: { name: tide0 }
  maxFlows: {{.MaxFlows}}
  stateDir: {{.Dir}}
api: { listen: [ "unix:{{.Dir}}/api.sock" ] }
log: { level: warn, format: text }
frontendIPConfigurations:
  - { name: public, publicIPAddress: {{.Frontend}} }
backendAddressPools:
  - { name: clients, addresses: [ {{.Client}}, {{.Crafted}} ] }
outboundRules:
  - name: egress
    frontendIPConfigurations: [ public ]
    backendAddressPool: clients
    protocol: All
    allocatedOutboundPorts: {{.Ports}}
    idleTimeout: {{.Idle}}
    enableTcpReset: true
`))

// writeConfig writes the program's configuration into the row's directory.
func (t tidegate) writeConfig(r *row, want load) (path string, err error) {
	var b bytes.Buffer
	err = configFile.Execute(&b, map[string]any{
		"Datapath": t.datapath, "Dir": r.dir, "Ports": memberPorts,
		"Frontend": frontendAddr, "Client": clientAddr, "Crafted": craftedAddr,
		"MaxFlows": max(want.maxFlows, defaultFlows), "Idle": idleOr(want.idle),
	})
	if err != nil {
		return "", fmt.Errorf("bench: write config: %w", err)
	}
	path = filepath.Join(r.dir, "tidegate.yaml")
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}

// readyTimeout is long for a program that allocates a table and opens two sockets.
const readyTimeout = 10 * time.Second

func (t tidegate) start(ctx context.Context, r *row, want load) (gateway, error) {
	config, err := t.writeConfig(r, want)
	if err != nil {
		return nil, err
	}
	before, onceReady, err := t.routes(ctx, r, config)
	if err != nil {
		return nil, err
	}
	if err := r.shell(ctx, before); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, t.program, "run", "-c", config)
	if want.traceGC {
		cmd.Env = append(os.Environ(), "GODEBUG=gctrace=1")
	}
	p, err := r.gw.Start(cmd)
	if err != nil {
		return nil, err
	}
	g := newTidegateGateway(p, t.program, filepath.Join(r.dir, "api.sock"))
	if err := g.awaitReady(ctx); err != nil {
		return nil, err
	}
	return g, r.shell(ctx, onceReady)
}

// routes asks the program which commands its datapath needs: those before it is
// started, and those once it is ready. Only tun needs any.
func (t tidegate) routes(ctx context.Context, r *row, config string) (before, onceReady string, err error) {
	if t.datapath != "tun" {
		return "", "", nil
	}
	out, err := r.gw.Run(ctx, t.program, "run", "--print-routes", "-c", config)
	before, onceReady = splitRoutes(string(out))
	return before, onceReady, err
}

func splitRoutes(commands string) (before, onceReady string) {
	before, onceReady, _ = strings.Cut(commands, "# once ready")
	_, onceReady, _ = strings.Cut(onceReady, "\n")
	return before, onceReady
}

// shell runs commands on the gateway.
func (r *row) shell(ctx context.Context, commands string) error {
	if commands == "" {
		return nil
	}
	_, err := r.gw.Run(ctx, "sh", "-e", "-c", commands)
	return err
}

// tidegateGateway is the program at work.
type tidegateGateway struct {
	process         *lab.Process
	program, socket string
	api             *http.Client
}

func newTidegateGateway(p *lab.Process, program, socket string) *tidegateGateway {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	return &tidegateGateway{p, program, socket, &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// get returns what the program's API answers.
func (g *tidegateGateway) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tidegate"+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := g.api.Do(request)
	if err != nil {
		return "", fmt.Errorf("bench: ask tidegate: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("bench: ask tidegate for %s: %s: %s", path, answer.Status, body)
	}
	return string(body), err
}

func (g *tidegateGateway) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		_, err := g.get(ctx, "/readyz")
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-g.process.Done():
			return fmt.Errorf("bench: start tidegate: it ended: %s", bytes.TrimSpace(g.process.Output()))
		case <-ctx.Done():
			return fmt.Errorf("bench: start tidegate: not ready after %v: %w: %s", readyTimeout, err, bytes.TrimSpace(g.process.Output()))
		}
	}
}

func (g *tidegateGateway) flows(ctx context.Context) (int, error) {
	text, err := g.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return sumMetric(text, "tidegate_flows")
}

// sumMetric adds up the samples of a metric, whatever their labels.
func sumMetric(text, name string) (int, error) {
	sum := 0.0
	for line := range strings.Lines(text) {
		sample := strings.TrimPrefix(line, name)
		if sample == line || !strings.HasPrefix(sample, "{") && !strings.HasPrefix(sample, " ") {
			continue
		}
		_, value, _ := strings.Cut(sample[strings.LastIndexByte(sample, '}')+1:], " ")
		n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err != nil {
			return 0, fmt.Errorf("bench: read metric %s: %w", name, err)
		}
		sum += n
	}
	return int(sum), nil
}

// memory is the process's share of physical memory: heap, stacks, code, and what it
// has mapped.
func (g *tidegateGateway) memory() (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", g.process.Pid()))
	if err != nil {
		return 0, fmt.Errorf("bench: read tidegate's memory: %w", err)
	}
	return kilobytes(string(b), "Pss")
}

const (
	enoughCollections = 10
	collectionTimeout = 4 * time.Second
)

// collections asks for metrics until the answers have made enough garbage.
func (g *tidegateGateway) collections(ctx context.Context) ([]collection, error) {
	seen := len(g.process.Output())
	for start := time.Now(); ; {
		if _, err := g.get(ctx, "/metrics"); err != nil {
			return nil, err
		}
		all, err := parseCollections(string(g.process.Output()[seen:]))
		switch {
		case err != nil, len(all) >= enoughCollections:
			return all, err
		case time.Since(start) > collectionTimeout && len(all) > 0:
			return all, nil
		case time.Since(start) > collectionTimeout:
			return nil, errors.New("bench: make tidegate collect garbage: it did not")
		}
	}
}
