package azure

import (
	"strings"
	"testing"
)

// lbWith is a load balancer with one more section.
func lbWith(section string) string {
	return `{ "name": "gw", "properties": {
  "frontendIPConfigurations": [ { "name": "fe", "properties": { "privateIPAddress": "10.0.0.4" } } ],
  "backendAddressPools": [ { "name": "be" } ],
  ` + section + ` } }`
}

func template(resources string) string {
	return `{ "contentVersion": "1.0.0.0", "resources": ` + resources + ` }`
}

func TestARMErrors(t *testing.T) {
	const prefix = "azure: import lb.json: "
	for _, test := range []struct{ name, content, lb, want string }{
		{"empty", "", "", "line 1, column 1: not JSON: unexpected end of JSON input"},
		{"not JSON", "{\n  \"a\": 1,\n  b }", "", "line 3, column 3: not JSON: invalid character 'b' looking for beginning of object key string"},
		{"a comment keeps places", "{ // one\n /* two\n */ b }", "", "line 3, column 5: not JSON: invalid character 'b'"},
		{"YAML", "name: lb\n", "", "line 1, column 2: not JSON"},
		{"XML", "<a/>", "", "line 1, column 1: not JSON"},
		{"cut off", "{ \"a\": [", "", "line 1, column 9: not JSON: unexpected end"},
		{"more after it", "{} {}", "", "line 1, column 4: not JSON: invalid character '{' after top-level value"},
		{"UTF-16", "\xff\xfe{\x00}\x00", "", "line 1, column 1: the file is UTF-16; save it as UTF-8"},
		{"deep", strings.Repeat("[", 300) + strings.Repeat("]", 300), "", "[0][0][0][0]"},
		{"key twice", `{ "properties": { "a": 1, "a": 2 } }`, "", "properties.a: given twice"},
		{"text", `"lb"`, "", "neither a template nor a resource of type Microsoft.Network/loadBalancers"},
		{"something else", `{ "name": "x" }`, "", "neither a template nor a resource of type Microsoft.Network/loadBalancers"},
		{"a list of something else", `[ 1 ]`, "", "[0]: neither a template nor a resource of type"},
		{"another resource", `{ "type": "Microsoft.Network/virtualNetworks", "name": "x" }`, "",
			"no Microsoft.Network/loadBalancers in it, only Microsoft.Network/virtualNetworks"},
		{"a template of nothing", template(`[]`), "", "no Microsoft.Network/loadBalancers in it"},
		{"a template of children", template(`[ { "type": "Microsoft.Network/loadBalancers/inboundNatRules", "name": "a/b" } ]`), "",
			"no Microsoft.Network/loadBalancers in it"},
		{"a nested deployment", template(`[ { "type": "Microsoft.Resources/deployments", "name": "d" } ]`), "",
			"no Microsoft.Network/loadBalancers in it, but a nested deployment; give its template by itself"},
		{"only parameters", `{ "$schema": "https://x/deploymentParameters.json#", "parameters": {} }`, "", "no Microsoft.Network/loadBalancers in it"},
		{"resources of no kind", template(`7`), "", "resources: is neither a list nor an object of resources"},
		{"a resource of no kind", template(`[ 7 ]`), "", "resources[0]: is not a resource"},
		{"a resource without a type", template(`{ "lb": {} }`), "", "resources.lb: needs its type as text"},
		{"a child without a parent", template(`[ { "type": "Microsoft.Network/loadBalancers", "name": "lb" }, { "type": "Microsoft.Network/loadBalancers/inboundNatRules", "name": "r" } ]`), "",
			"resources[1]: needs a name with its load balancer's before it: lb/r"},
		{"two", `[` + lbWith(`"probes": []`) + `,` + strings.Replace(lbWith(`"probes": []`), "gw", "gw2", 1) + `]`, "",
			"2 load balancers in it: gw, gw2; say which with --name NAME"},
		{"another name", lbWith(`"probes": []`), "x", `no load balancer "x" in it; there is gw`},

		{"no list", lbWith(`"probes": {"a": 1}`), "", "properties.probes: is not a list"},
		{"no element", lbWith(`"probes": [ 1 ]`), "", "properties.probes[0]: is not an object"},
		{"no name", lbWith(`"probes": [ {} ]`), "", "properties.probes[0]: needs a name"},
		{"no text", lbWith(`"probes": [ { "name": "p", "requestPath": true } ]`), "", "properties.probes[0].requestPath: is not text"},
		{"no number", lbWith(`"probes": [ { "name": "p", "properties": { "port": "x" } } ]`), "", "properties.probes[0].properties.port: is not a whole number"},
		{"a fraction", lbWith(`"probes": [ { "name": "p", "properties": { "port": 1.5 } } ]`), "", "properties.probes[0].properties.port: is not a whole number"},
		{"no truth", lbWith(`"outboundRules": [ { "name": "r", "enableTcpReset": 1 } ]`), "", "properties.outboundRules[0].enableTcpReset: is neither true nor false"},
		{"no object", lbWith(`"sku": "Basic"`), "", "properties.sku: is not an object"},
		{"no reference", lbWith(`"loadBalancingRules": [ { "name": "r", "probe": "p" } ]`), "", "properties.loadBalancingRules[0].probe: is not an object with an id"},
		{"an id of no text", lbWith(`"loadBalancingRules": [ { "name": "r", "probe": { "id": 1 } } ]`), "", "properties.loadBalancingRules[0].probe.id: is not text"},

		{"nowhere", lbWith(`"loadBalancingRules": [ { "name": "r", "properties": { "frontendIPConfiguration": { "id": "/x/loadBalancers/gw/frontendIPConfigurations/fe9" } } } ]`), "",
			`properties.loadBalancingRules[0].properties.frontendIPConfiguration.id: "fe9" is none of the load balancer's frontendIPConfigurations`},
		{"another kind", lbWith(`"loadBalancingRules": [ { "name": "r", "properties": { "probe": { "id": "/x/loadBalancers/gw/backendAddressPools/be" } } } ]`), "",
			`properties.loadBalancingRules[0].properties.probe.id: "/x/loadBalancers/gw/backendAddressPools/be" leads to none of the load balancer's probes`},
		{"another load balancer", lbWith(`"outboundRules": [ { "name": "r", "properties": { "backendAddressPool": { "id": "/x/loadBalancers/other/backendAddressPools/be" } } } ]`), "",
			`properties.outboundRules[0].properties.backendAddressPool.id: "/x/loadBalancers/other/backendAddressPools/be" leads to another load balancer than "gw"`},
		{"no public IP", `{ "frontendIPConfigurations": [ { "name": "fe", "publicIPAddress": { "id": "/x/y" } } ] }`, "",
			`frontendIPConfigurations[0].publicIPAddress.id: "/x/y" is the id of no publicIPAddress`},
		{"no interface", lbWith(`"inboundNatRules": [ { "name": "r", "backendIPConfiguration": { "id": "/x/y" } } ]`), "",
			`properties.inboundNatRules[0].backendIPConfiguration.id: "/x/y" is the id of no network interface's configuration`},
		{"an interface that leads nowhere", template(`[
			{ "type": "Microsoft.Network/networkInterfaces", "name": "nic", "properties": { "ipConfigurations": [ { "name": "c", "properties": {
				"loadBalancerBackendAddressPools": [ { "id": "[resourceId('Microsoft.Network/loadBalancers/backendAddressPools', 'lb', 'x')]" } ] } } ] } },
			{ "type": "Microsoft.Network/loadBalancers", "name": "lb" } ]`), "",
			`resources[0].properties.ipConfigurations[0].properties.loadBalancerBackendAddressPools[0].id: "x" is none of the load balancer's backendAddressPools`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := ARM([]File{{"lb.json", []byte(test.content)}}, test.lb)
			if err == nil || !strings.HasPrefix(err.Error(), prefix+test.want) {
				t.Errorf("%v\nwant %s", err, prefix+test.want)
			}
		})
	}
}

