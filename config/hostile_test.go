package config

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

const (
	mebibyte = 1 << 20 // the longest body that the API reads

	// What a body may take: generous for the race detector on a busy machine, where
	// these bodies took minutes.
	patience = 5 * time.Second
	appetite = 256 << 20 // bytes allocated in all; a part of them at a time
)

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

func list(n int, element func(int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = element(i)
	}
	return strings.Join(all, ",")
}

// scattered are addresses that share few prefixes.
func scattered(i int) string {
	return fmt.Sprintf(`"%d.%d.%d.%d"`, 1+i*7919%120, i*104729%256, i*31%256, i*15485863/256%256)
}

// nth returns format with every %[1]d replaced by i.
func nth(format string) func(int) string {
	return func(i int) string { return fmt.Sprintf(format, i) }
}

// hostileBody is a body that is small, and was no small work.
type hostileBody struct{ name, format, body, want string }

const (
	tooLong  = "a list has at most 10000 elements"
	tooWide  = "a map has at most 200 keys"
	tooDeep  = "line 1: more than 100 maps and lists within each other"
	tooMany  = "here the file has more than 100000 values"
	tooLarge = "the file has more than 100000 lines, commas and brackets"
	andMore  = "and more: these are the first 1000 problems that were found"
)

func hostileBodies() []hostileBody {
	const sides = `{"gateway":{"inside":{"interface":"a"},"outside":{"interface":"b"}},"frontendIPConfigurations":[{"name":"f","publicIPAddress":"1.1.1.1"}],`
	return []hostileBody{
		{"empty rules", "json", filled(`{"outboundRules":[`, `{}]}`, same("{},")), "outboundRules: " + tooLong},
		{"numbers for rules", "json", `{"outboundRules":[` + list(9999, same("1")) + `]}`, andMore},
		{"fewer empty rules", "json", `{"outboundRules":[` + list(9999, same("{}")) + `]}`, andMore},
		{"unknown keys", "json", filled(`{"log":{`, `"x":1}}`, nth(`"k%d":1,`)), "log: " + tooWide},
		{"unknown keys at the top", "json", filled(`{`, `"x":1}`, nth(`"k%d":1,`)), tooWide},
		{"unknown keys in each of many", "json", `{"probes":[` + list(600, same(`{`+list(150, nth(`"k%d":1`))+`}`)) + `]}`, andMore},
		{"lists of lists", "json", filled(`{"x":[[`, `1]]}`, func(i int) string { return strings.Repeat("1],[", i%9000/8999) + "1," }), tooMany},
		{"deep lists", "json", strings.Repeat(`[`, mebibyte), tooDeep},
		{"deep maps", "json", strings.Repeat(`{"a":`, mebibyte/5), tooDeep},
		{"a pool of many", "json", filled(`{"backendAddressPools":[{"name":"a","addresses":[`, `1]}]}`, same(`"10.0.0.1",`)), "backendAddressPools[0].addresses: " + tooLong},
		{"scattered addresses", "json", `{"backendAddressPools":[` + list(6, func(pool int) string {
			return fmt.Sprintf(`{"name":"%d","addresses":[%s]}`, pool, list(9999, func(i int) string { return scattered(10000*pool + i) }))
		}) + `]}`, "gateway.inside.interface: is required"},
		{"a rule's frontend, very often", "json", sides + `"outboundRules":[{"frontendIPConfigurations":[` + list(9999, same(`"f"`)) + `]}],"inboundNatRules":[` +
			list(6000, same(`{"frontendIPConfiguration":"f","frontendPortRangeStart":1,"frontendPortRangeEnd":65530,"backendAddressPool":"x"}`)) + `]}`, andMore},
		{"each its own port", "json", filled(sides+`"inboundNatRules":[`, `{}]}`,
			nth(`{"name":"%[1]d","frontendIPConfiguration":"f","protocol":"Tcp","frontendPort":1%04[1]d,"backendAddress":"2.2.2.2","backendPort":1},`)), "inboundNatRules[8"},
		{"list", "yaml", filled("outboundRules: [", "a]", same("a,")), tooLarge},
		{"block list", "yaml", filled("outboundRules:\n", "- a", same("- a\n")), tooLarge},
		{"shorter list", "yaml", filled("outboundRules: [", "1]", same("123456789012,")), "outboundRules: " + tooLong},
		{"map", "yaml", filled("log: {", "a}", nth("a-key-that-is-%d,")), "log: " + tooWide},
		{"block map", "yaml", filled("", "a: 1", nth("a-key-that-is-%d: 1\n")), tooWide},
		{"deep lists", "yaml", "x: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), tooDeep},
		{"dashes", "yaml", strings.Repeat("- ", 9000), tooDeep},
		{"merges", "yaml", "a: &a {" + list(199, nth("k%d: 1")) + "}\nb:\n" + strings.Repeat("- <<: ["+list(100, same("*a"))+"]\n", 40), tooMany},
		{"aliases", "yaml", "a: &a [" + list(300, same("x")) + "]\nb: [" + list(1200, same("*a")) + "]\n", tooMany},
		{"laughs", "yaml", "a: &a [x,x,x,x,x,x,x,x,x]\n" + strings.Join([]string{laugh("b", "a"), laugh("c", "b"), laugh("d", "c"), laugh("e", "d"), laugh("f", "e")}, ""), tooMany},
		{"keys", "toml", filled("", "a=1", nth("a-key-that-is-%d=1\n")), tooWide},
		{"tables", "toml", strings.Repeat("[[outboundRules]]\n", 16_000), tooLong},
		{"list", "toml", filled("a=[", "1]", same("1,")), tooLarge},
		{"dotted key", "toml", "a" + strings.Repeat(".a", 9000) + "=1", "a: unknown key"},
		{"long headers", "toml", filled("", "", nth("[a"+strings.Repeat(".a", 500)+"%d]\n")), tooWide},
	}
}

func laugh(name, of string) string {
	return fmt.Sprintf("%s: &%s [%s]\n", name, name, list(9, same("*"+of)))
}

// A body that anybody may send takes neither the memory nor the processor that packets need.
func TestHostileBodies(t *testing.T) {
	for _, c := range hostileBodies() {
		t.Run(c.format+" "+c.name, func(t *testing.T) {
			if len(c.body) > mebibyte {
				t.Fatalf("a body of %d bytes", len(c.body))
			}
			took, allocated, err := cost(func() error { _, err := Parse(c.format, []byte(c.body)); return err })
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > mostProblems*200 {
				t.Errorf("%.300v", err)
			}
			if took > patience || allocated > appetite {
				t.Errorf("took %v and %d MiB", took, allocated>>20)
			}
		})
	}
}

func cost(work func() error) (took time.Duration, allocated uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	err = work()
	took = time.Since(began)
	runtime.ReadMemStats(&after)
	return took, after.TotalAlloc - before.TotalAlloc, err
}

// The largest body that is a configuration is read in much the same time.
func TestLargestBodies(t *testing.T) {
	const sides = `{"gateway":{"inside":{"interface":"a"},"outside":{"interface":"b"}},`
	parts := func(n int) string {
		return sides + `"frontendIPConfigurations":[` + list(n, func(i int) string {
			return fmt.Sprintf(`{"name":"f%d","publicIPAddress":"1.1.%d.%d"}`, i, i/256, i%256)
		}) + `],"backendAddressPools":[` + list(n, func(i int) string {
			return fmt.Sprintf(`{"name":"p%d","addresses":["2.1.%d.%d"]}`, i, i/256, i%256)
		}) + `],`
	}
	const balance = `{"name":"l%[1]d","frontendIPConfiguration":"f%[1]d","backendAddressPool":"p%[1]d","protocol":"Tcp","frontendPort":1,"backendPort":2`
	for name, body := range map[string]string{
		"given":   parts(2900) + `"outboundRules":[` + list(2900, nth(`{"name":"o%[1]d","frontendIPConfigurations":["f%[1]d"],"backendAddressPool":"p%[1]d","protocol":"All"}`)) + `],"loadBalancingRules":[` + list(1000, nth(balance+`,"disableOutboundSnat":true}`)) + `]}`,
		"implied": parts(4500) + `"loadBalancingRules":[` + list(1000, nth(balance+`}`)) + `]}`,
	} {
		took, allocated, err := cost(func() error { _, err := Parse("json", []byte(body)); return err })
		if err != nil || took > patience || allocated > appetite || len(body) > mebibyte {
			t.Errorf("%s: %d bytes took %v and %d MiB: %.300v", name, len(body), took, allocated>>20, err)
		}
	}
}

// Of many problems the first thousand are told, in order, and that there are more.
func TestManyProblems(t *testing.T) {
	for n, want := range map[int]int{500: 1000, 501: 1001} {
		got := problemsOf(t, "yaml", with("probes: [ "+list(n, nth("{ name: p%d, protocol: Tcp, port: 0, intervalInSeconds: 1 }"))+" ]"))
		if len(got) != want || !strings.HasPrefix(got[999], "probes[499].intervalInSeconds: ") {
			t.Errorf("%d probes: %d problems: %q", n, len(got), got)
		}
		if n == 501 && got[1000] != ": "+andMore {
			t.Errorf("the last is %q", got[100])
		}
	}
}

// Text goes to terminals, logs and YAML, and steers none of them.
func TestControlCharacters(t *testing.T) {
	for _, r := range []rune{0, '\t', '\n', '\r', 0x1b, 0x7f, 0x80, 0x85, 0x9f, 0x2028, 0x2029, 0x202e, 0x2066, 0xfdd0, 0xfffe, 0xffff, 0x1fffe, 0x10ffff} {
		pool := fmt.Sprintf(`{"backendAddressPools":[{"name":"vm\u%04xs"}]}`, r)
		if r > 0xffff {
			pool = `{"backendAddressPools":[{"name":"vm` + string(r) + `s"}]}`
		}
		want := fmt.Sprintf("backendAddressPools[0].name: %q holds the control character %U; remove it", "vm"+string(r)+"s", r)
		if got := problemsOf(t, "json", pool); !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%U: %q is not %s", r, got, want)
		}
	}
	if err := checkText("Süd, 東京 – “west” 🌊 \ufeff\u200d"); err != nil {
		t.Error(err)
	}
}

