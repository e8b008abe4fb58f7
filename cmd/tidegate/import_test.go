package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	armDir     = "../../config/testdata/arm/"
	classicDir = "../../config/testdata/classic/"
)

// importing runs the verb and returns what it wrote.
func importing(stdin []byte, args ...string) (stdout, stderr string, err error) {
	cmd := newImport()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	var out, warnings bytes.Buffer
	cmd.SetIn(bytes.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&warnings)
	cmd.SetArgs(slices.Concat([]string{}, args)) // nil would mean those of the test
	err = cmd.Execute()
	return out.String(), warnings.String(), err
}

func content(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestImport(t *testing.T) {
	for _, test := range []struct {
		want string
		args []string
	}{
		{armDir + "show", []string{"arm", armDir + "show.json"}},
		{armDir + "template", []string{"arm", armDir + "template.parameters.json", armDir + "template.json"}},
		{armDir + "two", []string{"arm", "--name", "second", armDir + "two.json"}},
		{classicDir + "endpoints", []string{"classic", classicDir + "endpoints.xml"}},
		{classicDir + "shop", []string{"classic", classicDir + "shop.csdef", classicDir + "shop.cscfg"}},
	} {
		stdout, stderr, err := importing(nil, test.args...)
		if err != nil || bare(stdout) != bare(content(t, test.want+".yaml")) {
			t.Errorf("%v: %v\n%s", test.args, err, stdout)
		}
		if want := content(t, test.want+".warnings"); strings.ReplaceAll(stderr, "tidegate: warning: ", "") != want {
			t.Errorf("%v: warnings\n%s", test.args, stderr)
		}
		if n := strings.Count(stderr, "\n"); strings.Count(stderr, "tidegate: warning: ") != n {
			t.Errorf("%v: a line that is no warning in\n%s", test.args, stderr)
		}
	}
}

// bare leaves out the first line, which has the files' names.
func bare(text string) string {
	_, rest, _ := strings.Cut(text, "\n")
	return rest
}

func TestImportFromStandardInput(t *testing.T) {
	stdout, _, err := importing([]byte(content(t, armDir+"show.json")), "arm", "-")
	if err != nil || !strings.HasPrefix(stdout, "# Made by `tidegate import arm` from standard input: load balancer weblb.\n") {
		t.Errorf("%v\n%s", err, stdout)
	}
}

// What is not an Azure description is a wrong call, and nothing is printed.
func TestImportErrors(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "import: say which form: arm or classic"},
		{[]string{"terraform"}, `unknown form "terraform"`},
		{[]string{"arm"}, "requires at least 1 arg(s)"},
		{[]string{"classic"}, "requires at least 1 arg(s)"},
		{[]string{"arm", "nowhere.json"}, "import: open nowhere.json: no such file or directory"},
		{[]string{"arm", "."}, "import: read .: "},
		{[]string{"arm", armDir + "two.json"}, "2 load balancers in it: first, second; say which with --name NAME"},
		{[]string{"arm", classicDir + "endpoints.xml"}, "line 1, column 1: not JSON"},
		{[]string{"classic", armDir + "show.json"}, "not XML"},
		{[]string{"classic", classicDir + "shop.cscfg"}, "give the .csdef too"},
	} {
		stdout, _, err := importing(nil, test.args...)
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.As(err, new(usageError)) || stdout != "" {
			t.Errorf("%v: %v, want %s\n%s", test.args, err, test.want, stdout)
		}
	}
}

// What the import can't know, check names one by one.
func TestCheckNamesPlaceholders(t *testing.T) {
	stdout, _, err := importing(nil, "arm", armDir+"show.json")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tidegate.yaml")
	if err := os.WriteFile(file, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = load(file)
	want := []string{
		`gateway.inside.interface: "<inside interface>" is a placeholder`,
		`gateway.outside.interface: "<outside interface>" is a placeholder`,
		`frontendIPConfigurations[0].publicIPAddress: "<publicIPAddress of webip>" is a placeholder`,
		`backendAddressPools[0].addresses[0]: "<address of vm0-nic/ipconfig1>" is a placeholder`,
		`backendAddressPools[0].addresses[1]: "<address of web/3/nic/ipconfig1>" is a placeholder`,
	}
	if err == nil {
		t.Fatal("placeholders passed")
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d problems, want %d:\n%v", len(lines), len(want), err)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("%s\nwant %s", lines[i], w)
		}
	}
}
