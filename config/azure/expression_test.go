package azure

import (
	"fmt"
	"strings"
	"testing"
)

func TestExpressions(t *testing.T) {
	content := `{
  "parameters": {
    "text": { "defaultValue": "shop" }, "n": { "defaultValue": 7 }, "whole": { "defaultValue": 4.0 }, "yes": { "defaultValue": true },
    "list": { "defaultValue": [ "a", { "b": [ 1, 2 ] } ] }, "none": { "type": "string" }, "given": { "defaultValue": "default" },
    "nested": { "defaultValue": "[concat(parameters('text'), '!')]" }, "nil": { "defaultValue": null }
  },
  "variables": { "o": { "p": { "q": "[parameters('n')]" } }, "key": "p", "escaped": "[[x]", "self": "[variables('self')]" }
}`
	for _, test := range []struct{ source, want, missing string }{
		{"'it''s'", "it's", ""},
		{"''", "", ""},
		{"42", "42", ""},
		{"-1", "-1", ""},
		{" concat ( 'a' , 'b' ) ", "ab", ""},
		{"CONCAT('a', 1, true())", "a1True", ""},
		{"concat()", "", ""},
		{"concat(concat('a', 'b'), concat('c'))", "abc", ""},
		{"concat(parameters('list'), parameters('list'))[2]", "a", ""},
		{"parameters('TEXT')", "shop", ""},
		{"parameters('n')", "7", ""},
		{"parameters('whole')", "4", ""},
		{"parameters('yes')", "true", ""},
		{"parameters('nil')", "<nil>", ""},
		{"parameters('nested')", "shop!", ""},
		{"parameters('given')", "from file", ""},
		{"parameters('list')[0]", "a", ""},
		{"parameters('list')[1].b[1]", "2", ""},
		{"parameters('list')[1].?b[0]", "1", ""},
		{"variables('o').p.q", "7", ""},
		{"variables('o')[variables('key')]['q']", "7", ""},
		{"variables('escaped')", "[x]", ""},
		{"format('{0}-{1}-{0}', 'a', 2)", "a-2-a", ""},
		{"format('{{{0}}}', 'a')", "{a}", ""},
		{"toLower(toUpper(' aB '))", " ab ", ""},
		{"trim(' a ')", "a", ""},
		{"string(4)", "4", ""},
		{"int('12')", "12", ""},
		{"null()", "<nil>", ""},
		{"false()", "false", ""},
		{"resourceId('Microsoft.Network/loadBalancers', 'lb')", "/providers/Microsoft.Network/loadBalancers/lb", ""},
		{"resourceId('sub', 'rg', 'Microsoft.Network/loadBalancers/probes', 'lb', 'p')", "/providers/Microsoft.Network/loadBalancers/lb/probes/p", ""},
		{"resourceId(resourceGroup().name, 'Microsoft.Network/loadBalancers/probes', 'lb/p')", "/providers/Microsoft.Network/loadBalancers/lb/probes/p", "resourceGroup()"},
		{"concat('a-', parameters('none'))", "a-<parameter none>", `parameter "none" has no default`},

		{"parameters('nowhere')", "<parameters('nowhere')>", `the template has no parameter "nowhere"`},
		{"variables('nowhere')", "<variables('nowhere')>", `the template has no variable "nowhere"`},
		{"variables('self')", "<variables('self')>", `"self" refers to itself`},
		{"variables('o').x", "<variables('o').x>", "variables('o') has no x"},
		{"parameters('list')[9]", "<parameters('list')[9]>", "parameters('list') has no 9"},
		{"parameters('text').x", "<parameters('text').x>", "parameters('text') has no x"},
		{"parameters(1)", "<parameters(1)>", "parameters() takes one name"},
		{"toLower(parameters('none'))", "<toLower(parameters('none'))>", "has no default"},
		{"resourceGroup().location", "<resourceGroup().location>", "resourceGroup() can't be evaluated here"},
		{"uniqueString('a')", "<uniqueString('a')>", "uniqueString() can't be evaluated here"},
		{"concat('a', parameters('list'))", "<concat('a', parameters('list'))>", "concat(): a list, an object or null is no text"},
		{"concat(parameters('list'), 'a')", "<concat(parameters('list'), 'a')>", "concat(): lists and texts are mixed"},
		{"format()", "<format()>", "format(): takes a text first"},
		{"format('{1}', 'a')", "<format('{1}', 'a')>", `format(): "{1" is no place of an argument`},
		{"format('}', 'a')", "<format('}', 'a')>", "is no place of an argument"},
		{"toLower()", "<toLower()>", "toLower(): takes one argument, not 0"},
		{"int('x')", "<int('x')>", `int(): "x" is not a whole number`},
		{"int()", "<int()>", "takes one argument"},
		{"resourceId('x')", "<resourceId('x')>", "no argument is a type"},
		{"resourceId('Microsoft.Network/loadBalancers', 'a', 'b')", "<resourceId('Microsoft.Network/loadBalancers', 'a', 'b')>", `"Microsoft.Network/loadBalancers" needs 1 names, not 2`},

		{"", "<[]>", "malformed: a function, text or number is missing"},
		{"'a", "<['a]>", "malformed: ' is missing at the end of a text"},
		{"concat('a'", "<[concat('a']>", "malformed: ) is missing after the arguments of concat"},
		{"concat", "<[concat]>", "malformed: ( is missing after concat"},
		{"concat() x", "<[concat() x]>", `malformed: "x" is left over`},
		{"concat().", "<[concat().]>", "malformed: a name is missing after the dot"},
		{"concat()[1", "<[concat()[1]>", "malformed: ] is missing"},
		{strings.Repeat("concat(", 200), "", "malformed: nested more than 100 deep"},
	} {
		t.Run(test.source, func(t *testing.T) {
			root, err := parseJSON([]byte(content))
			if err != nil {
				t.Fatal(err)
			}
			given := map[string]*node{"given": {scalar: "from file"}}
			s := &scope{root.member("parameters"), root.member("variables"), given, map[string]bool{}, 0, 0, maxTotal}
			root.setScope(s)
			n := (&node{scope: s, scalar: "[" + test.source + "]"}).resolve()
			if got := fmt.Sprint(n.scalar); got != test.want && test.want != "" {
				t.Errorf("%q, want %q", got, test.want)
			}
			missing := strings.Join(n.missing, "; ")
			if missing == "" != (test.missing == "") || !strings.Contains(missing, test.missing) {
				t.Errorf("missing %q, want %q", missing, test.missing)
			}
		})
	}
}

// Variables that multiply must not take the machine with them.
func TestExpressionsThatGrow(t *testing.T) {
	var variables []string
	for i := range 60 {
		variables = append(variables, fmt.Sprintf(`"v%d": "[concat(variables('v%d'), variables('v%d'))]"`, i+1, i, i))
	}
	for _, first := range []string{`"x"`, `""`, `[ 1, 2, 3 ]`} {
		lb := `{ "contentVersion": "1", "variables": { "v0": ` + first + `, ` + strings.Join(variables, ", ") + ` },
			"resources": [ { "type": "Microsoft.Network/loadBalancers", "name": "[variables('v60')]",
			"properties": { "probes": "[variables('v60')]", "frontendIPConfigurations": "[variables('v60')]" } } ] }`
		d, err := ARM([]File{{"lb.json", []byte(lb)}}, "")
		if err != nil || len(d.Warnings) == 0 {
			t.Errorf("%v, %v", err, d)
		}
	}
}
