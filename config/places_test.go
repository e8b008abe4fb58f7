package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each line says in its comment what Position has to know of it.
const placedYAML = `%YAML 1.1
---
profile: custom # profile

gateway:        # gateway
  inside: { interface: eth1 } # gateway.inside gateway.inside.interface
  outside:      # gateway.outside
    "interface": # gateway.outside.interface
      eth0
LOG: { Level: debug, # log log.level LOG.Level
  format: json }  # log.format
frontendIPConfigurations: [ { name: public, # frontendIPConfigurations frontendIPConfigurations[0] frontendIPConfigurations[0].name
   publicIPAddress: 203.0.113.5 },          # frontendIPConfigurations[0].publicIPAddress
   { name: block, publicIPPrefix: 203.0.113.64/30 } ] # frontendIPConfigurations[1] frontendIPConfigurations[1].publicIPPrefix
backendAddressPools:     # backendAddressPools
  - name: vms            # backendAddressPools[0] backendAddressPools[0].name
    addresses:           # backendAddressPools[0].addresses
      - 10.0.0.10        # backendAddressPools[0].addresses[0]
      - ipAddress: 10.0.0.11 # backendAddressPools[0].addresses[1] backendAddressPools[0].addresses[1].ipAddress
        adminState: Up   # backendAddressPools[0].addresses[1].adminState
  -                      #
    name: dbs            # backendAddressPools[1] backendAddressPools[1].name
    addresses:           # backendAddressPools[1].addresses
    - 10.0.1.10          # backendAddressPools[1].addresses[0]
  - { name: empty }      # backendAddressPools[2] backendAddressPools[2].name
outboundRules:           # outboundRules
  - &egress              #
    name: egress         # outboundRules[0].name
    frontendIPConfigurations: &fronts # outboundRules[0].frontendIPConfigurations
      - public           # outboundRules[0].frontendIPConfigurations[0] outboundRules[1].frontendIPConfigurations[0]
    backendAddressPool: vms # outboundRules[0].backendAddressPool
    protocol: Tcp        # outboundRules[0].protocol outboundRules[2].protocol
    idleTimeout: 90s     # outboundRules[0].idleTimeout outboundRules[2].idleTimeout
  - name: other          # outboundRules[1] outboundRules[1].name
    frontendIPConfigurations: *fronts # outboundRules[1].frontendIPConfigurations
    backendAddressPool: dbs # outboundRules[1].backendAddressPool
    protocol: Udp        # outboundRules[1].protocol
  - <<: [ *egress ]      # outboundRules[2]
    name: third          # outboundRules[2].name
    backendAddressPool: empty # outboundRules[2].backendAddressPool
    frontendIPConfigurations: [ # outboundRules[2].frontendIPConfigurations
      block ]            # outboundRules[2].frontendIPConfigurations[0]
`

const placedTOML = `profile = "azure" # profile
[gateway]             # gateway
inside.interface = "eth1" # gateway.inside gateway.inside.interface
[ gateway . "outside" ] # gateway.outside
interface = "eth0"    # gateway.outside.interface
[log]                 # log
level = """
debug"""              #
"format" = "json"     # log.format
[[frontendIPConfigurations]] # frontendIPConfigurations frontendIPConfigurations[0]
name = "public"       # frontendIPConfigurations[0].name
publicIPAddress = "203.0.113.5" # frontendIPConfigurations[0].publicIPAddress
[[frontendIPConfigurations]] # frontendIPConfigurations[1]
name = "block"        # frontendIPConfigurations[1].name
publicIPPrefix = "203.0.113.64/30" # frontendIPConfigurations[1].publicIPPrefix
[[backendAddressPools]] # backendAddressPools backendAddressPools[0]
name = "vms"          # backendAddressPools[0].name
[[backendAddressPools.addresses]] # backendAddressPools[0].addresses backendAddressPools[0].addresses[0]
ipAddress = "10.0.0.10" # backendAddressPools[0].addresses[0].ipAddress
[[backendAddressPools.addresses]] # backendAddressPools[0].addresses[1]
ipAddress = "10.0.0.11" # backendAddressPools[0].addresses[1].ipAddress
[[backendAddressPools]] # backendAddressPools[1]
name = "dbs"          # backendAddressPools[1].name
addresses = [         # backendAddressPools[1].addresses
  "10.0.1.10",        # backendAddressPools[1].addresses[0]
                      #
  { ipAddress = "10.0.1.11", # backendAddressPools[1].addresses[1] backendAddressPools[1].addresses[1].ipAddress
    adminState = "Up" }, # backendAddressPools[1].addresses[1].adminState
]                     #
[[outboundRules]]     # outboundRules outboundRules[0]
name = "egress"       # outboundRules[0].name
frontendIPConfigurations = ["public"] # outboundRules[0].frontendIPConfigurations outboundRules[0].frontendIPConfigurations[0]
backendAddressPool = "vms" # outboundRules[0].backendAddressPool
protocol = "All"      # outboundRules[0].protocol
`

