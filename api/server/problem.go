package server

import (
	"encoding/json"
	"net/http"

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
