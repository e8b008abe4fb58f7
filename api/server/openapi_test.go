package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tidegate/api"
)

// openapi is the server's own document, by which its answers are checked.
type openapi struct {
	mu       sync.Mutex // the compiler is for one at a time
	compiler *jsonschema.Compiler
	paths    map[string]map[string]struct {
		Responses map[string]struct {
			Content map[string]struct{ Schema any }
		}
	}
}

const documentURL = "http://tidegate/openapi.json"

func readOpenAPI(t testing.TB, s *Server) *openapi {
	t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/openapi.json", nil)
	s.handler.ServeHTTP(w, r.WithContext(nearContext(t.Context())))
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	o := &openapi{compiler: jsonschema.NewCompiler()}
	o.compiler.DefaultDraft(jsonschema.Draft2020)
	o.compiler.AssertFormat()
	if err := o.compiler.AddResource(documentURL, tree); err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths any }
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(doc.Paths)
	if err := json.Unmarshal(text, &o.paths); err != nil {
		t.Fatal(err)
	}
	return o
}

// undocumented paths are those that are not about the gateway.
func undocumented(path string) bool {
	return path == "/" || path == "/openapi.json" || strings.HasPrefix(path, "/ui/")
}

// check fails the test unless an answer is one that the document announces.
func (o *openapi) check(t testing.TB, r *http.Request, status int, header http.Header, body []byte) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	method, path := r.Method, r.URL.Path
	if method == http.MethodHead {
		method = http.MethodGet
	}
	media, _, err := mime.ParseMediaType(header.Get("Content-Type"))
	operation, known := o.paths[path][strings.ToLower(method)]
	switch {
	case status >= 300 && status < 400 || status < 300 && undocumented(path):
		return
	case err != nil || status >= 400 && media != api.ProblemType:
		t.Errorf("%s %s: a %d is %q", r.Method, r.URL, status, header.Get("Content-Type"))
	case !known && status < 400:
		t.Errorf("%s %s: %d, which is not in the document", r.Method, r.URL, status)
	case !known:
		o.validate(t, r, "#/components/schemas/ErrorModel", body)
	default:
		content, ok := operation.Responses[strconv.Itoa(status)].Content[media]
		if !ok {
			t.Errorf("%s %s: a %d as %s is not in the document: %s", r.Method, r.URL, status, media, body)
			return
		}
		if r.Method == http.MethodHead || content.Schema == nil {
			return
		}
		where := []string{"#/paths", escape(path), strings.ToLower(method), "responses", strconv.Itoa(status), "content", escape(media), "schema"}
		o.validateAs(t, r, media, strings.Join(where, "/"), body)
	}
}

// escape is that of a JSON pointer in a URL.
func escape(s string) string { return strings.NewReplacer("~", "~0", "/", "~1").Replace(s) }

func (o *openapi) validateAs(t testing.TB, r *http.Request, media, schema string, body []byte) {
	t.Helper()
	switch media {
	case api.JSONType, api.ProblemType:
		o.validate(t, r, schema, body)
	case api.EventStream:
		o.validateStream(t, r, body)
	}
}

func (o *openapi) validate(t testing.TB, r *http.Request, pointer string, body []byte) {
	t.Helper()
	schema, err := o.compiler.Compile(documentURL + pointer)
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		t.Errorf("%s %s: %v\n%s", r.Method, r.URL, err, body)
	}
}

// validateStream checks every data line. The last may be cut off.
func (o *openapi) validateStream(t testing.TB, r *http.Request, body []byte) {
	t.Helper()
	schema := "#/components/schemas/Event"
	lines := bufio.NewScanner(bytes.NewReader(body[:bytes.LastIndexByte(body, '\n')+1]))
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); {
		case lines.Text() == "":
			schema = "#/components/schemas/Event"
		case field == "event" && value == api.MissedEvent:
			schema = "#/components/schemas/Missed"
		case field == "data":
			o.validate(t, r, schema, []byte(value))
		case field != "id" && field != "event" && field != "":
			t.Errorf("%s %s: a stream says %q", r.Method, r.URL, lines.Text())
		}
	}
}

// witness stands before a Server and checks all it answers.
type witness struct {
	t    testing.TB
	doc  *openapi
	next http.Handler
}

// watch has everything that s answers checked.
func watch(t testing.TB, s *Server) { s.handler = &witness{t, readOpenAPI(t, s), s.handler} }

func (o *witness) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.t.Helper()
	seen := &transcript{ResponseWriter: w, status: http.StatusOK}
	o.next.ServeHTTP(seen, r)
	o.doc.check(o.t, r, seen.status, w.Header(), seen.body.Bytes())
}

// transcript keeps what passes.
type transcript struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (w *transcript) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *transcript) Write(b []byte) (int, error) {
	w.body.Write(b)
	return w.ResponseWriter.Write(b)
}

func (w *transcript) Unwrap() http.ResponseWriter { return w.ResponseWriter }
