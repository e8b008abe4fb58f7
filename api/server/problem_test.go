package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tidegate/api"
)

// problem fails the test unless a is an RFC 9457 problem with nothing unknown in it.
func problem(t *testing.T, a answer) (p api.Problem) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || a.header.Get("Content-Type") != api.ProblemType ||
		p.Status != a.status || p.Title != http.StatusText(a.status) {
		t.Errorf("%v: %+v is no problem", err, a)
	}
	return p
}

func TestProblems(t *testing.T) {
	r := newRig(t)
	tests := []struct {
		method, target string
		status         int
		detail         string
	}{
		{"GET", "/v1/flows?limit=0", 400, `parameter limit: "0" is no number in 1–10000`},
		{"GET", "/v1/flows?limit=a", 400, "1–10000"},
		{"GET", "/v1/flows?cursor=!", 400, `parameter cursor: "!" is not the next of a page`},
		{"GET", "/v1/flows?cursor=zzzzzzzzzz", 400, "cursor"},
		{"GET", "/v1/flows?stat=x", 400, `unknown parameter "stat": known are proto, rule, state,`},
		{"GET", "/v1/flows?idle%3E30s", 400, `unknown parameter "idle>30s"`},
		{"GET", "/v1/flows?state=OPEN", 400, `filter state: "OPEN" is not one of SYN_SENT`},
		{"GET", "/v1/flows?remote=x", 400, `"x" is no address, ADDR:PORT or CIDR`},
		{"GET", "/v1/flows?rule=a&rule=a", 400, "given more than once"},
		{"GET", "/v1/flows?rule=%zz", 400, "invalid URL escape"},
		{"GET", "/v1/flows?rule=a;state=b", 400, "semicolon"},
		{"DELETE", "/v1/flows", 400, "a filter is required"},
		{"DELETE", "/v1/flows?limit=5", 400, `unknown parameter "limit"`},
		{"GET", "/v1/ports?by=port", 400, "one of backend, frontend, rule"},
		{"GET", "/v1/ports?rule=a", 400, `unknown parameter "rule": known are by, held`},
		{"GET", "/v1/status?x=1", 400, `unknown parameter "x": there are none here`},
		{"GET", "/v1/backends?pool=vms", 400, `unknown parameter "pool": there are none here`},
		{"GET", "/v1/explain", 405, "/v1/explain takes POST, not GET"},
		{"GET", "/v1/nothing", 404, "nothing is at /v1/nothing; see /openapi.json"},
		{"GET", "/nothing", 404, "nothing is at /nothing"},
		{"GET", "/openapi.yaml", 404, "nothing is at /openapi.yaml"},
		{"GET", "/openapi-3.0.json", 404, "nothing is at /openapi-3.0.json"},
		{"GET", "/v1/flows?id=1", 400, `filter id: "1" is no flow's: it is 16 hexadecimal digits`},
		{"GET", "/v1/ports?held=no", 400, `parameter held: "no" is not true or false`},
		{"GET", "/v1/events?type=flow", 400, `parameter type: "flow" is not one of flow.created, flow.closed,`},
		{"GET", "/v1/events?after=-1", 400, `event number "-1": it is a whole number`},
		{"GET", "/v1/events?limit=0", 400, "1–10000"},
		{"GET", "/v1/events?rule=a&rule=b", 400, "given more than once"},
		{"GET", "/v1/events?x=1", 400, "known are type, rule, limit, after"},
		{"GET", "/v1/idle?rule=a", 400, "there are none here"},
		{"GET", "/v1/config?x=1", 400, "there are none here"},
		{"GET", "/v1/config", 501, "without a configuration"},
		{"DELETE", "/v1/config", 405, "/v1/config takes GET, HEAD, PUT"},
		{"GET", "/v1/config:validate", 405, "takes POST"},
		{"POST", "/v1/flows", 405, "/v1/flows takes DELETE, GET, HEAD, not POST"},
		{"DELETE", "/healthz", 405, "/healthz takes GET, HEAD, not DELETE"},
	}
	for _, tt := range tests {
		a := r.request(tt.method, tt.target)
		p := problem(t, a)
		if a.status != tt.status || !strings.Contains(p.Detail, tt.detail) {
			t.Errorf("%s %s: %d %s\nwant %d %s", tt.method, tt.target, a.status, p.Detail, tt.status, tt.detail)
		}
		if (a.status == 405) != (a.header.Get("Allow") != "") {
			t.Errorf("%s %s: Allow is %q", tt.method, tt.target, a.header.Get("Allow"))
		}
	}
}

