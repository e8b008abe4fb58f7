package config

import (
	"strings"
	"testing"
)

func TestAPI(t *testing.T) {
	listen := func(second string) string {
		return with(`api: { listen: [ "unix:/run/a.sock", "` + second + `" ] }`)
	}
	const path = "api.listen[1]: "
	const noToken = " is neither a unix socket nor loopback; set api.tokenFile, so that only who has its token may ask"
	run(t, []problemCase{
		{"every address", listen("0.0.0.0:9180"), []string{path + "0.0.0.0:9180" + noToken}},
		{"an address of the network", listen("192.0.2.1:9180"), []string{path + "192.0.2.1:9180" + noToken}},
		{"no host", listen(":9180"), []string{path + `":9180" has no host; write 0.0.0.0:9180 for every address`}},
		{"another host", listen("gateway.example:9180"), []string{path + `the host of "gateway.example:9180" is neither an IP address nor localhost`}},
		{"every IPv6 address", listen("[::]:9180"), []string{path + "[::]:9180" + noToken}},
		{"loopbacks", with(`api: { listen: [ "127.8.8.8:1", "[::1]:65535", "localhost:9180", "[::ffff:127.0.0.1]:1" ] }`), nil},
		{"none", with("api: { listen: [] }"), nil},
		{"no port", listen("127.0.0.1"), []string{path + `"127.0.0.1" is neither unix:/PATH nor HOST:PORT`}},
		{"URL", listen("http://127.0.0.1:9180"), []string{path + `"http://127.0.0.1:9180" is neither unix:/PATH nor HOST:PORT`}},
		{"port 0", listen("127.0.0.1:0"), []string{path + `"127.0.0.1:0" has no port in 1–65535`}},
		{"port by name", listen("127.0.0.1:http"), []string{path + `"127.0.0.1:http" has no port in 1–65535`}},
		{"port high", listen("127.0.0.1:65536"), []string{path + `"127.0.0.1:65536" has no port in 1–65535`}},
		{"relative socket", listen("unix:api.sock"), []string{path + `"api.sock" is not an absolute path`}},
		{"long socket", listen("unix:/" + strings.Repeat("a", 107)),
			[]string{path + `"/` + strings.Repeat("a", 59) + `"… is longer than the 107 bytes of a socket's path`}},
		{"longest socket", listen("unix:/" + strings.Repeat("a", 106)), nil},
		{"twice", listen("unix:/run/a.sock"), []string{path + `"unix:/run/a.sock" is api.listen[0] already`}},
		{"network with a token", with(`api: { listen: [ "0.0.0.0:1", "[::]:2", "192.0.2.1:3", "[2001:db8::1]:4", "[fe80::1%eth0]:5" ], tokenFile: /etc/token }`), nil},
		{"names even with a token", with(`api: { listen: [ "gateway.example:9180", ":1" ], tokenFile: /etc/token }`), []string{
			`api.listen[0]: the host of "gateway.example:9180" is neither an IP address nor localhost`,
			`api.listen[1]: ":1" has no host; write 0.0.0.0:1 for every address`,
		}},
		{"token", with("api: { tokenFile: token }"), []string{`api.tokenFile: "token" is not an absolute path`}},
		{"TLS", with("api: { tls: { certFile: /a, keyFile: /b } }"), nil},
		{"TLS without a key", with("api: { tls: { certFile: /a } }"), []string{"api.tls.keyFile: is required with api.tls.certFile"}},
		{"TLS without a certificate", with("api: { tls: { keyFile: /a } }"), []string{"api.tls.certFile: is required with api.tls.keyFile"}},
		{"TLS by relative paths", with("api: { tls: { keyFile: a, certFile: b } }"),
			[]string{`api.tls.certFile: "b" is not an absolute path`, `api.tls.keyFile: "a" is not an absolute path`}},
	})
}

func TestFlowRecords(t *testing.T) {
	file := func(keys string) string { return with("flowRecords: { file: { " + keys + " } }") }
	ipfix := func(keys string) string { return with("flowRecords: { ipfix: { " + keys + " } }") }
	const ofFile, ofIPFIX = "flowRecords.file.", "flowRecords.ipfix."
	run(t, []problemCase{
		{"path", file("path: flows"), []string{ofFile + `path: "flows" is not an absolute path`}},
		{"sizes low", file("maxSizeInMB: 0, maxFiles: 0"),
			[]string{ofFile + "maxSizeInMB: 0 is outside 1–10000", ofFile + "maxFiles: 0 is outside 1–1000"}},
		{"sizes high", file("maxSizeInMB: 10001, maxFiles: 1001"),
			[]string{ofFile + "maxSizeInMB: 10001 is outside 1–10000", ofFile + "maxFiles: 1001 is outside 1–1000"}},
		{"sizes at their ends", file("path: /f, maxSizeInMB: 10000, maxFiles: 1"), nil},
		{"collector", ipfix(`collector: "192.0.2.7:4739"`), nil},
		{"collector by IPv6", ipfix(`collector: "[2001:db8::7]:4739"`), nil},
		{"collector by name", ipfix(`collector: "collector.example:4739"`),
			[]string{ofIPFIX + `collector: the host of "collector.example:4739" is not an IP address to send to`}},
		{"collector everywhere", ipfix(`collector: "0.0.0.0:4739"`),
			[]string{ofIPFIX + `collector: the host of "0.0.0.0:4739" is not an IP address to send to`}},
		{"collector without a port", ipfix("collector: 192.0.2.7"), []string{ofIPFIX + `collector: "192.0.2.7" is not HOST:PORT`}},
		{"collector at port 0", ipfix(`collector: "192.0.2.7:0"`), []string{ofIPFIX + `collector: "192.0.2.7:0" has no port in 1–65535`}},
		{"domain low", ipfix("observationDomainId: -1"), []string{ofIPFIX + "observationDomainId: -1 is outside 0–4294967295"}},
		{"domain high", ipfix("observationDomainId: 4294967296"), []string{ofIPFIX + "observationDomainId: 4294967296 is outside 0–4294967295"}},
		{"domains at their ends", ipfix("observationDomainId: 4294967295, protocol: tcp"), nil},
		{"protocol", ipfix("protocol: sctp"), []string{ofIPFIX + `protocol: "sctp" is not one of udp, tcp`}},
		{"protocol in capitals", ipfix("protocol: UDP"), []string{ofIPFIX + `protocol: "UDP" is written udp`}},
		{"watching", with("reload: { watchFile: 1 }"), []string{"reload.watchFile: 1 is neither true nor false"}},
	})
}
