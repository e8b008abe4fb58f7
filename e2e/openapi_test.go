package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"tidegate/api"
)

// openapi is the document of a running gateway, by which its answers are judged.
type openapi struct {
	*rig
	mu       sync.Mutex // the compiler is for one at a time
	compiler *jsonschema.Compiler
	paths    map[string]map[string]operation
	seen     map[string]bool // "get /v1/flows": answered with 200
}

type operation struct {
	Responses map[string]struct {
		Content map[string]struct{ Schema any }
	}
}

const documentURL = "http://tidegate/openapi.json"

func (r *rig) openapi() *openapi {
	r.Helper()
	status, body, err := r.get(r.api(), "/openapi.json")
	if err != nil || status != http.StatusOK {
		r.Fatalf("/openapi.json: %d, %v", status, err)
	}
	o := &openapi{rig: r, compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	o.compiler.DefaultDraft(jsonschema.Draft2020)
	o.compiler.AssertFormat()
	r.check(o.compiler.AddResource(documentURL, must(jsonschema.UnmarshalJSON(strings.NewReader(body)))(r)))
	var parts struct {
		Paths map[string]map[string]operation
	}
	r.check(json.Unmarshal([]byte(body), &parts))
	o.paths = parts.Paths
	return o
}

// judge fails the test unless an answer is one that the document announces.
func (o *openapi) judge(q *http.Request, status int, header http.Header, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	method, path := strings.ToLower(q.Method), q.URL.Path
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	op, known := o.paths[path][method]
	content, announced := op.Responses[strconv.Itoa(status)].Content[media]
	switch {
	case status < 300 && (path == "/" || path == "/openapi.json" || strings.HasPrefix(path, "/ui/")): // not about the gateway
	case status >= 400 && media != api.ProblemType:
		o.Errorf("%s %s: a %d is %q: %s", method, q.URL, status, media, body)
	case !known && status >= 400:
		o.validate(q, "#/components/schemas/ErrorModel", body)
	case !announced:
		o.Errorf("%s %s: a %d as %q is not in the document: %s", method, q.URL, status, media, body)
	default:
		o.seen[method+" "+path] = o.seen[method+" "+path] || status == http.StatusOK
		escaped := strings.NewReplacer("~", "~0", "/", "~1")
		where := []string{"#/paths", escaped.Replace(path), method, "responses", strconv.Itoa(status), "content", escaped.Replace(media), "schema"}
		switch {
		case media == api.EventStream:
			o.validateStream(q, body)
		case content.Schema != nil && (media == api.JSONType || media == api.ProblemType):
			o.validate(q, strings.Join(where, "/"), body)
		}
	}
}

func (o *openapi) validate(q *http.Request, pointer string, body []byte) {
	schema, err := o.compiler.Compile(documentURL + pointer)
	var v any
	if err == nil {
		v, err = jsonschema.UnmarshalJSON(bytes.NewReader(body))
	}
	if err == nil {
		err = schema.Validate(v)
	}
	if err != nil {
		o.Errorf("%s %s: %v\n%s", q.Method, q.URL, err, body)
	}
}

// validateStream checks every data line. The last may be cut off.
func (o *openapi) validateStream(q *http.Request, body []byte) {
	schemas, schema := map[bool]string{true: "Missed", false: "Event"}, ""
	for l := range bytes.Lines(body[:bytes.LastIndexByte(body, '\n')+1]) {
		switch field, value, _ := strings.Cut(strings.TrimSpace(string(l)), ": "); field {
		case "event":
			schema = schemas[value == api.MissedEvent]
		case "data":
			o.validate(q, "#/components/schemas/"+schema, []byte(value))
		}
	}
}

// wantAllSeen checks that there is nothing in the document that nobody asked.
func (o *openapi) wantAllSeen() {
	o.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for path, methods := range o.paths {
		for method := range methods {
			if !o.seen[method+" "+path] {
				o.Errorf("%s %s is in the document, and was not answered with 200; seen: %v", method, path, slices.Sorted(maps.Keys(o.seen)))
			}
		}
	}
}

// witnessed is the rig with somebody before the gateway's API who judges all it
// answers. Its file is not the gateway's.
func (r *rig) witnessed() (*rig, *openapi) {
	r.Helper()
	o, socket := r.openapi(), r.socket()
	front := *r
	front.dir = filepath.Join(r.dir, "seen")
	r.check(os.Mkdir(front.dir, 0o755))
	front.client = must(api.NewClient(front.api()))(r)
	server := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(&url.URL{Scheme: "http", Host: "tidegate"}) },
		Transport:      socketTransport(socket),
		ModifyResponse: o.listen,
		FlushInterval:  -1,
	})
	server.Listener.Close()
	server.Listener = must(net.Listen("unix", front.socket()))(r)
	server.Start()
	r.Cleanup(server.Close)
	r.Cleanup(front.client.Close)
	return &front, o
}

func (o *openapi) listen(a *http.Response) error {
	a.Body = &transcript{ReadCloser: a.Body, over: func(body []byte) { o.judge(a.Request, a.StatusCode, a.Header, body) }}
	return nil
}

// transcript keeps what is read.
type transcript struct {
	io.ReadCloser
	kept bytes.Buffer
	over func([]byte)
}

func (t *transcript) Read(b []byte) (int, error) {
	n, err := t.ReadCloser.Read(b)
	t.kept.Write(b[:n])
	return n, err
}

func (t *transcript) Close() error {
	t.over(t.kept.Bytes())
	return t.ReadCloser.Close()
}
