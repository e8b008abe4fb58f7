package config

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFixed(t *testing.T) {
	const mayNot = " can't be changed while the gateway runs "
	for _, c := range []struct {
		name          string
		running, next string
		want          []string
	}{
		{"nothing", with(), with(), nil},
		{"in other words", with(), with("api: { listen: [ unix:/run/tidegate/api.sock, 127.0.0.1:9180 ] }", "log: { format: text }"), nil},
		{"what may change", with(), with("profile: custom", "log: { level: debug }", "timers: { icmp: 5s }",
			"backendAddressPools: [ { name: vms, addresses: [ 10.9.0.0/24 ] } ]"), nil},
		{"the gateway", with(), with("gateway: { datapath: tun, inside: { interface: eth2 }, outside: { interface: eth3 }, tun: { name: t }, workers: 2, maxFlows: 2048, stateDir: /s }"), []string{
			`gateway.datapath:` + mayNot + `(is "auto", would be "tun"); restart it`,
			`gateway.inside.interface:` + mayNot + `(is "eth1", would be "eth2"); restart it`,
			`gateway.outside.interface:` + mayNot + `(is "eth0", would be "eth3"); restart it`,
			`gateway.tun.name:` + mayNot + `(is "tide0", would be "t"); restart it`,
			`gateway.workers:` + mayNot + `(is 0, would be 2); restart it`,
			`gateway.maxFlows:` + mayNot + `(is 1048576, would be 2048); restart it`,
			`gateway.stateDir:` + mayNot + `(is "/var/lib/tidegate", would be "/s"); restart it`,
		}},
		{"the API", with("api: { listen: [], tokenFile: /a }"), with(`api: { listen: [ "localhost:1", "localhost:2" ], tls: { certFile: /c, keyFile: /k } }`), []string{
			`api.listen:` + mayNot + `(is [], would be ["localhost:1" "localhost:2"]); restart it`,
			`api.tokenFile:` + mayNot + `(is "/a", would be ""); restart it`,
			`api.tls.certFile:` + mayNot + `(is "", would be "/c"); restart it`,
			`api.tls.keyFile:` + mayNot + `(is "", would be "/k"); restart it`,
		}},
		{"the rest", with(), with("log: { format: json, level: warn }", "reload: { watchFile: true }",
			`flowRecords: { file: { path: /f, maxSizeInMB: 1, maxFiles: 2 }, ipfix: { collector: "192.0.2.7:1", observationDomainId: 3, protocol: tcp } }`), []string{
			`log.format:` + mayNot + `(is "text", would be "json"); restart it`,
			`reload.watchFile:` + mayNot + `(is false, would be true); restart it`,
			`flowRecords.file.path:` + mayNot + `(is "", would be "/f"); restart it`,
			`flowRecords.file.maxSizeInMB:` + mayNot + `(is 100, would be 1); restart it`,
			`flowRecords.file.maxFiles:` + mayNot + `(is 10, would be 2); restart it`,
			`flowRecords.ipfix.collector:` + mayNot + `(is "", would be "192.0.2.7:1"); restart it`,
			`flowRecords.ipfix.observationDomainId:` + mayNot + `(is 1, would be 3); restart it`,
			`flowRecords.ipfix.protocol:` + mayNot + `(is "udp", would be "tcp"); restart it`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			running, next := valid(t, c.running), valid(t, c.next)
			var got []string
			for _, p := range Fixed(running, next) {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLinesOfFixed(t *testing.T) {
	next := valid(t, "\nlog:\n  format: json\n"+with())
	if ps := Fixed(valid(t, with()), next); len(ps) != 1 || ps[0].Line != 3 {
		t.Errorf("got %+v, want one problem in line 3", ps)
	}
	if ps := Fixed(next, valid(t, with())); len(ps) != 1 || ps[0].Line != 0 {
		t.Errorf("got %+v, want one problem in no line", ps)
	}
}

func valid(t *testing.T, file string) *Config {
	t.Helper()
	c, err := Parse("yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
