package azure

import (
	"strings"
	"testing"
)

func TestClassic(t *testing.T) {
	const dir = "../testdata/classic/"
	for name, files := range map[string][]string{
		"shop":       {dir + "shop.csdef", dir + "shop.cscfg"},
		"definition": {dir + "shop.csdef"},
		"endpoints":  {dir + "endpoints.xml"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Classic(read(t, files...))
			if err != nil {
				t.Fatal(err)
			}
			checkValid(t, golden(t, dir+name, d))
		})
	}
}

func TestClassicPieces(t *testing.T) {
	endpoint := func(s string) string {
		return `<InputEndpoint><LoadBalancedEndpointSetName>s</LoadBalancedEndpointSetName><Port>80</Port><LocalPort>80</LocalPort>` + s + `</InputEndpoint>`
	}
	role := func(s string) string {
		return `<ServiceDefinition name="s"><WorkerRole name="R"><Endpoints>` + s + `</Endpoints></WorkerRole></ServiceDefinition>`
	}
	for _, test := range []struct{ name, content, yaml string }{
		{"one endpoint by itself", endpoint(""), "loadBalancingRules:\n  - name: s\n"},
		{"a set by itself", `<LoadBalancedEndpointSet><LoadBalancedEndpointSetName>s</LoadBalancedEndpointSetName></LoadBalancedEndpointSet>`, "  - name: s\n"},
		{"endpoints of a machine", `<InputEndpoints>` + endpoint("") + `</InputEndpoints>`, "  - name: s\n"},
		{"a namespace with a prefix", `<w:LoadBalancedEndpointList xmlns:w="http://x"><w:InputEndpoint><w:LoadBalancedEndpointSetName>s</w:LoadBalancedEndpointSetName></w:InputEndpoint></w:LoadBalancedEndpointList>`, "  - name: s\n"},
		{"protocol udp", endpoint("<Protocol>UDP</Protocol>"), "protocol: Udp\n"},
		{"protocol https", endpoint("<Protocol>https</Protocol>"), "protocol: Tcp\n"},
		{"a protocol that check will name", endpoint("<Protocol>icmp</Protocol>"), "protocol: icmp\n"},
		{"distribution none", endpoint("<LoadBalancerDistribution>None</LoadBalancerDistribution>"), "loadDistribution: Default\n"},
		{"distribution sourceIP", endpoint("<LoadBalancerDistribution>sourceIP</LoadBalancerDistribution>"), "loadDistribution: SourceIP\n"},
		{"distribution sourceIPProtocol", endpoint("<LoadBalancerDistribution>sourceIPProtocol</LoadBalancerDistribution>"), "loadDistribution: SourceIPProtocol\n"},
		{"a distribution that check will name", endpoint("<LoadBalancerDistribution>random</LoadBalancerDistribution>"), "loadDistribution: random\n"},
		{"direct server return", endpoint("<EnableDirectServerReturn>TRUE</EnableDirectServerReturn>"), "enableFloatingIP: true\n"},
		{"direct server return, unsaid", endpoint("<EnableDirectServerReturn/>"), "enableFloatingIP: false\n"},
		{"a probe's defaults", endpoint("<LoadBalancerProbe><Protocol>tcp</Protocol></LoadBalancerProbe>"),
			"{name: s, protocol: Tcp, port: 80, intervalInSeconds: 15, numberOfProbes: 2, probeThreshold: 2}"},
		{"a timeout shorter than the interval", endpoint("<LoadBalancerProbe><Protocol>tcp</Protocol><IntervalInSeconds>30</IntervalInSeconds><TimeoutInSeconds>10</TimeoutInSeconds></LoadBalancerProbe>"),
			"intervalInSeconds: 30, numberOfProbes: 1, probeThreshold: 1}"},
		{"a timeout of many intervals", endpoint("<LoadBalancerProbe><Protocol>http</Protocol><Path>a</Path><IntervalInSeconds>5</IntervalInSeconds><TimeoutInSeconds>100</TimeoutInSeconds></LoadBalancerProbe>"),
			"{name: s, protocol: Http, port: 80, requestPath: /a, intervalInSeconds: 5, numberOfProbes: 20, probeThreshold: 20}"},
		{"an idle timeout of today's", endpoint("<IdleTimeoutInMinutes>31</IdleTimeoutInMinutes>"), "profile: azure-2026 # /InputEndpoint/IdleTimeoutInMinutes is 31; profile azure ends at 30\n"},
		{"an idle timeout of old", endpoint("<IdleTimeoutInMinutes>30</IdleTimeoutInMinutes>"), "profile: azure\n"},
		{"a public address", endpoint("<Vip>203.0.113.5</Vip>"), "{name: vip-203.0.113.5, publicIPAddress: 203.0.113.5}"},
		{"an endpoint of one machine", `<InputEndpoint><Name>ssh</Name><Port>1</Port><LocalPort>22</LocalPort></InputEndpoint>`,
			"inboundNatRules:\n  - name: ssh\n    frontendIPConfiguration: vip\n    frontendPort: 1\n    backendAddress: <address of the machine with endpoint ssh>\n    backendPort: 22\n"},
		{"a worker role without settings", role(`<InputEndpoint name="E" protocol="tcp" port="80" localPort="81"/>`), "- name: R\n    addresses: [<addresses of R>]\n"},
		{"an internal load balancer without settings", role(`<InputEndpoint name="E" protocol="tcp" port="80" loadBalancer="in"/>`),
			"{name: in, privateIPAddress: <privateIPAddress of in>}"},
		{"ports for each instance", role(`<InstanceInputEndpoint name="E" protocol="udp" localPort="81"><AllocatePublicPortFrom><FixedPortRange min="5" max="9"/></AllocatePublicPortFrom></InstanceInputEndpoint>`),
			"backendAddressPool: R\n    protocol: Udp\n    frontendPortRangeStart: 5\n    frontendPortRangeEnd: 9\n    backendPort: 81\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d, err := Classic([]File{{"a.xml", []byte(test.content)}})
			if err != nil {
				t.Fatal(err)
			}
			text, err := d.YAML()
			if err != nil || !strings.Contains(string(text), test.yaml) {
				t.Errorf("%v, want %s in\n%s", err, test.yaml, text)
			}
		})
	}
}
