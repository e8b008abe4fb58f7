package azure

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// FuzzARM feeds ARM anything: it must not panic and not take long, and must tell
// what it has to say line by line.
func FuzzARM(f *testing.F) {
	seed(f, "../testdata/arm/*.json")
	f.Add([]byte(lbWith(`"probes": [ { "name": "[x", "port": 1e400 } ]`)))
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		d, err := ARM([]File{{"a\nb", content}}, "")
		check(t, start, d, err)
	})
}

// FuzzClassic is FuzzARM for the older forms.
func FuzzClassic(f *testing.F) {
	seed(f, "../testdata/classic/*.csdef")
	seed(f, "../testdata/classic/*.xml")
	f.Fuzz(func(t *testing.T, content []byte) {
		start := time.Now()
		settings, err := os.ReadFile("../testdata/classic/shop.cscfg")
		if err != nil {
			t.Fatal(err)
		}
		files := []File{{"a", content}}
		if len(content)%2 == 0 {
			files = append(files, File{"b", settings})
		}
		d, err := Classic(files)
		check(t, start, d, err)
	})
}

func seed(f *testing.F, pattern string) {
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range read(f, names...) {
		f.Add(file.Content)
	}
}

func check(t *testing.T, start time.Time, d *Document, err error) {
	if err != nil {
		for line := range strings.Lines(err.Error()) {
			if !strings.HasPrefix(line, "azure: import ") {
				t.Errorf("an error's line that stands alone: %q", line)
			}
		}
		return
	}
	for _, w := range d.Warnings {
		if w.Message == "" || strings.ContainsAny(w.String(), "\n\r\x1b") {
			t.Errorf("odd warning %q", w)
		}
	}
	text, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := yaml.Unmarshal(text, &back); err != nil || back["profile"] == nil {
		t.Errorf("%v in\n%s", err, text)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}
