package packet

// Options of IPv4 and of TCP have the same form (RFC 791 §3.1, RFC 9293 §3.1).
const (
	optionEnd = 0
	optionNop = 1
)

// option returns the length of the option that b begins with, 0 where the options
// end or are not to be understood.
func option(b []byte) int {
	switch {
	case len(b) == 0 || b[0] == optionEnd:
		return 0
	case b[0] == optionNop:
		return 1
	case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
		return 0
	}
	return int(b[1])
}
