package server

import (
	"net"
	"net/http"
	"net/netip"
)

// ownName refuses what comes over TCP under another name than this machine's: a
// web page whose name was made to lead to loopback (DNS rebinding) would pass for
// one of the gateway's own. Where a token is needed that page has none.
func ownName(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, tcp := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
		if tcp && isNear(r) && !loopbackName(r.Host) {
			writeProblem(w, http.StatusForbidden, "api: "+r.Host+" is not this machine; use 127.0.0.1 or localhost")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
