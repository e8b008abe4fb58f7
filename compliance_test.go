package tidegate_test

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
)

const compliance = "docs/rfc-compliance.md"

// answers are what a row of the page may say, and whether it has to name a test.
var answers = map[string]bool{"yes": true, "by configuration": true, "no": false, "n/a": false}

// numbered is how many requirements each RFC numbers: every one has its row.
var numbered = map[string]int{"4787": 14, "5382": 10, "5508": 11, "6888": 15}

// row is one line of one of the page's tables.
type row struct {
	rfc    string // "4787"
	line   int
	cells  []string // requirement, level, answer, why, test
	answer string
}

func (r row) String() string {
	return fmt.Sprintf("%s:%d: RFC %s %s", compliance, r.line, r.rfc, r.cells[0])
}

var (
	rfcHeading = regexp.MustCompile(`^## RFC (\d+)`)
	testName   = regexp.MustCompile("`([a-z0-9/]+)\\.(Test\\w+)`")
	reqNumber  = regexp.MustCompile(`^\*\*REQ-(\d+)`)
)

// rows reads the tables, without their heads.
func rows(t *testing.T) (all []row) {
	t.Helper()
	b, err := os.ReadFile(compliance)
	if err != nil {
		t.Fatal(err)
	}
	rfc := ""
	for i, line := range strings.Split(string(b), "\n") {
		if m := rfcHeading.FindStringSubmatch(line); m != nil {
			rfc = m[1]
		}
		if rfc == "" || !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "| ---") || strings.HasPrefix(line, "| requirement ") {
			continue
		}
		r := row{rfc: rfc, line: i + 1}
		for _, c := range strings.Split(strings.Trim(line, "|"), "|") {
			r.cells = append(r.cells, strings.TrimSpace(c))
		}
		if len(r.cells) != 5 {
			t.Fatalf("%s:%d has %d cells, want 5", compliance, r.line, len(r.cells))
		}
		r.answer = r.cells[2]
		all = append(all, r)
	}
	return all
}

func TestComplianceRowsAreAnswered(t *testing.T) {
	for _, r := range rows(t) {
		needsTest, known := answers[r.answer]
		switch {
		case !known:
			t.Errorf("%v: the answer is %q", r, r.answer)
		case r.cells[1] == "" || r.cells[3] == "":
			t.Errorf("%v: says neither how nor why, or not how binding it is", r)
		case needsTest && !testName.MatchString(r.cells[4]):
			t.Errorf("%v: %s, but no test shows it", r, r.answer)
		}
	}
}

func TestComplianceIsComplete(t *testing.T) {
	have := map[string]bool{}
	for _, r := range rows(t) {
		if m := reqNumber.FindStringSubmatch(r.cells[0]); m != nil {
			have[r.rfc+" REQ-"+m[1]] = true
		}
	}
	for rfc, n := range numbered {
		for i := range n {
			if name := fmt.Sprintf("%s REQ-%d", rfc, i+1); !have[name] {
				t.Errorf("%s has no row for RFC %s", compliance, name)
			}
		}
	}
}

// TestComplianceTestsExist: what the page names as a proof is one.
func TestComplianceTestsExist(t *testing.T) {
	exist := map[string]bool{}
	eachFile(t, func(file string, f *ast.File) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				exist[path.Dir(file)+"."+fn.Name.Name] = true
			}
		}
	})
	for _, r := range rows(t) {
		for _, m := range testName.FindAllStringSubmatch(strings.Join(r.cells, " "), -1) {
			if name := m[1] + "." + m[2]; !exist[name] {
				t.Errorf("%v: there is no test %s", r, name)
			}
		}
	}
}
