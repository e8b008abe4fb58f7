package azure

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate/config"
)

// update rewrites the expected files: go test -update ./config/azure, then read
// what changed.
var update = flag.Bool("update", false, "rewrite the expected files")

// golden compares a document with NAME.yaml and NAME.warnings.
func golden(t *testing.T, name string, d *Document) []byte {
	t.Helper()
	text, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var warnings strings.Builder
	for _, w := range d.Warnings {
		warnings.WriteString(w.String() + "\n")
	}
	for file, got := range map[string]string{name + ".yaml": string(text), name + ".warnings": warnings.String()} {
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
	return text
}

func read(t testing.TB, names ...string) []File {
	t.Helper()
	var files []File
	for _, name := range names {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, File{filepath.Base(name), content})
	}
	return files
}

var armCases = []struct {
	name  string
	files []string
	lb    string
}{
	{"skeleton", []string{"skeleton.json"}, ""},
	{"show", []string{"show.json"}, ""},
	{"template", []string{"template.parameters.json", "template.json"}, ""},
	{"export", []string{"export.json"}, ""},
	{"symbolic", []string{"symbolic.json"}, ""},
	{"two", []string{"two.json"}, "Second"},
	{"unresolved", []string{"unresolved.json"}, ""},
}

func TestARM(t *testing.T) {
	const dir = "../testdata/arm/"
	for _, test := range armCases {
		t.Run(test.name, func(t *testing.T) {
			var names []string
			for _, f := range test.files {
				names = append(names, dir+f)
			}
			d, err := ARM(read(t, names...), test.lb)
			if err != nil {
				t.Fatal(err)
			}
			text := golden(t, dir+test.name, d)
			if test.name != "unresolved" { // that one has text where numbers belong
				checkValid(t, text)
			}
		})
	}
}

var inBrackets = regexp.MustCompile(`'?<[^>]*>'?`)

// checkValid replaces placeholders, one value for each, and asks package config.
func checkValid(t *testing.T, text []byte) {
	t.Helper()
	body := strings.SplitAfterN(string(text), "\nprofile:", 2) // comments aside
	known := map[string]string{}
	filled := inBrackets.ReplaceAllStringFunc(body[1], func(p string) string {
		if known[p] == "" {
			known[p] = standIn(p, len(known))
		}
		return known[p]
	})
	if _, err := config.Parse("yaml", []byte("profile:"+filled)); err != nil {
		t.Errorf("%v\n%s", err, filled)
	}
}

func standIn(p string, n int) string {
	p = strings.ToLower(strings.Trim(p, "'<>"))
	switch {
	case strings.HasSuffix(p, "interface"):
		return "eth" + p[:1]
	case strings.HasPrefix(p, "publicipprefix"):
		return "203.0.113.128/31"
	case strings.HasPrefix(p, "publicipaddress"):
		return "198.51.100." + strconv.Itoa(n+1)
	case strings.HasPrefix(p, "backendaddresspool"):
		return "spare"
	}
	return "10.200.0." + strconv.Itoa(n+1)
}