// A page on another site must not end flows through the browser of its reader.
func TestCrossOrigin(t *testing.T) {
	r := newRig(t)
	r.open("10.0.0.10:40000", server)
	a := r.request("DELETE", "/v1/flows?rule=egress", "Sec-Fetch-Site", "cross-site")
	if problem(t, a); a.status != 403 || r.flows().Total != 1 {
		t.Errorf("%+v", a)
	}
}

// What its browser says another site asks gets no answer of the gateway's, whatever the
// method; a link to the dashboard works.
func TestOtherPages(t *testing.T) {
	r := newRig(t)
	for _, target := range []string{
		"GET /v1/status", "HEAD /v1/status", "OPTIONS /v1/status", "GET /v1/events", "GET /v1/capture?packets=1&seconds=1", "POST /v1/explain",
		"GET /v1/nothing", "GET /metrics", "GET /openapi.json",
	} {
		method, path, _ := strings.Cut(target, " ")
		for _, site := range []string{"cross-site", "same-site"} {
			a := r.request(method, path, "Sec-Fetch-Site", site, "Sec-Fetch-Mode", "no-cors")
			if a.status != 403 || method != http.MethodHead && problem(t, a).Detail != "api: the request comes from a web page of another origin" {
				t.Errorf("%s, %s: %+v", target, site, a)
			}
		}
	}
	for _, target := range []string{"/", "/ui/main.js", "/healthz"} {
		if a := r.request("GET", target, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"); a.status != 200 {
			t.Errorf("%s: %+v", target, a)
		}
	}
	for _, site := range []string{"same-origin", "none"} {
		if a := r.request("GET", "/v1/status", "Sec-Fetch-Site", site); a.status != 200 {
			t.Errorf("%s: %+v", site, a)
		}
	}
}

func TestHealth(t *testing.T) {
	r := newRig(t)
	why := errors.New("packetio: eth0 is down")
	for _, ready := range []*error{nil, &why, nil} {
		r.ready.Store(ready)
		if a := r.get("/healthz"); a.status != 200 || a.body != "ok\n" {
			t.Errorf("%+v", a)
		}
		if err := r.client.Healthy(t.Context()); err != nil {
			t.Error(err)
		}
		a := r.get("/readyz")
		switch {
		case ready == nil && (a.status != 200 || a.body != "ready\n"):
			t.Errorf("ready: %+v", a)
		case ready != nil && (a.status != 503 || problem(t, a).Detail != why.Error()):
			t.Errorf("not ready: %+v", a)
		}
		s, err := r.client.Status(t.Context())
		if err != nil || s.Ready != (ready == nil) || s.Ready == (s.NotReady == why.Error()) || !s.Healthy {
			t.Errorf("%+v, %v", s, err)
		}
	}
}

func TestOpenAPI(t *testing.T) {
	a := newRig(t).get("/openapi.json")
	var doc struct {
		OpenAPI    string `json:"openapi"`
		Paths      map[string]map[string]struct{ Parameters []struct{ Name, In string } }
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct{ Type any }
			}
		}
	}
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%v: %s", err, a.body)
	}
	var names []string
	for _, p := range doc.Paths["/v1/flows"]["get"].Parameters {
		names = append(names, p.Name)
	}
	want := []string{"proto", "rule", "state", "internal", "external", "remote", "backend", "frontend", "id", "idleOver", "limit", "cursor"}
	if !slices.Equal(names, want) {
		t.Errorf("GET /v1/flows has %v", names)
	}
	for path, methods := range map[string]int{"/v1/status": 1, "/v1/flows": 2, "/v1/ports": 1, "/v1/backends": 1, "/v1/explain": 1, "/v1/events": 1,
		"/v1/idle": 1, "/v1/config": 2, "/v1/config:validate": 1, "/healthz": 1, "/readyz": 1, "/metrics": 1} {
		if len(doc.Paths[path]) != methods {
			t.Errorf("%s has %v", path, doc.Paths[path])
		}
	}
	flow := doc.Components.Schemas["Flow"].Properties
	if flow["internal"].Type != "string" || flow["idleSeconds"].Type != "number" || flow["created"].Type != "string" || flow["$schema"].Type != nil {
		t.Errorf("a flow is %v", flow)
	}
	if list := doc.Components.Schemas["FlowList"].Properties; list["flows"].Type != "array" {
		t.Errorf("flows may be %v", list["flows"].Type)
	}
}

// A browser that says nothing of where a page is from says its origin.
func TestOriginOfOldBrowsers(t *testing.T) {
	r := newRig(t)
	for origin, want := range map[string]int{"http://evil.example": 403, "null": 403, "%": 403, "http://tidegate": 200, "": 200} {
		var header []string
		if origin != "" {
			header = []string{"Origin", origin}
		}
		if a := r.request("GET", "/v1/status", header...); a.status != want {
			t.Errorf("from %q: %d", origin, a.status)
		}
	}
}
