package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"strings"
)

// ClientOption changes how a Client asks. Its error is NewClient's.
type ClientOption func(*Client, *http.Transport) error

// WithToken sends a bearer token, as a listener wants it that is neither a unix
// socket nor loopback. The empty one is none.
func WithToken(token string) ClientOption {
	return func(c *Client, _ *http.Transport) error {
		if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return errors.New("api: token: it has a space, a control character or one beyond ASCII, as no token has; " +
				"give the token alone, without read-only or read-write")
		}
		c.token = token
		return nil
	}
}

// WithRoots trusts these certificate authorities, and no others, to name a server
// that is asked over https. Nil means the system's.
func WithRoots(roots *x509.CertPool) ClientOption {
	return func(_ *Client, t *http.Transport) error {
		t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		return nil
	}
}
