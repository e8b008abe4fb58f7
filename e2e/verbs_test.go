package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
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

// What the verbs say and what the API answers is what the document announces, all of
// it, and names what is there. It is the same on each datapath.
func TestVerbsAndAPIKeepToDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.start(settings{rules: living})
	w, doc := r.witnessed()
	r.serveWeb(":8080", r.Hosts[:2]...)
	out, in := r.connect(r.Hosts[0], r.Servers[0]), r.connectInbound()
	r.visit(r.Servers[1], frontend+":80")
	f := r.flow(out)
	if s := answer[api.Status](w, "status"); len(s.Rules) != 3 || s.Totals.Flows != 3 {
		r.Errorf("status: %+v", s)
	}
	if l := answer[api.FlowList](w, "flows", "id="+f.ID); len(l.Flows) != 1 || l.Flows[0].Internal != f.Internal || l.Total != 1 {
		r.Errorf("the flow by its id: %+v", l)
	}
	for _, by := range []string{"backend", "frontend", "rule"} {
		if p := answer[api.Ports](w, "ports", "--by", by); len(p.Rows) == 0 {
			r.Errorf("no ports by %s", by)
		}
	}
	if b := answer[api.Backends](w, "backends"); len(b.Rows) != 2 {
		r.Errorf("backends: %+v", b)
	}
	if e := answer[api.EventList](w, "events", "--type", "flow.created", "--rule", "egress"); len(e.Events) != 1 || e.Events[0].Flow.ID != f.ID {
		r.Errorf("events: %+v", e)
	}
	e := answer[api.Explanation](w, "explain", "TCP", f.Internal.String(), f.Remote.String(), "--side", "inside")
	if e.Flow == nil || e.Flow.ID != f.ID || e.Dead != nil || e.Verdict != "forwarded" || e.Rule != "egress" || !strings.HasPrefix(e.RulePosition, "tidegate.yaml:") {
		r.Errorf("the known flow is explained as %+v", e)
	}
	if o := w.cli("capture", "-w", "-", "--seconds", "1"); o.status != 0 {
		r.Errorf("capture: %+v", o)
	}
	if k := answer[api.Killed](w, "kill", "id="+f.ID); k.Killed != 1 {
		r.Errorf("by its id %d flows are ended", k.Killed)
	}
	r.wantTold(out.inside, 0)
	r.wantOpen(in)
	w.wantRestOfAPI()
	w.client.Close()
	doc.wantAllSeen()
}

// wantRestOfAPI asks what no verb asks, and what is refused.
func (r *rig) wantRestOfAPI() {
	r.Helper()
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/", "/v1/flows?limit=1", "/v1/events?after=1&limit=2"} {
		if status, body, err := r.get(r.api(), path); err != nil || status != http.StatusOK {
			r.Errorf("%s: %d, %v: %s", path, status, err, body)
		}
	}
	must(r.client.Idle(r.Context()))(r)
	tree := must(r.client.Config(r.Context()))(r)
	r.check(r.client.ValidateConfig(r.Context(), api.JSONType, bytes.NewReader(tree)))
	r.check(r.client.SetConfig(r.Context(), api.JSONType, bytes.NewReader(tree)))
	client := &http.Client{Transport: socketTransport(r.socket())}
	defer client.CloseIdleConnections()
	for _, q := range []struct {
		method, path, media, body string
		status                    int
	}{
		{"GET", "/v2", "", "", 404}, {"POST", "/v1/flows", "", "", 405}, {"DELETE", "/v1/flows", "", "", 400},
		{"GET", "/v1/flows?limit=0", "", "", 400}, {"GET", "/v1/flows?cursor=!", "", "", 400}, {"GET", "/v1/flows?idleOver=x", "", "", 400},
		{"DELETE", "/v1/flows?colour=blue", "", "", 400}, {"GET", "/v1/ports?by=colour", "", "", 400}, {"GET", "/v1/backends?x=1", "", "", 400},
		{"GET", "/v1/events?type=x", "", "", 400}, {"GET", "/v1/events?limit=10001", "", "", 400}, {"GET", "/v1/capture?snaplen=1", "", "", 400},
		{"POST", "/v1/explain", api.JSONType, "{", 400}, {"POST", "/v1/explain", api.JSONType, `{"protocol":"gre","source":"x","destination":"y"}`, 400}, {"POST", "/v1/explain", api.JSONType, `{"protocol":6,"source":"x","destination":"y"}`, 422},
		{"POST", "/v1/explain", api.JSONType, "[" + strings.Repeat(" ", 2<<20), 413},
		{"PUT", "/v1/config", "text/plain", "x", 415}, {"PUT", "/v1/config", api.JSONType, "{", 422}, {"PUT", "/v1/config", api.YAMLType, "profile: x", 422},
		{"PUT", "/v1/config", api.YAMLType, strings.Repeat("#", 2<<20), 413}, {"POST", "/v1/config:validate", api.YAMLType, "frontends: 1", 422},
	} {
		request := must(http.NewRequestWithContext(r.within(5*time.Second), q.method, "http://tidegate"+q.path, strings.NewReader(q.body)))(r)
		request.Header.Set("Content-Type", q.media)
		response := must(client.Do(request))(r)
		body := must(io.ReadAll(response.Body))(r)
		response.Body.Close()
		if response.StatusCode != q.status {
			r.Errorf("%s %s: %d, want %d: %s", q.method, q.path, response.StatusCode, q.status, body)
		}
	}
}

