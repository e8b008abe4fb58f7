package record

import "encoding/binary"

// Information elements (IANA, IP Flow Information Export Entities).
const (
	octetDeltaCount                  = 1
	packetDeltaCount                 = 2
	deltaFlowCount                   = 3
	protocolIdentifier               = 4
	sourceTransportPort              = 7
	sourceIPv4Address                = 8
	destinationTransportPort         = 11
	destinationIPv4Address           = 12
	flowEndReason                    = 136
	flowID                           = 148
	flowStartMilliseconds            = 152
	flowEndMilliseconds              = 153
	postNATSourceIPv4Address         = 225
	postNATDestinationIPv4Address    = 226
	postNAPTSourceTransportPort      = 227
	postNAPTDestinationTransportPort = 228
	natOriginatingAddressRealm       = 229
	natEvent                         = 230
	observationTimeMilliseconds      = 323
)

// Values of natEvent (RFC 8158 §4.3).
const (
	nat44SessionCreate = 4
	nat44SessionDelete = 5
	natPortsExhausted  = 12
)

// Values of natOriginatingAddressRealm (RFC 8158 §4).
const (
	privateRealm = 1
	publicRealm  = 2
)

// Values of flowEndReason (RFC 5102 §5.11.3).
const (
	endIdle     = 1
	endDetected = 3
	endForced   = 4
)

// reverse is the enterprise number that turns an element into the other
// direction's (RFC 5103 §6.1).
const reverse = 29305

// field is one element of a template.
type field struct {
	element uint16
	length  uint16 // bytes
	back    bool   // the reverse direction's
}

// template is the layout of one kind of record.
type template struct {
	id     uint16 // 256 and up
	fields []field
}

// size is how many bytes a record has.
func (t template) size() (n int) {
	for _, f := range t.fields {
		n += int(f.length)
	}
	return n
}

// session is what RFC 8158 §5.6.1 wants of a NAT44 session, optional fields included.
var session = []field{
	{element: observationTimeMilliseconds, length: 8}, {element: natEvent, length: 1},
	{element: sourceIPv4Address, length: 4}, {element: postNATSourceIPv4Address, length: 4},
	{element: protocolIdentifier, length: 1},
	{element: sourceTransportPort, length: 2}, {element: postNAPTSourceTransportPort, length: 2},
	{element: destinationIPv4Address, length: 4}, {element: postNATDestinationIPv4Address, length: 4},
	{element: destinationTransportPort, length: 2}, {element: postNAPTDestinationTransportPort, length: 2},
	{element: natOriginatingAddressRealm, length: 1}, {element: flowID, length: 8},
}

// account is what there is to add when the session is over.
var account = []field{
	{element: flowStartMilliseconds, length: 8}, {element: flowEndMilliseconds, length: 8}, {element: flowEndReason, length: 1},
	{element: packetDeltaCount, length: 8}, {element: octetDeltaCount, length: 8},
	{element: packetDeltaCount, length: 8, back: true}, {element: octetDeltaCount, length: 8, back: true},
}

// The templates are a promise to collectors: one that changes gets a new number.
var (
	createTemplate    = template{256, session}
	deleteTemplate    = template{257, append(session[:len(session):len(session)], account...)}
	exhaustedTemplate = template{258, []field{
		{element: observationTimeMilliseconds, length: 8}, {element: natEvent, length: 1},
		{element: sourceIPv4Address, length: 4}, {element: protocolIdentifier, length: 1},
		{element: destinationIPv4Address, length: 4}, {element: destinationTransportPort, length: 2},
		{element: deltaFlowCount, length: 8},
	}}
	templates = []template{createTemplate, deleteTemplate, exhaustedTemplate}
)

// append appends the template record (RFC 7011 §3.4.1).
func (t template) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, t.id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(t.fields)))
	for _, f := range t.fields {
		if !f.back {
			dst = binary.BigEndian.AppendUint16(dst, f.element)
			dst = binary.BigEndian.AppendUint16(dst, f.length)
			continue
		}
		dst = binary.BigEndian.AppendUint16(dst, f.element|1<<15)
		dst = binary.BigEndian.AppendUint16(dst, f.length)
		dst = binary.BigEndian.AppendUint32(dst, reverse)
	}
	return dst
}
