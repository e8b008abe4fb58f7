package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const mebibyte = 1 << 20

// filled repeats what piece makes of 0, 1, 2 … until a body has a mebibyte.
func filled(head, tail string, piece func(i int) string) string {
	var b strings.Builder
	b.WriteString(head)
	for i := 0; ; i++ {
		p := piece(i)
		if b.Len()+len(p)+len(tail) > mebibyte {
			return b.String() + tail
		}
		b.WriteString(p)
	}
}

func same(piece string) func(int) string { return func(int) string { return piece } }

func TestMeasure(t *testing.T) {
	for _, c := range hostile() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Parse(c.format, []byte(c.body))
		took := time.Since(start)
		runtime.ReadMemStats(&after)
		msg := "fine"
		if err != nil {
			msg = err.Error()
		}
		if len(msg) > 150 {
			msg = fmt.Sprint(len(msg), " ", msg[:150])
		}
		t.Logf("%-30s %8d %v total %d MiB: %s", c.name, len(c.body), took, (after.TotalAlloc-before.TotalAlloc)>>20, msg)
	}
}

func list(n int, f func(int) string) string {
	var all []string
	for i := range n {
		all = append(all, f(i))
	}
	return strings.Join(all, ",")
}

type hostileBody struct{ name, format, body string }

