package gateway

import (
	"net/netip"
	"strconv"
)

func endpoint(addr string, port uint16) string { return addr + ":" + strconv.Itoa(int(port)) }

// hostOf and portOf take "10.0.0.10:40000" apart.
func hostOf(endpoint string) string { return netip.MustParseAddrPort(endpoint).Addr().String() }

func portOf(endpoint string) uint16 { return netip.MustParseAddrPort(endpoint).Port() }
