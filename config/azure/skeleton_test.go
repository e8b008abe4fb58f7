package azure

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// skeleton lists every field of Microsoft.Network/loadBalancers by collection, of
// its REST API in 2024-05-01 and 2025-01-01.
var skeleton = map[string]string{
	"":        "name location tags zones sku.name sku.tier",
	frontends: "name zones publicIPAddress publicIPPrefix privateIPAddress privateIPAllocationMethod privateIPAddressVersion subnet gatewayLoadBalancer",
	pools: "name drainPeriodInSeconds syncMode virtualNetwork loadBalancerBackendAddresses tunnelInterfaces " +
		"backendIPConfigurations loadBalancingRules outboundRule outboundRules inboundNatRules provisioningState",
	pools + "/loadBalancerBackendAddresses": "name ipAddress adminState subnet virtualNetwork loadBalancerFrontendIPConfiguration inboundNatRulesPortMapping",
	pools + "/tunnelInterfaces":             "port identifier protocol type",
	probes:                                  "name protocol port intervalInSeconds numberOfProbes probeThreshold requestPath noHealthyBackendsBehavior",
	lbRules: "name frontendIPConfiguration backendAddressPool backendAddressPools probe protocol frontendPort backendPort loadDistribution " +
		"idleTimeoutInMinutes enableTcpReset enableFloatingIP disableOutboundSnat enableConnectionTracking",
	natRules: "name frontendIPConfiguration protocol frontendPort backendPort frontendPortRangeStart frontendPortRangeEnd backendAddressPool " +
		"idleTimeoutInMinutes enableTcpReset enableFloatingIP backendIPConfiguration",
	natPools: "name frontendIPConfiguration protocol frontendPortRangeStart frontendPortRangeEnd backendPort idleTimeoutInMinutes enableTcpReset enableFloatingIP",
	egress:   "name frontendIPConfigurations backendAddressPool protocol allocatedOutboundPorts idleTimeoutInMinutes enableTcpReset",
}

// saysNothing are fields that no packet depends on; see unread.go.
var saysNothing = []string{
	"/location", "/tags", pools + "/provisioningState", pools + "/loadBalancerBackendAddresses/name",
	pools + "/loadBalancerBackendAddresses/inboundNatRulesPortMapping",
	pools + "/loadBalancingRules", pools + "/outboundRule", pools + "/outboundRules", pools + "/inboundNatRules",
	// Told with the list they are in.
	pools + "/tunnelInterfaces/port", pools + "/tunnelInterfaces/identifier", pools + "/tunnelInterfaces/protocol", pools + "/tunnelInterfaces/type",
}

// Whatever is taken out of a resource must make a difference, in the configuration
// or in the warnings: so nothing in it is dropped in silence.
func TestEveryFieldCounts(t *testing.T) {
	content := blankComments(read(t, "../testdata/arm/skeleton.json")[0].Content)
	var whole map[string]any
	if err := json.Unmarshal(content, &whole); err != nil {
		t.Fatal(err)
	}
	sorted, err := json.Marshal(whole) // as the changed ones will be
	if err != nil {
		t.Fatal(err)
	}
	before := outcome(t, sorted)
	for place, list := range skeleton {
		for name := range strings.FieldsSeq(list) {
			var root map[string]any
			if err := json.Unmarshal(content, &root); err != nil {
				t.Fatal(err)
			}
			field := place + "/" + name
			if !takeOut(root, place, name) {
				t.Errorf("%s is not in the test's resource", field)
			}
			changed, err := json.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			silent := outcome(t, changed) == before
			if want := slices.Contains(saysNothing, field); silent != want {
				t.Errorf("%s makes no difference: %v, want %v", field, silent, want)
			}
		}
	}
}

// outcome is all that a user sees.
func outcome(t *testing.T, content []byte) string {
	d, err := ARM([]File{{"lb.json", content}}, "")
	if err != nil {
		return err.Error()
	}
	text, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(string(text), d.Warnings)
}

// takeOut deletes a field from every element at a place, and says whether there was one.
func takeOut(root map[string]any, place, name string) bool {
	elements := []map[string]any{root}
	for step := range strings.SplitSeq(place, "/") {
		if step == "" {
			break
		}
		var next []map[string]any
		for _, e := range elements {
			list, _ := e["properties"].(map[string]any)[step].([]any)
			if direct, ok := e[step].([]any); ok {
				list = direct
			}
			for _, x := range list {
				next = append(next, x.(map[string]any))
			}
		}
		elements = next
	}
	found := false
	for _, e := range elements {
		steps := strings.Split(name, ".")
		for _, s := range steps[:len(steps)-1] {
			e = e[s].(map[string]any)
		}
		for _, m := range []map[string]any{e, mapOf(e["properties"])} {
			if _, ok := m[steps[len(steps)-1]]; ok {
				delete(m, steps[len(steps)-1])
				found = true
			}
		}
	}
	return found
}

func mapOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
