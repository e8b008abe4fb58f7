package azure

import (
	"strings"
	"testing"
)

// Members, addresses and references, each in a template of one load balancer "lb"
// with the frontend fe, the pool be and what is added.
func TestARMPieces(t *testing.T) {
	const (
		id      = `{ "id": "[resourceId('Microsoft.Network/loadBalancers/`
		bePool  = id + `backendAddressPools', 'lb', 'be')]" }`
		fe      = id + `frontendIPConfigurations', 'lb', 'fe')]" }`
		fe6     = id + `frontendIPConfigurations', 'lb', 'fe6')]" }`
		natPool = `"inboundNatPools": [ { "name": "r", "properties": { "frontendIPConfiguration": ` + fe + ` } } ]`
		rPool   = id + `inboundNatPools', 'lb', 'r')]" }`
		nicID   = `{ "id": "/x/networkInterfaces/nic/ipConfigurations/c" }`
	)
	nic := func(c string) string {
		return `, { "type": "Microsoft.Network/networkInterfaces", "name": "nic", "properties": { "ipConfigurations": [ { "name": "c", "properties": {` + c + `} } ] } }`
	}
	scaleSet := func(sku, c string) string {
		return `, { "type": "Microsoft.Compute/virtualMachineScaleSets", "name": "set", ` + sku + `"properties": { "virtualMachineProfile": { "networkProfile": {
			"networkInterfaceConfigurations": [ { "properties": { "ipConfigurations": [ { "properties": {` + c + `} } ] } } ] } } } }`
	}
	for _, test := range []struct{ name, pool, sections, resources, yaml, warning string }{
		{name: "an interface's literal address", resources: nic(`"privateIPAddress": "10.0.0.9", "loadBalancerBackendAddressPools": [` + bePool + `]`),
			yaml: "addresses: [10.0.0.9]"},
		{name: "an interface that the pool names", pool: `"loadBalancerBackendAddresses": [ { "name": "a", "networkInterfaceIPConfiguration": ` + nicID + ` } ]`,
			resources: nic(`"privateIPAddress": "10.0.0.9", "loadBalancerBackendAddressPools": [` + bePool + `]`), yaml: "addresses: [10.0.0.9]"},
		{name: "an interface that is not in the input", pool: `"backendIPConfigurations": [ ` + nicID + ` ]`, yaml: "addresses: [<address of nic/c>]"},
		{name: "an interface of another configuration", pool: `"backendIPConfigurations": [ { "id": "/x/networkInterfaces/nic/ipConfigurations/d" } ]`,
			resources: nic(`"privateIPAddress": "10.0.0.9"`), yaml: "addresses: [<address of nic/d>]"},
		{name: "an interface that nothing resolves", pool: `"backendIPConfigurations": [ { "id": "[reference('x').id]" } ]`,
			yaml: "addresses: [<address of reference('x').id>]", warning: "backendIPConfigurations[0].id: not resolved: reference() can't be evaluated here"},
		{name: "an interface without an id", pool: `"backendIPConfigurations": [ { "id": null } ]`, yaml: "addresses: ['<address of ?>']"},
		{name: "an address without an address", pool: `"loadBalancerBackendAddresses": [ { "name": "a" } ]`, yaml: "addresses: [<address of be/a>]"},
		{name: "an address twice", pool: `"loadBalancerBackendAddresses": [ { "ipAddress": "10.0.0.9" }, { "ipAddress": "10.0.0.9" } ]`, yaml: "addresses: [10.0.0.9]"},
		{name: "an interface of IPv6", resources: nic(`"privateIPAddressVersion": "IPv6", "privateIPAddress": "fd00::9", "loadBalancerBackendAddressPools": [` + bePool + `]`),
			yaml: "- name: be\n", warning: "resources[0].properties.backendAddressPools[0]: member fd00::9 is not carried over: IPv6 is not supported"},
		{name: "a NAT rule to IPv6", sections: `"inboundNatRules": [ { "name": "r", "properties": { "frontendIPConfiguration": ` + fe + `, "backendIPConfiguration": ` + nicID + ` } } ]`,
			resources: nic(`"privateIPAddress": "fd00::9"`), warning: "inboundNatRules[0]: not carried over: its backend has an IPv6 address"},
		{name: "an instance's public IP of IPv6", resources: nic(`"publicIPAddress": { "id": "/x/publicIPAddresses/p", "properties": { "ipAddress": "2001:db8::1" } }`),
			warning: "publicIPAddress: IPv6 is not supported: not carried over"},
		{name: "an instance's public IP that is not in the input", resources: nic(`"privateIPAddress": "10.0.0.9", "publicIPAddress": { "id": "/x/publicIPAddresses/p" }`),
			yaml: "- {name: p, publicIPAddress: <publicIPAddress of p>, backendAddress: 10.0.0.9}"},
		{name: "a scale set", resources: scaleSet(`"sku": { "capacity": 2 }, `, `"loadBalancerBackendAddressPools": [`+bePool+`]`),
			yaml: "addresses: [<address of set/0>, <address of set/1>]"},
		{name: "a scale set of unknown size", resources: scaleSet(``, `"loadBalancerBackendAddressPools": [`+bePool+`]`),
			yaml: "addresses: [<addresses of set>]", warning: "resources[1]: how many instances it has is not known; write their addresses"},
		{name: "a scale set without a profile", resources: `, { "type": "Microsoft.Compute/virtualMachineScaleSets", "name": "set", "properties": {} }`,
			yaml: "addresses: [<addresses of be>]"},
		{name: "NAT rules of IPv6", sections: `"inboundNatRules": [ { "name": "r", "properties": { "frontendIPConfiguration": ` + fe6 + ` } } ]`,
			warning: "inboundNatRules[0]: not carried over: its frontend fe6 is not: IPv6 is not supported"},
		{name: "NAT pools of IPv6", sections: `"inboundNatPools": [ { "name": "r", "properties": { "frontendIPConfiguration": ` + fe6 + ` } } ]`,
			warning: "inboundNatPools[0]: not carried over: its frontend fe6 is not: IPv6 is not supported"},
		{name: "outbound rules of IPv6", sections: `"outboundRules": [ { "name": "r", "properties": { "frontendIPConfigurations": [ ` + fe6 + ` ] } } ]`,
			warning: "outboundRules[0]: not carried over: its frontend fe6 is not: IPv6 is not supported"},
		{name: "outbound rules of both", sections: `"outboundRules": [ { "name": "r", "properties": { "frontendIPConfigurations": [ ` + fe6 + `, ` + fe + ` ] } } ]`,
			yaml: "frontendIPConfigurations: [fe]", warning: "frontendIPConfigurations[0]: not carried over: frontend fe6 is not"},
		{name: "the only pool", sections: natPool, yaml: "backendAddressPool: be",
			warning: "resources[0].properties.inboundNatPools[0]: no scale set in the input says which backend pool it is for: taken as be, every member of which gets a port"},
		{name: "the pool of a scale set", sections: natPool, yaml: "backendAddressPool: be",
			resources: scaleSet(`"sku": { "capacity": 2 }, `, `"loadBalancerBackendAddressPools": [`+bePool+`], "loadBalancerInboundNatPools": [`+rPool+`]`)},
		{name: "a scale set of NAT pools alone", sections: natPool, yaml: "backendAddressPool: be",
			resources: scaleSet(``, `"loadBalancerInboundNatPools": [`+rPool+`]`),
			warning:   "ipConfigurations[0].properties.loadBalancerInboundNatPools: names no backend pool beside them: whose members get the ports of r is not known"},
		{name: "a scale set of another load balancer's NAT pools", resources: scaleSet(``, `"loadBalancerInboundNatPools": [ { "id": "/x/loadBalancers/other/inboundNatPools/r" } ]`),
			yaml: "- name: be\n"},
		{name: "a number as a name", sections: `"probes": [ { "name": 7, "port": 1 } ]`, yaml: `{name: "7", port: 1}`},
		{name: "words that YAML reads as others", sections: `"probes": [ { "name": "no", "requestPath": "#", "port": 1 } ]`, yaml: `{name: "no", port: 1, requestPath: '#'}`},
		{name: "a whole number written as a fraction", sections: `"probes": [ { "name": "p", "numberOfProbes": 4.0 } ]`, yaml: "numberOfProbes: 4"},
		{name: "a profile of its own", sections: `"outboundRules": [ { "name": "r", "idleTimeoutInMinutes": 100 } ]`, yaml: "profile: azure\n"},
		{name: "an unknown key in brackets", sections: `"a b": 1`, warning: `resources[0].properties["a b"]: not carried over: Tidegate does not know it`},
	} {
		t.Run(test.name, func(t *testing.T) {
			sections := test.sections
			if sections != "" {
				sections = ", " + sections
			}
			content := template(`[ { "type": "Microsoft.Network/loadBalancers", "name": "lb", "sku": { "name": "Standard" }, "properties": {
				"frontendIPConfigurations": [ { "name": "fe", "privateIPAddress": "10.0.0.4" }, { "name": "fe6", "privateIPAddressVersion": "ipv6" } ],
				"backendAddressPools": [ { "name": "be", "properties": {` + test.pool + `} } ]` + sections + ` } }` + test.resources + ` ]`)
			d, err := ARM([]File{{"lb.json", []byte(content)}}, "")
			if err != nil {
				t.Fatal(err)
			}
			text, err := d.YAML()
			if err != nil || !strings.Contains(string(text), test.yaml) {
				t.Errorf("%v, want %s in\n%s", err, test.yaml, text)
			}
			var warnings strings.Builder
			for _, w := range d.Warnings {
				warnings.WriteString(w.String() + "\n")
			}
			if !strings.Contains(warnings.String(), test.warning+"\n") {
				t.Errorf("want %s in\n%s", test.warning, warnings.String())
			}
			if test.warning == "" && len(d.Warnings) > 1 { // fe6 is one
				t.Errorf("unexpected warnings\n%s", warnings.String())
			}
		})
	}
}
