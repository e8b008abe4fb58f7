package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzLoad feeds Parse anything. It must not panic, a Config it returns must be
// valid, and what it complains of must be told one line each.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		c, err := Parse("yaml", content)
		var ps Problems
		switch {
		case err == nil:
			if again := c.Validate(); len(again) > 0 {
				t.Errorf("valid at first, then: %v", again)
			}
		case errors.As(err, &ps):
			checkProblems(t, ps)
		case strings.Contains(err.Error(), "\n"):
			t.Errorf("more than one line: %q", err)
		}
	})
}

func checkProblems(t *testing.T, ps Problems) {
	if len(ps) == 0 {
		t.Error("an error without a problem")
	}
	for _, p := range ps {
		if p.Path == "" || p.Message == "" || strings.ContainsAny(p.String(), "\n\r") {
			t.Errorf("odd problem %q", p)
		}
	}
}
