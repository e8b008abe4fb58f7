package azure

import (
	"strings"
	"testing"
)

func TestClassicErrors(t *testing.T) {
	const prefix = "azure: import a.xml: "
	role := func(endpoints string) string {
		return `<ServiceDefinition name="s"><WebRole name="R"><Endpoints>` + endpoints + `</Endpoints></WebRole></ServiceDefinition>`
	}
	list := func(endpoint string) string {
		return `<LoadBalancedEndpointList><InputEndpoint>` + endpoint + `</InputEndpoint></LoadBalancedEndpointList>`
	}
	for _, test := range []struct{ name, content, want string }{
		{"empty", "", "line 1, column 1: not XML: there is no element"},
		{"not XML", "{}", "line 1, column 1: not XML: there is no element"},
		{"broken", "<a>\n<b></a>", "line 2, column 8: not XML: XML syntax error on line 2: element <b> closed by </a>"},
		{"cut off", "<ServiceDefinition>", "line 1, column 20: not XML: XML syntax error on line 1: unexpected EOF"},
		{"deep", strings.Repeat("<a>", 300), "line 1, column 604: not XML: nested more than 200 deep"},
		{"encoding", `<?xml version="1.0" encoding="utf-16"?><a/>`, "line 1, column 40: not XML: xml: opening charset \"utf-16\": the encoding is utf-16; save the file as UTF-8"},
		{"bomb", `<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;">]><a>&c;</a>`, "line 1, column 60: not XML: XML syntax error on line 1: invalid character entity &c;"},
		{"something else", "<html/>", "/html: neither a ServiceDefinition, a ServiceConfiguration nor a LoadBalancedEndpointList"},
		{"only settings", `<ServiceConfiguration/>`, "no ServiceDefinition and no LoadBalancedEndpointList in it; give the .csdef too"},
		{"nothing listed", `<LoadBalancedEndpointList/>`, "/LoadBalancedEndpointList: there is no InputEndpoint in it"},
		{"a role without a name", `<ServiceDefinition><WebRole/></ServiceDefinition>`, "/ServiceDefinition/WebRole: needs a name"},
		{"an endpoint without a name", role(`<InputEndpoint port="80"/>`), "/ServiceDefinition/WebRole/Endpoints/InputEndpoint: needs a name"},
		{"a direct endpoint without a name", role(`<InstanceInputEndpoint/>`), "/ServiceDefinition/WebRole/Endpoints/InstanceInputEndpoint: needs a name"},
		{"a direct endpoint without ports", role(`<InstanceInputEndpoint name="a"/>`), "/ServiceDefinition/WebRole/Endpoints/InstanceInputEndpoint: needs AllocatePublicPortFrom/FixedPortRange"},
		{"a port of letters", role(`<InputEndpoint name="a" port="http"/>`), `/ServiceDefinition/WebRole/Endpoints/InputEndpoint/@port: "http" is not a whole number`},
		{"the second's port", role(`<InputEndpoint name="a" port="1"/><InputEndpoint name="b" port="x"/>`),
			`/ServiceDefinition/WebRole/Endpoints/InputEndpoint[2]/@port: "x" is not a whole number`},
		{"a probe that is not there", role(`<InputEndpoint name="a" port="80" loadBalancerProbe="p"/>`),
			`/ServiceDefinition/WebRole/Endpoints/InputEndpoint/@loadBalancerProbe: "p" is none of the LoadBalancerProbes`},
		{"a probe without a name", `<ServiceDefinition><LoadBalancerProbes><LoadBalancerProbe/></LoadBalancerProbes></ServiceDefinition>`,
			"/ServiceDefinition/LoadBalancerProbes/LoadBalancerProbe: needs a name"},
		{"no truth", list(`<LoadBalancedEndpointSetName>s</LoadBalancedEndpointSetName><EnableDirectServerReturn>maybe</EnableDirectServerReturn>`),
			`/LoadBalancedEndpointList/InputEndpoint/EnableDirectServerReturn: "maybe" is neither true nor false`},
		{"an interval of nothing", list(`<LoadBalancedEndpointSetName>s</LoadBalancedEndpointSetName><LoadBalancerProbe><IntervalInSeconds>0</IntervalInSeconds></LoadBalancerProbe>`),
			"/LoadBalancedEndpointList/InputEndpoint/LoadBalancerProbe/IntervalInSeconds: 0 is less than a second"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Classic([]File{{"a.xml", []byte(test.content)}})
			if err == nil || !strings.HasPrefix(err.Error(), prefix+test.want) {
				t.Errorf("%v\nwant %s", err, prefix+test.want)
			}
		})
	}
}

func TestClassicSettingsErrors(t *testing.T) {
	definition := `<ServiceDefinition name="s"><WebRole name="R"><Endpoints><InputEndpoint name="E" port="80"/></Endpoints></WebRole></ServiceDefinition>`
	network := func(s string) string {
		return `<ServiceConfiguration><NetworkConfiguration>` + s + `</NetworkConfiguration></ServiceConfiguration>`
	}
	for _, test := range []struct{ name, settings, want string }{
		{"a role", `<ServiceConfiguration><Role name="X"/></ServiceConfiguration>`, `/ServiceConfiguration/Role: "X" is no role of the ServiceDefinition`},
		{"a count", `<ServiceConfiguration><Role name="R"><Instances count="x"/></Role></ServiceConfiguration>`,
			`/ServiceConfiguration/Role/Instances/@count: "x" is not a whole number`},
		{"an address's role", network(`<AddressAssignments><InstanceAddress roleName="X"/></AddressAssignments>`),
			`/ServiceConfiguration/NetworkConfiguration/AddressAssignments/InstanceAddress: "X" is no role of the ServiceDefinition`},
		{"an address's name", network(`<AddressAssignments><InstanceAddress roleName="R"><PublicIPs><PublicIP/></PublicIPs></InstanceAddress></AddressAssignments>`),
			`/ServiceConfiguration/NetworkConfiguration/AddressAssignments/InstanceAddress/PublicIPs/PublicIP: needs a name`},
		{"an ACL's role", network(`<EndpointAcls><EndpointAcl role="X" endPoint="E"/></EndpointAcls>`),
			`/ServiceConfiguration/NetworkConfiguration/EndpointAcls/EndpointAcl: "X" is no role of the ServiceDefinition`},
		{"an ACL's endpoint", network(`<EndpointAcls><EndpointAcl role="R" endPoint="X"/></EndpointAcls>`),
			`/ServiceConfiguration/NetworkConfiguration/EndpointAcls/EndpointAcl: "X" is no endpoint of role "R"`},
		{"an ACL", network(`<EndpointAcls><EndpointAcl role="R" endPoint="E" accessControl="X"/></EndpointAcls>`),
			`/ServiceConfiguration/NetworkConfiguration/EndpointAcls/EndpointAcl: "X" is none of the AccessControls`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Classic([]File{{"a.csdef", []byte(definition)}, {"a.cscfg", []byte(test.settings)}})
			if want := "azure: import a.csdef, a.cscfg: " + test.want; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v\nwant %s", err, want)
			}
		})
	}
	_, err := Classic([]File{{"a", []byte("<ServiceConfiguration/>")}, {"b", []byte("<ServiceConfiguration/>")}})
	if err == nil || err.Error() != "azure: import b: a second ServiceConfiguration; give one" {
		t.Error(err)
	}
}

func TestClassicTooLarge(t *testing.T) {
	_, err := Classic([]File{{"a.xml", make([]byte, maxXML+1)}})
	if err == nil || !strings.Contains(err.Error(), "more than the 1048576 that are read") {
		t.Error(err)
	}
}