// What is small to write and large to carry out is refused as a whole.
func TestSizesInAll(t *testing.T) {
	var frontends, pools, services strings.Builder
	for i := range 3 {
		fmt.Fprintf(&frontends, "- { name: f%d, publicIPPrefix: 100.%d.0.0/16 }\n", i, 64+i)
		fmt.Fprintf(&pools, "- { name: p%d, addresses: [ 10.%d.0.0/16 ] }\n", i, i)
	}
	for i := range 20 {
		fmt.Fprintf(&services, "- { name: r%d, frontendIPConfiguration: one, backendAddressPool: p0, protocol: Tcp, frontendPort: %d, backendPort: %d, disableOutboundSnat: true }\n", i, 100+i, 100+i)
	}
	_, err := Parse("yaml", []byte("gateway: { inside: { interface: a }, outside: { interface: b } }\nfrontendIPConfigurations:\n- { name: one, publicIPAddress: 192.0.2.1 }\n"+
		frontends.String()+"backendAddressPools:\n"+pools.String()+"loadBalancingRules:\n"+services.String()))
	for _, want := range []string{
		"frontendIPConfigurations: 196609 addresses are more than the 65536 that a gateway may have",
		"backendAddressPools: 196608 addresses are more than the 131072 that a gateway may have",
		"loadBalancingRules: 1310720 backends, rule by rule, are more than the 1048576 that a gateway may have",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no problem says %q:\n%v", want, err)
		}
	}
}
