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

// inventory deals out the blocks of frontends, in order.
type inventory struct {
	frontends []packet.Addr
	reserved  map[packet.Addr]map[int]bool // block numbers that rules' ports fall in
	at        int                          // the first frontend that may have some left
	next      map[packet.Addr]int          // the number of the first block not dealt out yet
	end       int                          // and that behind the last there is
}

func blockOf(port uint16) int { return (int(port) - FirstPort) / BlockSize }

func inRange(port uint16) bool { return port >= FirstPort && port <= LastPort }

// block returns one more block, or false when the frontends have no more.
func (v *inventory) block() (PortBlock, bool) {
	for ; v.at < len(v.frontends); v.at++ {
		frontend := v.frontends[v.at]
		for v.next[frontend] < v.end {
			number := v.next[frontend]
			v.next[frontend]++
			if !v.reserved[frontend][number] {
				return PortBlock{Frontend: frontend, First: uint16(FirstPort + number*BlockSize), Count: BlockSize}, true
			}
		}
	}
	return PortBlock{}, false
}

// take returns n ports as runs that are as long as can be.
func (v *inventory) take(n int) (runs []PortBlock, ok bool) {
	for ; n > 0; n -= BlockSize {
		b, ok := v.block()
		if !ok {
			return nil, false
		}
		runs = appendRun(runs, b)
	}
	return runs, true
}

// rest returns all ports that are left, likewise.
func (v *inventory) rest() (runs []PortBlock) {
	for {
		b, ok := v.block()
		if !ok {
			return runs
		}
		runs = appendRun(runs, b)
	}
}

func appendRun(runs []PortBlock, b PortBlock) []PortBlock {
	if k := len(runs) - 1; k >= 0 && runs[k].Frontend == b.Frontend && int(runs[k].First)+runs[k].Count == int(b.First) {
		runs[k].Count += b.Count
		return runs
	}
	return append(runs, b)
}
