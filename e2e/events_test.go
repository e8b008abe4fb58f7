package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// eventful has a rule for each kind of event.
const eventful = `
frontendIPConfigurations:
  - { name: public, publicIPAddress: FRONTEND }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
  - { name: webs, addresses: [ 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All,
      allocatedOutboundPorts: PORTS, idleTimeout: IDLE, enableTcpReset: RESET }
loadBalancingRules:
  - { name: web, frontendIPConfiguration: public, backendAddressPool: webs, protocol: Tcp, probe: well,
      frontendPort: 80, backendPort: 8080, disableOutboundSnat: true, idleTimeout: 10m, enableTcpReset: true }
probes:
  - { name: well, protocol: Http, port: 9000, requestPath: /healthz, intervalInSeconds: 1 }
`

// follower reads events as somebody gets them.
type follower struct {
	*rig
	*lab.Process
	read func([]byte) []api.Event
	last uint64 // Event.Seq that was awaited
}

// follow starts `tidegate events --follow` with all that has been.
func (r *rig) follow(args ...string) *follower {
	r.Helper()
	args = append([]string{"--api", r.api(), "events", "--follow", "-o", "json", "--limit", "10000"}, args...)
	f := &follower{rig: r, Process: must(r.Hosts[2].Start(exec.Command(program, args...)))(r)}
	f.read = f.lines
	return f
}

// stream starts curl, which gets events from now on, or after those up to a number.
func (r *rig) stream(header ...string) *follower {
	r.Helper()
	args := []string{"-sN", "--unix-socket", r.socket(), "-H", "Accept: text/event-stream", "http://tidegate/v1/events"}
	for _, h := range header {
		args = append(args, "-H", h)
	}
	f := &follower{rig: r, Process: must(r.Hosts[2].Start(exec.Command("curl", args...)))(r)}
	f.read = f.serverSent
	r.check(f.WaitOutput(r.within(5*time.Second), ": events\n\n"))
	return f
}

func (f *follower) lines(b []byte) (all []api.Event) {
	f.Helper()
	for l := range bytes.Lines(b[:bytes.LastIndexByte(b, '\n')+1]) {
		all = append(all, f.event(l))
	}
	return all
}

func (f *follower) event(text []byte) (e api.Event) {
	f.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		f.Fatalf("%v in %q", err, text)
	}
	return e
}

// serverSent reads a stream, in which each event is named and numbered.
func (f *follower) serverSent(b []byte) (all []api.Event) {
	f.Helper()
	for block := range bytes.SplitSeq(b[:max(0, bytes.LastIndex(b, []byte("\n\n")))], []byte("\n\n")) {
		if bytes.HasPrefix(block, []byte(":")) {
			continue
		}
		head, text, _ := bytes.Cut(block, []byte("data: "))
		e := f.event(text)
		if want := fmt.Sprintf("id: %d\nevent: %s\n", e.Seq, e.Type); string(head) != want {
			f.Errorf("an event begins with %q, want %q", head, want)
		}
		all = append(all, e)
	}
	return all
}

// next waits for an event later than the one that was awaited before.
func (f *follower) next(kind string, is func(api.Event) bool) (found api.Event) {
	f.Helper()
	f.eventually(5*time.Second, "the next "+kind, func() bool {
		for _, e := range f.read(f.Output()) {
			if e.Seq > f.last && e.Type == kind && is(e) {
				found = e
				return true
			}
		}
		return false
	})
	f.last = found.Seq
	if found.Message == "" || time.Since(found.Time).Abs() > 10*time.Second {
		f.Errorf("an event is %+v", found)
	}
	return found
}

func anyEvent(api.Event) bool { return true }

// Whatever happens is told, in order, to who follows by the command and by the API,
// and to who comes back.
func TestEventsTellWhatHappens(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet") // events are made above the datapath
	r.serveWeb(":8080", r.Hosts[1])
	well := r.serveHealth(":9000", r.Hosts[1])
	s := settings{rules: eventful, ports: few, idle: idle}
	r.start(s)
	w, _ := r.witnessed()
	all, raw := w.follow(), r.stream()
	some := w.follow("--type", "snat.exhausted", "--type", "flow.closed", "--rule", "egress")
	r.flowEvents(all)
	r.healthEvents(all, well)
	r.configEvents(all, s)
	raw.next("config.rejected", anyEvent)
	heard, streamed := all.read(all.Output()), raw.read(raw.Output())
	r.wantSameEvents(heard, streamed)
	middle := streamed[len(streamed)/2].Seq
	back := r.stream(fmt.Sprint("Last-Event-ID: ", middle))
	back.next("config.rejected", anyEvent)
	resumed := back.read(back.Output())
	if resumed[0].Seq != middle+1 {
		r.Errorf("who was told of %d is told next of %d", middle, resumed[0].Seq)
	}
	r.wantSameEvents(streamed, resumed)
	r.wantSameEvents(heard, answer[api.EventList](w, "events", "--limit", "7").Events)
	r.wantTable([]string{"events", "--limit", "1000"}, api.EventTypes()...)
	some.next(api.FlowClosed, anyEvent)
	some.next(api.SNATExhausted, anyEvent)
	for _, e := range some.read(some.Output()) {
		if e.Type != api.SNATExhausted && e.Type != api.FlowClosed || e.Rule != "egress" {
			r.Errorf("not asked for: %+v", e)
		}
	}
	for _, f := range []*follower{all, some} {
		r.check(f.Signal(os.Interrupt))
		r.check(f.Wait())
	}
}

