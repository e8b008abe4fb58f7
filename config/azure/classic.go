package azure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Classic makes a configuration of what came before the load balancer's resource:
// a cloud service's definition (.csdef) with its configuration (.cscfg) if there
// is one, or the service management API's LoadBalancedEndpointList.
//
// A rule made of an endpoint has no disableOutboundSnat, and so gives its pool
// default outbound ports, as every endpoint's deployment had.
//
// The error tells every fault at once, one a line, each with its file and place.
func Classic(files []File) (*Document, error) {
	c := &classic{
		Document: newDocument(
			"Made by `tidegate import classic` from "+cut(fileNames(files))+".",
			"There are no outbound rules: a load-balancing rule without disableOutboundSnat",
			"gives its pool default outbound ports for its protocol. Azure gave them for both."),
		frontends: map[string]bool{}, probes: map[string]fields{},
	}
	for _, f := range files {
		root, err := parseXML(f.Content)
		if err == nil {
			err = c.take(root)
		}
		if err != nil {
			return nil, inFile(f.Name, err)
		}
	}
	if len(c.documents) == 0 {
		return nil, inFile(fileNames(files), errors.New("no ServiceDefinition and no LoadBalancedEndpointList in it; give the .csdef too"))
	}
	for _, root := range c.documents {
		if strings.EqualFold(root.name, "ServiceDefinition") {
			c.service(root)
		} else {
			c.endpointList(root)
		}
		c.unread(root)
	}
	if c.settings != nil {
		c.unread(c.settings)
	}
	if len(c.faults) > 0 {
		return nil, inFile(fileNames(files), errors.Join(c.faults...))
	}
	return c.Document, nil
}

// classic makes one document of either form.
type classic struct {
	*Document
	faults    []error
	documents []*xmlNode        // definitions and endpoint lists
	settings  *xmlNode          // ServiceConfiguration; nil: not given
	frontends map[string]bool   // those in the document, by name
	probes    map[string]fields // those in the document, by name
}

// take finds out what a document is.
func (c *classic) take(root *xmlNode) error {
	root.used = true
	switch strings.ToLower(root.name) {
	case "servicedefinition", "loadbalancedendpointlist", "loadbalancedendpointset", "inputendpoints", "inputendpoint":
		c.documents = append(c.documents, root)
	case "serviceconfiguration":
		if c.settings != nil {
			return errors.New("a second ServiceConfiguration; give one")
		}
		c.settings = root
	default:
		return fmt.Errorf("/%s: neither a ServiceDefinition, a ServiceConfiguration nor a LoadBalancedEndpointList", cut(root.name))
	}
	return nil
}

func (c *classic) fault(n *xmlNode, format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%s: %s", cut(n.path()), cut(fmt.Sprintf(format, args...))))
}

func (c *classic) warnAt(n *xmlNode, format string, args ...any) {
	c.warn(n.path(), format, args...)
}

// number returns a child's whole number, nil if there is no child or no text in it.
func (c *classic) number(n *xmlNode, name string) any {
	v := n.child(name)
	if v == nil || v.text == "" {
		return nil
	}
	i, err := strconv.Atoi(v.text)
	if err != nil {
		c.fault(v, "%q is not a whole number", v.text)
		return nil
	}
	return i
}

// flag returns a child's truth; false if there is no child.
func (c *classic) flag(n *xmlNode, name string) bool {
	v := n.child(name)
	if v == nil || v.text == "" {
		return false
	}
	b, err := strconv.ParseBool(strings.ToLower(v.text))
	if err != nil {
		c.fault(v, "%q is neither true nor false", v.text)
	}
	return b
}

// named returns the name of n, which it must have.
func (c *classic) named(n *xmlNode, key string) (string, bool) {
	name := n.value(key)
	if name == "" {
		c.fault(n, "needs a %s", key)
	}
	return name, name != ""
}

// frontend puts a frontend into the document once.
func (c *classic) frontend(name, key, address string) string {
	if !c.frontends[name] {
		c.frontends[name] = true
		c.emit(frontends, fields{{"name", name}, {key, address}})
	}
	return name
}

// protocol is an endpoint's: http and https name what is spoken over Tcp.
func (c *classic) protocol(n *xmlNode) any {
	switch p := n.value("protocol"); strings.ToLower(p) {
	case "":
		return nil
	case "http", "https", "tcp":
		return "Tcp"
	case "udp":
		return "Udp"
	default:
		return p
	}
}

// distributions of classic endpoints, in lower case.
var distributions = map[string]string{
	"none":             "Default",
	"sourceip":         "SourceIP",
	"sourceipprotocol": "SourceIPProtocol",
}

