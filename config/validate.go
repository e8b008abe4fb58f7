package config

import (
	"fmt"
	"slices"
	"strings"
)

// Validate returns everything wrong with c beyond the types of its values, nil
// if nothing is. Load and Parse have called it already.
func (c *Config) Validate() Problems {
	v := &validator{
		config:    c,
		frontends: map[string]int{},
		pools:     map[string]int{},
		probes:    map[string]int{},
		owned:     newClaims(),
		members:   newClaims(),
		leaving:   map[Protocol]*claims{ProtocolTCP: newClaims(), ProtocolUDP: newClaims()},
		listeners: map[portsPage][]listener{},
		outbound:  c.outboundRules(),
		named:     c.lookup(),
		taken:     c.blocksTaken(),
	}
	oneOf(v, "profile", c.Profile, ProfileAzure, ProfileAzure2026, ProfileCustom)
	v.checkGateway()
	v.checkAPI()
	v.checkLog()
	v.checkFlowRecords()
	v.checkTimers()
	v.checkFrontends()
	v.checkPools()
	v.checkOutboundRules()
	v.checkNATRules("inboundNatRules", c.InboundNATRules)
	v.checkNATRules("inboundNatPools", c.InboundNATPools)
	v.checkProbes()
	v.checkLoadBalancingRules()
	v.checkImpliedOutbounds()
	v.checkRulesPerBackend()
	v.checkInstancePublicIPs()
	v.checkSizes()
	v.problems.inOrder()
	return v.problems
}

// validator walks one Config so that what a section refers to was seen before.
type validator struct {
	config    *Config
	problems  Problems
	frontends map[string]int       // index by name
	pools     map[string]int       // index by name
	probes    map[string]int       // index by name
	owned     *claims              // addresses by frontend name
	members   *claims              // addresses by pool name
	leaving   map[Protocol]*claims // members by the name of the rule by which they leave, per ProtocolTCP and ProtocolUDP
	listeners map[portsPage][]listener
	listening int               // how many of those there are
	outbound  map[string]string // rule by its frontend's name
	named     lookup
	taken     map[string]int // blocks by frontend name
}

func (v *validator) add(path, format string, args ...any) { v.problems.add(path, format, args...) }

// at names an element of a section.
func at(section string, i int) string { return fmt.Sprintf("%s[%d]", section, i) }

// name checks an element's name, remembering it in seen.
func (v *validator) name(section string, i int, name string, seen map[string]int) {
	path := at(section, i) + ".name"
	first, twice := seen[name]
	switch {
	case name == "":
		v.add(path, "is required")
	case twice:
		v.add(path, "%s is the name of %s already", quote(name), at(section, first))
	default:
		seen[name] = i
	}
}

// reference checks that name is in the section that known indexes.
func (v *validator) reference(path, name, section string, known map[string]int) bool {
	_, ok := known[name]
	switch {
	case name == "":
		v.add(path, "is required: a name from %s", section)
	case !ok && placeholder(name):
		v.add(path, "%s is a placeholder: write the name it stands for, one from %s", quote(name), section)
	case !ok:
		v.add(path, "%s is not in %s", quote(name), section)
	}
	return ok
}

// between checks an inclusive range.
func (v *validator) between(path string, n, low, high int) bool {
	if n < low || n > high {
		v.add(path, "%d is outside %d–%d", n, low, high)
		return false
	}
	return true
}

// oneOf checks a word. Azure's words are exact, and so are ours; of a word in
// the wrong letter case it says the right one.
func oneOf[T ~string](v *validator, path string, got T, allowed ...T) {
	words := make([]string, len(allowed))
	for i, a := range allowed {
		words[i] = string(a)
	}
	sameWord := func(w string) bool { return strings.EqualFold(w, string(got)) }
	i := slices.IndexFunc(words, sameWord)
	switch {
	case slices.Contains(allowed, got):
	case got == "":
		v.add(path, "is required: one of %s", strings.Join(words, ", "))
	case i >= 0:
		v.add(path, "%s is written %s", quote(string(got)), words[i])
	case placeholder(string(got)):
		v.add(path, "%s is a placeholder: write one of %s", quote(string(got)), strings.Join(words, ", "))
	default:
		v.add(path, "%s is not one of %s", quote(string(got)), strings.Join(words, ", "))
	}
}
