package server

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/gateway"
)

// fuzzServer is a Server over a gateway that does not run.
func fuzzServer(f *testing.F) *Server {
	f.Helper()
	o := testOptions(&testing.T{})
	o.Now, o.Control = func() int64 { return int64(time.Hour) }, memoryPort(new([2]chan []byte))
	g, err := gateway.New(o)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(g.Close)
	g.Note(gateway.Notice{Kind: gateway.ConfigReloaded, Rule: -1, Message: "so"})
	apply := func(format string, body []byte) error {
		if len(body)%2 == 1 {
			return api.NewProblem(422, string(body))
		}
		return nil
	}
	return New(Options{
		Gateway: g, Ready: func() error { return errors.New("no") }, Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeText(w, "x 1\n") }),
		Config: func() any { return map[string]any{"a": 1} }, Apply: apply, Check: apply, Log: o.Log,
	})
}

// FuzzRequest: whatever is asked, the answer is one of those that the document
// announces, and the client's fault is not called the server's.
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, target, media, accept, body string }{
		{"GET", "/v1/flows?proto=tcp&id=0000000100000000&idleOver=30s&limit=5&cursor=a", "", "", ""},
		{"DELETE", "/v1/flows?remote=0.0.0.0/0", "", "", ""},
		{"GET", "/v1/events?type=flow.created&rule=egress&after=1&limit=9", "", "application/json", ""},
		{"GET", "/v1/ports?by=rule&held=false", "", "", ""},
		{"POST", "/v1/explain", "application/json", "", `{"protocol":"tcp","source":"10.0.0.10:1","destination":"198.51.100.7:443","side":"inside"}`},
		{"POST", "/v1/explain", "application/json", "", `{"protocol":"icmp","source":"10.0.0.10:1","destination":"1.2.3.4"}`},
		{"PUT", "/v1/config", "application/yaml", "", "a: [1"},
		{"POST", "/v1/config:validate", "application/json", "", "{}"},
		{"GET", "/v1/config", "", "application/yaml;q=0.5, */*", ""},
		{"GET", "/v1/idle", "", "", ""}, {"GET", "/v1/status", "", "", ""}, {"GET", "/v1/backends", "", "", ""},
		{"HEAD", "/readyz", "", "", ""}, {"TRACE", "/metrics", "", "", ""}, {"GET", "//v1/../%2e%00?=;&%", "", "", ""},
	} {
		f.Add(seed.method, seed.target, seed.media, seed.accept, seed.body)
	}
	s := fuzzServer(f)
	doc := readOpenAPI(f, s)
	f.Fuzz(func(t *testing.T, method, target, media, accept, body string) {
		r, err := http.NewRequestWithContext(nearContext(t.Context()), method, "http://localhost/"+strings.TrimPrefix(target, "/"), strings.NewReader(body))
		if err != nil || r.URL.Path == "/v1/capture" || strings.Contains(accept, api.EventStream) {
			return // no request, or one that goes on and on
		}
		r.Header.Set("Content-Type", media)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		expected := []int{http.StatusNotImplemented, http.StatusServiceUnavailable}
		if w.Code >= 500 && !slices.Contains(expected, w.Code) {
			t.Errorf("%s %s: %d %s", method, r.URL, w.Code, w.Body)
		}
		doc.check(t, r, w.Code, w.Header(), w.Body.Bytes())
	})
}
