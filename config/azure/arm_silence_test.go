package azure

import (
	"strings"
	"testing"
)

// wantWarnings imports the files and wants these warnings, no others.
func wantWarnings(t *testing.T, files []File, want ...string) *Document {
	t.Helper()
	d, err := ARM(files, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range d.Warnings {
		got = append(got, w.String())
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("warnings\n%s\nwant\n%s", g, w)
	}
	return d
}

// What a parameters file gives is used or told.
func TestARMParametersFiles(t *testing.T) {
	const lb = `{ "contentVersion": "1",
  "parameters": { "idle": { "defaultValue": 5 }, "path": { "defaultValue": "/default" }, "spare": { "defaultValue": "x" } },
  "variables": { "path": "[concat('/v1', parameters('path'))]" },
  "resources": [ { "type": "Microsoft.Network/loadBalancers", "name": "lb", "sku": { "name": "Standard" }, "properties": {
    "probes": [ { "name": "p", "requestPath": "[variables('path')]", "intervalInSeconds": "[parameters('idle')]" } ] } } ] }`
	const (
		place    = "p.json: parameters."
		noValue  = "has no value, as the reference to a key vault has none: where it is needed stands a placeholder; write the value in"
		noPlace  = "no template declares it"
		given    = `not resolved: parameter "path" is given without a value; write it in`
		vaulted  = `{ "reference": { "keyVault": { "id": "/x" }, "secretName": "s" } }`
		pathOf   = "resources[0].properties.probes[0].requestPath: "
		nat      = `{ "contentVersion": "1", "parameters": { "nat": {} }, "resources": [ { "type": "Microsoft.Network/natGateways", "name": "n" } ] }`
		asideNAT = "a NAT gateway is not carried over; in Azure it wins over outbound rules where its subnets are"
	)
	for _, test := range []struct {
		name, given, more, yaml string
		want                    []string
	}{
		{"a value", `"IDLE": { "value": 7 }`, "", "requestPath: /v1/default, intervalInSeconds: 7}", nil},
		{"null is a value", `"spare": { "value": null }`, "", "intervalInSeconds: 5}", nil},
		{"a name that is not declared", `"idel": { "value": 7 }`, "", "intervalInSeconds: 5}", []string{place + "idel: " + noPlace}},
		{"a reference", `"path": ` + vaulted, "", "requestPath: /v1<parameter path>", []string{place + "path: " + noValue, pathOf + given}},
		{"a reference that nothing needs", `"spare": ` + vaulted, "", "requestPath: /v1/default", []string{place + "spare: " + noValue}},
		{"a reference that is not declared", `"idel": ` + vaulted, "", "intervalInSeconds: 5}", []string{place + "idel: " + noPlace}},
		{"no object", `"path": "/given"`, "", "parameter path>", []string{place + "path: " + noValue, pathOf + given}},
		{"several, in their order", `"b": { "value": 1 }, "a": { "value": 2 }`, "", "", []string{place + "b: " + noPlace, place + "a: " + noPlace}},
		{"several templates", `"idle": { "value": 7 }, "nat": { "value": 1 }`, nat, "intervalInSeconds: 7}", []string{"n.json: resources[0]: " + asideNAT}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := []File{{"p.json", []byte(`{ "$schema": "https://x/deploymentParameters.json#", "parameters": {` + test.given + `} }`)}, {"lb.json", []byte(lb)}}
			if test.more != "" {
				files = append(files, File{"n.json", []byte(test.more)})
			}
			d := wantWarnings(t, files, test.want...)
			if text, err := d.YAML(); err != nil || !strings.Contains(string(text), test.yaml) {
				t.Errorf("%v, want %s in\n%s", err, test.yaml, text)
			}
		})
	}
}

// A resource without a SKU is a Basic one in Azure.
func TestARMNoSKU(t *testing.T) {
	const none = "no sku: Azure takes it as Basic; here it becomes Standard's behaviour"
	lb := func(sku string) string {
		return `{ "type": "Microsoft.Network/loadBalancers", "name": "lb", ` + sku + `"properties": {} }`
	}
	pip := File{"pip.json", []byte(`{ "type": "Microsoft.Network/publicIPAddresses", "name": "pip" }`)}
	for _, test := range []struct {
		name  string
		files []File
		want  []string
	}{
		{"in a template", []File{{"lb.json", []byte(template("[" + lb("") + "]"))}}, []string{"resources[0]: " + none}},
		{"as REST has it", []File{{"lb.json", []byte(lb(""))}}, []string{none}},
		{"one of several files", []File{{"lb.json", []byte(lb(""))}, pip}, []string{"lb.json: " + none}},
		{"null", []File{{"lb.json", []byte(lb(`"sku": null, `))}}, []string{none}},
		{"empty", []File{{"lb.json", []byte(lb(`"sku": {}, `))}}, []string{none}},
		{"Standard", []File{{"lb.json", []byte(lb(`"sku": { "name": "standard" }, `))}}, nil},
		{"unresolved", []File{{"lb.json", []byte(template("[" + lb(`"sku": "[reference('x')]", `) + "]"))}},
			[]string{"resources[0].sku: not resolved: reference() can't be evaluated here"}},
	} {
		t.Run(test.name, func(t *testing.T) { wantWarnings(t, test.files, test.want...) })
	}
}
