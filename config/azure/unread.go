package azure

import "strings"

// silent are the keys that may go without a word, because they describe the record
// and not what happens to packets.
var silent = set(
	// The resource and its place in Azure; a gateway stands where it is installed.
	"type", "apiVersion", "location", "tags", "dependsOn", "comments", "metadata", "scope", "asserts", "resourceGroup",
	// Which version of the record this is.
	"etag", "provisioningState", "resourceGuid", "id", "selfLink",
	// Labels: the elements' names are carried over, those of a pool's addresses have no use.
	"name",
	// What Azure lists a second time, at the other end of each reference.
	"loadBalancingRules", "outboundRule", "outboundRules", "inboundNatRules", "inboundNatPools",
	"inboundNatRulesPortMapping",
)

// unsupported says why a key is not carried over.
var unsupported = map[string]string{
	"zones":                               "there are no zones: a gateway stands where it is installed",
	"extendedlocation":                    "there are no edge zones",
	"gatewayloadbalancer":                 "chaining to a gateway load balancer is not supported",
	"subnet":                              "there are no subnets: the address alone counts",
	"virtualnetwork":                      "there are no virtual networks: the addresses alone count",
	"syncmode":                            "the pool has the members that are listed, and no others",
	"tunnelinterfaces":                    "tunnels, of the Gateway SKU, are not supported",
	"loadbalancerfrontendipconfiguration": "pools of load balancers, of the global tier, are not supported",
	"enableconnectiontracking":            "nothing to turn on: every UDP flow stays with its backend here",
	"copy":                                "a copy loop is not expanded: deploy it and import what `az network lb show` prints, or write its elements by hand",
	"frontendipconfiguration":             "an outbound rule has frontendIPConfigurations, a list",
	"frontendipconfigurations":            "a rule for inbound packets has one frontendIPConfiguration",
	"backendaddresspools":                 "the rule has one backendAddressPool",
	"publicipaddress":                     "only frontends and network interfaces have a public IP address",
}

// refused are the keys whose false asks for nothing.
var refused = set("enableConnectionTracking")

func set(words ...string) map[string]bool {
	m := map[string]bool{}
	for _, w := range words {
		m[strings.ToLower(w)] = true
	}
	return m
}

// unread warns of everything in n that nothing has read, whole branches at once.
func (c *conversion) unread(n *node) {
	for _, m := range n.nodes {
		key := strings.ToLower(m.key)
		switch {
		case !m.used && m.key != "" && silent[key]:
		case m.used:
			if key != "id" { // of an id only the name at its end matters, and that was seen to
				c.told(m)
			}
			c.unread(m)
		case m.resolve().empty() || refused[key] && m.scalar == false:
		case unsupported[key] != "":
			c.warnAt(m, "not carried over: %s", unsupported[key])
		default:
			c.warnAt(m, "not carried over: Tidegate does not know it")
		}
	}
}
