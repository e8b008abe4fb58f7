package record

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"tidegate/conntrack"
	"tidegate/gateway"
)

// maxLine is more than a line has with names of ordinary length, in bytes.
const maxLine = 2048

// timeFormat is RFC 3339 to the millisecond, as everywhere in the API.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// The lines are put together by hand: encoding/json takes ten times as long. Names
// of fields are those of the API.

func appendStart(dst []byte, b *batch, e *gateway.Event) []byte {
	dst = append(dst, `{"type":"start"`...)
	return append(appendFlow(dst, b, e), '}')
}

func appendEnd(dst []byte, b *batch, e *gateway.Event) []byte {
	f, out := &e.Flow, e.Flow.Outward()
	dst = append(dst, `{"type":"end"`...)
	dst = appendFlow(dst, b, e)
	dst = appendText(dst, "state", f.State.String())
	dst = appendTime(dst, "created", b.time(f.Created))
	dst = appendTime(dst, "lastSeen", b.time(f.LastSeen))
	dst = strconv.AppendFloat(appendKey(dst, "durationSeconds"), float64((e.At-f.Created)/1e6)/1e3, 'f', -1, 64)
	dst = appendCount(dst, "packetsOut", f.Packets[out])
	dst = appendCount(dst, "packetsIn", f.Packets[out^1])
	dst = appendCount(dst, "bytesOut", f.Bytes[out])
	dst = appendCount(dst, "bytesIn", f.Bytes[out^1])
	dst = appendText(dst, "reason", e.Reason.String())
	if e.Reset {
		dst = append(dst, `,"resets":["client","server"]`...)
	} else {
		dst = append(dst, `,"resets":[]`...)
	}
	return append(dst, '}')
}

func appendMissed(dst []byte, at time.Time, n uint64) []byte {
	dst = append(dst, `{"type":"missed"`...)
	dst = appendTime(dst, "time", at)
	return append(appendCount(dst, "count", n), '}')
}

// appendFlow appends what both lines of a flow have.
func appendFlow(dst []byte, b *batch, e *gateway.Event) []byte {
	f, ends := &e.Flow, e.Flow.Ends()
	dst = appendTime(dst, "time", b.time(e.At))
	dst = appendID(appendKey(dst, "id"), f.ID)
	dst = appendText(dst, "protocol", f.Tuple[0].Proto.String())
	dst = appendText(dst, "direction", course(f))
	if e.Rule >= 0 && e.Rule < len(b.rules) {
		dst = appendText(dst, "rule", b.rules[e.Rule].Name)
		dst = appendText(dst, "ruleType", string(b.rules[e.Rule].Type))
	}
	dst = appendText(dst, "frontend", b.names.Of(f.Frontend()))
	dst = appendEndpoint(dst, "internal", ends.Internal)
	dst = appendEndpoint(dst, "external", ends.External)
	return appendEndpoint(dst, "remote", ends.Remote)
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, key...)
	return append(dst, '"', ':')
}

// appendText quotes what may come from a configuration; few names need it.
func appendText(dst []byte, key, s string) []byte {
	dst = appendKey(dst, key)
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' {
			quoted, _ := json.Marshal(s) // of a string: never an error
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendTime(dst []byte, key string, t time.Time) []byte {
	dst = append(appendKey(dst, key), '"')
	return append(t.AppendFormat(dst, timeFormat), '"')
}

func appendCount(dst []byte, key string, n uint64) []byte {
	return strconv.AppendUint(appendKey(dst, key), n, 10)
}

func appendEndpoint(dst []byte, key string, a netip.AddrPort) []byte {
	dst = append(appendKey(dst, key), '"')
	return append(a.AppendTo(dst), '"')
}

// appendID appends the 16 hexadecimal digits that the API calls the flow by.
func appendID(dst []byte, id conntrack.ID) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, digits[id>>shift&15])
	}
	return append(dst, '"')
}