// What is wrong is told with its name and the right status, of every verb that asks.
func TestVerbsFailWell(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	for args, want := range map[string]string{
		"explain gre 10.0.0.10:1 198.51.100.7:1":           `protocol: "gre"`,
		"explain tcp 10.0.0.10 198.51.100.7:1":             `source: "10.0.0.10" has no port`,
		"explain tcp 10.0.0.10:1 ::1":                      `destination: "::1"`,
		"explain tcp 10.0.0.10:1 198.51.100.7:1 --side up": `side: "up"`,
		"events --type flow":                               "--type flow: must be one of flow.created",
		"events --follow --limit 10001":                    "--limit 10001: must be 0",
		"flows id=xyz":                                     "id",
		"flows idle>soon":                                  "idle",
		"kill internal=10.0.0.300":                         "internal",
		"ports --by colour":                                "by",
		"backends all":                                     "all",
		"completion tcsh":                                  "tcsh",
		"import arm /nowhere/a.json":                       "/nowhere/a.json",
		"import cloud a.json":                              `"cloud"`,
		"man":                                              "accepts 1 arg",
		"top":                                              "standard output is no terminal",
		"status --token-file /nowhere/token":               "--token-file: open /nowhere/token",
		"status --ca /nowhere/ca.pem":                      "--ca: open /nowhere/ca.pem",
		"check -c /nowhere/tidegate.yaml":                  "/nowhere/tidegate.yaml",
	} {
		r.wantRefusal(r.cli(strings.Fields(args)...), 2, []string{want})
	}
	for _, args := range []string{
		"status", "flows", "flows --watch", "kill proto=tcp", "ports", "backends", "events", "events --follow", "explain icmp 10.0.0.10 198.51.100.7",
		"capture -w " + r.dir + "/never.pcapng",
	} {
		r.wantRefusal(r.cli(strings.Fields(args)...), 1, []string{"is tidegate running?"})
	}
	if _, err := os.Stat(r.dir + "/never.pcapng"); err == nil {
		r.Error("a capture that never began has left a file")
	}
}

// A flow that was given up is explained by what went over the wires.
func TestVerbsExplainTheDead(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		p, other := r.connect(r.Hosts[0], r.Servers[0]), r.connect(r.Hosts[1], r.Servers[0])
		f, killed := r.flow(p), r.flow(other)
		r.wantTable([]string{"kill", "id=" + killed.ID}, "1 flow ended")
		r.wantReset(p, idle)
		e := answer[api.Explanation](r, "explain", "tcp", f.Internal.String(), f.Remote.String())
		d := e.Dead
		if d == nil || d.Reason != "idle" || d.Flow.ID != f.ID || !strings.Contains(d.Timer, "idle timeout of outboundRule egress") ||
			d.TimerSeconds != idle.Seconds() || time.Since(d.Ended) > 3*time.Second || len(d.Resets) != 2 || e.Flow != nil {
			r.Fatalf("the dead flow is explained as %+v: %+v", e, d)
		}
		for i, sent := range []struct {
			wire *lab.Capture
			to   net.Conn
			who  string
		}{{r.inside, p.inside, "client"}, {r.outside, p.outside, "server"}} {
			want := fmt.Sprintf("RST with sequence number %d to the %s %v", r.resetTo(sent.wire, sent.to), sent.who, sent.to.LocalAddr())
			if d.Resets[i] != want {
				r.Errorf("explained: %s; on the wire: %s", d.Resets[i], want)
			}
		}
		r.wantTable([]string{"explain", "tcp", f.Internal.String(), f.Remote.String()}, "This flow ended", "idle", d.Resets[0], d.Resets[1], d.Timer)
		d = answer[api.Explanation](r, "explain", "tcp", killed.Internal.String(), killed.Remote.String()).Dead
		if d == nil || d.Reason != "killed" || d.Flow.ID != killed.ID || d.Timer != "" || len(d.Resets) != 2 {
			r.Errorf("the killed flow is explained as %+v", d)
		}
	})
}

