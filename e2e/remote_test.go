package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

const (
	farOutside = "203.0.113.1:9443" // the gateway's own addresses
	farInside  = "10.0.0.1:9443"

	reader = "read-only-0123456789abcdef"
	writer = "read-write-0123456789abcdef"
)

// socketTransport asks at a unix socket, whatever the host in the URL.
func socketTransport(socket string) *http.Transport {
	return &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
}

// must2 is must for two values.
func must2[V, W any](v V, w W, err error) func(testing.TB) (V, W) {
	return func(t testing.TB) (V, W) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v, w
	}
}

// startEdited is start with some words of the configuration replaced.
func (r *rig) startEdited(s settings, oldnew ...string) {
	r.Helper()
	r.check(os.WriteFile(r.file(), []byte(strings.NewReplacer(oldnew...).Replace(r.text(s))), 0o644))
	r.setGuardRoutes()
	r.launch()
	r.awaitReady()
	r.setTunnelRoutes()
}

// keep writes a file that only its owner reads, and returns where it is.
func (r *rig) keep(name, text string) (path string) {
	r.Helper()
	path = filepath.Join(r.dir, name)
	r.check(os.WriteFile(path, []byte(text), 0o600))
	return path
}

// certificate makes one for addresses that vouches for itself, and its key.
func (r *rig) certificate(name string, addresses ...string) (cert, key string) {
	r.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(r)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, a := range addresses {
		c.IPAddresses = append(c.IPAddresses, net.ParseIP(a))
	}
	der := must(x509.CreateCertificate(rand.Reader, c, c, private.Public(), private))(r)
	secret := must(x509.MarshalPKCS8PrivateKey(private))(r)
	return r.keep(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		r.keep(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
}

// remote asks a gateway's API from another host, and has the answers judged.
type remote struct {
	*openapi
	base   string
	client *http.Client
}

func (r *rig) remote(o *openapi, from *lab.Host, base, ca string) remote {
	r.Helper()
	roots := x509.NewCertPool()
	if ca != "" {
		roots.AppendCertsFromPEM(must(os.ReadFile(ca))(r))
	}
	transport := &http.Transport{DialContext: from.Dial, TLSClientConfig: &tls.Config{RootCAs: roots}}
	r.Cleanup(transport.CloseIdleConnections)
	return remote{o, base, &http.Client{Transport: transport}}
}

func (a remote) want(status int, method, path, token string) {
	a.Helper()
	q := must(http.NewRequestWithContext(a.within(5*time.Second), method, a.base+path, http.NoBody))(a)
	if token != "" {
		q.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := a.client.Do(q)
	if err != nil {
		a.Errorf("%s %s%s: %v", method, a.base, path, err)
		return
	}
	defer response.Body.Close()
	body := must(io.ReadAll(response.Body))(a)
	a.judge(q, response.StatusCode, response.Header, body)
	if response.StatusCode != status || status == 401 && response.Header.Get("WWW-Authenticate") == "" {
		a.Errorf("%s %s%s by %q: %d, want %d: %s", method, a.base, path, token, response.StatusCode, status, body)
	}
}

// From elsewhere nobody gets in without a token and TLS, and with them as far as the
// token says, also after it was changed.
func TestRemoteAPI(t *testing.T) {
	onEachHost(t, func(r *rig) {
		cert, key := r.certificate("gateway", "203.0.113.1", "10.0.0.1")
		other, _ := r.certificate("other", "203.0.113.1")
		tokens := r.keep("tokens", "read-only "+reader+"\nread-write "+writer+"\n")
		r.startEdited(settings{}, "api: { listen: [ ", fmt.Sprintf("api: { tokenFile: %s, tls: { certFile: %s, keyFile: %s }, listen: [ %q, %q, ", tokens, cert, key, farOutside, farInside))
		doc, s1, h1, h3 := r.openapi(), r.Servers[0], r.Hosts[0], r.Hosts[2]
		p := r.connect(h1, s1)
		for _, a := range []remote{r.remote(doc, s1, "https://"+farOutside, cert), r.remote(doc, h1, "https://"+farInside, cert), r.remote(doc, h3, "https://"+farInside, cert)} {
			a.want(200, "GET", "/healthz", "")
			a.want(401, "GET", "/v1/flows", "")
			a.want(401, "GET", "/v1/flows", "not-a-token-0123456789")
			a.want(200, "GET", "/v1/flows", reader)
			a.want(403, "DELETE", "/v1/flows?proto=tcp", reader)
			a.want(403, "GET", "/v1/capture", reader)
			a.want(200, "DELETE", "/v1/flows?proto=udp", writer)
		}
		r.wantOpen(p)
		mine := r.keep("mine", writer+"\n")
		far := func(args ...string) outcome {
			r.Helper()
			return r.run(s1, exec.Command(program, append([]string{"--api", "https://" + farOutside}, args...)...))
		}
		if o := far("flows", "--ca", cert, "--token-file", mine); o.status != 0 || !strings.Contains(o.stdout, p.inside.LocalAddr().String()) {
			r.Errorf("flows from outside: %+v", o)
		}
		r.wantRefusal(far("flows", "--ca", cert), 1, []string{"--token-file"})
		r.wantRefusal(far("kill", "proto=tcp", "--ca", cert, "--token-file", r.keep("weak", reader)), 1, []string{"read-write token with --token-file"})
		r.wantRefusal(far("flows", "--ca", other, "--token-file", mine), 1, []string{"certificate signed by unknown authority"})
		r.wantRefusal(far("flows", "--token-file", mine), 1, []string{"certificate signed by unknown authority"})
		r.rotate(r.remote(doc, s1, "https://"+farOutside, cert))
		if o := far("kill", "proto=tcp", "--ca", cert, "--token-file", r.keep("new", "another-"+writer)); o.status != 0 || o.stdout != "1 flow ended\n" {
			r.Errorf("kill from outside: %+v", o)
		}
		r.wantTold(p.outside, 0)
		r.stop()
		for _, secret := range []string{reader, writer} {
			if strings.Contains(string(r.tidegate.Output()), secret) {
				r.Errorf("the log has the token %s", secret)
			}
		}
	})
}

// rotate changes the tokens while the gateway runs.
func (r *rig) rotate(a remote) {
	r.Helper()
	r.keep("tokens", "read-write another-"+writer+"\n")
	r.awaitReloaded(func() { r.check(r.tidegate.Signal(syscall.SIGHUP)) })
	a.want(401, "GET", "/v1/status", reader)
	a.want(401, "GET", "/v1/status", writer)
	a.want(200, "GET", "/v1/status", "another-"+writer)
	r.keep("tokens", "read-write short\n")
	r.check(r.tidegate.Signal(syscall.SIGHUP))
	r.check(r.tidegate.WaitOutput(r.within(2*time.Second), "config.rejected"))
	a.want(200, "GET", "/v1/status", "another-"+writer)
}

// Without TLS it works and is warned of; without tokens it is refused.
func TestRemoteAPIInTheClear(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	listen := fmt.Sprintf("listen: [ %q, ", farInside)
	open := strings.Replace(r.text(settings{}), "listen: [ ", listen, 1)
	r.check(os.WriteFile(r.file(), []byte(open), 0o644))
	r.wantRefusal(r.cli("check", "-c", r.file()), 2, []string{"api.tokenFile"})
	r.startEdited(settings{}, "listen: [ ", "tokenFile: "+r.keep("tokens", "read-only "+reader)+", "+listen)
	a := r.remote(r.openapi(), r.Hosts[0], "http://"+farInside, "")
	a.want(401, "GET", "/v1/status", "")
	a.want(200, "GET", "/v1/status", reader)
	if log := string(r.tidegate.Output()); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "tokens cross the network readable") {
		r.Errorf("the log is\n%s", log)
	}
	r.stop()
}
