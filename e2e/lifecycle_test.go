package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// SIGTERM and SIGINT end it, with flows, within two seconds and as if nothing had been.
func TestSignalsEndIt(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGTERM": sigterm, "SIGINT": sigint} {
		t.Run(name, func(t *testing.T) {
			onEachHost(t, func(r *rig) {
				r.configure(settings{})
				r.setGuardRoutes()
				before := r.hostState(r.Gateway)
				r.start(settings{})
				r.connect(r.Hosts[0], r.Servers[0])
				began := time.Now()
				r.check(r.tidegate.Signal(signal))
				r.check(r.tidegate.Wait())
				if took := time.Since(began); took > 2*time.Second {
					r.Errorf("it took %v", took)
				}
				r.wantHostState(r.Gateway, before)
				if left := must(filepath.Glob(r.dir + "/*"))(r); len(left) != 1 {
					r.Errorf("files beside the configuration: %v", left)
				}
			})
		})
	}
}

func TestHangupIsSurvived(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		r.check(r.tidegate.Signal(syscall.SIGHUP))
		r.check(r.tidegate.WaitOutput(r.within(2*time.Second), "config.reloaded"))
		r.exchange(p)
	})
}

// A second gateway is refused, says so in one line, and does no harm to the first.
func TestSecondInstanceIsRefused(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		p := r.connect(r.Hosts[0], r.Servers[0])
		before := r.hostState(r.Gateway)
		second := func(file string) {
			r.Helper()
			o := r.run(r.Gateway, exec.Command(program, "run", "-c", file))
			if o.status != 1 || len(o.lines()) != 1 || !strings.Contains(o.stderr, "another tidegate") {
				r.Errorf("a second gateway with %s ended with %+v", filepath.Base(file), o)
			}
		}
		second(r.file())
		second(r.other(r.datapath))
		if r.datapath == "packet" {
			second(r.other("auto"))
		}
		r.wantHostState(r.Gateway, before)
		r.exchange(p)
		r.connect(r.Hosts[0], r.Servers[0])
		r.status()
	})
}

// other is a configuration for the same host with an API of its own.
func (r *rig) other(datapath string) (file string) {
	r.Helper()
	file = filepath.Join(r.dir, "other-"+datapath+".yaml")
	r.check(os.WriteFile(file, []byte(settings{}.yaml(datapath, filepath.Join(r.dir, "other.sock"))), 0o644))
	return file
}

// Scripts wait for these lines.
func TestStartIsLogged(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		r.stop()
		log := r.tidegate.Output()
		for _, line := range []string{"msg=ready ", `msg="datapath chosen" datapath=` + r.datapath + " "} {
			if n := bytes.Count(log, []byte(line)); n != 1 {
				r.Errorf("%q is there %d times in:\n%s", line, n, log)
			}
		}
		if bytes.Contains(log, []byte("level=WARN")) || bytes.Contains(log, []byte("level=ERROR")) {
			r.Errorf("it complained:\n%s", log)
		}
	})
}

// On a host that allows no packet sockets auto takes the next, and says why.
func TestAutoTakesWhatHostAllows(t *testing.T) {
	t.Parallel()
	r := newRig(t, "tun")
	r.watch()
	r.configure(settings{})
	r.setGuardRoutes()
	r.check(os.WriteFile(r.file(), []byte(settings{}.yaml("auto", r.socket())), 0o644))
	r.launch("setpriv", "--bounding-set", "-all,+net_admin")
	r.awaitReady()
	r.setTunnelRoutes()
	r.connect(r.Hosts[0], r.Servers[0])
	r.connectInbound()
	if s := r.status(); s.Datapath != "tun" || !strings.Contains(s.DatapathReason, "packet") {
		r.Errorf("datapath %s, because %s", s.Datapath, s.DatapathReason)
	}
	if n := bytes.Count(r.tidegate.Output(), []byte(`msg="datapath chosen" datapath=tun `)); n != 1 {
		r.Errorf("the choice is logged %d times:\n%s", n, r.tidegate.Output())
	}
}
