package probe

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// question is a Spec that can be asked. It is immutable.
type question struct {
	Spec
	path *url.URL // of HTTP and HTTPS: path and query alone
}

func newQuestions(specs []Spec) (map[string]*question, error) {
	questions := make(map[string]*question, len(specs))
	for _, s := range specs {
		if _, twice := questions[s.Name]; twice {
			return nil, fmt.Errorf("probe: probe %q: there are two of that name; rename one", s.Name)
		}
		q, err := newQuestion(s)
		if err != nil {
			return nil, fmt.Errorf("probe: probe %q: %w", s.Name, err)
		}
		questions[s.Name] = q
	}
	return questions, nil
}

func newQuestion(s Spec) (*question, error) {
	switch {
	case s.Protocol != TCP && s.Protocol != HTTP && s.Protocol != HTTPS:
		return nil, fmt.Errorf("protocol %q is not one of %s, %s, %s", s.Protocol, TCP, HTTP, HTTPS)
	case s.Port == 0:
		return nil, fmt.Errorf("port 0: name the port that the backends serve, 1–65535")
	case s.Interval <= 0:
		return nil, fmt.Errorf("interval %s: it must be more than 0", s.Interval)
	case s.Timeout <= 0 || s.Timeout > s.Interval:
		return nil, fmt.Errorf("timeout %s: it must be more than 0 and at most the interval, %s, since a backend is asked one question at a time",
			s.Timeout, s.Interval)
	case s.Threshold < 1:
		return nil, fmt.Errorf("threshold %d: it takes at least 1 result to change a state", s.Threshold)
	case s.Protocol == TCP && s.Path != "":
		return nil, fmt.Errorf("path %q: %s asks for none; leave it out, or probe with %s", s.Path, TCP, HTTP)
	case s.Protocol == TCP:
		return &question{Spec: s}, nil
	}
	path, err := parsePath(s.Path)
	return &question{Spec: s, path: path}, err
}

// parsePath takes what may stand between GET and HTTP/1.1, and nothing that
// could name another host.
func parsePath(path string) (*url.URL, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("path %q: it must begin with /", path)
	}
	if strings.ContainsAny(path, " #") {
		return nil, fmt.Errorf("path %q: write a space as %%20 and # as %%23", path)
	}
	u, err := url.ParseRequestURI("http://backend" + path)
	if err != nil {
		return nil, fmt.Errorf("path %q: %w", path, unwrapURL(err))
	}
	return u, nil
}

// unwrapURL drops the made-up URL from an error.
func unwrapURL(err error) error {
	if e, ok := err.(*url.Error); ok {
		return e.Err
	}
	return err
}

// assign finds each target's question.
func assign(questions map[string]*question, targets []Target) ([]*question, error) {
	seen := make(map[Target]bool, len(targets))
	assigned := make([]*question, 0, len(targets))
	for _, t := range targets {
		q, known := questions[t.Probe]
		switch {
		case !known:
			return nil, fmt.Errorf("probe: target %s: there is no probe %q", t.Backend, t.Probe)
		case !oneHost(t.Backend):
			return nil, fmt.Errorf("probe: target %s of probe %q: that is not the address of one host", t.Backend, t.Probe)
		case seen[t]:
			return nil, fmt.Errorf("probe: target %s of probe %q: it is there twice; leave one out", t.Backend, t.Probe)
		}
		seen[t] = true
		assigned = append(assigned, q)
	}
	return assigned, nil
}

func oneHost(a netip.Addr) bool {
	return a.IsValid() && !a.IsUnspecified() && !a.IsMulticast() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
