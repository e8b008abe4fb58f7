package gateway

import "tidegate/packet"

// Names are those of the frontend configurations, by address.
type Names map[packet.Addr]string

// Of returns the name of an address's configuration; one without names itself.
func (n Names) Of(a packet.Addr) string {
	if name, ok := n[a]; ok {
		return name
	}
	return a.String()
}
