package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"tidegate/api"
	"tidegate/gateway"
)

// settings are a configuration that a Server can be asked for, and the last that it
// was told.
type settings struct {
	tree         map[string]any
	format, body string
	err          error
}

// withSettings serves the gateway of a rig with a configuration.
func withSettings(t *testing.T) (*rig, *settings) {
	t.Helper()
	r, c := newRig(t), &settings{tree: map[string]any{
		"profile": "azure", "gateway": map[string]any{"maxFlows": 1048576},
		"log": map[string]any{"level": "true", "format": "<script>"}, "outboundRules": []any{map[string]any{"name": "1"}},
	}}
	told := func(format string, body []byte) error {
		c.format, c.body = format, string(body)
		return c.err
	}
	o := r.options
	o.Config, o.Check = func() any { return c.tree }, told
	o.Apply = func(format string, body []byte) error {
		err := told(format, body)
		if err == nil {
			c.tree["profile"] = "custom"
		}
		return err
	}
	o.Position = func(t gateway.RuleType, name string) string {
		return "tidegate.yaml:" + map[string]string{"egress": "23"}[name]
	}
	o.ConfigStatus = func() api.ConfigStatus { return api.ConfigStatus{Source: "/etc/tidegate.yaml", LastError: "no"} }
	r.socket = filepath.Join(t.TempDir(), "api.sock")
	r.client = newClient(t, "unix:"+r.socket)
	serve(t, New(o), "unix:"+r.socket)
	return r, c
}

func TestGetConfig(t *testing.T) {
	r, c := withSettings(t)
	tree, err := r.client.Config(t.Context())
	want := `{"gateway":{"maxFlows":1048576},"log":{"format":"<script>","level":"true"},"outboundRules":[{"name":"1"}],"profile":"azure"}`
	if err != nil || string(tree) != want {
		t.Errorf("%s, %v", tree, err)
	}
	a := r.request("GET", "/v1/config", "Accept", "application/yaml")
	wantYAML := "gateway:\n    maxFlows: 1048576\nlog:\n    format: <script>\n    level: \"true\"\noutboundRules:\n    - name: \"1\"\nprofile: azure\n"
	if a.body != wantYAML || a.header.Get("Content-Type") != api.YAMLType || a.header.Get("ETag") == "" {
		t.Errorf("%+v", a)
	}
	if err := yaml.Unmarshal([]byte(a.body), new(map[string]any)); err != nil {
		t.Error(err)
	}
	tag := a.header.Get("ETag")
	c.tree["profile"] = "custom"
	if a := r.get("/v1/config"); a.header.Get("ETag") == tag {
		t.Errorf("another configuration has the same tag %s", tag)
	}
}

// A text with characters that YAML can only escape is one in YAML too.
func TestGetStrangeConfig(t *testing.T) {
	r, c := withSettings(t)
	name := "a\u0001\n\u007f\u0085\u009f\u2028\ufeff\ufffe\uffffü\U0001f40c"
	c.tree["profile"] = name
	a := r.request("GET", "/v1/config", "Accept", "application/yaml")
	var got map[string]any
	if err := yaml.Unmarshal([]byte(a.body), &got); err != nil || a.status != 200 || got["profile"] != name {
		t.Errorf("%v: %d %q", err, a.status, a.body)
	}
}

func TestPutConfig(t *testing.T) {
	r, c := withSettings(t)
	if err := r.client.SetConfig(t.Context(), "application/x-yaml; charset=utf-8", strings.NewReader("a: 1")); err != nil || c.format != "yaml" || c.body != "a: 1" {
		t.Errorf("%v: %+v", err, c)
	}
	tag := r.get("/v1/config").header.Get("ETag")
	put := func(tag string) answer {
		return r.requestWith(strings.NewReader(`{"b":2}`), "PUT", "/v1/config", "Content-Type", "application/json", "If-Match", tag)
	}
	if a := put(tag); a.status != 200 || c.format != "json" || c.body != `{"b":2}` || a.body != r.get("/v1/config").body {
		t.Errorf("%+v: %+v", a, c)
	}
	c.body = ""
	if a := put(`"0"`); a.status != 412 || c.body != "" {
		t.Errorf("%+v: %+v", a, c)
	}
	if err := r.client.ValidateConfig(t.Context(), api.JSONType, strings.NewReader("{}")); err != nil || c.body != "{}" {
		t.Errorf("%v: %+v", err, c)
	}
	a := r.requestWith(strings.NewReader("{}"), "POST", "/v1/config:validate", "Content-Type", "application/json")
	if a.body != `{"valid":true}`+"\n" {
		t.Errorf("%+v", a)
	}
}

// What is wrong with a configuration comes through as it was said.
func TestConfigRefused(t *testing.T) {
	r, c := withSettings(t)
	invalid := api.NewProblem(422, "config: 2 problems")
	invalid.Errors = []api.Detail{{Location: "outboundRules[0].idleTimeoutInMinutes", Message: "3 is outside 4–100", Value: 3.0}, {Location: "log.level", Message: "<b>"}}
	for _, tt := range []struct {
		err    error
		status int
		text   string
	}{
		{invalid, 422, "config: 2 problems; outboundRules[0].idleTimeoutInMinutes: 3 is outside 4–100; log.level: <b>"},
		{errors.Join(errors.New("before"), api.NewProblem(409, "gateway.maxFlows can't be changed")), 409, "gateway.maxFlows can't be changed"},
		{api.NewProblem(200, "no error"), 500, "no error"},
		{errors.New("disk full"), 500, "disk full"},
	} {
		c.err = tt.err
		for name, ask := range map[string]func() error{
			"put": func() error { return r.client.SetConfig(t.Context(), api.JSONType, strings.NewReader("{}")) },
			"validate": func() error {
				return r.client.ValidateConfig(t.Context(), api.YAMLType, strings.NewReader("{}"))
			},
		} {
			if p := problemOf(t, ask()); p.Status != tt.status || p.Error() != tt.text {
				t.Errorf("%s: %d %v\nwant %d %s", name, p.Status, p, tt.status, tt.text)
			}
		}
	}
}

