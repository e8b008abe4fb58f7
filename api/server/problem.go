package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
)

// writeProblem answers with an error outside of huma's routes.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(api.NewProblem(status, detail)) // a client that is gone needs no answer
}

func denyCrossOrigin(w http.ResponseWriter, _ *http.Request) {
	writeProblem(w, http.StatusForbidden, "api: the request comes from a web page of another origin")
}

// ownPages refuses what a browser says a page of another origin asks, whatever the
// method: that page sees no answer, but could take all places of streams and captures.
// A link to the dashboard works.
func ownPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fromElsewhere(r) && !public(r) {
			denyCrossOrigin(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromElsewhere goes by what browsers send with every request, or where they are too old
// for that with those whose answer a page could read.
func fromElsewhere(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") { // https://www.w3.org/TR/fetch-metadata/
	case "cross-site", "same-site":
		return true
	case "":
		origin, err := url.Parse(r.Header.Get("Origin"))
		return err != nil || origin.Host != "" && origin.Host != r.Host || r.Header.Get("Origin") == "null"
	}
	return false
}

// maxDetails bounds the errors of one answer: a body of 1 MiB can have some hundred
// thousand.
const maxDetails = 100

// brief bounds the answer to a body with many errors (huma.Transformer). A value that
// has parts is left out: each of the errors of its parts comes with the whole of it.
func brief(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	if more := len(m.Errors) - maxDetails; more > 0 {
		m.Errors = m.Errors[:maxDetails]
		m.Detail += fmt.Sprintf("; %d more errors are not listed", more)
	}
	for _, e := range m.Errors {
		switch e.Value.(type) {
		case map[string]any, []any:
			e.Value = nil
		}
	}
	return m, nil
}

// problemMux is a ServeMux whose own refusals, 404 and 405, are problems.
type problemMux struct{ *http.ServeMux }

func (m problemMux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := m.Handler(r); pattern == "" {
		w = &refusalWriter{ResponseWriter: w, request: r}
	}
	m.ServeMux.ServeHTTP(w, r)
}

// refusalWriter keeps the status and the headers of a plain-text refusal, Allow
// above all, and puts a problem in place of the text.
type refusalWriter struct {
	http.ResponseWriter
	request *http.Request
}

func (w *refusalWriter) WriteHeader(status int) {
	detail := "api: nothing is at " + w.request.URL.Path + "; see /openapi.json"
	if status == http.StatusMethodNotAllowed {
		detail = "api: " + w.request.URL.Path + " takes " + w.Header().Get("Allow") + ", not " + w.request.Method
	}
	writeProblem(w.ResponseWriter, status, detail)
}

func (w *refusalWriter) Write(text []byte) (int, error) { return len(text), nil }
