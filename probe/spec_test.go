package probe

import (
	"net/netip"
	"testing"
	"time"
)

func web(change func(*Spec)) Spec {
	s := Spec{Name: "web", Protocol: HTTP, Port: 80, Path: "/", Interval: 5 * time.Second, Timeout: 5 * time.Second, Threshold: 1}
	if change != nil {
		change(&s)
	}
	return s
}

func TestNewRefuses(t *testing.T) {
	a := netip.MustParseAddr
	for _, c := range []struct {
		name    string
		change  func(*Spec)
		targets []Target
		want    string
	}{
		{"a protocol in lower case", func(s *Spec) { s.Protocol = "http" }, nil,
			`probe: probe "web": protocol "http" is not one of Tcp, Http, Https`},
		{"port 0", func(s *Spec) { s.Port = 0 }, nil,
			`probe: probe "web": port 0: name the port that the backends serve, 1–65535`},
		{"no interval", func(s *Spec) { s.Interval = 0 }, nil,
			`probe: probe "web": interval 0s: it must be more than 0`},
		{"no timeout", func(s *Spec) { s.Timeout = 0 }, nil,
			`probe: probe "web": timeout 0s: it must be more than 0 and at most the interval, 5s, since a backend is asked one question at a time`},
		{"a timeout beyond the interval", func(s *Spec) { s.Timeout = 6 * time.Second }, nil,
			`probe: probe "web": timeout 6s: it must be more than 0 and at most the interval, 5s, since a backend is asked one question at a time`},
		{"no threshold", func(s *Spec) { s.Threshold = 0 }, nil,
			`probe: probe "web": threshold 0: it takes at least 1 result to change a state`},
		{"no path", func(s *Spec) { s.Path = "" }, nil, `probe: probe "web": path "": it must begin with /`},
		{"another host", func(s *Spec) { s.Path = "@203.0.113.1/" }, nil, `probe: probe "web": path "@203.0.113.1/": it must begin with /`},
		{"a space", func(s *Spec) { s.Path = "/?a b" }, nil, `probe: probe "web": path "/?a b": write a space as %20 and # as %23`},
		{"a header", func(s *Spec) { s.Path = "/\r\nX:" }, nil,
			`probe: probe "web": path "/\r\nX:": net/url: invalid control character in URL`},
		{"a broken escape", func(s *Spec) { s.Path = "/%zz" }, nil, `probe: probe "web": path "/%zz": invalid URL escape "%zz"`},
		{"a path of Tcp", func(s *Spec) { s.Protocol = TCP }, nil,
			`probe: probe "web": path "/": Tcp asks for none; leave it out, or probe with Http`},
		{"an unknown probe", nil, []Target{{"wed", a("10.0.0.1")}}, `probe: target 10.0.0.1: there is no probe "wed"`},
		{"no address", nil, []Target{{"web", netip.Addr{}}}, `probe: target invalid IP of probe "web": that is not the address of one host`},
		{"a group", nil, []Target{{"web", a("224.0.0.1")}}, `probe: target 224.0.0.1 of probe "web": that is not the address of one host`},
		{"a target twice", nil, []Target{{"web", a("10.0.0.1")}, {"web", a("10.0.0.1")}},
			`probe: target 10.0.0.1 of probe "web": it is there twice; leave one out`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(Options{Specs: []Spec{web(c.change)}, Targets: c.targets})
			if err == nil || err.Error() != c.want {
				t.Errorf("New says\n%v, want\n%s", err, c.want)
			}
		})
	}
	want := `probe: probe "web": there are two of that name; rename one`
	if _, err := New(Options{Specs: []Spec{web(nil), web(nil)}}); err == nil || err.Error() != want {
		t.Errorf("New says\n%v of two probes of one name, want\n%s", err, want)
	}
}

func TestStatusBeforeRun(t *testing.T) {
	targets := []Target{{"web", netip.MustParseAddr("10.0.0.2")}, {"web", netip.MustParseAddr("10.0.0.1")}}
	p, err := New(Options{Specs: []Spec{web(nil)}, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.Status() {
		if s != (Status{Target: targets[i]}) {
			t.Errorf("before Run target %d is %+v, want down, unknown and %v", i, s, targets[i])
		}
	}
}
