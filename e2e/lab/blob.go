package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// Blob returns a reader of n bytes, 0 or more, that are the same each time and
// don't repeat, so that a byte lost, doubled or moved changes the digest.
func Blob(n int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{}), n)
}

// Digest reads r to its end and returns its SHA-256 in lower-case hexadecimal.
func Digest(r io.Reader) (string, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, r); err != nil {
		return "", fmt.Errorf("lab: digest: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// Blobs is what a lab's HTTP server answers:
//
//	GET  /blob/{n}  the n bytes of Blob
//	POST /digest    the Digest of the request's body
//	GET  /remote    the client's address and port as the server sees them
func Blobs() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /blob/{n}", sendBlob)
	mux.HandleFunc("POST /digest", sendDigest)
	mux.HandleFunc("GET /remote", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RemoteAddr)
	})
	return mux
}

func sendBlob(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "the size is a number of bytes, 0 or more", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	io.Copy(w, Blob(n))
}

func sendDigest(w http.ResponseWriter, r *http.Request) {
	digest, err := Digest(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, digest)
}
