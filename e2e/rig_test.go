package e2e

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// rig is one test with a network and a gateway of its own.
type rig struct {
	*testing.T
	*lab.Lab
	datapath        string
	dir             string // the gateway's configuration and socket
	tidegate        *lab.Process
	client          *api.Client
	inside, outside *lab.Capture // the gateway's two cables, seen from their far ends; nil before watch
	guarded         bool         // the routes that keep packets from passing by are set
}

var datapaths = []string{"packet", "tun"}

// onEach runs a scenario on each datapath, with a gateway that is ready.
func onEach(t *testing.T, s settings, scenario func(*rig)) {
	onEachHost(t, func(r *rig) {
		r.watch()
		r.start(s)
		scenario(r)
	})
}

// onEachHost runs a scenario that starts the gateway itself.
func onEachHost(t *testing.T, scenario func(*rig)) {
	t.Parallel()
	for _, d := range datapaths {
		t.Run(d, func(t *testing.T) {
			t.Parallel()
			scenario(newRig(t, d))
		})
	}
}

func newRig(t *testing.T, datapath string) *rig {
	t.Helper()
	r := &rig{T: t, datapath: datapath, Lab: must(lab.New(lab.Options{Name: labName}))(t)}
	r.Cleanup(func() {
		if r.Failed() {
			r.keepEvidence()
		}
		r.check(r.Close())
	})
	r.dir = must(os.MkdirTemp(scratch, "gw-"))(t) // t.TempDir is too long for a socket
	r.check(os.Chmod(r.dir, 0o755))
	r.client = must(api.NewClient(r.api()))(t)
	r.Cleanup(r.client.Close)
	return r
}

// api is the address of the gateway's API, and socket and file where it is kept.
func (r *rig) api() string    { return "unix:" + r.socket() }
func (r *rig) socket() string { return filepath.Join(r.dir, "api.sock") }
func (r *rig) file() string   { return filepath.Join(r.dir, "tidegate.yaml") }

// watch begins to record what goes over the gateway's cables.
func (r *rig) watch() {
	r.Helper()
	r.inside = must(r.LAN.Capture("gw"))(r)
	r.outside = must(r.Router.Capture("wan0"))(r)
}

// start runs a gateway on gw and returns when packets flow.
func (r *rig) start(s settings) {
	r.Helper()
	r.configure(s)
	r.setGuardRoutes()
	r.launch()
	r.awaitReady()
	r.setTunnelRoutes()
}

func (r *rig) configure(s settings) {
	r.Helper()
	r.check(os.WriteFile(r.file(), []byte(s.yaml(r.datapath, r.socket())), 0o644))
}

// launch starts the program, by another one if that is given, and waits for nothing.
func (r *rig) launch(by ...string) {
	r.Helper()
	args := append(by, program, "run", "-c", r.file())
	r.tidegate = must(r.Gateway.Start(exec.Command(args[0], args[1:]...)))(r)
}

func (r *rig) awaitReady() {
	r.Helper()
	r.eventually(10*time.Second, "the gateway is ready", func() bool {
		select {
		case <-r.tidegate.Done():
			r.Fatalf("the gateway ended early:\n%s", r.tidegate.Output())
		default:
		}
		status, _, err := r.get(r.api(), "/readyz")
		return err == nil && status == http.StatusOK
	})
}

// routes are the commands that the program prints for datapath tun: before the
// gateway starts, and once it is ready.
func (r *rig) routes() (before, ready string) {
	r.Helper()
	out := must(r.Gateway.Run(r.within(5*time.Second), program, "run", "--print-routes", "-c", r.file()))(r)
	before, ready, found := strings.Cut(string(out), "# once ready\n")
	if !found {
		r.Fatalf("--print-routes does not say what to do once ready:\n%s", out)
	}
	return before, ready
}

// setGuardRoutes does with datapath tun what an operator does before the gateway runs.
func (r *rig) setGuardRoutes() {
	r.Helper()
	if r.datapath != "tun" || r.guarded {
		return
	}
	before, _ := r.routes()
	r.shell(r.Gateway, before)
	for _, public := range []string{frontend, second, third} {
		r.shell(r.Router, "ip route add "+public+"/32 via 203.0.113.1")
	}
	r.guarded = true
}

// setTunnelRoutes does the rest.
func (r *rig) setTunnelRoutes() {
	r.Helper()
	if r.datapath == "tun" {
		_, ready := r.routes()
		r.shell(r.Gateway, ready)
	}
}

// stop ends the gateway as a service manager does.
func (r *rig) stop() {
	r.Helper()
	r.check(r.tidegate.Signal(os.Signal(sigterm)))
	r.check(r.tidegate.Wait())
}

// crash ends it without a chance to tidy up.
func (r *rig) crash() {
	r.Helper()
	r.check(r.tidegate.Signal(os.Kill))
	<-r.tidegate.Done()
}

// get asks an API at unix:PATH, or at http://HOST:PORT on the gateway's host.
func (r *rig) get(address, path string, header ...string) (status int, body string, err error) {
	dial, base := r.Gateway.Dial, address
	if socket, ok := strings.CutPrefix(address, "unix:"); ok {
		base = "http://tidegate"
		dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		}
	}
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	request := must(http.NewRequestWithContext(r.within(5*time.Second), http.MethodGet, base+path, http.NoBody))(r)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return response.StatusCode, string(b), err
}

// flows returns the flows that match FILTER words.
func (r *rig) flows(words ...string) []api.Flow {
	r.Helper()
	q := api.FlowQuery{Filter: must(api.ParseFilter(words))(r), Limit: api.MaxLimit}
	return must(r.client.Flows(r.Context(), q))(r).Flows
}

func (r *rig) status() api.Status {
	r.Helper()
	return must(r.client.Status(r.Context()))(r)
}