func hostile() []hostileBody {
	keys := func(i int) string { return fmt.Sprintf(`"k%d":1,`, i) }
	ip := func(i int) string { return fmt.Sprintf("%d.%d.%d.%d", 1+i*7919%120, i*104729%256, i*31%256, i*15485863/256%256) }
	return []hostileBody{
		{"json empty rules", "json", filled(`{"outboundRules":[`, `{}]}`, same("{},"))},
		{"json nulls", "json", filled(`{"outboundRules":[`, `1]}`, same("1,"))},
		{"json unknown keys", "json", filled(`{`, `"x":1}`, keys)},
		{"json unknown lists", "json", filled(`{"x":[`, `[]]}`, same("[],"))},
		{"json nested", "json", "{\"x\":" + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + "}"},
		{"json pool random", "json", filled(`{"backendAddressPools":[{"name":"a","addresses":[`, `"10.0.0.1"]}]}`, func(i int) string { return `"` + ip(i) + `",` })},
		{"json lb rules", "json", filled(`{"loadBalancingRules":[`, `{}]}`, func(i int) string {
			return fmt.Sprintf(`{"name":"%d","frontendIPConfiguration":"a","backendAddressPool":"a","protocol":"Tcp","frontendPort":%d,"backendPort":%d},`, i, 1+i, 1+i)
		})},
		{"json NAT rules of one frontend", "json", filled(`{"gateway":{"inside":{"interface":"a"},"outside":{"interface":"b"}},"frontendIPConfigurations":[{"name":"f","publicIPAddress":"1.1.1.1"}],"inboundNatRules":[`, `{"name":"x","frontendIPConfiguration":"f","protocol":"Udp","frontendPort":1,"backendAddress":"2.2.2.2","backendPort":1}]}`, func(i int) string {
			return fmt.Sprintf(`{"name":"%d","frontendIPConfiguration":"f","protocol":"Tcp","frontendPort":%d,"backendAddress":"2.2.2.2","backendPort":1},`, i, 1+i)
		})},
		{"json many", "json", `{"gateway":{"inside":{"interface":"a"},"outside":{"interface":"b"}},"frontendIPConfigurations":[` + list(3500, func(i int) string { return fmt.Sprintf(`{"name":"f%d","publicIPAddress":"1.1.%d.%d"}`, i, i/256, i%256) }) +
			`],"backendAddressPools":[` + list(3500, func(i int) string { return fmt.Sprintf(`{"name":"p%d","addresses":["2.1.%d.%d"]}`, i, i/256, i%256) }) +
			`],"outboundRules":[` + list(3500, func(i int) string { return fmt.Sprintf(`{"name":"o%d","frontendIPConfigurations":["f%d"],"backendAddressPool":"p%d","protocol":"All"}`, i, i, i) }) +
			`],"loadBalancingRules":[` + list(3500, func(i int) string { return fmt.Sprintf(`{"name":"l%d","frontendIPConfiguration":"f%d","backendAddressPool":"p%d","protocol":"Tcp","frontendPort":1,"backendPort":2,"disableOutboundSnat":true}`, i, i, i) }) + `]}`},
		{"json implied", "json", `{"gateway":{"inside":{"interface":"a"},"outside":{"interface":"b"}},"frontendIPConfigurations":[` + list(4500, func(i int) string { return fmt.Sprintf(`{"name":"f%d","publicIPAddress":"1.1.%d.%d"}`, i, i/256, i%256) }) +
			`],"backendAddressPools":[` + list(4500, func(i int) string { return fmt.Sprintf(`{"name":"p%d","addresses":["2.1.%d.%d"]}`, i, i/256, i%256) }) +
			`],"loadBalancingRules":[` + list(4500, func(i int) string { return fmt.Sprintf(`{"name":"l%d","frontendIPConfiguration":"f%d","backendAddressPool":"p%d","protocol":"Tcp","frontendPort":1,"backendPort":2}`, i, i, i) }) + `]}`},
		{"json one frontend many rules", "json", `{"outboundRules":[{"frontendIPConfigurations":[` + strings.Repeat(`"f",`, 9990) + `"f"]}],"frontendIPConfigurations":[{"name":"f","publicIPAddress":"1.1.1.1"}],"inboundNatRules":[` + strings.Repeat(`{"frontendIPConfiguration":"f","frontendPortRangeStart":1,"frontendPortRangeEnd":65530,"backendAddressPool":"x"},`, 6000) + `{}]}`},
		{"json pools random", "json", `{"frontendIPConfigurations":[{"name":"f","publicIPAddress":"130.1.1.1"}],"backendAddressPools":[` + list(7, func(i int) string { return fmt.Sprintf(`{"name":"a%d","addresses":[`, i) + list(9990, func(j int) string { return `"` + ip(10000*i+j) + `"` }) + "]}" }) + `]}`},
		{"json outbound frontends", "json", `{"outboundRules":[{"frontendIPConfigurations":[` + strings.Repeat(`"f",`, 10000) + `"f"]}],"frontendIPConfigurations":[{"name":"f","publicIPAddress":"1.1.1.1"}],"inboundNatRules":[` + strings.Repeat(`{"frontendIPConfiguration":"f"},`, 9998) + `{}]}`},
		{"yaml flow list", "yaml", filled("outboundRules: [", "a]", same("a,"))},
		{"yaml block list", "yaml", filled("outboundRules:\n", "- a", same("- a\n"))},
		{"yaml empty maps", "yaml", filled("outboundRules: [", "{}]", same("{},"))},
		{"yaml flow map", "yaml", filled("{", "a}", func(i int) string { return fmt.Sprint("k", i, ",") })},
		{"yaml block map", "yaml", filled("", "a: 1", func(i int) string { return fmt.Sprint("k", i, ": 1\n") })},
		{"yaml nested flow", "yaml", "x: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000)},
		{"yaml dashes", "yaml", strings.Repeat("- ", 9000)},
		{"yaml merges", "yaml", "a: &a {" + func() string { s := ""; for i := range 1000 { s += fmt.Sprint("k", i, ": 1, ") }; return s }() + "}\nb:\n" + strings.Repeat("- <<: ["+strings.Repeat("*a, ", 99)+"*a]\n", 40)},
		{"yaml aliases", "yaml", "a: &a [" + strings.Repeat("x,", 300) + "x]\nb: [" + strings.Repeat("*a,", 1200) + "*a]\n"},
		{"yaml laughs", "yaml", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"},
		{"toml keys", "toml", filled("", "a=1", func(i int) string { return fmt.Sprint("k", i, "=1\n") })},
		{"toml tables", "toml", filled("", "", same("[[outboundRules]]\n"))},
		{"toml list", "toml", filled("a=[", "1]", same("1,"))},
		{"toml dotted", "toml", "a" + strings.Repeat(".a", 9000) + "=1"},
		{"toml long headers", "toml", filled("", "", func(i int) string { return "[a" + strings.Repeat(".a", 500) + fmt.Sprint(i) + "]\n" })},
	}
}
