package record

import (
	"encoding/binary"
	"time"
)

const (
	ipfixVersion     = 10   // RFC 7011 §3.1
	messageHeader    = 16   // bytes
	setHeader        = 4    // bytes
	templateSet      = 2    // RFC 7011 §3.3.2
	maxMessage       = 1400 // bytes: fits Ethernet's 1,500 through a tunnel or two
	messageSetOffset = 2    // of the length in a set's header
)

// message is an IPFIX message that is being put together. Records of a kind that
// follow each other share a set; their order is that of the events.
type message struct {
	buf     []byte
	set     int    // where the open set begins, 0: there is none
	id      uint16 // of the open set
	records int
}

func newMessage() message { return message{buf: make([]byte, messageHeader, maxMessage)} }

// fits says whether a record of a template has room.
func (m *message) fits(t template) bool {
	need := t.size()
	if m.set == 0 || m.id != t.id {
		need += setHeader
	}
	return len(m.buf)+need <= maxMessage
}

// open makes the last set one of that number.
func (m *message) open(id uint16) {
	if m.set != 0 && m.id == id {
		return
	}
	m.closeSet()
	m.set, m.id = len(m.buf), id
	m.buf = binary.BigEndian.AppendUint16(m.buf, id)
	m.buf = binary.BigEndian.AppendUint16(m.buf, 0)
}

func (m *message) closeSet() {
	if m.set != 0 {
		binary.BigEndian.PutUint16(m.buf[m.set+messageSetOffset:], uint16(len(m.buf)-m.set))
	}
	m.set = 0
}

// seal writes the header. sequence is how many records went before in the session.
func (m *message) seal(now time.Time, sequence, domain uint32) []byte {
	m.closeSet()
	binary.BigEndian.PutUint16(m.buf[0:], ipfixVersion)
	binary.BigEndian.PutUint16(m.buf[2:], uint16(len(m.buf)))
	binary.BigEndian.PutUint32(m.buf[4:], uint32(now.Unix()))
	binary.BigEndian.PutUint32(m.buf[8:], sequence)
	binary.BigEndian.PutUint32(m.buf[12:], domain)
	return m.buf
}

func (m *message) reset() { m.buf, m.set, m.records = m.buf[:messageHeader], 0, 0 }

// announcement is the message with all templates.
func announcement(now time.Time, sequence, domain uint32) []byte {
	m := newMessage()
	m.open(templateSet)
	for _, t := range templates {
		m.buf = t.append(m.buf)
	}
	return m.seal(now, sequence, domain)
}
