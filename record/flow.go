package record

import (
	"tidegate/conntrack"
)

func course(f *conntrack.Flow) string {
	if f.Inbound() {
		return "inbound"
	}
	return "outbound"
}
