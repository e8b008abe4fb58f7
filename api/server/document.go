package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
)

// ref is the schema of a type, which it adds to the document.
func ref(routes huma.API, v any, name string) *huma.Schema {
	return routes.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, name)
}

// document adds what any operation may answer, and what is not of huma's routes.
func document(doc *huma.OpenAPI) {
	doc.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {
		Type: "http", Scheme: "bearer", Description: "Of api.tokenFile; not needed on unix sockets and loopback",
	}}
	doc.Security = []map[string][]string{{}, {"token": {}}}
	for path, summary := range map[string]string{
		"/healthz": "The gateway answers", "/readyz": "Packets flow", "/metrics": "Counters, as OpenMetrics or in Prometheus's older format",
	} {
		doc.AddOperation(plainOperation(path, summary))
	}
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Delete} {
			if op != nil {
				addRefusals(op)
			}
		}
	}
}

// specification answers with the document, which must be complete.
func specification(doc *huma.OpenAPI) http.Handler {
	text, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("api: openapi.json: %v", err)) // it is part of the program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(text) // a client that is gone needs no answer
	})
}

// plainOperation is one that answers with text.
func plainOperation(path, summary string) *huma.Operation {
	text := func() map[string]*huma.MediaType {
		s := text()
		return map[string]*huma.MediaType{"text/plain": {Schema: &s}}
	}
	op := &huma.Operation{
		OperationID: "get" + path[1:], Method: http.MethodGet, Path: path, Summary: summary,
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: text()}},
	}
	if path == "/metrics" {
		op.Responses["200"].Content["application/openmetrics-text"] = text()["text/plain"]
	}
	if path == "/readyz" {
		op.Responses["503"] = problemResponse(http.StatusServiceUnavailable)
	}
	return op
}

// addRefusals adds what is answered before an operation is asked.
func addRefusals(op *huma.Operation) {
	for _, status := range []int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests} {
		op.Responses[strconv.Itoa(status)] = problemResponse(status)
	}
}

func problemResponse(status int) *huma.Response {
	return &huma.Response{Description: http.StatusText(status), Content: map[string]*huma.MediaType{
		api.ProblemType: {Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"}},
	}}
}