// rest carries over what load-balanced endpoints of both forms say in the same
// words, and the rules of their ACL.
func (c *classic) rest(f *fields, n *xmlNode, acl []*xmlNode) {
	if d := n.value("loadBalancerDistribution"); d != "" {
		known, ok := distributions[strings.ToLower(d)]
		if !ok {
			known = d
		}
		f.set("loadDistribution", known)
	}
	c.timer(f, n)
	if n.child("enableDirectServerReturn") != nil {
		f.set("enableFloatingIP", c.flag(n, "enableDirectServerReturn"))
	}
	c.acl(f, acl)
}

func (c *classic) timer(f *fields, n *xmlNode) {
	if t := n.child("idleTimeoutInMinutes"); t != nil {
		c.idle(f, t.path(), c.number(n, "idleTimeoutInMinutes"), maxIdle)
	}
}

// acl carries over rules, which have their fields as attributes or as elements.
func (c *classic) acl(f *fields, rules []*xmlNode) {
	var list []any
	for _, r := range rules {
		var entry fields
		entry.set("order", c.number(r, "order"))
		entry.set("action", spelled(r.value("action"), "Permit", "Deny"))
		entry.set("remoteSubnet", r.value("remoteSubnet"))
		entry.set("description", r.value("description"))
		list = append(list, entry)
	}
	if len(list) > 0 {
		f.set("endpointACL", list)
	}
}

// Defaults of a classic probe, in seconds.
const (
	probeInterval = 15
	probeTimeout  = 31
)

// probe puts a probe into the document. A classic backend was down once it had
// not answered for the whole timeout, in which timeout/interval probes went out:
// so many failures in a row are the threshold. It came back with one success;
// here as many are needed, which errs on the quiet side.
func (c *classic) probe(name string, n *xmlNode, port any) {
	var f fields
	protocol := spelled(n.value("protocol"), "Http", "Https", "Tcp")
	f.set("name", name)
	f.set("protocol", protocol)
	f.set("port", port)
	path := n.value("path")
	if protocol != "Tcp" && !strings.HasPrefix(path, "/") {
		path = "/" + path // Azure's own examples leave it out; no path is the root
	}
	f.set("requestPath", path)
	interval, timeout := c.seconds(n, "intervalInSeconds", probeInterval), c.seconds(n, "timeoutInSeconds", probeTimeout)
	f.set("intervalInSeconds", interval)
	inARow := max(1, timeout/interval)
	f.set("numberOfProbes", inARow)
	f.set("probeThreshold", inARow)
	if _, known := c.probes[name]; !known {
		c.probes[name] = f
		c.emit(probes, f)
	}
}

func (c *classic) seconds(n *xmlNode, name string, unset int) int {
	switch s, ok := c.number(n, name).(int); {
	case !ok:
		return unset
	case s < 1:
		c.fault(n.child(name), "%d is less than a second", s)
		return unset
	default:
		return s
	}
}

// apart are elements of a service that say what its roles run and how they are
// built; none of it changes what happens to packets at the load balancer.
var apart = set("Sites", "ConfigurationSettings", "Imports", "LocalResources", "LocalStorage", "Certificates",
	"Runtime", "Startup", "Contents", "Extensions", "vmsize", "vmName", "enableNativeCodeExecution", "upgradeDomainCount",
	"topologyChangeDiscovery", "schemaVersion", "osFamily", "osVersion", "Description")

// unknownTo says of some what is not carried over.
var unknownTo = map[string]string{
	"certificate":              "TLS is not ended here",
	"ignorerolestatus":         "there is no role status: probes alone count",
	"ignoreroleinstancestatus": "there is no role status: probes alone count",
	"internalendpoint":         "an internal endpoint is not load balanced",
	"networktrafficrules":      "rules between roles are a firewall's",
	"dns":                      "there are no DNS servers here",
	"virtualnetworksite":       "there are no virtual networks: the addresses alone count",
	"subnets":                  "there are no subnets: the addresses alone count",
	"subnet":                   "there are no subnets: the address alone counts",
	"domainnamelabel":          "there are no DNS names here",
	"reservedips":              "write the reserved address in place of the placeholder",
}

// unread warns of everything in n that nothing has read.
func (c *classic) unread(n *xmlNode) {
	for _, m := range n.nodes {
		key := strings.ToLower(m.name)
		switch {
		case m.used:
			c.unread(m)
		case apart[key] || m.empty():
		case unknownTo[key] != "":
			c.warnAt(m, "not carried over: %s", unknownTo[key])
		default:
			c.warnAt(m, "not carried over: Tidegate does not know it")
		}
	}
}
