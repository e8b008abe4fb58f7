package server

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
)

const (
	socketMode = 0o660 // root, and the group that root gives the socket to
	parentMode = 0o755

	// probeTimeout is how long a socket's owner may take to accept; the kernel
	// answers for one that lives.
	probeTimeout = time.Second

	// maxConnections bounds what others than this machine may take: some 10 MB.
	maxConnections = 256

	// maxPerSource is how many of those one source may have: the tabs of a few browsers.
	maxPerSource = 32
)

// ListenOptions are for listeners that are neither unix sockets nor loopback.
type ListenOptions struct {
	CertFile, KeyFile string       // PEM; with them such listeners speak TLS 1.2 or later, and nothing else
	Tokens            *Tokens      // without them such listeners are refused
	Log               *slog.Logger // is told of a changed certificate that can't be read; may be nil
}

// Listen opens all of api.listen, unix:/PATH or HOST:PORT, or none.
func Listen(addresses []string, o ListenOptions) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, a := range addresses {
		l, err := listen(a, &o)
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			return nil, fmt.Errorf("api: listen %s: %w", a, err)
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

func listen(address string, o *ListenOptions) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("it is unix:/PATH or HOST:PORT: %w", err)
	}
	if at.IP.IsLoopback() {
		return listenTCP(at)
	}
	return listenRemote(at, o)
}

func listenTCP(at *net.TCPAddr) (net.Listener, error) {
	l, err := net.ListenTCP("tcp", at)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w; stop what listens there (ss -ltnp) or choose another port in api.listen", syscall.EADDRINUSE)
	}
	if err != nil {
		return nil, cause(err)
	}
	return l, nil
}

// listenRemote opens what others than this machine can reach.
func listenRemote(at *net.TCPAddr, o *ListenOptions) (net.Listener, error) {
	if o.Tokens == nil {
		return nil, errors.New("neither a unix socket nor loopback, and there is no authentication; set api.tokenFile, or use 127.0.0.1")
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("TLS takes a certificate and its key; set both of api.tls.certFile and api.tls.keyFile, or neither")
	}
	var c *certificate
	if o.CertFile != "" {
		var err error
		if c, err = loadCertificate(o); err != nil {
			return nil, err
		}
	}
	l, err := listenTCP(at)
	if err != nil {
		return nil, err
	}
	l = newPerSource(netutil.LimitListener(l, maxConnections))
	if c != nil {
		l = tls.NewListener(l, c.config())
	}
	return l, nil
}

// listenUnix takes the place of a socket that a dead process has left. The
// socket is removed when the listener closes.
func listenUnix(path string) (net.Listener, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("the path is not absolute")
	}
	if err := makeParent(filepath.Dir(path)); err != nil {
		return nil, permitted(err)
	}
	if err := removeStale(path); err != nil {
		return nil, permitted(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, permitted(cause(err))
	}
	if err := os.Chmod(path, socketMode); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// permitted adds the remedy to an error for want of permission.
func permitted(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run as root, or choose another path in api.listen", err)
	}
	return err
}

// makeParent makes a missing directory, which the group of the socket has to
// pass whatever the umask is.
func makeParent(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(dir, parentMode); err != nil {
		return err
	}
	return os.Chmod(dir, parentMode)
}

// removeStale removes a socket only if the kernel says that nobody listens.
func removeStale(path string) error {
	at, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case at.Mode().Type() != fs.ModeSocket:
		return errors.New("a file that is no socket is in the way; remove it or choose another path in api.listen")
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	if err == nil {
		conn.Close()
	}
	return errors.New("another tidegate answers there; stop it or choose another path in api.listen")
}

// cause is what the kernel said, without what Listen says anyway.
func cause(err error) error {
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call
	}
	return err
}
