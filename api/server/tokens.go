package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

// right is what a token lets its bearer do.
type right uint8

const (
	readOnly right = iota
	readWrite
)

// rights are the words of a token file.
var rights = map[string]right{"read-only": readOnly, "read-write": readWrite}

const (
	minToken     = 16      // characters
	maxTokenFile = 1 << 20 // bytes
)

// Tokens are the bearer tokens of a file. They are safe for concurrent use.
type Tokens struct {
	path      string
	reloading sync.Mutex
	known     atomic.Pointer[[]token]
}

// token is kept as its hash: comparing takes equally long whatever is alike.
type token struct {
	hash  [sha256.Size]byte
	right right
	gone  context.Context // done when the file has it no more, or with another right
	end   func()          // of gone
}

// LoadTokens reads a file with a line "read-only TOKEN" or "read-write TOKEN" for each
// token, empty lines and comments that begin with #. A token has 16 or more printable
// ASCII characters without spaces. The file must be closed to all but its owner and
// group. Errors name the line and never the token.
func LoadTokens(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file again. If it can't, the tokens from before stay. Streams and
// captures that were opened with a token that is not there any more, or has another
// right now, end.
func (t *Tokens) Reload() error {
	t.reloading.Lock()
	defer t.reloading.Unlock()
	text, err := readTokenFile(t.path)
	if err != nil {
		return fmt.Errorf("api: token file %s: %w", t.path, err)
	}
	tokens, err := parseTokens(text)
	if err != nil {
		return fmt.Errorf("api: token file %s: %w", t.path, err)
	}
	t.replace(tokens)
	return nil
}

// replace puts other tokens in force. Those that stay go on as they are.
func (t *Tokens) replace(tokens []token) {
	var before []token
	if known := t.known.Load(); known != nil {
		before = *known
	}
	for i := range tokens {
		one := &tokens[i]
		if same := lookUp(before, one.hash); same != nil && same.right == one.right {
			*one = *same
		} else {
			one.gone, one.end = context.WithCancel(context.Background())
		}
	}
	t.known.Store(&tokens)
	for i := range before {
		if now := lookUp(tokens, before[i].hash); now == nil || now.right != before[i].right {
			before[i].end()
		}
	}
}

func readTokenFile(path string) ([]byte, error) {
	if at, err := os.Stat(path); err == nil && !at.Mode().IsRegular() { // to open a pipe is to wait for its other end
		return nil, errors.New("it is no regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err) // the path is said already
	}
	defer f.Close()
	at, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case at.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("everybody on this machine can use it (mode %04o); chmod o= %s", at.Mode().Perm(), path)
	case at.Size() > maxTokenFile:
		return nil, fmt.Errorf("it has %d bytes, more than %d", at.Size(), maxTokenFile)
	}
	return io.ReadAll(io.LimitReader(f, maxTokenFile))
}

func parseTokens(text []byte) ([]token, error) {
	var all []token
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		one, err := parseToken(words)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if lookUp(all, one.hash) != nil {
			return nil, fmt.Errorf("line %d: the token is there already; remove one of them", n)
		}
		all = append(all, one)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, errors.New("it has no token; add a line read-write TOKEN")
	}
	return all, nil
}

func parseToken(words []string) (token, error) {
	what, ok := rights[words[0]]
	switch {
	case !ok || len(words) != 2:
		return token{}, errors.New("it is not read-only TOKEN or read-write TOKEN")
	case len(words[1]) < minToken:
		return token{}, fmt.Errorf("the token has %d characters, and %d are the least; make one with openssl rand -hex 32", len(words[1]), minToken)
	case strings.ContainsFunc(words[1], func(r rune) bool { return r <= ' ' || r > '~' }):
		return token{}, errors.New("the token has characters that are not printable ASCII; make one with openssl rand -hex 32")
	}
	return token{hash: sha256.Sum256([]byte(words[1])), right: what}, nil
}

// find returns a token of the file, nil if it is none.
func (t *Tokens) find(text string) *token {
	if t == nil {
		return nil
	}
	return lookUp(*t.known.Load(), sha256.Sum256([]byte(text)))
}

// lookUp compares with every token, each in constant time.
func lookUp(tokens []token, hash [sha256.Size]byte) (found *token) {
	for i := range tokens {
		if subtle.ConstantTimeCompare(tokens[i].hash[:], hash[:]) == 1 {
			found = &tokens[i]
		}
	}
	return found
}