func TestPositions(t *testing.T) {
	for format, content := range map[string]string{"yaml": placedYAML, "toml": placedTOML} {
		c, err := Parse(format, []byte(content))
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		for i, line := range strings.Split(content, "\n") {
			_, paths, _ := strings.Cut(line, "#")
			for path := range strings.FieldsSeq(paths) {
				if got, want := c.Position(path), fmt.Sprintf("line %d", i+1); got != want {
					t.Errorf("%s: %s is at %q, want %q", format, path, got, want)
				}
			}
		}
	}
}

// TestPositionsInJSON lets the encoder put each key and element on a line of
// its own, and counts by indentation.
func TestPositionsInJSON(t *testing.T) {
	full, err := Load("testdata/full.json")
	if err != nil {
		t.Fatal(err)
	}
	content, err := json.MarshalIndent(full.Tree(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse("json", content)
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for path, line := range indented(string(content)) {
		if got, want := c.Position(path), fmt.Sprintf("line %d", line); got != want {
			t.Errorf("%s is at %q, want %q", path, got, want)
		}
		checked++
	}
	if checked < 150 {
		t.Errorf("only %d positions to compare", checked)
	}
}

// indented maps paths to lines of JSON that is indented by one space per level.
func indented(content string) map[string]int {
	key := regexp.MustCompile(`^ *"([^"]*)": `)
	lines := map[string]int{}
	var paths [99]string
	var counts [99]int
	for i, line := range strings.Split(content, "\n") {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		counts[depth+1] = 0
		switch m := key.FindStringSubmatch(line); {
		case depth == 0 || strings.ContainsAny(line[depth:depth+1], "]}"):
			continue
		case m != nil && depth == 1:
			paths[depth] = m[1]
		case m != nil:
			paths[depth] = paths[depth-1] + "." + m[1]
		default:
			paths[depth] = fmt.Sprintf("%s[%d]", paths[depth-1], counts[depth])
			counts[depth]++
		}
		lines[paths[depth]] = i + 1
	}
	return lines
}

func TestPositionsOfFiles(t *testing.T) {
	t.Setenv("TIDEGATE_LOG_LEVEL", "warn")
	c, err := Load("testdata/full.toml")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"profile":         "full.toml:1",
		"log":             "full.toml:17",
		"log.format":      "full.toml:19",
		"log.level":       "", // the environment's
		"LOG.LEVEL":       "",
		"outboundRules":   "full.toml:67",
		"gateway.flavour": "", "outboundRules[0].idleTimeout": "", "outboundRules[1]": "", "outboundRules[-1]": "", "outboundRules[x]": "",
		"outboundRules[": "", "[0]": "", ".": "", `"`: "", "": "", "profile.x": "", "profile[0]": "", "outboundRules[0]outboundRules": "",
	} {
		if got := c.Position(path); got != want {
			t.Errorf("%s is at %q, want %q", path, got, want)
		}
	}
	for _, r := range []struct{ section, name, want string }{
		{"outboundRules", "egress", "full.toml:67"},
		{"loadBalancingRules", "quic", "full.toml:127"},
		{"instancePublicIPs", "pip0", "full.toml:150"},
		{"outboundRules", "quic", ""},
		{"gateway", "egress", ""},
		{"rules", "egress", ""},
	} {
		if got := c.RulePosition(r.section, r.name); got != r.want {
			t.Errorf("%s %s is at %q, want %q", r.section, r.name, got, r.want)
		}
	}
	if got := Default().Position("profile"); got != "" {
		t.Errorf("a default is at %q", got)
	}
}

func TestLinesOfProblems(t *testing.T) {
	t.Setenv("TIDEGATE_GATEWAY_WORKERS", "many")
	file := `gateway: { inside: { interface: 7 },
  workers: 1,
  outside:
    { colour: red } }
"a.b": 1
log: { level: loud }
frontendIPConfigurations:
  - name: public
  - { name: block, publicIPPrefix: 203.0.113.64/30 }
outboundRules: []
`
	path := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, p := range ps {
		got[p.Path] = p.Line
	}
	for key, want := range map[string]int{
		"gateway.inside.interface":    1,
		"gateway.workers":             0, // the environment's
		"gateway.outside.interface":   3, // missing there
		"gateway.outside.colour":      4,
		`"a.b"`:                       5,
		"log.level":                   6,
		"frontendIPConfigurations[0]": 8,
		"outboundRules":               10,
	} {
		if line, told := got[key]; !told || line != want {
			t.Errorf("%s: line %d (told: %v), want %d", key, line, told, want)
		}
	}
	if len(got) != 8 {
		t.Errorf("got %v", ps)
	}
}
