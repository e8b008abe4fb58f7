package server

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// nearKey marks the context of what comes over a unix socket or loopback. What is
// not marked needs a token.
type nearKey struct{}

// withListener marks what comes over a listener if it needs no token.
func withListener(ctx context.Context, l net.Listener) context.Context {
	if near(l.Addr()) {
		return nearContext(ctx)
	}
	return ctx
}

func nearContext(ctx context.Context) context.Context { return context.WithValue(ctx, nearKey{}, true) }

// near says that only this machine reaches an address.
func near(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return false
}

func isNear(r *http.Request) bool {
	return r.Context().Value(nearKey{}) != nil
}

// access lets those in who need no token, or have one that is good for what they ask.
type access struct {
	tokens *Tokens
	tries  tries
	next   http.Handler
}

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isNear(r) {
		a.next.ServeHTTP(w, r)
		return
	}
	if public(r) {
		keepNone(w)
		a.next.ServeHTTP(w, r)
		return
	}
	text, ok := bearer(r)
	if !ok {
		challenge(w, "", "api: this address wants a token of api.tokenFile: Authorization: Bearer TOKEN")
		return
	}
	from := source(r.RemoteAddr)
	if !a.tries.allowed(from, time.Now()) {
		w.Header().Set("Retry-After", "1")
		keepNone(w)
		writeProblem(w, http.StatusTooManyRequests, "api: too many wrong tokens from "+from.String()+"; try again in a second")
		return
	}
	switch known := a.tokens.find(text); {
	case known == nil:
		a.tries.failed(from, time.Now())
		challenge(w, ` error="invalid_token"`, "api: the token is none of api.tokenFile")
	case known.right == readOnly && changes(r):
		writeProblem(w, http.StatusForbidden, "api: the token is read-only, and "+r.Method+" "+r.URL.Path+" takes a read-write one")
	default:
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(known.gone, cancel)() // a stream ends with the token that opened it
		a.next.ServeHTTP(w, r.WithContext(ctx))
	}
}

// keepNone closes the connection after the answer: who has shown no token that is good
// keeps none of the places there are.
func keepNone(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

// public says that a request shows nothing of the gateway but that it is there: what
// supervisors ask, and the dashboard's own files.
func public(r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	p := r.URL.Path
	return p == "/healthz" || p == "/readyz" || p == "/" || strings.HasPrefix(p, "/ui/")
}

// asking are the requests that change nothing though their method might.
var asking = map[string]bool{"/v1/explain": true, "/v1/config:validate": true}

// changes says that a request takes a read-write token. Packets are more than to look
// at the gateway.
func changes(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return r.URL.Path == "/v1/capture"
	case http.MethodPost:
		return !asking[r.URL.Path]
	}
	return true
}

func bearer(r *http.Request) (token string, ok bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(token), ok && strings.EqualFold(scheme, "Bearer") // RFC 9110 §11.1
}

// challenge asks for a token (RFC 6750 §3).
func challenge(w http.ResponseWriter, why, detail string) {
	w.Header().Set("WWW-Authenticate", "Bearer"+why)
	keepNone(w)
	writeProblem(w, http.StatusUnauthorized, detail)
}

// source is the network that a client is counted by: an IPv6 client has many addresses.
func source(remoteAddr string) netip.Prefix {
	at, _ := netip.ParseAddrPort(remoteAddr) // of the connection; none without one
	a, bits := at.Addr().Unmap().WithZone(""), 64
	if !a.Is6() {
		bits = a.BitLen()
	}
	p, _ := a.Prefix(bits)
	return p
}
