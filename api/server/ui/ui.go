// Package ui is the dashboard: one page, its styles and its scripts, all in the program.
//
// It knows nothing of the gateway. The page asks /v1 like any other client, so the files
// hold no secret and need no token; what they ask for may. Nothing is loaded from
// another origin, and the browser is told to refuse it if it were (Content-Security-Policy).
package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"tidegate/api"
)

//go:embed static
var static embed.FS

// policy lets the page load its own files and ask its own gateway. No script makes
// HTML of a text: browsers that know trusted types refuse it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// file is one file as it is sent.
type file struct {
	media        string
	plain, small []byte // as it is, and compressed
	tag          string // hash of plain
}

// Handler answers GET / and GET /ui/FILE. The files are compressed here and now, once.
func Handler() http.Handler {
	files, err := load()
	if err != nil {
		panic(fmt.Sprintf("ui: embedded files: %v", err)) // they are part of the program
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/ui/")
		if r.URL.Path == "/" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			refuse(w, r)
			return
		}
		f.serve(w, r)
	})
}

// load reads all files, by their path below static.
func load() (map[string]*file, error) {
	files := make(map[string]*file)
	root, err := fs.Sub(static, "static")
	if err != nil {
		return nil, err
	}
	return files, fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		plain, err := fs.ReadFile(root, name)
		if err == nil {
			files[name], err = newFile(name, plain)
		}
		return err
	})
}

func newFile(name string, plain []byte) (*file, error) {
	var small bytes.Buffer
	w, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	hash := sha256.Sum256(plain)
	return &file{media: media(name), plain: plain, small: small.Bytes(), tag: fmt.Sprintf("%x", hash[:8])}, nil
}

// media does not ask the host's tables, which differ.
func media(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return "text/plain; charset=utf-8"
}

// serve sends the file, compressed to who takes that. A browser asks each time whether
// its copy is still the same: a gateway that was upgraded has its new page at once.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", f.media)
	content, tag := f.plain, f.tag
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		content, tag = f.small, f.tag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reads what browsers and curl send; who refuses gzip by q=0 gets none.
func acceptsGzip(accepted string) bool {
	for _, one := range strings.Split(accepted, ",") {
		coding, quality, _ := strings.Cut(strings.TrimSpace(one), ";")
		if coding == "gzip" {
			return strings.Trim(strings.TrimPrefix(strings.TrimSpace(quality), "q="), "0.") != "" || quality == ""
		}
	}
	return false
}

func refuse(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", api.ProblemType)
	w.WriteHeader(http.StatusNotFound)
	problem := api.NewProblem(http.StatusNotFound, "api: nothing is at "+r.URL.Path+"; the dashboard is at /")
	_ = json.NewEncoder(w).Encode(problem) // a client that is gone needs no answer
}
