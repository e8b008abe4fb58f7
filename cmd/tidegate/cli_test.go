package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// call runs the program's command line in this process.
func call(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	return callWith(t.Context(), args...)
}

func callWith(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out, problems bytes.Buffer
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&problems)
	err = root.ExecuteContext(ctx)
	return out.String(), problems.String(), err
}

// each calls f with every command that a user can type, hidden ones included.
func each(root *cobra.Command, f func(*cobra.Command)) {
	f(root)
	for _, c := range root.Commands() {
		each(c, f)
	}
}

func TestHelpFits(t *testing.T) {
	each(newRoot(), func(c *cobra.Command) {
		path := strings.Fields(c.CommandPath())[1:]
		for l := range strings.Lines(c.Example) {
			if n := len([]rune(strings.TrimSuffix(l, "\n"))); n > helpWidth {
				t.Errorf("%s has an example of %d characters: %s", path, n, l)
			}
		}
		out, _, err := call(t, append(path, "--help")...)
		if err != nil {
			t.Fatal(err)
		}
		for l := range strings.Lines(out) {
			if n := len([]rune(l)); n > 110 || n > helpWidth+1 && !strings.HasPrefix(l, "  ") {
				t.Errorf("%s --help has a line of %d characters: %s", path, n, l)
			}
		}
	})
}

func TestEveryVerbIsDocumented(t *testing.T) {
	each(newRoot(), func(c *cobra.Command) {
		switch {
		case c.Name() == "help":
		case c.Short == "" || c.Long == "" || c.Example == "":
			t.Errorf("%s: Short %q, Long %q, Example %q", c.CommandPath(), c.Short, c.Long, c.Example)
		case !strings.Contains(c.UsageString(), "Exit status:\n"):
			t.Errorf("%s does not tell its exit status", c.CommandPath())
		}
	})
}

func TestManPages(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "man8")
	if _, _, err := call(t, "man", dir); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	each(newRoot(), func(c *cobra.Command) {
		if c.Hidden || c.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".8"
		pages[name] = content(t, filepath.Join(dir, name))
		for _, want := range []string{".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXIT STATUS", ".SH EXAMPLE"} {
			if !strings.Contains(pages[name], want) {
				t.Errorf("%s has no %s", name, want)
			}
		}
	})
	if written, _ := os.ReadDir(dir); len(written) != len(pages) {
		t.Errorf("%d files, want %d", len(written), len(pages))
	}
	if !strings.Contains(pages["tidegate-flows.8"], ".EX\n  proto, rule") {
		t.Error("the filter's keys run into one paragraph:", pages["tidegate-flows.8"])
	}
}

func TestUnknownCommand(t *testing.T) {
	for words, want := range map[string]string{
		"flow":         `unknown command "flow"; did you mean flows?`,
		"statsu":       `unknown command "statsu"; did you mean status?`,
		"qwertz":       "unknown command \"qwertz\"; see `tidegate --help`",
		"import arn x": `unknown form "arn"; did you mean arm?`,
	} {
		_, _, err := call(t, strings.Fields(words)...)
		if err == nil || err.Error() != want || exitStatus(err) != exitUsage {
			t.Errorf("%s: %v", words, err)
		}
	}
}

