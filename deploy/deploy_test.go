// Package deploy_test holds what Tidegate brings along for Prometheus and Grafana
// against what a gateway shows, and against Prometheus' own tool.
package deploy_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	rulesFile     = "prometheus/tidegate.rules.yml"
	dashboardFile = "grafana/tidegate.json"
	runbook       = "../docs/monitoring.md"
)

// alert is one rule of rulesFile.
type alert struct {
	Alert       string
	Expr        string
	Labels      map[string]string
	Annotations map[string]string
}

func alerts(t *testing.T) []alert {
	t.Helper()
	b, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Groups) != 1 || len(file.Groups[0].Rules) < 10 {
		t.Fatalf("%s has other groups than expected", rulesFile)
	}
	return file.Groups[0].Rules
}

// promtool runs in the folder of the rules.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "promtool", args...)
	cmd.Dir = filepath.Dir(rulesFile)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtool(t *testing.T) {
	promtool(t, "check", "rules", "tidegate.rules.yml")
	promtool(t, "test", "rules", "tidegate.rules.test.yml")
}

// Every alert says how bad it is and has a section in the runbook and a test.
func TestRunbook(t *testing.T) {
	page, err := os.ReadFile(runbook)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(strings.Replace(rulesFile, "rules.yml", "rules.test.yml", 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range alerts(t) {
		if s := a.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s has severity %q", a.Alert, s)
		}
		if want := "docs/monitoring.md#" + strings.ToLower(a.Alert); a.Annotations["runbook_url"] != want {
			t.Errorf("%s has runbook %s, want %s", a.Alert, a.Annotations["runbook_url"], want)
		}
		if !strings.Contains(string(page), "\n### "+a.Alert+"\n") {
			t.Errorf("%s has no section in %s", a.Alert, runbook)
		}
		if !strings.Contains(string(tests), "alertname: "+a.Alert+"\n") {
			t.Errorf("%s is not tested", a.Alert)
		}
	}
}

// What alerts and panels ask for is what a gateway shows.
func TestNames(t *testing.T) {
	all := scrape(t)
	for _, a := range alerts(t) {
		texts := []string{a.Annotations["summary"], a.Annotations["description"]}
		all.check(t, a.Alert, a.Expr, mentioned(alertLabel, texts...))
	}
	for _, p := range dashboard(t).Panels {
		for _, target := range p.Targets {
			all.check(t, p.Title, target.Expr, mentioned(legendLabel, target.LegendFormat))
		}
	}
	for _, v := range dashboard(t).Templating.List {
		if m := labelValues.FindStringSubmatch(v.Definition); m != nil {
			all.check(t, "variable "+v.Name, strings.ReplaceAll(m[1], "{__name__", "tidegate_backend_up{backend"), []string{m[2]})
		}
	}
}

var (
	metric      = regexp.MustCompile(`\b(?:tidegate_|process_|go_)\w+|\bup\b`)
	selector    = regexp.MustCompile(`(\w+)\{([^}]*)\}`)
	matcher     = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping    = regexp.MustCompile(`\b(?:by|without|on|ignoring)\s*\(([^)]*)\)`)
	alertLabel  = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

// mentioned returns the labels that texts name.
func mentioned(pattern *regexp.Regexp, texts ...string) (labels []string) {
	for _, m := range pattern.FindAllStringSubmatch(strings.Join(texts, "\n"), -1) {
		labels = append(labels, m[1])
	}
	return labels
}

// check looks the metrics and labels of an expression up, and labels that texts
// about its result name.
func (s shown) check(t *testing.T, where, expr string, labels []string) {
	t.Helper()
	any := make(map[string]bool)
	for _, name := range metric.FindAllString(expr, -1) {
		if s[name] == nil {
			t.Errorf("%s: no gateway shows %s", where, name)
		}
		for l := range s[name] {
			any[l] = true
		}
	}
	if len(any) == 0 {
		t.Errorf("%s: no metric in %s", where, expr)
	}
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		for _, l := range mentioned(matcher, m[2]) {
			if !s[m[1]][l] {
				t.Errorf("%s: %s has no label %s", where, m[1], l)
			}
		}
	}
	for _, list := range mentioned(grouping, expr) {
		labels = append(labels, strings.Split(strings.ReplaceAll(list, " ", ""), ",")...)
	}
	for _, l := range labels {
		if !any[l] {
			t.Errorf("%s: nothing in %s has a label %s", where, expr, l)
		}
	}
}

// board is what is looked at of a Grafana dashboard.
type board struct {
	Title      string
	Templating struct {
		List []struct{ Name, Definition string }
	}
	Panels []struct {
		ID         int
		Type       string
		Title      string
		GridPos    struct{ X, Y, W, H int }
		Datasource struct{ UID string }
		Targets    []struct{ Expr, LegendFormat string }
	}
}

func dashboard(t *testing.T) (d board) {
	t.Helper()
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// Prometheus can read every query of the dashboard, with values for its variables.
func TestQueries(t *testing.T) {
	d, variables := dashboard(t), []string{"$__rate_interval", "5m", "$__range", "3h"}
	for _, v := range d.Templating.List {
		variables = append(variables, "$"+v.Name, ".*")
	}
	type rule struct{ Record, Expr string }
	var rules []rule
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			expr := strings.NewReplacer(variables...).Replace(target.Expr)
			if strings.Contains(expr, "$") {
				t.Errorf("%s: a variable that there is not: %s", p.Title, expr)
			}
			rules = append(rules, rule{fmt.Sprintf("panel:%d:%d", p.ID, i), expr})
		}
	}
	if len(rules) < 20 {
		t.Fatalf("%d queries", len(rules))
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", path)
}

// Panels have numbers of their own, ask the source that was chosen, and don't overlap.
func TestLayout(t *testing.T) {
	taken, ids := make(map[[2]int]string), make(map[int]bool)
	for _, p := range dashboard(t).Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q has no number or title of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (p.Datasource.UID != "${datasource}" || len(p.Targets) == 0) {
			t.Errorf("%s asks %q", p.Title, p.Datasource.UID)
		}
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s is wider than the page", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other := taken[at]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
	}
}
