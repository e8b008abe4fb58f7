package record

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"tidegate/gateway"
)

// IPFIXOptions say which collector gets NAT events.
type IPFIXOptions struct {
	Collector           string // host:port; a name is resolved at the start with udp, for each connection with tcp
	Protocol            string // udp | tcp; empty means udp
	ObservationDomainID uint32 // tells this gateway from others at the collector (RFC 7011 §3.1)
}

const (
	// ipfixFlush is how long a record waits for others to share its message.
	ipfixFlush = 200 * time.Millisecond

	// Templates are sent again over UDP, which may have lost them, as may a collector
	// that was restarted: after ten minutes (RFC 6728 §4.3, templateRefreshTimeout),
	// and, because much would be unreadable until then where there is much to read,
	// after so many messages.
	refreshAfter         = 10 * time.Minute
	refreshAfterMessages = 5000
)

// ipfixSink sends NAT events to a collector.
type ipfixSink struct {
	link     link
	domain   uint32
	lost     *atomic.Uint64
	message  message
	sequence uint32 // data records of this session (RFC 7011 §3.1)

	announced time.Time // when the collector was last sent the templates
	since     int       // messages since then
}

// link is how messages get to the collector.
type link interface {
	ready() (fresh, ok bool) // may wait; fresh: the session is new, and knows no templates
	send(message []byte) error
	repeats() bool // the same message is to be sent on the next session if this one failed
	Close() error
}

func newIPFIXSink(ctx context.Context, o IPFIXOptions, lost *atomic.Uint64) (*ipfixSink, error) {
	_, port, err := net.SplitHostPort(o.Collector)
	if err == nil {
		_, err = net.LookupPort("udp", port) // of tcp they have the same numbers
	}
	if err != nil {
		return nil, fmt.Errorf("record: flowRecords.ipfix.collector: %w; give host:port", err)
	}
	l, err := dial(ctx, o)
	if err != nil {
		return nil, err
	}
	return &ipfixSink{link: l, domain: o.ObservationDomainID, lost: lost, message: newMessage()}, nil
}

func dial(ctx context.Context, o IPFIXOptions) (link, error) {
	switch o.Protocol {
	case "", "udp":
		conn, err := net.Dial("udp", o.Collector)
		if err != nil {
			return nil, fmt.Errorf("record: flowRecords.ipfix.collector: %w", err)
		}
		return &datagrams{Conn: conn}, nil
	case "tcp":
		return newStream(ctx, o.Collector), nil
	}
	return nil, fmt.Errorf("record: flowRecords.ipfix.protocol: %q is neither udp nor tcp", o.Protocol)
}

// take ignores what was missed: collectors have no record for that.
func (s *ipfixSink) take(b *batch, _ uint64) {
	for i := range b.events {
		switch e := &b.events[i]; e.Kind {
		case gateway.FlowCreated:
			s.room(createTemplate)
			s.message.buf = appendSession(s.message.buf, b, e, nat44SessionCreate)
		case gateway.FlowClosed:
			s.room(deleteTemplate)
			s.message.buf = appendDeleted(s.message.buf, b, e)
		case gateway.SNATExhausted:
			s.room(exhaustedTemplate)
			s.message.buf = appendExhausted(s.message.buf, b, e)
		}
	}
}

// room readies the message for one record more.
func (s *ipfixSink) room(t template) {
	if !s.message.fits(t) {
		s.flush()
	}
	s.message.open(t.id)
	s.message.records++
}

func (s *ipfixSink) tick(time.Time) { s.flush() }

func (s *ipfixSink) flush() {
	if s.message.records == 0 {
		return
	}
	if !s.deliver() {
		s.lost.Add(uint64(s.message.records))
	}
	s.message.reset()
}

// deliver sends the message, templates first where they are due.
func (s *ipfixSink) deliver() bool {
	for {
		fresh, ok := s.link.ready()
		if !ok {
			return false
		}
		if fresh {
			s.sequence = 0
			s.announced = time.Time{}
		}
		err := s.attempt(time.Now())
		if err == nil {
			return true
		}
		s.announced = time.Time{} // whoever comes back has forgotten them
		if !s.link.repeats() {
			return false
		}
	}
}

// attempt numbers the records even if they are lost: the collector sees the gap.
func (s *ipfixSink) attempt(now time.Time) error {
	first := s.sequence
	s.sequence += uint32(s.message.records)
	if s.due(now) {
		if err := s.link.send(announcement(now, first, s.domain)); err != nil {
			return err
		}
		s.announced, s.since = now, 0
	}
	s.since++
	return s.link.send(s.message.seal(now, first, s.domain))
}

// due says whether the templates are to be sent. A stream loses none (RFC 7011 §8).
func (s *ipfixSink) due(now time.Time) bool {
	if s.announced.IsZero() {
		return true
	}
	return !s.link.repeats() && (now.Sub(s.announced) >= refreshAfter || s.since >= refreshAfterMessages)
}

func (s *ipfixSink) close() {
	s.flush()
	s.link.Close()
}