// Every fault is told, not the first.
func TestARMTellsAllFaults(t *testing.T) {
	_, err := ARM([]File{{"lb.json", []byte(lbWith(`"probes": [ {}, { "name": "p", "port": "x" } ]`))}}, "")
	want := "azure: import lb.json: properties.probes[0]: needs a name\n" +
		"azure: import lb.json: properties.probes[1].port: is not a whole number"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

func TestARMTooLarge(t *testing.T) {
	_, err := ARM([]File{{"lb.json", make([]byte, maxFile+1)}}, "")
	if err == nil || !strings.Contains(err.Error(), "more than the 16777216 that are read") {
		t.Error(err)
	}
}

// Resources may come from several files; then a path opens with the file's name.
func TestARMSeveralFiles(t *testing.T) {
	lb := `{ "name": "gw", "sku": { "name": "Standard" }, "zones": ["1"], "frontendIPConfigurations": [ { "name": "fe", "publicIPAddress": { "id": "/x/publicIPAddresses/pip" } } ] }`
	pip := `{ "type": "Microsoft.Network/publicIPAddresses", "name": "pip", "ipAddress": "203.0.113.9" }`
	d, err := ARM([]File{{"lb.json", []byte(lb)}, {"pip.json", []byte(pip)}}, "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := d.YAML()
	if err != nil || !strings.Contains(string(text), "publicIPAddress: 203.0.113.9}") {
		t.Errorf("%v\n%s", err, text)
	}
	if len(d.Warnings) != 1 || d.Warnings[0].Path != "lb.json: zones" {
		t.Error(d.Warnings)
	}
}
