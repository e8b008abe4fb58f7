package api

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func endpoints(t *testing.T, s string) Endpoints {
	t.Helper()
	e, err := ParseEndpoints(s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestParseFilter(t *testing.T) {
	words := []string{
		"proto=TCP", "rule=egress", "state=established", "internal=10.0.0.10:40000", "external=203.0.113.5",
		"remote=198.51.100.0/24", "backend=10.0.0.10", "frontend=public", "idle>1m30s",
	}
	got, err := ParseFilter(words)
	if err != nil {
		t.Fatal(err)
	}
	want := Filter{
		Proto: "tcp", Rule: "egress", State: "ESTABLISHED",
		Internal: endpoints(t, "10.0.0.10:40000"), External: endpoints(t, "203.0.113.5"),
		Remote: endpoints(t, "198.51.100.0/24"), Backend: endpoints(t, "10.0.0.10"),
		Frontend: "public", IdleOver: 90 * time.Second,
	}
	if got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	query := "backend=10.0.0.10&external=203.0.113.5&frontend=public&idleOver=1m30s&internal=10.0.0.10%3A40000" +
		"&proto=tcp&remote=198.51.100.0%2F24&rule=egress&state=ESTABLISHED"
	if s := got.Query().Encode(); s != query {
		t.Errorf("as a query: %s", s)
	}
}

func TestFilterErrors(t *testing.T) {
	const keys = "proto, rule, state, internal, external, remote, backend, frontend, id"
	tests := []struct{ words, want string }{
		{"stat=ESTABLISHED", `api: filter "stat=ESTABLISHED": it is idle>DURATION, or KEY=VALUE with one of the keys ` + keys},
		{"tcp", `api: filter "tcp": it is idle>DURATION, or KEY=VALUE with one of the keys ` + keys},
		{"idle=30s", `api: filter "idle=30s": it is idle>DURATION, or KEY=VALUE with one of the keys ` + keys},
		{"idleOver=30s", `api: filter "idleOver=30s": it is idle>DURATION, or KEY=VALUE with one of the keys ` + keys},
		{"=x", `api: filter "=x": it is idle>DURATION, or KEY=VALUE with one of the keys ` + keys},
		{"rule=", "api: filter rule: has no value"},
		{"rule=a rule=b", "api: filter rule: given more than once: a, b"},
		{"idle>1s idle>1s", "api: filter idleOver: given more than once: 1s, 1s"},
		{"proto=sctp", `api: filter proto: "sctp" is not one of tcp, udp, icmp`},
		{"state=OPEN", `api: filter state: "OPEN" is not one of SYN_SENT, SYN_RECEIVED, ESTABLISHED, FIN_WAIT, TIME_WAIT, CLOSED, ACTIVE`},
		{"remote=example.com", `api: filter remote: "example.com" is no address, ADDR:PORT or CIDR`},
		{"remote=10.0.0.1:70000", `api: filter remote: "10.0.0.1:70000" is no address, ADDR:PORT or CIDR`},
		{"internal=10.0.0.10/24", "api: filter internal: 10.0.0.10/24 has bits beyond the prefix: the network is 10.0.0.0/24, the address 10.0.0.10"},
		{"idle>30", `api: filter idleOver: "30" is no duration above zero, as 30s or 1h15m`},
		{"idle>-1s", `api: filter idleOver: "-1s" is no duration above zero, as 30s or 1h15m`},
		{"idle>=1s", `api: filter idleOver: "=1s" is no duration above zero, as 30s or 1h15m`},
		{"idle>", "api: filter idleOver: has no value"},
	}
	for _, tt := range tests {
		f, err := ParseFilter(strings.Fields(tt.words))
		if err == nil || err.Error() != tt.want || !f.Empty() {
			t.Errorf("%s: %v, %v\nwant %s", tt.words, f, err, tt.want)
		}
	}
}

func TestQueryErrors(t *testing.T) {
	const keys = "proto, rule, state, internal, external, remote, backend, frontend, id, idleOver"
	tests := []struct{ query, want string }{
		{"idle=30s", `api: unknown parameter "idle": known are ` + keys + ", limit, cursor"},
		{"idle>30s", `api: unknown parameter "idle>30s": known are ` + keys + ", limit, cursor"},
		{"rule=a&rule=b", "api: filter rule: given more than once: a, b"},
		{"limit=1&limit=2", "api: parameter limit: given more than once"},
		{"cursor=1&cursor=2", "api: parameter cursor: given more than once"},
		{"limit=", `api: parameter limit: "" is no number in 1–10000`},
		{"limit=ten", `api: parameter limit: "ten" is no number in 1–10000`},
		{"limit=0", `api: parameter limit: "0" is no number in 1–10000`},
		{"limit=-1", `api: parameter limit: "-1" is no number in 1–10000`},
		{"limit=10001", `api: parameter limit: "10001" is no number in 1–10000`},
	}
	for _, tt := range tests {
		values, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseFlowQuery(values); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v\nwant %s", tt.query, err, tt.want)
		}
	}
	if _, err := ParseFilterQuery(url.Values{"limit": {"1"}}); err == nil || !strings.HasSuffix(err.Error(), keys) {
		t.Errorf("a page size where there are no pages: %v", err)
	}
}

func TestFlowQueryDefaults(t *testing.T) {
	q, err := ParseFlowQuery(url.Values{"cursor": {""}})
	if err != nil || q != (FlowQuery{Limit: DefaultLimit}) {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestPortsQuery(t *testing.T) {
	tests := []struct {
		query url.Values
		want  PortsQuery
		err   string
	}{
		{url.Values{}, PortsQuery{ByBackend, true}, ""},
		{url.Values{"by": {"frontend"}}, PortsQuery{ByFrontend, true}, ""},
		{url.Values{"by": {"rule"}, "held": {"true"}}, PortsQuery{ByRule, true}, ""},
		{url.Values{"held": {"false"}}, PortsQuery{ByBackend, false}, ""},
		{url.Values{"held": {"no"}}, PortsQuery{}, `api: parameter held: "no" is not true or false`},
		{url.Values{"by": {"rules"}}, PortsQuery{}, `api: ports by "rules": it is one of backend, frontend, rule`},
		{url.Values{"by": {"rule", "rule"}}, PortsQuery{}, "api: parameter by: given more than once"},
		{url.Values{"rule": {"a"}}, PortsQuery{}, `api: unknown parameter "rule": known are by, held`},
	}
	for _, tt := range tests {
		got, err := ParsePortsQuery(tt.query)
		if err == nil && got != tt.want || (err == nil) != (tt.err == "") || err != nil && err.Error() != tt.err {
			t.Errorf("%v: %+v, %v", tt.query, got, err)
		}
	}
}

// anyFilter draws words for some of the keys.
func anyFilter(t *rapid.T) []string {
	addr := rapid.Custom(func(t *rapid.T) netip.Addr {
		return netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
	})
	where := rapid.OneOf(
		rapid.Map(addr, netip.Addr.String),
		rapid.Custom(func(t *rapid.T) string {
			return netip.AddrPortFrom(addr.Draw(t, "a"), rapid.Uint16().Draw(t, "port")).String()
		}),
		rapid.Custom(func(t *rapid.T) string {
			return netip.PrefixFrom(addr.Draw(t, "a"), rapid.IntRange(0, 32).Draw(t, "bits")).Masked().String()
		}),
	)
	values := map[string]*rapid.Generator[string]{
		"proto=":    rapid.SampledFrom([]string{"tcp", "udp", "icmp"}),
		"state=":    rapid.SampledFrom([]string{"SYN_SENT", "TIME_WAIT", "ACTIVE"}),
		"rule=":     rapid.StringN(1, 20, -1),
		"frontend=": rapid.StringN(1, 20, -1),
		"internal=": where, "external=": where, "remote=": where, "backend=": where,
		"id=":   rapid.Map(rapid.Uint64(), func(n uint64) string { return fmt.Sprintf("%016x", n) }),
		"idle>": rapid.Map(rapid.Int64Range(1, 1e15), func(n int64) string { return time.Duration(n).String() }),
	}
	var words []string
	for _, key := range []string{"proto=", "state=", "rule=", "frontend=", "internal=", "external=", "remote=", "backend=", "id=", "idle>"} {
		if rapid.Bool().Draw(t, key) {
			words = append(words, key+values[key].Draw(t, "value"))
		}
	}
	return words
}

// Every filter comes through the URL as it was given.
func TestFilterRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := anyFilter(t)
		f, err := ParseFilter(words)
		if err != nil {
			t.Fatal(err)
		}
		want := FlowQuery{Filter: f, Limit: rapid.IntRange(1, MaxLimit).Draw(t, "limit"), Cursor: rapid.String().Draw(t, "cursor")}
		values, err := url.ParseQuery(want.Query().Encode())
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseFlowQuery(values)
		if err != nil || got != want {
			t.Fatalf("%v: got %v, %v", want, got, err)
		}
		if f.Empty() != (len(words) == 0) {
			t.Fatalf("%v is empty: %t", words, f.Empty())
		}
	})
}

