package config

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	got, err := Load("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want := Gateway{Datapath: "auto", Inside: Interface{"eth1"}, Outside: Interface{"eth0"}, TUN: TUN{"tide0"},
		Workers: 0, MaxFlows: 1048576, StateDir: "/var/lib/tidegate"}
	if got.Gateway != want {
		t.Errorf("gateway is %+v, want %+v", got.Gateway, want)
	}
	if got.Profile != "azure" || got.Log != (Log{"info", "text"}) {
		t.Errorf("profile %s, log %+v", got.Profile, got.Log)
	}
	if want := (API{Listen: []string{"unix:/run/tidegate/api.sock", "127.0.0.1:9180"}}); !reflect.DeepEqual(got.API, want) {
		t.Errorf("api is %+v, want %+v", got.API, want)
	}
	if want := (FlowRecords{RecordFile{"", 100, 10}, IPFIX{"", 1, "udp"}}); got.FlowRecords != want || got.Reload.WatchFile {
		t.Errorf("reload is %+v, flow records are %+v, want %+v", got.Reload, got.FlowRecords, want)
	}
	if want := (Timers{30 * time.Second, 65 * time.Second, 16 * time.Second, 4 * time.Minute, 30 * time.Second, true}); got.Timers != want {
		t.Errorf("timers are %+v, want %+v", got.Timers, want)
	}
	if r := got.OutboundRules[0]; r.Idle() != 4*time.Minute || r.EnableTCPReset || r.AllocatedOutboundPorts != 0 {
		t.Errorf("rule is %+v", r)
	}
}

func TestFormatsAgree(t *testing.T) {
	fromYAML, err := Load("testdata/full.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fromYAML.origin = origin{}
	for _, path := range []string{"testdata/full.json", "testdata/full.toml"} {
		got, err := Load(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		got.origin = origin{}
		if !reflect.DeepEqual(got, fromYAML) {
			t.Errorf("%s is\n%+v, want\n%+v", path, got, fromYAML)
		}
	}
	if want := []string{"unix:/run/tidegate/a.sock", "127.0.0.1:9181", "[::1]:9181", "0.0.0.0:9182"}; !reflect.DeepEqual(fromYAML.API.Listen, want) {
		t.Errorf("listeners %q, want %q", fromYAML.API.Listen, want)
	}
	if got := fromYAML.OutboundRules[0].Idle(); got != 100*time.Minute {
		t.Errorf("outbound idle %s, want 100m", got)
	}
}

// TestFullFilesAreFull looks for every key of the tree, of which profile azure
// lacks one.
func TestFullFilesAreFull(t *testing.T) {
	for _, path := range []string{"testdata/full.yaml", "testdata/full.json", "testdata/full.toml"} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range keysOf(reflect.TypeFor[Config]()) {
			if key != "idleTimeout" && !regexp.MustCompile(`\b`+key+`\b`).Match(content) {
				t.Errorf("%s lacks %s", path, key)
			}
		}
	}
}

func keysOf(t reflect.Type) (keys []string) {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return keysOf(t.Elem())
	case reflect.Struct:
		for _, f := range fieldsOf(t) {
			keys = append(append(keys, f.name), keysOf(f.typ)...)
		}
	}
	return keys
}

func TestIdleInSeconds(t *testing.T) {
	c, err := Load("testdata/custom.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got := []time.Duration{c.OutboundRules[0].Idle(), c.OutboundRules[1].Idle(), c.InboundNATRules[0].Idle(), c.InboundNATRules[1].Idle()}
	want := []time.Duration{90 * time.Second, 24 * time.Hour, time.Second, 24 * time.Hour}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("idle timeouts %v, want %v", got, want)
	}
	if len(c.API.Listen) != 0 {
		t.Errorf("listeners %q, want none", c.API.Listen)
	}
}

func TestAnchorsAndMerges(t *testing.T) {
	c, err := Load("testdata/anchors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range c.OutboundRules {
		if r.Idle() != 10*time.Minute || !r.EnableTCPReset || r.BackendAddressPool != r.Name {
			t.Errorf("rule is %+v", r)
		}
	}
	if got := c.InboundNATRules[0].Idle(); got != 10*time.Minute {
		t.Errorf("inbound idle %s, want 10m", got)
	}
}

