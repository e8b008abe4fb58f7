package tidegate_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "tidegate/"

// imports says which of our packages each may import, tests aside; what is not
// listed may import nothing of ours. ARCHITECTURE.md draws it.
var imports = map[string][]string{
	"packet":                nil,
	"fragment":              {"packet"},
	"packet/packettest":     {"packet"},
	"packetio":              nil,
	"packetio/packetiotest": {"packetio"},
	"api":                   nil,
	"capture":               nil,
	"config":                nil,
	"conntrack":             {"packet"},
	"nat":                   {"packet"},
	"nexthop":               {"packet"},
	"probe":                 nil,
	"config/azure":          nil,
	"gateway":               {"packet", "packetio", "conntrack", "nat", "nexthop", "fragment"},
	"record":                {"gateway", "conntrack", "nat", "packet"},
	"metrics":               {"gateway", "conntrack", "nat", "packet", "nexthop", "probe"},
	"api/server":            {"api", "api/server/ui", "capture", "gateway", "conntrack", "nat", "packet", "nexthop", "probe"},
	"api/server/ui":         {"api"},
	"e2e/lab":               nil,
	"e2e":                   {"e2e/lab", "api"},
	"bench":                 {"e2e/lab", "api", "packet"},
}

// only says which package alone may import a module from outside.
var only = map[string]string{
	"github.com/spf13/viper":     "config/load.go",
	"golang.org/x/sys/unix":      "packetio/ nexthop/ fastpath/ e2e/ bench/ conntrack/memory_linux.go",
	"syscall":                    "probe/ packetio/ nexthop/ fastpath/ e2e/ bench/ cmd/tidegate/ api/server/listen.go",
	"github.com/google/gopacket": "packet/packettest/ capture/ e2e/ bench/ cmd/tidegate/",
}

type pkg struct {
	ImportPath, Dir  string
	Imports, GoFiles []string
	TestGoFiles      []string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p pkg
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func TestLayering(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasPrefix(name, "cmd/") {
			continue
		}
		for _, i := range p.Imports {
			if ours := strings.TrimPrefix(i, module); ours != i && !slices.Contains(imports[name], ours) {
				t.Errorf("%s may not import %s", name, ours)
			}
		}
	}
}

func TestOneImporter(t *testing.T) {
	eachFile(t, func(path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, i := range f.Imports {
			imported := strings.Trim(i.Path.Value, `"`)
			for outside, where := range only {
				if (imported == outside || strings.HasPrefix(imported, outside+"/")) && !allowed(path, where) {
					t.Errorf("%s may not import %s: only %s may", path, imported, where)
				}
			}
		}
	})
}

func allowed(path, where string) bool {
	for _, w := range strings.Fields(where) {
		if path == w || strings.HasSuffix(w, "/") && strings.HasPrefix(path, w) {
			return true
		}
	}
	return false
}

const longFile = 400 // lines

func TestFilesAreShort(t *testing.T) {
	eachFile(t, func(path string, _ *ast.File) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(b), "\n"); n > longFile {
			t.Errorf("%s has %d lines; more than %d want to be two files", path, n, longFile)
		}
	})
}

const longFunction = 40 // lines

func TestFunctionsAreShort(t *testing.T) {
	fset := token.NewFileSet()
	eachFileIn(t, fset, func(path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; n > longFunction {
				t.Errorf("%s: %s has %d lines; %d are long", path, fn.Name.Name, n, longFunction)
			}
		}
	})
}

func TestExportedNamesAreDocumented(t *testing.T) {
	eachFile(t, func(path string, f *ast.File) {
		if strings.HasSuffix(path, "_test.go") || f.Name.Name == "main" {
			return
		}
		for _, d := range f.Decls {
			for _, name := range undocumented(d) {
				t.Errorf("%s: %s has no doc comment", path, name)
			}
		}
	})
}

func undocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Doc == nil && exportedReceiver(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			if t, ok := s.(*ast.TypeSpec); ok && t.Name.IsExported() && t.Doc == nil && d.Doc == nil {
				names = append(names, t.Name.Name)
			}
		}
	}
	return names
}

func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if s, ok := t.(*ast.StarExpr); ok {
		t = s.X
	}
	id, ok := t.(*ast.Ident)
	return ok && id.IsExported()
}

func eachFile(t *testing.T, f func(path string, file *ast.File)) {
	t.Helper()
	eachFileIn(t, token.NewFileSet(), f)
}

func eachFileIn(t *testing.T, fset *token.FileSet, f func(path string, file *ast.File)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err == nil {
			f(filepath.ToSlash(path), file)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
