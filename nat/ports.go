package nat

import "tidegate/packet"

// The ports of a frontend address that are given out for SNAT: 64,000, of which
// a rule's own port takes away the block of eight that it falls in.
const (
	FirstPort = 1024
	LastPort  = 65023
	BlockSize = 8

	blocksPerFrontend = (LastPort - FirstPort + 1) / BlockSize
)

// PortBlock is a run of ports of one frontend address: a multiple of BlockSize.
type PortBlock struct {
	Frontend packet.Addr
	First    uint16
	Count    int
	Used     int    // ports with a flow
	Opened   uint64 // flows that were given one of them
}

func blockOf(port uint16) int { return (int(port) - FirstPort) / BlockSize }

func blockAt(frontend packet.Addr, number int) PortBlock {
	return PortBlock{Frontend: frontend, First: uint16(FirstPort + number*BlockSize), Count: BlockSize}
}

func inRange(port uint16) bool { return port >= FirstPort && port <= LastPort }

func appendRun(runs []PortBlock, b PortBlock) []PortBlock {
	if k := len(runs) - 1; k >= 0 && runs[k].Frontend == b.Frontend && int(runs[k].First)+runs[k].Count == int(b.First) {
		runs[k].Count += b.Count
		return runs
	}
	return append(runs, b)
}