func TestTheWholeLanguageIsKnown(t *testing.T) {
	content, err := os.ReadFile("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got := problemsOf(t, "yaml", string(content)); got != nil {
		t.Errorf("problems: %q", got)
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	for name, value := range map[string]string{
		"PROFILE": "custom", "GATEWAY_DATAPATH": "tun", "GATEWAY_INSIDE_INTERFACE": "in0", "GATEWAY_OUTSIDE_INTERFACE": "out0",
		"GATEWAY_TUN_NAME": "t0", "GATEWAY_WORKERS": "3", "GATEWAY_MAXFLOWS": "2048", "GATEWAY_STATEDIR": "/s",
		"API_TOKENFILE": "/t", "API_TLS_CERTFILE": "/c", "API_TLS_KEYFILE": "/k", "RELOAD_WATCHFILE": "true",
		"FLOWRECORDS_FILE_PATH": "/f", "FLOWRECORDS_FILE_MAXSIZEINMB": "5", "FLOWRECORDS_FILE_MAXFILES": "6",
		"FLOWRECORDS_IPFIX_COLLECTOR": "192.0.2.7:4739", "FLOWRECORDS_IPFIX_OBSERVATIONDOMAINID": "7", "FLOWRECORDS_IPFIX_PROTOCOL": "tcp",
		"LOG_LEVEL": "warn", "LOG_FORMAT": "json",
		"TIMERS_TCPHALFOPEN": "1s", "TIMERS_TCPFINHOLD": "2s", "TIMERS_TCPRESETHOLD": "3s", "TIMERS_UDPLOADBALANCED": "4s", "TIMERS_ICMP": "5s", "TIMERS_UDPINBOUNDREFRESH": "false",
		"API": "unix:/the/command/line's/own", "PORT": "tcp://10.1.2.3:9180", "PROBES": "set by others",
	} {
		t.Setenv("TIDEGATE_"+name, value)
	}
	c, err := Load("testdata/contract.yaml")
	if err != nil {
		t.Fatal(err)
	}
	wantGateway := Gateway{DatapathTUN, Interface{"in0"}, Interface{"out0"}, TUN{"t0"}, 3, 2048, "/s"}
	wantTimers := Timers{time.Second, 2 * time.Second, 3 * time.Second, 4 * time.Second, 5 * time.Second, false}
	if c.Gateway != wantGateway || c.Timers != wantTimers || c.Log != (Log{"warn", "json"}) || c.Profile != ProfileCustom {
		t.Errorf("got %+v", c)
	}
	wantRecords := FlowRecords{RecordFile{"/f", 5, 6}, IPFIX{"192.0.2.7:4739", 7, "tcp"}}
	if c.API.TokenFile != "/t" || c.API.TLS != (TLS{"/c", "/k"}) || !c.Reload.WatchFile || c.FlowRecords != wantRecords {
		t.Errorf("got %+v, %+v, %+v", c.API, c.Reload, c.FlowRecords)
	}
}

func TestEnvironmentAtFault(t *testing.T) {
	t.Setenv("TIDEGATE_GATEWAY_WORKERS", "many")
	t.Setenv("TIDEGATE_TIMERS_ICMP", "30")
	t.Setenv("TIDEGATE_LOG_LEVEL", "loud")
	t.Setenv("TIDEGATE_API_TOKENFILE", "etc/token")
	want := []string{
		`gateway.workers: "many" is not a whole number (from TIDEGATE_GATEWAY_WORKERS)`,
		`api.tokenFile: "etc/token" is not an absolute path (from TIDEGATE_API_TOKENFILE)`,
		`log.level: "loud" is not one of debug, info, warn, error (from TIDEGATE_LOG_LEVEL)`,
		`timers.icmp: "30" is not a duration such as 30s or 4m (from TIDEGATE_TIMERS_ICMP)`,
	}
	if diff := cmp.Diff(want, problemsOf(t, "yaml", with())); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestNotWellFormed(t *testing.T) {
	for _, c := range []struct{ format, content, want string }{
		{"yaml", "profile: azure\nlog: { level: info\napi: {}\n", "config: parse yaml: line 2: did not find expected ',' or '}'"},
		{"yaml", "profile: azure\nlog:\n  - a\n  b: 1\n", "config: parse yaml: line 3: did not find expected '-' indicator"},
		{"yaml", "profile: azure\n\n}\n", "config: parse yaml: line 3: did not find expected key"},
		{"yaml", "profile: azure\nlog: !a!b c\n", "config: parse yaml: line 2: found undefined tag handle"},
		{"yaml", "]", "config: parse yaml: line 1: did not find expected node content"},
		{"yaml", "log: level: info", "config: parse yaml: line 1: mapping values are not allowed in this context"},
		{"yaml", "- profile", "config: parse yaml: line 1: cannot unmarshal !!seq into a map of keys"},
		{"yaml", "azure", "config: parse yaml: line 1: cannot unmarshal !!str `azure` into a map of keys"},
		{"yaml", "log: *level", "config: parse yaml: unknown anchor 'level' referenced"},
		{"yaml", "profile: azure\nlog: \x01\n", "config: parse yaml: line 2: control characters are not allowed; is this a text file?"},
		{"yaml", "profile: azure\n\nlog: \xff\n", "config: parse yaml: line 3: invalid leading UTF-8 octet; is this a text file?"},
		{"yaml", "log: {}\nlog: {}\n", "config: parse yaml: line 2: mapping key \"log\" already defined at line 1"},
		{"yaml", strings.Repeat("log: 1\n", 9), "config: parse yaml: line 2: mapping key \"log\" already defined at line 1; line 3: mapping key \"log\" already defined at line 1; line 4: mapping key \"log\" already defined at line 1; and 33 more"},
		{"yml", "# one\n---\nlog: {}\n--- # two\nlog: {}\n", "config: parse yml: line 4: a second document begins; a file holds one"},
		{"json", "{\n\"log\": {}\n\"api\": {} }", "config: parse json: line 3: invalid character '\"' after object key:value pair"},
		{"json", "", "config: parse json: line 1: unexpected end of JSON input"},
		{"json", "[\n]", "config: parse json: line 1: the file is a JSON array, not an object"},
		{"json", "{ \"log\": [ 1, { \"a\": 1,\n \"a\": 2 } ] }", "config: parse json: line 2: key \"a\" is given twice"},
		{"toml", "profile = 'azure'\nlog\n", "config: parse toml: line 2: expected '=' after key"},
		{"toml", "profile = 'azure'\nprofile = 'custom'\n", "config: parse toml: line 2: key profile is already defined"},
		{"ini", "", `config: parse: "ini" is no known format; use yaml, json or toml`},
	} {
		_, err := Parse(c.format, []byte(c.content))
		if err == nil || err.Error() != c.want {
			t.Errorf("%s %q:\n got %v\nwant %s", c.format, c.content, err, c.want)
		}
	}
}

func TestJSONScalarsBesideObjects(t *testing.T) {
	got := problemsOf(t, "json", `{ "a": [ 1, "x", null, true, [], {} ], "b": { "a": { "a": {} } } }`)
	if len(got) < 2 || got[len(got)-2] != "a: unknown key" || got[len(got)-1] != "b: unknown key" {
		t.Errorf("got %q", got)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	missing, directory := filepath.Join(dir, "none.yaml"), filepath.Join(dir, "d.yaml")
	if err := os.Mkdir(directory, 0o755); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		missing:                 "config: open " + missing + ": no such file or directory",
		directory:               "config: read " + directory + ": is a directory",
		"testdata/full.yaml.in": `config: read testdata/full.yaml.in: ".in" is no known extension; use .yaml, .json or .toml`,
		"tidegate":              `config: read tidegate: "" is no known extension; use .yaml, .json or .toml`,
	} {
		if _, err := Load(path); err == nil || err.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", path, err, want)
		}
	}
}

// TestGarbage asks of two megabytes of this and that for one short line.
func TestGarbage(t *testing.T) {
	random := make([]byte, 2<<20)
	for i, source := 0, rand.New(rand.NewPCG(1, 2)); i < len(random); i++ {
		random[i] = byte(source.Uint32())
	}
	executable, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"random":     random,
		"executable": executable[:2<<20],
		"zeros":      make([]byte, 2<<20),
		"words":      bytes.Repeat([]byte("lorem ipsum "), 2<<20/12),
		"brackets":   bytes.Repeat([]byte("["), 2<<20),
		"nested":     bytes.Repeat([]byte("{a: "), 2<<20/4),
	} {
		for _, extension := range []string{".yaml", ".json", ".toml"} {
			path := filepath.Join(t.TempDir(), name+extension)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(path)
			if err == nil || !strings.HasPrefix(err.Error(), "config: parse "+path+": line ") ||
				strings.Contains(err.Error(), "\n") || len(err.Error()) > len(path)+200 {
				t.Errorf("%s%s: %.500v", name, extension, err)
			}
		}
	}
}
