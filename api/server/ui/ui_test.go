package ui

import (
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"sync"
	"testing"

	"tidegate/api"
)

// budget is what all files may weigh, in bytes and uncompressed.
const budget = 200_000

// each runs f for every file, by its path below static.
func each(t *testing.T, f func(name, text string)) {
	t.Helper()
	files, err := load()
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for name, file := range files {
		f(name, string(file.plain))
	}
}

func TestSize(t *testing.T) {
	total := 0
	each(t, func(_, text string) { total += len(text) })
	if total > budget {
		t.Errorf("%d bytes of %d", total, budget)
	}
}

var handler = sync.OnceValue(Handler)

func get(t *testing.T, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFilesAreServed(t *testing.T) {
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
	}
	each(t, func(name, text string) {
		r := get(t, "/ui/"+name)
		if r.StatusCode != http.StatusOK || body(t, r.Body) != text || r.Header.Get("Content-Type") != types[path.Ext(name)] {
			t.Errorf("%s: %s %s", name, r.Status, r.Header)
		}
		for header, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
			"Content-Encoding": "", "Vary": "Accept-Encoding",
		} {
			if got := r.Header.Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", name, header, got, want)
			}
		}
	})
	if text := body(t, get(t, "/").Body); !strings.HasPrefix(text, "<!doctype html>") {
		t.Errorf("/ is %.50q", text)
	}
}

func TestPolicy(t *testing.T) {
	got := get(t, "/").Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
		"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(got+";", want+";") {
			t.Errorf("no %s in %s", want, got)
		}
	}
	if strings.Contains(got, "unsafe") || strings.Contains(got, "http") {
		t.Error(got)
	}
}

func TestCompressed(t *testing.T) {
	plain := body(t, get(t, "/ui/main.js").Body)
	for accepted, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br": "gzip", "br, gzip;q=0.5": "gzip",
		"": "", "br": "", "gzip;q=0": "", "gzip; q=0.0": "", "xgzip": "",
	} {
		r := get(t, "/ui/main.js", "Accept-Encoding", accepted)
		if got := r.Header.Get("Content-Encoding"); got != want {
			t.Errorf("%q gets %q, want %q", accepted, got, want)
			continue
		}
		content := io.Reader(r.Body)
		if want != "" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			content = z
		}
		if body(t, content) != plain {
			t.Errorf("%q: not the same content", accepted)
		}
	}
}

// A browser's copy is good as long as the file is the same, in the same encoding.
func TestUnchanged(t *testing.T) {
	tag := get(t, "/ui/main.js").Header.Get("ETag")
	small := get(t, "/ui/main.js", "Accept-Encoding", "gzip").Header.Get("ETag")
	if tag == "" || tag == small || tag == get(t, "/ui/dom.js").Header.Get("ETag") {
		t.Fatalf("tags %s, %s", tag, small)
	}
	for _, c := range []struct {
		name, tag, accepted string
		want                int
	}{
		{"same", tag, "", http.StatusNotModified},
		{"same, compressed", small, "gzip", http.StatusNotModified},
		{"other encoding", tag, "gzip", http.StatusOK},
		{"other", `"0"`, "", http.StatusOK},
	} {
		if r := get(t, "/ui/main.js", "If-None-Match", c.tag, "Accept-Encoding", c.accepted); r.StatusCode != c.want {
			t.Errorf("%s: %s", c.name, r.Status)
		}
	}
}

func TestUnknownFiles(t *testing.T) {
	for _, p := range []string{"/ui/", "/ui/none.js", "/ui/vendor", "/ui/vendor/", "/ui/../ui.go", "/ui/static/main.js"} {
		r := get(t, p)
		if r.StatusCode != http.StatusNotFound || r.Header.Get("Content-Type") != api.ProblemType {
			t.Errorf("%s: %s %s", p, r.Status, r.Header)
		}
	}
}

// ours are the files that are not somebody else's.
func ours(t *testing.T, f func(name, text string)) {
	t.Helper()
	each(t, func(name, text string) {
		if !strings.HasPrefix(name, "vendor/") {
			f(name, text)
		}
	})
}

// Names come from configurations and packets. A text is put in place as a text.
func TestNoTextBecomesHTML(t *testing.T) {
	makers := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacent|document\.write|DOMParser|srcdoc|createContextualFragment|\beval\b|new Function|javascript:`)
	ours(t, func(name, text string) {
		if found := makers.FindString(text); found != "" {
			t.Errorf("%s has %s", name, found)
		}
	})
}

// The policy refuses them, and would leave the page without.
func TestNothingInline(t *testing.T) {
	inline := regexp.MustCompile(`(?i)<style|\sstyle=|\son[a-z]+=|<script>|<script(?:\s[^>]*)?>[^<]`)
	page := body(t, get(t, "/").Body)
	if found := inline.FindString(page); found != "" {
		t.Errorf("index.html has %s", found)
	}
}

func TestNothingFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s"')]*`)
	ours(t, func(name, text string) {
		for _, url := range elsewhere.FindAllString(text, -1) {
			if url != "http://www.w3.org/2000/svg" { // a name, not a place
				t.Errorf("%s mentions %s", name, url)
			}
		}
	})
}

// What the files name is there: a misspelt import would leave an empty page.
func TestReferences(t *testing.T) {
	root, err := fs.Sub(static, "static")
	if err != nil {
		t.Fatal(err)
	}
	reference := regexp.MustCompile(`(?:src|href)="/ui/([^"]+)"|from '\./([^']+)'`)
	ours(t, func(name, text string) {
		for _, found := range reference.FindAllStringSubmatch(text, -1) {
			if _, err := fs.Stat(root, found[1]+found[2]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestIdentifiers(t *testing.T) {
	page, ids := body(t, get(t, "/").Body), make(map[string]bool)
	for _, found := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(page, -1) {
		if ids[found[1]] {
			t.Errorf("two elements are %s", found[1])
		}
		ids[found[1]] = true
	}
	named := regexp.MustCompile(`\$\('#([a-z-]+)|\b(?:for|aria-labelledby|aria-describedby)="([^"]+)"|href="#([a-z-]+)"`)
	ours(t, func(name, text string) {
		for _, found := range named.FindAllStringSubmatch(text, -1) {
			if id := found[1] + found[2] + found[3]; !ids[id] && id != "now-" {
				t.Errorf("%s: nothing is %q", name, id)
			}
		}
	})
}
