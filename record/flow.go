package record

import (
	"tidegate/conntrack"
	"tidegate/packet"
)

func course(f *conntrack.Flow) string {
	if f.Inbound() {
		return "inbound"
	}
	return "outbound"
}
