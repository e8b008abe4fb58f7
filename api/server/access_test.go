package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/api"
)

// remote serves a rig's gateway where others than this machine could reach it, and
// returns its address.
func remote(t *testing.T) (r *rig, address string) {
	t.Helper()
	return remoteFor(t, testTokens(t))
}

func remoteFor(t *testing.T, tokens *Tokens) (r *rig, address string) {
	t.Helper()
	r, _ = withSettings(t)
	o := r.options
	o.Tokens = tokens
	o.Check = func(string, []byte) error { return nil }
	port := serve(t, New(o), "0.0.0.0:0")[0].Addr().(*net.TCPAddr).Port
	return r, "127.0.0.1:" + strconv.Itoa(port)
}

// ask sends a request with that Authorization, if it is not empty.
func ask(t *testing.T, method, url, authorization, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// Who may what over a listener that others can reach.
func TestAccess(t *testing.T) {
	_, address := remote(t)
	const packet = `{"protocol":"tcp","source":"10.0.0.10:1","destination":"198.51.100.7:443"}`
	tests := []struct {
		method, target, body string
		none, view, full     int
	}{
		{"GET", "/healthz", "", 200, 200, 200},
		{"GET", "/readyz", "", 200, 200, 200},
		{"HEAD", "/", "", 200, 200, 200},
		{"GET", "/ui/", "", 404, 404, 404},
		{"POST", "/", "", 401, 403, 405},
		{"GET", "/metrics", "", 401, 200, 200},
		{"GET", "/openapi.json", "", 401, 200, 200},
		{"GET", "/v1/status", "", 401, 200, 200},
		{"GET", "/v1/flows", "", 401, 200, 200},
		{"GET", "/v1/events", "", 401, 200, 200},
		{"GET", "/v1/nothing", "", 401, 404, 404},
		{"POST", "/v1/explain", packet, 401, 200, 200},
		{"POST", "/v1/config:validate", "{}", 401, 200, 200},
		{"DELETE", "/v1/flows?rule=x", "", 401, 403, 200},
		{"PUT", "/v1/config", "{}", 401, 403, 501},
		{"GET", "/v1/capture?packets=0", "", 401, 403, 400},
		{"GET", "/v1/%63apture?packets=0", "", 401, 403, 400},
		{"HEAD", "/v1/capture?packets=0", "", 401, 403, 400},
		{"BREW", "/v1/flows", "", 401, 403, 405},
	}
	for _, tt := range tests {
		for authorization, want := range map[string]int{
			"": tt.none, "Basic " + fullToken: tt.none, fullToken: tt.none,
			"Bearer " + viewToken: tt.view, "bearer  " + fullToken: tt.full,
		} {
			a := ask(t, tt.method, "http://"+address+tt.target, authorization, tt.body)
			if a.status != want || (want == 401) != (a.header.Get("WWW-Authenticate") != "") {
				t.Errorf("%s %s, %q: %d %.200s, want %d", tt.method, tt.target, authorization, a.status, a.body, want)
			}
		}
	}
}

// A token takes the place of the name that is asked for, and not of the origin.
func TestAccessOrigin(t *testing.T) {
	_, address := remote(t)
	if a := ask(t, "GET", "http://"+address+"/v1/status", "Bearer "+viewToken, ""); a.status != 200 {
		t.Errorf("%+v", a)
	}
	a := ask(t, "DELETE", "http://"+address+"/v1/flows?rule=x", "Bearer "+fullToken, "", "Sec-Fetch-Site", "cross-site")
	if a.status != 403 {
		t.Errorf("%+v", a)
	}
}

// After ten wrong tokens within a second even a right one has to wait.
func TestWrongTokens(t *testing.T) {
	_, address := remote(t)
	got := make(map[int]int)
	for range 2*triesPerSecond + 2 { // so many that a second that ends in between is no matter
		a := ask(t, "GET", "http://"+address+"/v1/status", "Bearer "+strings.Repeat("x", 20), "")
		if got[a.status]++; a.status == 429 && a.header.Get("Retry-After") != "1" {
			t.Errorf("%+v", a)
		}
	}
	if got[401] < triesPerSecond || got[429] == 0 || got[401]+got[429] != 2*triesPerSecond+2 {
		t.Errorf("%v", got)
	}
	waitFor(t, func() bool {
		return ask(t, "GET", "http://"+address+"/v1/status", "Bearer "+viewToken, "").status == 200
	})
}

// A handler that nobody has told how it is reached lets nobody in.
func TestAccessUnknownListener(t *testing.T) {
	w := httptest.NewRecorder()
	New(newRig(t).options).ServeHTTP(w, httptest.NewRequest("GET", "/v1/status", http.NoBody))
	if w.Code != 401 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSource(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1/32", "[2001:db8::1:2:3:4]:5": "2001:db8::/64", "[::ffff:192.0.2.1]:5": "192.0.2.1/32", "[fe80::1%eth0]:5": "fe80::/64",
	} {
		if got := source(remote); got != netip.MustParsePrefix(want) {
			t.Errorf("%s: %v, want %s", remote, got, want)
		}
	}
	if source("@") != (netip.Prefix{}) {
		t.Error("a unix socket has a source")
	}
}

// writeCertificate makes a pair for 127.0.0.1 and returns who can be trusted for it.
func writeCertificate(t *testing.T, cert, key string, serial int64, written time.Time) *x509.CertPool {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	writeDated(t, cert, text, written)
	writeDated(t, key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), written)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return roots
}

