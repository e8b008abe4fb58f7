package conntrack

import (
	"tidegate/packet"

	"pgregory.net/rapid"
)

// observe passes one packet of the flow, whatever it is, in both worlds.
func (m *model) observe(f *modelFlow, d Direction, p *packet.Parsed) {
	m.table.Observe(f.ref|Ref(d), p, 1, m.now)
	f.last = m.now
	f.packets[d]++
	f.bytes[d] += uint64(p.Total)
}

// traffic has a flow do a few things that it may do.
func (m *model) traffic(t *rapid.T) {
	if f := m.pick(t); f != nil {
		for range rapid.IntRange(1, 8).Draw(t, "packets") {
			m.move(t, f)
		}
	}
}

func (m *model) move(t *rapid.T, f *modelFlow) {
	d := Direction(rapid.IntRange(0, 1).Draw(t, "direction"))
	if !f.tcp() {
		m.observe(f, d, datagram(rapid.IntRange(28, 65535).Draw(t, "size")))
		return
	}
	switch f.state {
	case SynSent:
		rapid.SampledFrom([]func(*rapid.T, *modelFlow){m.syn, m.synAck, m.synAck, m.synAck, m.refuse}).Draw(t, "next")(t, f)
	case SynReceived:
		m.data(t, f, Original)
		f.state = Established
	case Established, FinWait:
		m.talk(t, f, d)
	case TimeWait, Closed:
		rapid.SampledFrom([]func(*rapid.T, *modelFlow){m.syn, m.again}).Draw(t, "next")(t, f)
	}
}

// syn opens the flow, for the first time or again.
func (m *model) syn(t *rapid.T, f *modelFlow) {
	seq := f.next[Original] + rapid.Uint32Range(70_000, 1<<30).Draw(t, "first")
	m.observe(f, Original, segment(packet.SYN, seq, 0, 0))
	f.state, f.fin = SynSent, [2]bool{}
	f.next, f.told = [2]uint32{seq + 1, 0}, [2]uint32{}
}

func (m *model) synAck(t *rapid.T, f *modelFlow) {
	seq := rapid.Uint32().Draw(t, "first")
	m.observe(f, Reply, segment(packet.SYN|packet.ACK, seq, f.next[Original], 0))
	f.state, f.next[Reply], f.told[Reply] = SynReceived, seq+1, f.next[Original]
}

func (m *model) refuse(t *rapid.T, f *modelFlow) {
	m.observe(f, Reply, segment(packet.RST|packet.ACK, 0, f.next[Original], 0))
	f.state = Closed
}

// talk is what open connections do.
func (m *model) talk(t *rapid.T, f *modelFlow, d Direction) {
	switch rapid.SampledFrom([]string{"data", "data", "data", "again", "FIN", "FIN", "RST", "RST of what was sent", "inexact RST", "SYN"}).Draw(t, "segment") {
	case "data":
		m.data(t, f, d)
	case "again":
		m.again(t, f)
	case "FIN":
		m.closes(t, f, d)
	case "RST":
		m.observe(f, d, segment(packet.RST, f.told[d^1], 0, 0))
		f.state = Closed
	case "RST of what was sent":
		m.observe(f, d, segment(packet.RST, f.next[d], 0, 0))
		f.state = Closed
	case "inexact RST":
		m.inexactReset(t, f, d)
	case "SYN":
		m.observe(f, d, segment(packet.SYN|uint8(rapid.SampledFrom([]int{0, packet.ACK}).Draw(t, "ACK")), rapid.Uint32().Draw(t, "seq"), f.next[d^1], 0))
	}
}

func (m *model) data(t *rapid.T, f *modelFlow, d Direction) {
	n := rapid.IntRange(0, 1400).Draw(t, "length")
	if f.fin[d] || f.next[d]-f.told[d^1] > 60_000 {
		n = 0 // nothing more to say, or the window is full
	}
	m.observe(f, d, segment(packet.ACK, f.next[d], f.next[d^1], n))
	f.next[d] += uint32(n)
	f.told[d] = f.next[d^1]
}

// again is a segment that both have seen the like of, up to a keepalive.
func (m *model) again(t *rapid.T, f *modelFlow) {
	if f.told[Original] == 0 && f.told[Reply] == 0 {
		return // refused: there is nothing to say again
	}
	d := Direction(rapid.IntRange(0, 1).Draw(t, "who"))
	back := rapid.Uint32Range(0, 1000).Draw(t, "back")
	m.observe(f, d, segment(packet.ACK, f.next[d]-back, f.told[d]-rapid.Uint32Range(0, 1000).Draw(t, "ago"), int(back)))
}

func (m *model) closes(t *rapid.T, f *modelFlow, d Direction) {
	if f.fin[d] {
		m.observe(f, d, segment(packet.FIN|packet.ACK, f.next[d]-1, f.told[d], 0))
		return
	}
	m.observe(f, d, segment(packet.FIN|packet.ACK, f.next[d], f.next[d^1], 0))
	f.next[d]++
	f.told[d] = f.next[d^1]
	f.fin[d], f.state = true, FinWait
	if f.fin[d^1] {
		f.state = TimeWait
	}
}

func (m *model) inexactReset(t *rapid.T, f *modelFlow, d Direction) {
	seq := f.told[d^1] + rapid.Uint32Range(1, 65_535).Draw(t, "beyond")
	m.observe(f, d, segment(packet.RST, seq, 0, 0))
	if seq == f.next[d] {
		f.state = Closed
	}
}

// stranger sends a segment that fits nowhere: it counts as a packet and restarts
// the timer, and nothing else.
func (m *model) stranger(t *rapid.T) {
	f := m.pick(t)
	if f == nil || !f.tcp() {
		return
	}
	d := Direction(rapid.IntRange(0, 1).Draw(t, "direction"))
	flags := rapid.SampledFrom([]uint8{0, packet.ACK, packet.ACK | packet.FIN, packet.RST, packet.RST | packet.ACK}).Draw(t, "flags")
	wild := rapid.Uint32Range(1<<22, 1<<32-1<<22)
	seq, ack := f.next[d]+wild.Draw(t, "seq"), f.next[d^1]+wild.Draw(t, "ack")
	m.observe(f, d, segment(flags, seq, ack, rapid.IntRange(0, 1400).Draw(t, "length")))
}
