package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// base is a valid file, section by section, for tests to break one thing in.
var base = []string{
	"gateway: { inside: { interface: eth1 }, outside: { interface: eth0 } }",
	"frontendIPConfigurations: [ { name: public, publicIPAddress: 203.0.113.5 }, { name: block, publicIPPrefix: 203.0.113.64/30 } ]",
	"backendAddressPools: [ { name: vms, addresses: [ 10.0.0.0/24 ] }, { name: dbs, addresses: [ 10.0.1.10 ] } ]",
	"outboundRules: [ { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All } ]",
}

// with returns base with the given sections in place of its own.
func with(sections ...string) string { return over(base, sections) }

// over returns a file of the given sections and of those below that they don't replace.
func over(below, sections []string) string {
	replaced := map[string]bool{}
	for _, s := range sections {
		replaced[strings.SplitAfter(s, ":")[0]] = true
	}
	for _, s := range below {
		if !replaced[strings.SplitAfter(s, ":")[0]] {
			sections = append(sections, s)
		}
	}
	return strings.Join(sections, "\n") + "\n"
}

// problemCase is a file and what is wrong with it, "path: message" per problem.
type problemCase struct {
	name string
	file string
	want []string
}

func run(t *testing.T, cases []problemCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := problemsOf(t, "yaml", c.file)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// problemsOf parses a well-formed file.
func problemsOf(t *testing.T, format, file string) []string {
	t.Helper()
	c, err := Parse(format, []byte(file))
	var ps Problems
	switch {
	case err == nil:
		return nil
	case c != nil:
		t.Errorf("a Config came with the error %v", err)
	case !errors.As(err, &ps):
		t.Fatalf("not well-formed: %v", err)
	}
	var lines []string
	for _, p := range ps {
		lines = append(lines, p.Path+": "+p.Message)
	}
	return lines
}

func TestProblemsAreOnePerLine(t *testing.T) {
	err := Problems{{Path: "log.level", Message: "is odd", Line: 3}, {Path: "outboundRules[0].name", Message: "is required"}}
	if want := "log.level: is odd\noutboundRules[0].name: is required"; err.Error() != want {
		t.Errorf("got %q, want %q", err.Error(), want)
	}
}

func TestOrderOfProblems(t *testing.T) {
	run(t, []problemCase{{
		name: "sections as in the tree, elements by index, whatever found them",
		file: with("zebra: 1", "profile: x", "log: { level: loud, colour: 1 }", "timers: { icmp: 1 }",
			"backendAddressPools: ["+strings.Repeat("{ name: p, addresses: [] }, ", 9)+"{ name: vms, addresses: 1 }, { name: vms, addresses: [] } ]"),
		want: []string{
			`profile: "x" is not one of azure, azure-2026, custom`,
			"log.colour: unknown key",
			`log.level: "loud" is not one of debug, info, warn, error`,
			"timers.icmp: 1 has no unit; write 1s for seconds",
			`backendAddressPools[1].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[2].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[3].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[4].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[5].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[6].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[7].name: "p" is the name of backendAddressPools[0] already`,
			`backendAddressPools[8].name: "p" is the name of backendAddressPools[0] already`,
			"backendAddressPools[9].addresses: 1 is not a list; write [ 1 ]",
			`backendAddressPools[10].name: "vms" is the name of backendAddressPools[9] already`,
			"zebra: unknown key",
		},
	}})
}

func TestNoEchoOfWhatCouldNotBeDecoded(t *testing.T) {
	run(t, []problemCase{
		{"the value itself", with("log: { level: 5 }"),
			[]string{`log.level: 5 is not text; write "5"`}},
		{"what holds it", with("frontendIPConfigurations: [ { name: public, publicIPAddress: x } ]"),
			[]string{`frontendIPConfigurations[0].publicIPAddress: "x" is not an IPv4 address`}},
		{"what it holds", with("gateway: eth0"),
			[]string{`gateway: "eth0" is not a map of keys`}},
		{"a neighbour's finding stays", with("gateway: { inside: { interface: 1 } }"),
			[]string{
				`gateway.inside.interface: 1 is not text; write "1"`,
				"gateway.outside.interface: is required with datapath auto",
			}},
	})
}
