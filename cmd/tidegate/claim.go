package main

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// claim makes this the only gateway in the network namespace until it is closed:
// an abstract unix socket belongs to one, and goes with the process.
func claim() (*net.UnixConn, error) {
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: "@tidegate", Net: "unixgram"})
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, errors.New("run: another tidegate already runs in this network namespace; stop it first")
	}
	if err != nil {
		return nil, fmt.Errorf("run: claim the network namespace: %w", err)
	}
	return c, nil
}
