package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	viewToken = "0123456789abcdef"
	fullToken = "fedcba9876543210!"
)

const tokenText = "# who may what\n\n read-only\t" + viewToken + " \nread-write " + fullToken + "\n"

func writeTokens(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func testTokens(t *testing.T) *Tokens {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	writeTokens(t, path, tokenText, 0o640)
	tokens, err := LoadTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func TestTokens(t *testing.T) {
	tokens := testTokens(t)
	for text, want := range map[string]right{viewToken: readOnly, fullToken: readWrite} {
		if got := tokens.find(text); got == nil || got.right != want {
			t.Errorf("%q: %+v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", viewToken + "0", viewToken[1:], "read-only"} {
		if got := tokens.find(text); got != nil {
			t.Errorf("%q is a token: %+v", text, got)
		}
	}
	if (*Tokens)(nil).find(viewToken) != nil {
		t.Error("no tokens allow something")
	}
}

func TestTokenFiles(t *testing.T) {
	tests := []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"nothing", "", 0o600, "it has no token; add a line read-write TOKEN"},
		{"comments", "# read-only 0123456789abcdef\n", 0o600, "it has no token; add a line read-write TOKEN"},
		{"a word", "read-write\n", 0o600, "line 1: it is not read-only TOKEN or read-write TOKEN"},
		{"a bare token", "\n" + viewToken, 0o600, "line 2: it is not read-only TOKEN or read-write TOKEN"},
		{"three words", "read-only " + viewToken + " x", 0o600, "line 1: it is not read-only TOKEN or read-write TOKEN"},
		{"a right that is none", "admin " + viewToken, 0o600, "line 1: it is not read-only TOKEN or read-write TOKEN"},
		{"a short one", "read-only " + viewToken[1:], 0o600, "line 1: the token has 15 characters, and 16 are the least; make one with openssl rand -hex 32"},
		{"not ASCII", "read-only 0123456789abcdefü", 0o600, "line 1: the token has characters that are not printable ASCII; make one with openssl rand -hex 32"},
		{"twice", "read-only " + viewToken + "\nread-write " + viewToken, 0o600, "line 2: the token is there already; remove one of them"},
		{"open to all", tokenText, 0o644, "everybody on this machine can use it (mode 0644); chmod o= PATH"},
		{"writable", tokenText, 0o602, "everybody on this machine can use it (mode 0602); chmod o= PATH"},
		{"a long line", "read-only " + strings.Repeat("x", 100_000), 0o600, "bufio.Scanner: token too long"},
		{"long", strings.Repeat("#", maxTokenFile+1), 0o600, "it has 1048577 bytes, more than 1048576"},
	}
	for _, tt := range tests {
		path := filepath.Join(t.TempDir(), "tokens")
		writeTokens(t, path, tt.text, tt.mode)
		tokens, err := LoadTokens(path)
		want := "api: token file " + path + ": " + strings.ReplaceAll(tt.want, "PATH", path)
		if tokens != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %v\nwant %s", tt.name, err, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "tokens")
	if _, err := LoadTokens(missing); err == nil || err.Error() != "api: token file "+missing+": no such file or directory" {
		t.Error(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadTokens(dir); err == nil || !strings.HasSuffix(err.Error(), ": it is no regular file") {
		t.Error(err)
	}
}

// A pipe that nobody writes to is no file to wait for.
func TestTokenPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := LoadTokens(path)
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil || !strings.HasSuffix(err.Error(), ": it is no regular file") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("it waits for a writer")
	}
}

// Whatever a token has opened ends with it, or with its right; others go on.
func TestRevokedTokens(t *testing.T) {
	tokens := testTokens(t)
	_, address := remoteFor(t, tokens)
	const stays = "0000000000000000"
	reload := func(lines ...string) {
		t.Helper()
		writeTokens(t, tokens.path, strings.Join(append(lines, "read-only "+stays), "\n"), 0o640)
		if err := tokens.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	reload("read-only "+viewToken, "read-write "+fullToken)
	other := opened(t, address, "/v1/events", stays)
	events, packets := opened(t, address, "/v1/events", viewToken), opened(t, address, "/v1/capture", fullToken)
	reload("read-write " + fullToken)
	ended(t, events)
	goesOn(t, packets)
	reload("read-only " + fullToken)
	ended(t, packets)
	goesOn(t, other)
}

// opened opens a stream or a capture, and returns what tells of its end.
func opened(t *testing.T, address, path, token string) <-chan error {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: gw\r\nAccept: text/event-stream, application/x-pcapng\r\nAuthorization: Bearer %s\r\n\r\n", path, token)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %+v", err, resp)
	}
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, resp.Body)
		done <- err
	}()
	return done
}

func ended(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("it goes on without its token")
	}
}

func goesOn(t *testing.T, done <-chan error) {
	t.Helper()
	select {
	case err := <-done:
		t.Errorf("it has ended: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
}

// A file that has become bad leaves the tokens as they were.
func TestReloadTokens(t *testing.T) {
	tokens := testTokens(t)
	writeTokens(t, tokens.path, "read-only x", 0o640)
	if err := tokens.Reload(); err == nil || tokens.find(fullToken).right != readWrite {
		t.Error(err)
	}
	writeTokens(t, tokens.path, "read-only "+fullToken, 0o640)
	if err := tokens.Reload(); err != nil || tokens.find(fullToken).right != readOnly || tokens.find(viewToken) != nil {
		t.Error(err)
	}
}

// Wrong tokens are counted by source and second, in bounded memory.
func TestTries(t *testing.T) {
	var tries tries
	now := time.Unix(1000, 0)
	one, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for i := range triesPerSecond {
		if !tries.allowed(one, now) {
			t.Fatalf("the %dth is refused", i+1)
		}
		tries.failed(one, now)
	}
	if tries.allowed(one, now.Add(999*time.Millisecond)) || !tries.allowed(other, now) || !tries.allowed(one, now.Add(time.Second)) {
		t.Error("it is not ten in a second for each")
	}
	for i := range 3 * triers {
		a := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		tries.failed(netip.PrefixFrom(a, 32), now)
	}
	if len(tries.count) > triers {
		t.Errorf("%d sources are kept", len(tries.count))
	}
}
