package probe

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestErrors is about errors that no server on loopback can make.
func TestErrors(t *testing.T) {
	opening := func(err error, source netip.Addr) answer { return unopened(&question{}, source, err) }
	asking := func(err error, _ netip.Addr) answer { return unanswered(&question{}, err) }
	for _, c := range []struct {
		when func(error, netip.Addr) answer
		call string
		err  syscall.Errno
		want kind
		says string
	}{
		{opening, "connect", syscall.ECONNREFUSED, no, "connection refused"},
		{opening, "connect", syscall.ECONNRESET, no, "connection reset by peer"},
		{opening, "connect", syscall.EHOSTUNREACH, silence, "no route to host"},
		{opening, "connect", syscall.EADDRNOTAVAIL, silence, "cannot assign requested address"},
		{opening, "socket", syscall.EMFILE, silence, "too many open files"},
		{opening, "bind", syscall.EADDRNOTAVAIL, silence, "can't probe from 127.0.0.1: cannot assign requested address"},
		{opening, "connect", syscall.ETIMEDOUT, silence, "no answer within 0s"},
		{asking, "write", syscall.EPIPE, no, "broken pipe"},
		{asking, "read", syscall.ECONNRESET, no, "connection reset by peer"},
		{asking, "read", syscall.EHOSTUNREACH, silence, "no route to host"},
		{asking, "read", syscall.ETIMEDOUT, silence, "no answer within 0s"},
	} {
		err := fmt.Errorf("around it: %w", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError(c.call, c.err)})
		if a := c.when(err, loopback); a.kind != c.want || a.result != c.says {
			t.Errorf("answer of %v %d %q, want %d %q", err, a.kind, a.result, c.want, c.says)
		}
	}
}

func TestOneLine(t *testing.T) {
	long := strings.Repeat("é", 300)
	for in, want := range map[string]string{
		"":                       "",
		"200 OK":                 "200 OK",
		"a\r\nb\tc\x00\x1b[1m":   "a??b?c??[1m",
		"\xff\xfe \u202e\ufffd":  "?? ??",
		"schön":                  "schön",
		long[:maxResult]:         long[:maxResult],
		long:                     long[:maxResult-4] + "…",
		"x" + long:               "x" + long[:maxResult-4] + "…",
		strings.Repeat("y", 1e6): strings.Repeat("y", maxResult-3) + "…",
	} {
		if got := oneLine(in); got != want || len(got) > maxResult {
			t.Errorf("of %.20q… there is left %q, %d bytes, want %q", in, got, len(got), want)
		}
	}
}