// A file that is not there is said to be missing, whatever its extension.
func TestCheckNoFile(t *testing.T) {
	for _, name := range []string{"tidegate", "tidegate.yaml"} {
		file := filepath.Join(t.TempDir(), name)
		_, _, err := call(t, "check", "-c", file)
		if err == nil || !strings.HasSuffix(err.Error(), name+": no such file or directory") || exitStatus(err) != exitUsage {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExitStatus(t *testing.T) {
	pipe := &fs.PathError{Op: "write", Path: os.Stdout.Name(), Err: syscall.EPIPE}
	for status, errs := range map[int][]error{
		exitFine:   {nil, pipe, fmt.Errorf("status: %w", pipe)},
		exitFailed: {errors.New("x"), syscall.EPIPE, &fs.PathError{Op: "write", Path: "x.pcapng", Err: syscall.EPIPE}},
		exitUsage:  {usageError{errors.New("x")}, fmt.Errorf("y: %w", usageError{errors.New("x")})},
	} {
		for _, err := range errs {
			if got := exitStatus(err); got != status {
				t.Errorf("%v: status %d, want %d", err, got, status)
			}
		}
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	report(&b, errors.Join(errors.New("one\x1b[2J"), errors.New("two")))
	if want := "tidegate: one\uFFFD[2J\ntidegate: two\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
}

func TestTokenFile(t *testing.T) {
	for content, want := range map[string]string{
		"abc\n":                                 "abc",
		"  abc  \n":                             "abc",
		"abc\ndef":                              "abc",
		"# mine\n\nread-only r\nread-write w\n": "w",
		"read-only r\nread-only s":              "r",
		"":                                      "no token",
		"# x\n":                                 "no token",
		"a b c":                                 "must be the token",
		"read-write":                            "read-write",
		"admin x":                               "must be the token",
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		token, err := readToken(file)
		if err != nil {
			token = err.Error()
		}
		if !strings.Contains(token, want) || (err == nil) != (token == want) {
			t.Errorf("%q: %q, want %q", content, token, want)
		}
	}
	_, _, err := call(t, "status", "--token-file", "/none/token")
	if err == nil || exitStatus(err) != exitUsage || !strings.HasPrefix(err.Error(), "--token-file: open /none/token") {
		t.Error(err)
	}
	if _, _, err = call(t, "status", "--ca", "cli_test.go"); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Error(err)
	}
}

// answers is a gateway that answers, by path, what it is set to.
type answers struct {
	*httptest.Server
	sync.Mutex
	byPath map[string]any
	asked  []*http.Request
}

func newAnswers(t *testing.T, tls bool) *answers {
	t.Helper()
	a := &answers{byPath: map[string]any{}}
	a.Server = httptest.NewUnstartedServer(a)
	if tls {
		a.StartTLS()
	} else {
		a.Start()
	}
	t.Cleanup(a.Close)
	return a
}

func (a *answers) set(path string, answer any) {
	a.Lock()
	defer a.Unlock()
	a.byPath[path] = answer
}

// questions are the requests so far.
func (a *answers) questions() []*http.Request {
	a.Lock()
	defer a.Unlock()
	return slices.Clone(a.asked)
}

func (a *answers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.Lock()
	a.asked = append(a.asked, r)
	answer, ok := a.byPath[r.URL.Path]
	a.Unlock()
	if !ok {
		w.Header().Set("Content-Type", api.ProblemType)
		w.WriteHeader(http.StatusNotFound)
		answer = api.NewProblem(http.StatusNotFound, "no such path")
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func TestGlobalSettings(t *testing.T) {
	a := newAnswers(t, true)
	a.set("/v1/status", api.Status{Ready: true})
	a.Config.ErrorLog = log.New(io.Discard, "", 0) // of the client that does not trust it
	dir := t.TempDir()
	token, ca := filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	if err := errors.Join(os.WriteFile(token, []byte("read-write 0123456789abcdef\n"), 0o600),
		os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := call(t, "status", "--api", a.URL, "--token-file", token, "--ca", ca); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TIDEGATE_API", a.URL)
	t.Setenv("TIDEGATE_TOKEN_FILE", token)
	t.Setenv("TIDEGATE_CA_FILE", ca)
	if _, _, err := call(t, "status"); err != nil {
		t.Fatal(err)
	}
	for _, r := range a.questions() {
		if got := r.Header.Get("Authorization"); got != "Bearer 0123456789abcdef" {
			t.Errorf("authorized by %q", got)
		}
	}
	if _, _, err := call(t, "status", "--api", "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Error("the environment goes before the flag:", err)
	}
	var untrusted *tls.CertificateVerificationError
	t.Setenv("TIDEGATE_CA_FILE", "")
	if _, _, err := call(t, "status"); !errors.As(err, &untrusted) {
		t.Error("a certificate of nobody is taken:", err)
	}
}

func TestStatusPage(t *testing.T) {
	s := api.Status{Version: "v1", Datapath: "tun", DatapathReason: "it is asked for", NotReady: "starting", UptimeSeconds: 7323.4,
		Config: api.ConfigStatus{Source: "a.yaml", Loaded: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), LastError: "no \x1b[31mgood"},
		Rules:  []api.RuleStatus{{Name: "egress", Type: "outboundRule", IdleTimeoutSeconds: 240, EnableTCPReset: true, Flows: 3, States: map[string]int{"ACTIVE": 1, "CLOSED": 2}, Position: "a.yaml:7"}},
		Totals: api.Totals{Drops: map[string]uint64{"martian": 2, "no-port": 0}}}
	g := &global{output: "wide"}
	got := rendered(t, g, s, func(p *page) { g.statusPage(p, &s) })
	for _, want := range []string{"State     not ready: starting", "Up for    2h2m3s", "Config    a.yaml, read 2026-01-02 03:04:05",
		"The last change was rejected: no \uFFFD[31mgood", "Drops     martian 2\n", "Resets    none\n",
		"RULE    TYPE          IDLE  TCP RESET  FLOWS  POSITION  STATES\negress  outboundRule  4m0s  yes            3  a.yaml:7  ACTIVE 1, CLOSED 2"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	harmless(t, got)
}

func TestExplainPage(t *testing.T) {
	e := api.Explanation{Verdict: "forwarded", Summary: "It begins a flow.", Steps: []string{"First."}, Rule: "egress", RuleType: "outboundRule", RulePosition: "a.yaml:7",
		Dead: &api.DeadFlow{Ended: time.Now().Add(-time.Hour - time.Second), Reason: "idle"}}
	got := rendered(t, &global{}, e, func(p *page) { explainPage(p, &e) })
	want := "forwarded: It begins a flow.\nRule      outboundRule egress, a.yaml:7\nFlow      This flow ended 1h0m1s ago: idle\n\n  1. First."
	if got != want {
		t.Error(got)
	}
}

// complete returns what a shell offers for the last word: of what the program says,
// that which begins with it.
func complete(t *testing.T, args ...string) (offered []string) {
	t.Helper()
	out, _, err := call(t, append([]string{cobra.ShellCompNoDescRequestCmd}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, word := range lines[:len(lines)-1] { // the last one is for the shell
		if strings.HasPrefix(strings.ToLower(word), strings.ToLower(args[len(args)-1])) {
			offered = append(offered, word)
		}
	}
	return offered
}

func TestCompletion(t *testing.T) {
	a := newAnswers(t, false)
	a.set("/v1/status", api.Status{Rules: []api.RuleStatus{{Name: "egress"}, {Name: "evil\x1b[2J"}, {Name: "ssh"}}})
	a.set("/v1/ports", api.Ports{Rows: []api.PortRow{{Frontend: "public"}, {Frontend: "public"}}})
	t.Setenv("TIDEGATE_API", a.URL)
	for words, want := range map[string]string{
		"flo":                            "flows",
		"flows pro":                      "proto=",
		"flows proto=":                   "proto=tcp proto=udp proto=icmp",
		"flows proto=tcp st":             "state=",
		"kill state=est":                 "state=ESTABLISHED",
		"top rule=":                      "rule=egress rule=ssh",
		"flows frontend=":                "frontend=public",
		"flows remote=":                  "",
		"flows idl":                      "idle>",
		"ports --by f":                   "frontend",
		"status -o ":                     "table wide json",
		"explain ":                       "tcp udp icmp",
		"explain tcp ":                   "",
		"explain --side ":                "inside outside",
		"events --type snat":             "snat.exhausted",
		"events --rule eg":               "egress",
		"completion ":                    "bash zsh fish",
		"status ":                        "",
		"flows --api unix:/none/x rule=": "",
	} {
		if got := strings.Join(complete(t, strings.Split(words, " ")...), " "); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}

// A gateway that swallows questions does not hold the shell up.
func TestCompletionIsQuick(t *testing.T) {
	stop := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stop }))
	defer s.Close()
	defer close(stop)
	start := time.Now()
	if got := complete(t, "flows", "--api", s.URL, "rule="); len(got) > 0 || time.Since(start) > 3*completionLimit {
		t.Errorf("%v after %v", got, time.Since(start))
	}
}

func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, _, err := call(t, "completion", shell); err != nil || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %v\n%s", shell, err, out)
		}
	}
	if _, _, err := call(t, "completion", "tcsh"); exitStatus(err) != exitUsage {
		t.Error(err)
	}
}

func TestTopNeedsTerminal(t *testing.T) {
	_, _, err := call(t, "top")
	if exitStatus(err) != exitUsage || !strings.HasPrefix(err.Error(), "top: standard output is no terminal") {
		t.Error(err)
	}
}