func writeDated(t *testing.T, path string, text []byte, written time.Time) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, written, written); err != nil {
		t.Fatal(err)
	}
}

// status asks as the command line does.
func status(t *testing.T, address string, options ...api.ClientOption) error {
	t.Helper()
	c, err := api.NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Status(t.Context())
	return err
}

// While a certificate is away the one before is in use, and the log says why, once.
func TestCertificateGone(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key, 1, time.Now())
	var log bytes.Buffer
	c, err := loadCertificate(&ListenOptions{CertFile: cert, KeyFile: key, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for turn := range 2 {
		if err := os.Remove(cert); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if pair, err := c.get(nil); pair == nil || err != nil {
				t.Errorf("%v, %v", pair, err)
			}
		}
		if n := strings.Count(log.String(), "cert.pem: no such file"); n != turn+1 {
			t.Errorf("the %dth time: it is said %d times: %s", turn+1, n, &log)
		}
		writeCertificate(t, cert, key, 2, time.Now())
		if pair, err := c.get(nil); pair == nil || err != nil {
			t.Errorf("%v, %v", pair, err)
		}
	}
}

// TLS is spoken with the certificate that the files hold by now, as soon as they hold one.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	start := time.Now().Add(-time.Hour)
	before := writeCertificate(t, cert, key, 1, start)
	o := newRig(t).options
	o.Tokens = testTokens(t)
	var log bytes.Buffer
	listeners, err := Listen([]string{"0.0.0.0:0", "127.0.0.1:0"}, ListenOptions{
		CertFile: cert, KeyFile: key, Tokens: o.Tokens, Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(o).Serve(ctx, listeners) }()
	_, port, _ := net.SplitHostPort(listeners[0].Addr().String())
	address := "https://127.0.0.1:" + port
	if err := status(t, address, api.WithToken(viewToken), api.WithRoots(before)); err != nil {
		t.Error(err)
	}
	if err := status(t, "http://"+listeners[1].Addr().String()); err != nil {
		t.Errorf("loopback speaks no TLS: %v", err)
	}
	if err := status(t, address, api.WithToken(viewToken)); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a stranger's certificate: %v", err)
	}
	writeDated(t, cert, []byte("half a fi"), start.Add(time.Minute))
	for range 2 {
		if err := status(t, address, api.WithToken(viewToken), api.WithRoots(before)); err != nil {
			t.Errorf("while it is written: %v", err)
		}
	}
	after := writeCertificate(t, cert, key, 2, start.Add(2*time.Minute))
	if err := status(t, address, api.WithToken(viewToken), api.WithRoots(after)); err != nil {
		t.Errorf("after it has changed: %v", err)
	}
	_, err = tls.Dial("tcp", strings.TrimPrefix(address, "https://"), &tls.Config{RootCAs: after, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "certificate not read"); n != 1 {
		t.Errorf("it is said %d times: %s", n, &log)
	}
}

func TestListenRemoteErrors(t *testing.T) {
	dir := t.TempDir()
	missing, empty := filepath.Join(dir, "missing"), filepath.Join(dir, "empty")
	writeDated(t, empty, nil, time.Now())
	for _, tt := range []struct {
		options ListenOptions
		want    string
	}{
		{ListenOptions{CertFile: missing, KeyFile: empty}, "TLS: stat " + missing + ": no such file or directory"},
		{ListenOptions{CertFile: empty, KeyFile: empty}, "TLS: " + empty + " and " + empty + ": tls: failed to find any PEM data in certificate input"},
		{ListenOptions{CertFile: empty}, "TLS takes a certificate and its key; set both of api.tls.certFile and api.tls.keyFile, or neither"},
	} {
		tt.options.Tokens = testTokens(t)
		_, err := Listen([]string{"0.0.0.0:0"}, tt.options)
		if err == nil || err.Error() != "api: listen 0.0.0.0:0: "+tt.want {
			t.Errorf("%v\nwant %s", err, tt.want)
		}
	}
}