// resetTo is the sequence number of the one RST to an end.
func (r *rig) resetTo(wire *lab.Capture, conn net.Conn) uint32 {
	r.Helper()
	var found []uint32
	for _, p := range resets(wire) {
		if destination(p) == addrPort(conn.LocalAddr()) {
			found = append(found, p.TCP().Seq)
		}
	}
	if len(found) != 1 {
		r.Fatalf("%v got the RSTs %v", conn.LocalAddr(), found)
	}
	return found[0]
}

// Verbs that go on until they are told to end.
func TestVerbsThatWatch(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.start(settings{})
	p := r.connect(r.Hosts[0], r.Servers[0])
	r.connect(r.Hosts[0], r.Servers[0])
	watch := must(r.Hosts[2].Start(exec.Command(program, "--api", r.api(), "flows", "--watch", "-o", "json", "--limit", "1", "proto=tcp")))(r)
	r.eventually(4*time.Second, "two lists", func() bool { return bytes.Count(watch.Output(), []byte("\n")) >= 2 })
	r.check(watch.Signal(os.Interrupt))
	r.check(watch.Wait())
	for s := bufio.NewScanner(bytes.NewReader(watch.Output())); s.Scan(); {
		var l api.FlowList
		if err := json.Unmarshal(s.Bytes(), &l); err != nil || len(l.Flows) != 1 || l.Total != 2 || l.Next == "" {
			r.Errorf("a list is %s (%v)", s.Bytes(), err)
		}
	}
	keyboard, press := must2(os.Pipe())(r)
	top := exec.Command("script", "-qec", "stty cols 160 rows 40; exec "+program+" --api "+r.api()+" top", "/dev/null")
	top.Stdin = keyboard
	top.Env = append(os.Environ(), "TERM=xterm")
	screen := must(r.Hosts[2].Start(top))(r)
	r.check(screen.WaitOutput(r.within(5*time.Second), "egress"))
	must(press.WriteString("2"))(r)
	r.check(screen.WaitOutput(r.within(5*time.Second), p.inside.LocalAddr().String()))
	must(press.WriteString("q"))(r)
	r.check(screen.Wait())
	press.Close()
	keyboard.Close()
	if !bytes.Contains(screen.Output(), []byte("\x1b[?1049h")) || !bytes.Contains(screen.Output(), []byte("\x1b[?1049l")) {
		r.Errorf("top does not take the screen and give it back: %q", screen.Output())
	}
}

// Shells and readers of manuals get what the verbs know, and the running gateway's names.
func TestVerbsForShells(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.start(settings{})
	for shell, begin := range map[string]string{"bash": "# bash completion V2 for tidegate", "zsh": "#compdef tidegate", "fish": "# fish completion for tidegate"} {
		if o := r.cli("completion", shell); o.status != 0 || !strings.HasPrefix(o.stdout, begin) {
			r.Errorf("completion %s: %d, %.200s%s", shell, o.status, o.stdout, o.stderr)
		}
	}
	r.shell(r.Hosts[2], program+" completion bash | bash -n")
	for words, want := range map[string]string{"flows rule=": "rule=egress\nrule=ssh\n", "kill frontend=p": "frontend=public\n", "explain ": "tcp\nudp\nicmp\n"} {
		args := append([]string{"__complete"}, strings.Split(words, " ")...)
		if o := r.run(r.Hosts[2], exec.Command("env", append([]string{"TIDEGATE_API=" + r.api(), program}, args...)...)); !strings.HasPrefix(o.stdout, want) {
			r.Errorf("completion of %q: %+v", words, o)
		}
	}
	dir := filepath.Join(r.dir, "man")
	if o := r.cli("man", dir); o.status != 0 {
		r.Fatalf("man: %+v", o)
	}
	for _, page := range []string{"", "-run", "-check", "-status", "-flows", "-kill", "-ports", "-backends", "-events", "-explain", "-capture", "-top", "-import", "-import-arm", "-demo", "-completion"} {
		text := string(must(os.ReadFile(filepath.Join(dir, "tidegate"+page+".8")))(r))
		if !strings.Contains(text, `.TH "TIDEGATE`) || !strings.Contains(text, ".SH EXIT STATUS") {
			r.Errorf("tidegate%s.8 is %.300s", page, text)
		}
	}
}