func TestFilterString(t *testing.T) {
	words := []string{"proto=udp", "remote=198.51.100.7:53", "idle>30s"}
	f, err := ParseFilter(words)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(words, strings.Fields(f.String())); diff != "" {
		t.Error(diff)
	}
}

func TestEndpointsContains(t *testing.T) {
	tests := []struct {
		endpoints string
		in, out   string
	}{
		{"10.0.0.10", "10.0.0.10:1 10.0.0.10:0", "10.0.0.11:1"},
		{"10.0.0.10:80", "10.0.0.10:80", "10.0.0.10:81 10.0.0.11:80"},
		{"10.0.0.10:0", "10.0.0.10:0", "10.0.0.10:81"}, // an ICMP flow's remote
		{"10.0.0.0/29", "10.0.0.0:5 10.0.0.7:9", "10.0.0.8:5 9.255.255.255:5"},
		{"0.0.0.0/0", "0.0.0.0:0 255.255.255.255:65535", ""},
		{"::ffff:10.0.0.10", "10.0.0.10:1", "10.0.0.11:1"},
	}
	for _, tt := range tests {
		e := endpoints(t, tt.endpoints)
		for _, s := range strings.Fields(tt.in) {
			if !e.Contains(netip.MustParseAddrPort(s)) {
				t.Errorf("%s is not in %s", s, tt.endpoints)
			}
		}
		for _, s := range strings.Fields(tt.out) {
			if e.Contains(netip.MustParseAddrPort(s)) {
				t.Errorf("%s is in %s", s, tt.endpoints)
			}
		}
	}
	if !(Endpoints{}).Contains(netip.MustParseAddrPort("10.0.0.1:1")) {
		t.Error("the zero Endpoints do not select all")
	}
}