// flowEvents has a flow end by its timer, one by an operator, and one not begin.
func (r *rig) flowEvents(f *follower) {
	r.Helper()
	h1, h2, s1 := r.Hosts[0], r.Hosts[1], r.Servers[0]
	p := r.connect(h1, s1)
	r.numbersOf(p) // nothing is under way that would count later
	flow := r.flow(p)
	of := func(e api.Event) bool { return e.Flow != nil && e.Flow.ID == flow.ID }
	began := f.next(api.FlowCreated, of)
	if began.Rule != "egress" || began.Reason != "" || began.Resets != nil || began.Flow.External != flow.External || began.Flow.State != "SYN_SENT" {
		r.Errorf("the beginning is told as %+v", began)
	}
	r.wantTold(p.inside, idle)
	ended := f.next(api.FlowClosed, of)
	if ended.Rule != "egress" || ended.Reason != "idle" || fmt.Sprint(ended.Resets) != "[client server]" || ended.Flow.State != "ESTABLISHED" ||
		ended.Flow.Internal != flow.Internal || ended.Flow.Remote != flow.Remote || ended.Flow.BytesOut != flow.BytesOut || ended.Flow.PacketsIn != flow.PacketsIn {
		r.Errorf("the end is told as %+v", ended)
	}
	if lived := ended.Time.Sub(began.Time); lived < idle || lived > idle+grace(idle)+soon {
		r.Errorf("between beginning and end are %v", lived)
	}
	flow = r.flow(r.connect(h1, s1))
	r.wantTable([]string{"kill", "id=" + flow.ID}, "1 flow ended")
	if e := f.next(api.FlowClosed, of); e.Reason != "killed" || fmt.Sprint(e.Resets) != "[client server]" {
		r.Errorf("the kill is told as %+v", e)
	}
	echo := must(lab.ServeTCPEcho(s1, ":7"))(r)
	for range few {
		r.dialEcho(h2, echo.Addr)
	}
	r.wantRefused(h2, echo.Addr, unix.ECONNREFUSED)
	if e := f.next(api.SNATExhausted, anyEvent); e.Rule != "egress" || !strings.Contains(e.Message, "10.0.0.11") || !strings.Contains(e.Message, "198.51.100.7:7") {
		r.Errorf("the exhaustion is told as %+v", e)
	}
}

func (r *rig) healthEvents(f *follower, well *health) {
	r.Helper()
	well.status.Store(http.StatusServiceUnavailable)
	if e := f.next(api.BackendDown, anyEvent); !strings.Contains(e.Message, "10.0.0.11") || !strings.Contains(e.Message, "503") {
		r.Errorf("the failure is told as %+v", e)
	}
	well.status.Store(http.StatusOK)
	if e := f.next(api.BackendUp, anyEvent); !strings.Contains(e.Message, "10.0.0.11") {
		r.Errorf("the recovery is told as %+v", e)
	}
}

func (r *rig) configEvents(f *follower, s settings) {
	r.Helper()
	r.bySignal(s)
	if e := f.next(api.ConfigReloaded, anyEvent); !strings.Contains(e.Message, r.file()) {
		r.Errorf("the reload is told as %+v", e)
	}
	s.ports = 7
	r.configure(s)
	r.check(r.tidegate.Signal(syscall.SIGHUP))
	if e := f.next(api.ConfigRejected, anyEvent); !strings.Contains(e.Message, "outboundRules[0].allocatedOutboundPorts") {
		r.Errorf("the refusal is told as %+v", e)
	}
}

// wantSameEvents checks that the last of two lists are the same, without a gap.
func (r *rig) wantSameEvents(a, b []api.Event) {
	r.Helper()
	n := min(len(a), len(b))
	a, b = a[len(a)-n:], b[len(b)-n:]
	for i := range n {
		x, y := must(json.Marshal(a[i]))(r), must(json.Marshal(b[i]))(r)
		if !bytes.Equal(x, y) || i > 0 && a[i].Seq != a[i-1].Seq+1 {
			r.Errorf("event %d of %d: %s\nand %s", i, n, x, y)
		}
	}
	if n < 5 {
		r.Errorf("only %d events", n)
	}
}