// However much is wrong, the answer has an end, and says that there is more.
func TestManyErrors(t *testing.T) {
	r, c := withSettings(t)
	invalid := api.NewProblem(422, "config: 250 problems")
	var unknown []string
	for i := range 250 {
		invalid.Errors = append(invalid.Errors, api.Detail{Location: fmt.Sprintf("outboundRules[%d]", i), Message: "no"})
		unknown = append(unknown, fmt.Sprintf(`"%d":[{"x":1}]`, i))
	}
	c.err = invalid
	for _, tt := range []struct{ target, body, detail string }{
		{"/v1/config:validate", "{}", "config: 250 problems; 150 more errors are not listed"},
		{"/v1/explain", `{"protocol":"tcp","source":"10.0.0.10:1","destination":"198.51.100.7:443",` + strings.Join(unknown, ",") + "}",
			"validation failed; 150 more errors are not listed"},
	} {
		a := r.requestWith(strings.NewReader(tt.body), "POST", tt.target, "Content-Type", "application/json")
		if p := problem(t, a); a.status != 422 || len(p.Errors) != 100 || p.Detail != tt.detail || len(a.body) > 20_000 {
			t.Errorf("%s: %d, %d errors, %d bytes, %s", tt.target, a.status, len(p.Errors), len(a.body), p.Detail)
		}
	}
}

func TestConfigLimits(t *testing.T) {
	r, c := withSettings(t)
	full := strings.Repeat("#", maxBody)
	tests := []struct {
		method, target, media, body string
		status                      int
		detail                      string
	}{
		{"PUT", "/v1/config", "text/plain", "a: 1", 415, `Content-Type "text/plain" is none of application/json, application/yaml, application/x-yaml, text/yaml`},
		{"PUT", "/v1/config", "", "a: 1", 415, "Content-Type"},
		{"PUT", "/v1/config", "application/json; =", "a: 1", 415, "Content-Type"},
		{"POST", "/v1/config:validate", "application/toml", "a: 1", 415, "Content-Type"},
		{"PUT", "/v1/config", "application/json", "", 400, "the request has none"},
		{"PUT", "/v1/config?dry=1", "application/json", "{}", 400, `unknown parameter "dry"`},
		{"PUT", "/v1/config", "application/yaml", full, 200, ""},
		{"PUT", "/v1/config", "application/yaml", full + "#", 413, "more than 1048576 bytes"},
		{"POST", "/v1/config:validate", "application/yaml", full + full, 413, "more than 1048576 bytes"},
		{"POST", "/v1/explain", "application/json", full + full, 413, "more than 1048576 bytes"},
		{"POST", "/v1/explain", "application/json", `{"protocol":1}`, 422, "validation failed"},
		{"POST", "/v1/explain", "application/json", `{`, 400, ""},
		{"POST", "/v1/explain", "text/plain", `{}`, 415, ""},
	}
	for _, tt := range tests {
		c.body = ""
		header := []string{"Content-Type", tt.media}
		a := r.requestWith(strings.NewReader(tt.body), tt.method, tt.target, header...)
		if a.status != tt.status || a.status != 200 && !strings.Contains(problem(t, a).Detail, tt.detail) || (a.status == 200) != (c.body != "") {
			t.Errorf("%s %s %s: %d %.200s", tt.method, tt.target, tt.media, a.status, a.body)
		}
	}
}

// Without a configuration there is none to show or change.
func TestNoConfig(t *testing.T) {
	r := newRig(t)
	for _, target := range []string{"PUT /v1/config", "POST /v1/config:validate", "GET /v1/config"} {
		method, path, _ := strings.Cut(target, " ")
		a := r.requestWith(strings.NewReader("{}"), method, path, "Content-Type", "application/json")
		if p := problem(t, a); a.status != http.StatusNotImplemented || !strings.Contains(p.Detail, "without a configuration") {
			t.Errorf("%s: %+v", target, a)
		}
	}
}

// The document says what may be sent.
func TestConfigDocumented(t *testing.T) {
	var doc struct {
		Paths map[string]map[string]struct {
			RequestBody struct{ Content map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(newRig(t).get("/openapi.json").body), &doc); err != nil {
		t.Fatal(err)
	}
	for _, content := range []map[string]any{
		doc.Paths["/v1/config"]["put"].RequestBody.Content, doc.Paths["/v1/config:validate"]["post"].RequestBody.Content,
	} {
		for media := range configFormats {
			if content[media] == nil {
				t.Errorf("%s is not among %v", media, content)
			}
		}
	}
}

func TestConfigInStatus(t *testing.T) {
	r, _ := withSettings(t)
	s, err := r.client.Status(t.Context())
	if err != nil || s.Config.Source != "/etc/tidegate.yaml" || s.Config.LastError != "no" || s.Rules[0].Position != "tidegate.yaml:23" {
		t.Errorf("%+v, %v", s, err)
	}
}
