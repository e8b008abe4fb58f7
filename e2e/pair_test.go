package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// pair is one TCP connection through the gateway: the pool member's end, and the
// end outside.
type pair struct{ inside, outside *net.TCPConn }

func (p pair) ends() [2]*net.TCPConn { return [2]*net.TCPConn{p.inside, p.outside} }

// connect opens an outbound connection and says something each way.
func (r *rig) connect(from, to *lab.Host) pair {
	r.Helper()
	client, server, err := lab.Connect(r.within(5*time.Second), from, to)
	r.check(err)
	return r.adopt(pair{inside: client, outside: server})
}

// connectInbound opens a connection by the inbound NAT rule, from s2 to h1.
func (r *rig) connectInbound() pair {
	r.Helper()
	listener := must(r.Hosts[0].Listen("tcp4", ":22"))(r)
	defer listener.Close()
	client := must(r.Servers[1].Dial(r.within(5*time.Second), "tcp4", frontend+":"+inboundPort))(r)
	server := must(listener.Accept())(r)
	return r.adopt(pair{inside: server.(*net.TCPConn), outside: client.(*net.TCPConn)})
}

func (r *rig) adopt(p pair) pair {
	r.Helper()
	r.Cleanup(func() {
		p.inside.Close()
		p.outside.Close()
	})
	r.exchange(p)
	return p
}

const line = "tide comes, tide goes\n"

// exchange sends a line each way.
func (r *rig) exchange(p pair) {
	r.Helper()
	r.check(say(p.inside, p.outside))
	r.check(say(p.outside, p.inside))
}

// say sends a line one way. It waits as long as a kernel needs for a few
// retransmissions.
func say(from, to net.Conn) error {
	deadline := time.Now().Add(5 * time.Second)
	to.SetReadDeadline(deadline)
	defer to.SetReadDeadline(time.Time{})
	if _, err := io.WriteString(from, line); err != nil {
		return err
	}
	got := make([]byte, len(line))
	if _, err := io.ReadFull(to, got); err != nil {
		return fmt.Errorf("from %v: %w", from.LocalAddr(), err)
	}
	if string(got) != line {
		return fmt.Errorf("from %v came %q", from.LocalAddr(), got)
	}
	return nil
}

// numbers is where the kernels of both ends of a connection stand.
type numbers struct{ inside, outside lab.Sequences }

// numbersOf reads them when nothing is under way any more.
func (r *rig) numbersOf(p pair) (n numbers) {
	r.Helper()
	r.eventually(3*time.Second, "both ends have acknowledged everything", func() bool {
		n = numbers{must(lab.SequencesOf(p.inside))(r), must(lab.SequencesOf(p.outside))(r)}
		return n.inside.SndNxt == n.outside.RcvNxt && n.inside.SndUna == n.inside.SndNxt &&
			n.outside.SndNxt == n.inside.RcvNxt && n.outside.SndUna == n.outside.SndNxt
	})
	return n
}

// settle is how long a wire is watched for what should not follow.
const settle = 200 * time.Millisecond

// wantReset waits until both ends are told that the connection is over, and checks
// that the wires saw one exact RST to each, timeout after the last packet.
func (r *rig) wantReset(p pair, timeout time.Duration) {
	r.Helper()
	n := r.numbersOf(p)
	for _, conn := range p.ends() {
		if _, err := lab.WaitReset(conn, timeout+grace(timeout)+time.Second); err != nil {
			r.Fatal(err)
		}
	}
	time.Sleep(settle)
	r.wantOneReset(r.inside, p.inside, n.inside.RcvNxt, timeout)
	r.wantOneReset(r.outside, p.outside, n.outside.RcvNxt, timeout)
}

// wantOpen checks that neither end was told anything.
func (r *rig) wantOpen(p pair) {
	r.Helper()
	for _, conn := range p.ends() {
		r.wantOpenEnd(conn)
	}
}

func (r *rig) wantOpenEnd(conn net.Conn) {
	r.Helper()
	if state := must(lab.TCPInfo(conn))(r); state.State != unix.BPF_TCP_ESTABLISHED {
		r.Fatalf("%v is in TCP state %d", conn.LocalAddr(), state.State)
	}
}

// wantTold waits until the kernel says that the connection was reset, at once or
// after a timeout.
func (r *rig) wantTold(conn net.Conn, timeout time.Duration) {
	r.Helper()
	began := time.Now()
	told, err := lab.WaitReset(conn, timeout+grace(timeout)+time.Second)
	r.check(err)
	if took := told.Sub(began); timeout == 0 && took > soon {
		r.Errorf("%v was told after %v, not at once", conn.LocalAddr(), took)
	}
}

// soon is "at once" on a busy machine: before a kernel's first SYN or ARP request
// is repeated, which would hide that it was lost.
const soon = 900 * time.Millisecond

// flow returns what the gateway knows of the connection.
func (r *rig) flow(p pair) api.Flow {
	r.Helper()
	flows := r.flows("internal=" + p.inside.LocalAddr().String())
	if len(flows) != 1 {
		r.Fatalf("%v has %d flows", p.inside.LocalAddr(), len(flows))
	}
	return flows[0]
}

// wantNoFlow waits until the gateway has forgotten what the FILTER words say.
func (r *rig) wantNoFlow(d time.Duration, words ...string) {
	r.Helper()
	r.eventually(d, fmt.Sprintf("no flow %v", words), func() bool { return len(r.flows(words...)) == 0 })
}

// challenges counts the challenge ACKs (RFC 5961) that a host's kernel has sent.
func (r *rig) challenges(h *lab.Host) int {
	r.Helper()
	var counters []byte
	r.check(h.Do(func() (err error) {
		counters, err = os.ReadFile("/proc/thread-self/net/netstat")
		return err
	}))
	return must(strconv.Atoi(netstat(counters, "TcpExt:", "TCPChallengeACK")))(r)
}

// netstat finds a value: two lines begin with each group, the names and the values.
func netstat(b []byte, group, name string) string {
	var names []string
	for s := bufio.NewScanner(bytes.NewReader(b)); s.Scan(); {
		words := strings.Fields(s.Text())
		switch {
		case len(words) == 0 || words[0] != group:
		case names == nil:
			names = words
		default:
			for i, n := range names {
				if n == name {
					return words[i]
				}
			}
		}
	}
	return ""
}
