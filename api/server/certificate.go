package server

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificate is a pair of files that is read again when one of them changes.
type certificate struct {
	cert, key string // paths
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	read    [2]time.Time // when the files of current were written
	told    string       // why those of now can't be used; empty if they can
}

func loadCertificate(o *ListenOptions) (*certificate, error) {
	c := &certificate{cert: o.CertFile, key: o.KeyFile, log: o.Log}
	written, err := c.written()
	if err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, c.load(written)
}

// written is when the two files were.
func (c *certificate) written() (at [2]time.Time, err error) {
	for i, path := range []string{c.cert, c.key} {
		f, err := os.Stat(path)
		if err != nil {
			return at, err
		}
		at[i] = f.ModTime()
	}
	return at, nil
}

func (c *certificate) load(written [2]time.Time) error {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("TLS: %s and %s: %w", c.cert, c.key, err)
	}
	c.current, c.read = &pair, written
	return nil
}

// get looks at each handshake whether the files have changed. Until the new ones can
// be used, as while they are being written, it goes on with the one before.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	written, err := c.written()
	if err == nil && written != c.read {
		err = c.load(written)
	}
	c.tell(err)
	return c.current, nil
}

// tell logs an error once, however many handshakes find it.
func (c *certificate) tell(err error) {
	if err == nil {
		c.told = ""
		return
	}
	if err.Error() != c.told && c.log != nil {
		c.log.Warn("certificate not read, the one before stays in use", "error", err)
	}
	c.told = err.Error()
}

// config has no HTTP/2, which net/http speaks only on listeners of its own.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: []string{"http/1.1"}}
}
