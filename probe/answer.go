package probe

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"
)

// kind is what an answer means.
type kind uint8

const (
	yes     kind = iota // the backend serves
	no                  // it says that it does not: down at once
	silence             // it said nothing, or was not reached: counts to the threshold
)

// answer is the outcome of one probe.
type answer struct {
	kind   kind
	result string        // as Status.Result
	took   time.Duration // as Status.Took
}

// since notes how long the answer took.
func (a answer) since(start time.Time) answer {
	a.took = time.Since(start)
	return a
}

// unopened is the answer when no connection opened: a RST is the backend's own
// no, all else may be the network's or this host's.
func unopened(q *question, source netip.Addr, err error) answer {
	if timedOut(err) {
		return late(q)
	}
	if isReset(err) {
		return answer{kind: no, result: cause(err)}
	}
	if call := (*os.SyscallError)(nil); source.IsValid() && (!errors.As(err, &call) || call.Syscall == "bind") {
		return answer{kind: silence, result: oneLine(fmt.Sprintf("can't probe from %s: %s", source, cause(err)))}
	}
	return answer{kind: silence, result: cause(err)}
}

// unanswered is the answer when a connection opened and no HTTP answer came of it:
// the backend's no, unless it or the network is silent.
func unanswered(q *question, err error) answer {
	if timedOut(err) {
		return late(q)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return answer{kind: no, result: "closed before the answer was whole"}
	}
	if call := (*os.SyscallError)(nil); errors.As(err, &call) && !isReset(err) {
		return answer{kind: silence, result: cause(err)}
	}
	return answer{kind: no, result: cause(err)}
}

func late(q *question) answer {
	return answer{kind: silence, result: fmt.Sprintf("no answer within %s", q.Timeout)}
}

func timedOut(err error) bool {
	e := net.Error(nil)
	return errors.As(err, &e) && e.Timeout()
}

// isReset reports whether err comes of a RST.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// cause is the last and shortest part of an error: the addresses before it stand
// beside every result already.
func cause(err error) string {
	call, op := (*os.SyscallError)(nil), (*net.OpError)(nil)
	switch {
	case errors.As(err, &call):
		err = call.Err
	case errors.As(err, &op):
		err = op.Err
	}
	return oneLine(err.Error())
}

// maxResult is how many bytes of a result are kept: a line in a table, and with
// 5,000 targets still less than a megabyte.
const maxResult = 120

// oneLine makes what a backend said fit for a terminal, a log and a page.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) && r != utf8.RuneError {
			return r
		}
		return '?'
	}, s[:min(len(s), 4*maxResult)])
	if len(s) <= maxResult {
		return strings.Clone(s) // not a view of all that was read
	}
	const more = "…"
	end := maxResult - len(more)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + more
}
