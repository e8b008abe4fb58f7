package api

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Filter selects flows: all that is set must hold. The zero Filter selects all.
type Filter struct {
	Proto    string // tcp, udp or icmp
	Rule     string // a rule's name
	State    string // as Flow.State
	Internal Endpoints
	External Endpoints
	Remote   Endpoints
	Backend  Endpoints     // the same endpoint as Internal, by the name that rules use
	Frontend string        // a frontend configuration's name, or what Endpoints selects of Flow.External
	ID       string        // Flow.ID: one flow, which is found without a search
	IdleOver time.Duration // idle for longer than that
}

// ParseFilter reads the words of a command line: proto=tcp, remote=198.51.100.0/24, idle>30s.
func ParseFilter(words []string) (Filter, error) {
	given := url.Values{}
	for _, w := range words {
		key, value, err := splitWord(w)
		if err != nil {
			return Filter{}, err
		}
		given.Add(key, value)
	}
	return ParseFilterQuery(given)
}

func splitWord(w string) (key, value string, err error) {
	if after, ok := strings.CutPrefix(w, idleWord); ok {
		return idleKey, after, nil
	}
	key, value, ok := strings.Cut(w, "=")
	if !ok || key == idleKey || !slices.ContainsFunc(filterKeys, func(k filterKey) bool { return k.Name == key }) {
		return "", "", fmt.Errorf("api: filter %q: it is %sDURATION, or KEY=VALUE with one of the keys %s",
			w, idleWord, strings.Join(filterNames()[:len(filterKeys)-1], ", "))
	}
	return key, value, nil
}

// ParseFilterQuery reads query parameters, all of which must be filter keys.
func ParseFilterQuery(q url.Values) (Filter, error) { return parseFilter(q) }

// parseFilter lets the parameters named in others pass unread.
func parseFilter(q url.Values, others ...string) (f Filter, err error) {
	for _, key := range slices.Sorted(maps.Keys(q)) {
		if slices.Contains(others, key) {
			continue
		}
		i := slices.IndexFunc(filterKeys, func(k filterKey) bool { return k.Name == key })
		if i < 0 {
			return Filter{}, unknownParameter(key, append(filterNames(), others...)...)
		}
		if err := setOnce(&f, filterKeys[i], q[key]); err != nil {
			return Filter{}, fmt.Errorf("api: filter %s: %w", key, err)
		}
	}
	return f, nil
}

func setOnce(f *Filter, k filterKey, values []string) error {
	switch {
	case len(values) != 1:
		return fmt.Errorf("given more than once: %s", strings.Join(values, ", "))
	case values[0] == "":
		return fmt.Errorf("has no value")
	}
	return k.set(f, values[0])
}

func unknownParameter(key string, known ...string) error {
	return fmt.Errorf("api: unknown parameter %q: known are %s", key, strings.Join(known, ", "))
}

// Empty says that the filter selects every flow.
func (f Filter) Empty() bool { return f == Filter{} }

// Query returns the filter as query parameters.
func (f Filter) Query() url.Values {
	q := url.Values{}
	for _, k := range filterKeys {
		if s := k.get(&f); s != "" {
			q.Set(k.Name, s)
		}
	}
	return q
}

// String returns the filter as words of a command line.
func (f Filter) String() string {
	var words []string
	for _, k := range filterKeys {
		switch s := k.get(&f); {
		case s == "":
		case k.Name == idleKey:
			words = append(words, idleWord+s)
		default:
			words = append(words, k.Name+"="+s)
		}
	}
	return strings.Join(words, " ")
}
