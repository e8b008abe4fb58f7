package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespaceDir is where iproute2 and package netns keep the names of network
// namespaces: files, each with the namespace mounted on it (ip-netns(8)).
const namespaceDir = "/run/netns"

// addNamespace makes a network namespace with a name.
func addNamespace(name string) error {
	err := onThread(func() error {
		ns, err := netns.NewNamed(name)
		if err != nil {
			return err
		}
		return ns.Close()
	})
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("lab: add namespace %s: %w; if a killed run left it: ip netns delete %[1]s", name, err)
	}
	removeNamespace(name) // the file may be there already and the mount not
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("lab: add namespace %s: %w; run as root (CAP_SYS_ADMIN, CAP_NET_ADMIN)", name, err)
	}
	return fmt.Errorf("lab: add namespace %s: %w", name, err)
}

// removeNamespace takes the name away. The kernel ends the namespace when no
// process and no socket is in it any more.
func removeNamespace(name string) error {
	path := filepath.Join(namespaceDir, name)
	err := unix.Unmount(path, unix.MNT_DETACH)
	if err == unix.ENOENT {
		return nil
	}
	if err != nil && err != unix.EINVAL { // EINVAL: a plain file, nothing is mounted on it
		return fmt.Errorf("lab: unmount namespace %s: %w", name, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("lab: remove namespace %s: %w", name, err)
	}
	return nil
}

// within runs f on a thread inside the named namespace.
func within(name string, f func() error) error {
	return onThread(func() error {
		ns, err := netns.GetFromName(name)
		if err != nil {
			return fmt.Errorf("open namespace %s: %w", name, err)
		}
		err = netns.Set(ns)
		ns.Close()
		if err != nil {
			return fmt.Errorf("enter namespace %s: %w", name, err)
		}
		return f()
	})
}

// onThread runs f, which may change its thread's namespace, in a goroutine of
// its own that has an operating system thread to itself.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		defer close(result)
		result <- locked(f)
	}()
	err, returned := <-result
	if !returned {
		return errors.New("the function ended its goroutine (runtime.Goexit) instead of returning")
	}
	return err
}

// locked runs f on the current thread and then brings the thread back to the
// namespace it came from. A thread that can't be brought back stays locked, and
// dies with its goroutine.
func locked(f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// /proc/PID/net and nsenter show the main thread's namespace: leave
		// that one alone. It is ours until we return, so f gets another.
		defer runtime.UnlockOSThread()
		return onThread(f)
	}
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("open this thread's namespace: %w", err)
	}
	defer func() {
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
		home.Close()
	}()
	return f()
}
