package lab

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
)

// Options says how large a lab is. The zero Options is a usable lab.
type Options struct {
	// Name starts the name of every namespace: 1 to 16 letters and digits; default DefaultName.
	Name string
	// Hosts is the number of inside hosts, 1 to 200; default 3.
	Hosts int
	// MTU of every link in bytes, within what the kernel takes; default 1500.
	MTU int
	// NoForwarding starts the gateway with net.ipv4.ip_forward=0 instead of 1.
	NoForwarding bool
}

// DefaultName starts the names of the namespaces of labs that choose no name.
const DefaultName = "tg"

const (
	defaultHosts = 3 // one to use, one to compare, one in no pool
	defaultMTU   = 1500
	maxHosts     = 200 // 10.0.0.10 to 10.0.0.209
)

// Lab is a running network. Its methods and its hosts' may be called from any
// goroutine; after Close the hosts' methods fail.
type Lab struct {
	// Hosts are the inside hosts h1, h2, …: 10.0.0.10 and up, default route by Gateway.
	Hosts []*Host
	// LAN is the switch the hosts and the gateway hang on: bridge br0 with a port
	// named after each host, and the port gw. It has no address.
	LAN *Host
	// Gateway is where the gateway under test runs: in0 and out0.
	Gateway *Host
	// Router is the world's router: wan0 to the gateway, srv1 and srv2 to the servers.
	Router *Host
	// Servers are s1 at 198.51.100.7 and s2 at 192.0.2.9.
	Servers []*Host

	prefix string

	mu     sync.Mutex
	closed bool
	hosts  []*Host  // all whose namespace exists
	owned  []closer // what Close ends before it removes the namespaces
}

// closer is what a Lab owns: a Process, Server or Capture.
type closer interface{ Close() error }

var (
	labs     atomic.Int64 // labs made by this process, the N of their names
	nameForm = regexp.MustCompile(`^[A-Za-z0-9]{1,16}$`)
)

// New builds a lab. When it fails it has removed what it had made.
func New(o Options) (*Lab, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	l := &Lab{prefix: fmt.Sprintf("%s-%d-%d-", o.Name, os.Getpid(), labs.Add(1))}
	if err := l.build(o); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// complete fills in the defaults and refuses what New could not build.
func (o Options) complete() (Options, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	if o.Hosts == 0 {
		o.Hosts = defaultHosts
	}
	if o.MTU == 0 {
		o.MTU = defaultMTU
	}
	if !nameForm.MatchString(o.Name) {
		return o, fmt.Errorf("lab: name %q: is not 1 to 16 letters and digits", o.Name)
	}
	if o.Hosts < 1 || o.Hosts > maxHosts {
		return o, fmt.Errorf("lab: %d hosts: is outside 1–%d", o.Hosts, maxHosts)
	}
	return o, nil
}

// Prefix starts the name of every namespace of this lab and of no other lab.
func (l *Lab) Prefix() string { return l.prefix }

// Close ends what was started in the lab, the newest first, waits for it, and
// removes the namespaces. Sockets that the caller opened and holds keep their
// namespace alive, without a name, until they are closed. Calls after the first
// do nothing.
func (l *Lab) Close() error {
	owned, hosts := l.retire()
	var errs []error
	for _, c := range slices.Backward(owned) {
		errs = append(errs, c.Close())
	}
	for _, h := range slices.Backward(hosts) {
		errs = append(errs, removeNamespace(h.Namespace()))
	}
	return errors.Join(errs...)
}

// retire hands everything the lab owns to the one Close that ends it.
func (l *Lab) retire() ([]closer, []*Host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	owned, hosts := l.owned, l.hosts
	l.owned, l.hosts, l.closed = nil, nil, true
	return owned, hosts
}

// running returns the hosts whose namespaces exist.
func (l *Lab) running() []*Host {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hosts
}

// own makes Close end c. On a closed lab it ends c at once.
func (l *Lab) own(c closer) error {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.owned = append(l.owned, c)
	}
	l.mu.Unlock()
	if closed {
		return errors.Join(errors.New("lab: is closed"), c.Close())
	}
	return nil
}

// disown forgets c, which has ended by itself.
func (l *Lab) disown(c closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.owned = slices.DeleteFunc(l.owned, func(o closer) bool { return o == c })
}
