package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parameter is one thing that flows can be filtered by, for those who document it.
type Parameter struct {
	Name   string   // of the query parameter; a word is the same but for idle>30s
	Doc    string   // half a sentence
	Values []string // all there are; none if it is open
}

// filterKey adds how a parameter is read and written.
type filterKey struct {
	Parameter
	set func(*Filter, string) error
	get func(*Filter) string
}

const (
	idleKey  = "idleOver"
	idleWord = "idle>"
)

var filterKeys = []filterKey{
	wordKey(strings.ToLower, func(f *Filter) *string { return &f.Proto },
		Parameter{"proto", "protocol", []string{"tcp", "udp", "icmp"}}),
	nameKey("rule", "name of the rule", func(f *Filter) *string { return &f.Rule }),
	wordKey(strings.ToUpper, func(f *Filter) *string { return &f.State },
		Parameter{"state", "state", []string{"SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "CLOSED", "ACTIVE"}}),
	endpointsKey("internal", "the backend's endpoint", func(f *Filter) *Endpoints { return &f.Internal }),
	endpointsKey("external", "the frontend's endpoint", func(f *Filter) *Endpoints { return &f.External }),
	endpointsKey("remote", "the other side's endpoint", func(f *Filter) *Endpoints { return &f.Remote }),
	endpointsKey("backend", "the same as internal", func(f *Filter) *Endpoints { return &f.Backend }),
	nameKey("frontend", "name of the frontend configuration, or the same as external", func(f *Filter) *string { return &f.Frontend }),
	{Parameter{Name: "id", Doc: "the flow's own: 16 hexadecimal digits"}, setID, func(f *Filter) string { return f.ID }},
	{Parameter{Name: idleKey, Doc: "idle for longer than this duration: 30s, 1h15m"}, setIdle, getIdle},
}

// wordKey is a key with a closed set of values, in any letter case.
func wordKey(fold func(string) string, field func(*Filter) *string, p Parameter) filterKey {
	set := func(f *Filter, s string) error {
		if !slices.Contains(p.Values, fold(s)) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(p.Values, ", "))
		}
		*field(f) = fold(s)
		return nil
	}
	return filterKey{p, set, func(f *Filter) string { return *field(f) }}
}

func nameKey(name, doc string, field func(*Filter) *string) filterKey {
	set := func(f *Filter, s string) error {
		*field(f) = s
		return nil
	}
	return filterKey{Parameter{Name: name, Doc: doc}, set, func(f *Filter) string { return *field(f) }}
}

func endpointsKey(name, doc string, field func(*Filter) *Endpoints) filterKey {
	set := func(f *Filter, s string) (err error) {
		*field(f), err = ParseEndpoints(s)
		return err
	}
	p := Parameter{Name: name, Doc: doc + ": an address, ADDR:PORT or CIDR"}
	return filterKey{p, set, func(f *Filter) string { return field(f).String() }}
}

func setID(f *Filter, s string) error {
	if _, err := strconv.ParseUint(s, 16, 64); err != nil || len(s) != 16 {
		return fmt.Errorf("%q is no flow's: it is 16 hexadecimal digits, as in the list of flows", s)
	}
	f.ID = strings.ToLower(s)
	return nil
}

func setIdle(f *Filter, s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is no duration above zero, as 30s or 1h15m", s)
	}
	f.IdleOver = d
	return nil
}

func getIdle(f *Filter) string {
	if f.IdleOver == 0 {
		return ""
	}
	return f.IdleOver.String()
}

// FilterParameters returns what flows can be filtered by, idleOver last.
func FilterParameters() (all []Parameter) {
	for _, k := range filterKeys {
		all = append(all, k.Parameter)
	}
	return all
}

// filterNames returns the query parameters, idleOver last.
func filterNames() (names []string) {
	for _, k := range filterKeys {
		names = append(names, k.Name)
	}
	return names
}
