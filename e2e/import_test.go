package e2e

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// template is a load balancer as somebody deploys it, with the addresses that this
// network has.
const template = `{
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": { "name": { "type": "string", "defaultValue": "shop" }, "port": { "type": "int", "defaultValue": 80 } },
  "variables": { "lb": "[concat(parameters('name'), '-lb')]" },
  "resources": [
    { "type": "Microsoft.Network/publicIPAddresses", "name": "web", "properties": { "ipAddress": "203.0.113.5" } },
    { "type": "Microsoft.Network/publicIPAddresses", "name": "out", "properties": { "ipAddress": "203.0.113.6" } },
    { "type": "Microsoft.Network/loadBalancers", "name": "[variables('lb')]", "sku": { "name": "Standard" }, "properties": {
      "frontendIPConfigurations": [
        { "name": "web", "properties": { "publicIPAddress": { "id": "[resourceId('Microsoft.Network/publicIPAddresses', 'web')]" } } },
        { "name": "out", "properties": { "publicIPAddress": { "id": "[resourceId('Microsoft.Network/publicIPAddresses', 'out')]" } } } ],
      "backendAddressPools": [ { "name": "vms", "properties": { "loadBalancerBackendAddresses": [
        { "name": "h1", "properties": { "ipAddress": "10.0.0.10" } },
        { "name": "h2", "properties": { "ipAddress": "10.0.0.11", "adminState": "Down" } } ] } } ],
      "probes": [ { "name": "well", "properties": { "protocol": "Http", "port": 9000, "requestPath": "/healthz" } } ],
      "loadBalancingRules": [ { "name": "web", "properties": {
        "frontendIPConfiguration": { "id": "[resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', variables('lb'), 'web')]" },
        "backendAddressPool": { "id": "[resourceId('Microsoft.Network/loadBalancers/backendAddressPools', variables('lb'), 'vms')]" },
        "probe": { "id": "[resourceId('Microsoft.Network/loadBalancers/probes', variables('lb'), 'well')]" },
        "protocol": "Tcp", "frontendPort": "[parameters('port')]", "backendPort": 8080, "disableOutboundSnat": true, "enableTcpReset": true } } ],
      "outboundRules": [ { "name": "egress", "properties": {
        "frontendIPConfigurations": [ { "id": "[resourceId('Microsoft.Network/loadBalancers/frontendIPConfigurations', variables('lb'), 'out')]" } ],
        "backendAddressPool": { "id": "[resourceId('Microsoft.Network/loadBalancers/backendAddressPools', variables('lb'), 'vms')]" },
        "protocol": "All", "allocatedOutboundPorts": 0, "idleTimeoutInMinutes": 15, "enableTcpReset": true } } ] } }
  ]
}`

// A template becomes a configuration that lacks nothing but this host's interfaces,
// check names those, and the rest works as it stands.
func TestImportedTemplateRuns(t *testing.T) {
	onEachHost(t, func(r *rig) {
		r.serveWeb(":8080", r.Hosts[:2]...)
		r.serveHealth(":9000", r.Hosts[0])
		r.serveHealth(":9000", r.Hosts[1])
		r.runImported(template)
		r.awaitBackend("vms", "10.0.0.10")
		r.wantBackends(r.Servers[0], frontend+":80", "h1")
		r.serveWeb(":81", r.Servers[0])
		for _, h := range r.Hosts[:2] {
			v := r.visit(h, r.Servers[0].Addr.String()+":81")
			if a := netip.MustParseAddrPort(v.seen); a.Addr().String() != second || a.Port() < 1024 {
				r.Errorf("s1 sees %s as %v", h.Name, a)
			}
		}
		if rules := r.status().Rules; len(rules) != 2 || rules[0].IdleTimeoutSeconds != 900 || rules[1].IdleTimeoutSeconds != 240 {
			r.Errorf("rules are %+v", rules)
		}
	})
}

// runImported fills in what the template can't know, and runs the gateway by it.
func (r *rig) runImported(template string) {
	r.Helper()
	file := filepath.Join(r.dir, "template.json")
	r.check(os.WriteFile(file, []byte(template), 0o644))
	o := r.cli("import", "arm", file)
	if o.status != 0 || o.stderr != "" {
		r.Fatalf("import: %+v", o)
	}
	r.check(os.WriteFile(r.file(), []byte(o.stdout), 0o644))
	r.wantRefusal(r.cli("check", "-c", r.file()), 2, []string{"gateway.inside.interface: ", "gateway.outside.interface: "})
	text := strings.NewReplacer(
		"<inside interface>", "in0", "<outside interface>", "out0", "gateway:\n", "gateway:\n  datapath: "+r.datapath+"\n",
	).Replace(o.stdout) + "\napi: { listen: [ \"unix:" + r.socket() + "\" ] }\n"
	r.check(os.WriteFile(r.file(), []byte(text), 0o644))
	r.wantTable([]string{"check", "-c", r.file()}, "is valid")
	r.setGuardRoutes()
	r.launch()
	r.awaitReady()
	r.setTunnelRoutes()
}
