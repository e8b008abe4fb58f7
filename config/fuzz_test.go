package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad feeds Parse anything. It must not panic, a Config it returns must be
// valid and the one that its tree makes, and what it complains of must be told
// one line each.
func FuzzLoad(f *testing.F) {
	var files []string
	for _, pattern := range []string{"testdata/*.yaml", "testdata/*.json", "testdata/*.toml"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			f.Fatalf("no seeds: %v", err)
		}
		files = append(files, found...)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, body := range hostileBodies() {
		if len(body.body) < 100_000 { // the rest is TestHostileBodies'
			f.Add([]byte(body.body))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, format := range []string{"yaml", "json", "toml"} {
			checkParse(t, format, content)
		}
	})
}

func checkParse(t *testing.T, format string, content []byte) {
	c, err := Parse(format, content)
	var ps Problems
	switch {
	case err == nil:
		if again := c.Validate(); len(again) > 0 {
			t.Errorf("valid at first, then: %v", again)
		}
		if !sameTree(throughJSON(t, c), c) {
			t.Errorf("the tree of %+v makes another", c)
		}
	case errors.As(err, &ps):
		checkProblems(t, ps, 1+bytes.Count(content, []byte("\n")))
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("more than one line: %q", err)
	}
}

func checkProblems(t *testing.T, ps Problems, lines int) {
	if len(ps) == 0 {
		t.Error("an error without a problem")
	}
	if last := len(ps) - 1; last == mostProblems && ps[last].Path == "" {
		ps = ps[:last] // that there are more
	}
	if len(ps) > mostProblems {
		t.Errorf("%d problems", len(ps))
	}
	for _, p := range ps {
		if p.Path == "" || p.Message == "" || strings.ContainsAny(p.String(), "\n\r") {
			t.Errorf("odd problem %q", p)
		}
		if p.Line < 0 || p.Line > lines {
			t.Errorf("%s: line %d of %d", p.Path, p.Line, lines)
		}
	}
}
