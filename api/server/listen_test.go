package server

import (
	"context"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func closeAll(t *testing.T, listeners []net.Listener) {
	t.Helper()
	for _, l := range listeners {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

func listenError(t *testing.T, want string, addresses ...string) {
	t.Helper()
	listeners, err := Listen(addresses, ListenOptions{})
	closeAll(t, listeners)
	if err == nil || err.Error() != want {
		t.Errorf("%v: %v\nwant %s", addresses, err, want)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	at, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return at.Mode()
}

func TestListenUnix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run", "tidegate")
	path := filepath.Join(dir, "api.sock")
	listeners, err := Listen([]string{"unix:" + path}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if m := mode(t, dir); m != fs.ModeDir|0o755 {
		t.Errorf("the directory is %v", m)
	}
	if m := mode(t, path); m != fs.ModeSocket|0o660 {
		t.Errorf("the socket is %v", m)
	}
	listenError(t, "api: listen unix:"+path+": another tidegate answers there; stop it or choose another path in api.listen", "unix:"+path)
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first one is disturbed: %v", err)
	} else {
		c.Close()
	}
	closeAll(t, listeners)
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

func TestListenStaleSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	listeners, err := Listen([]string{"unix:" + path}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	closeAll(t, listeners)
}

// One that lives but is too busy to accept is not robbed of its socket.
func TestListenBusySocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	busy, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	var fill errgroup.Group
	for range 16 {
		fill.Go(func() error {
			for {
				c, err := new(net.Dialer).DialContext(ctx, "unix", path)
				if err != nil {
					return nil
				}
				defer c.Close()
			}
		})
	}
	<-ctx.Done()
	listenError(t, "api: listen unix:"+path+": another tidegate answers there; stop it or choose another path in api.listen", "unix:"+path)
	if err := fill.Wait(); err != nil {
		t.Error(err)
	}
}

func TestListenNotASocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	listenError(t, "api: listen unix:"+path+": a file that is no socket is in the way; remove it or choose another path in api.listen", "unix:"+path)
	if b, err := os.ReadFile(path); string(b) != "mine" || err != nil {
		t.Errorf("the file is now %q, %v", b, err)
	}
	listenError(t, "api: listen unix:api.sock: the path is not absolute", "unix:api.sock")
}

func TestListenLoopback(t *testing.T) {
	listeners, err := Listen([]string{"127.0.0.1:0", "[::1]:0", "localhost:0"}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, listeners)
	taken := listeners[0].Addr().String()
	listenError(t, "api: listen "+taken+": address already in use; stop what listens there (ss -ltnp) or choose another port in api.listen", taken)
	for _, open := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:9180"} {
		listenError(t, "api: listen "+open+": neither a unix socket nor loopback, and there is no authentication; set api.tokenFile, or use 127.0.0.1", open)
	}
	if _, err := Listen([]string{"9180"}, ListenOptions{}); err == nil || !strings.HasPrefix(err.Error(), "api: listen 9180: it is unix:/PATH or HOST:PORT: ") {
		t.Error(err)
	}
}

// What can't be opened as a whole leaves nothing open.
func TestListenAllOrNone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := filepath.Join(t.TempDir(), "api.sock")
	if _, err := Listen([]string{"unix:" + path, taken.Addr().String()}, ListenOptions{}); err == nil {
		t.Fatal("it opened")
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("the socket is left behind")
	}
}

// Serve answers on every listener, finishes what it is answering when it stops,
// and takes the socket away.
func TestServe(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	o := newRig(t).options
	o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		writeText(w, "finished")
	})
	path := filepath.Join(t.TempDir(), "api.sock")
	listeners, err := Listen([]string{"unix:" + path, "127.0.0.1:0"}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(o).Serve(ctx, listeners) }()
	for _, address := range []string{"unix:" + path, "http://" + listeners[1].Addr().String()} {
		if err := newClient(t, address).Healthy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	got := make(chan answer, 1)
	go func() { got <- (&rig{t: t, socket: path}).get("/metrics") }()
	<-entered
	cancel()
	waitFor(t, func() bool { _, err := os.Lstat(path); return err != nil })
	close(leave)
	if a := <-got; a.body != "finished" {
		t.Errorf("%+v", a)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestServeFails(t *testing.T) {
	listeners, err := Listen([]string{"127.0.0.1:0", "unix:" + filepath.Join(t.TempDir(), "api.sock")}, ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	listeners[0].Close()
	err = New(newRig(t).options).Serve(t.Context(), listeners)
	if err == nil || !strings.HasPrefix(err.Error(), "api: serve 127.0.0.1:") {
		t.Error(err)
	}
}
