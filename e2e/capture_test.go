package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// film is `tidegate capture` at work.
type film struct {
	r    *rig
	file string
	*lab.Process
}

// film starts a capture, which sees packets when it returns.
func (r *rig) film(args ...string) *film {
	r.Helper()
	f := &film{r: r, file: filepath.Join(r.dir, "a.pcapng")}
	args = append([]string{"--api", r.api(), "capture", "-w", f.file}, args...)
	f.Process = must(r.Hosts[2].Start(exec.Command(program, args...)))(r)
	r.eventually(5*time.Second, "the capture has begun", func() bool {
		file, err := os.Stat(f.file)
		return err == nil && file.Size() > 0
	})
	return f
}

// shot is one packet of a capture.
type shot struct{ where, from, to, flags, seq, checksum, comment string }

// shots are the TCP segments of a capture as tshark shows them.
func (f *film) shots() (all []shot) {
	f.r.Helper()
	cmd := exec.Command("tshark", "-r", f.file, "-n", "-o", "tcp.check_checksum:TRUE", "-o", "tcp.relative_sequence_numbers:FALSE",
		"-Y", "tcp", "-T", "fields", "-e", "frame.interface_name", "-e", "ip.src", "-e", "tcp.srcport", "-e", "ip.dst", "-e", "tcp.dstport",
		"-e", "tcp.flags.str", "-e", "tcp.seq_raw", "-e", "tcp.checksum.status", "-e", "frame.comment")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		f.r.Fatalf("tshark: %v\n%s", err, complaints.String())
	}
	for line := range strings.Lines(string(out)) {
		w := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		all = append(all, shot{w[0], w[1] + ":" + w[2], w[3] + ":" + w[4], strings.ReplaceAll(w[5], "·", ""), w[6], w[7], w[8]})
	}
	return all
}

// TestCaptureOfAnIdleReset: a real connection from its SYN to the resets, on both
// sides of the translation, with whole checksums.
func TestCaptureOfAnIdleReset(t *testing.T) {
	onEach(t, settings{idle: idle}, func(r *rig) {
		f := r.film("internal=10.0.0.10", "proto=tcp")
		r.connect(r.Hosts[1], r.Servers[0]) // another's
		p := r.connect(r.Hosts[0], r.Servers[0])
		flow := r.flow(p)
		r.wantReset(p, idle)
		r.check(f.Signal(os.Interrupt))
		r.check(f.Wait())
		if said := string(f.Output()); !strings.HasSuffix(said, " packets, 0 lost\n") {
			r.Errorf("it said %q", said)
		}
		shots := f.shots()
		of := "flow " + flow.ID + " egress "
		in, out, server := flow.Internal.String(), flow.External.String(), flow.Remote.String()
		r.wantShot(shots[0], shot{"before", in, server, "S", shots[0].seq, "1", of + "SYN_SENT: forwarded, from the inside"})
		r.wantShot(shots[1], shot{"after", out, server, "S", shots[0].seq, "1", of + "SYN_SENT: forwarded, to the outside"})
		resets := map[string]string{in: "inside", server: "outside"}
		for i, s := range shots {
			switch {
			case s.flags == "AR":
				r.wantShot(s, shot{"after", s.from, s.to, "AR", s.seq, "1", of + "ESTABLISHED: made by the gateway (idle), to the " + resets[s.to]})
				delete(resets, s.to)
			case s.checksum != "1" || !strings.HasPrefix(s.comment, of) || !strings.Contains(s.comment, ": forwarded, "):
				r.Errorf("packet %d: %+v", i, s)
			case s.where == "after" && (s.seq != shots[i-1].seq || shots[i-1].where != "before"):
				r.Errorf("packet %d: %+v comes after %+v", i, s, shots[i-1])
			}
		}
		if len(resets) != 0 || len(shots) < 12 {
			r.Errorf("resets to %v are missing among %d packets", resets, len(shots))
		}
	})
}

func (r *rig) wantShot(got, want shot) {
	r.Helper()
	if got != want {
		r.Errorf("captured %+v\nwant     %+v", got, want)
	}
}

// TestCLICapture: what goes wrong leaves files alone, and standard output is a file too.
func TestCLICapture(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		file := filepath.Join(r.dir, "precious")
		r.check(os.WriteFile(file, []byte("precious"), 0o600))
		for args, want := range map[string]outcome{
			"capture":                                              {2, "", "tidegate: capture: a file to write to is needed, as -w FILE, or -w - for standard output\n"},
			"capture -w " + file + " flow=1":                       {2, "", "tidegate: api: filter \"flow=1\": "},
			"capture -w " + file + " --snaplen 1":                  {2, "", "tidegate: --snaplen 1: must be 20–65535\n"},
			"capture -w " + file + " --packets 0":                  {2, "", "tidegate: --packets 0: must be 1–1000000000\n"},
			"capture -w " + file + " --api unix:/nowhere/api.sock": {1, "", "tidegate: api: connect unix:/nowhere/api.sock: "},
			"capture -w " + r.dir:                                  {1, "", "tidegate: capture: open " + r.dir + ": is a directory\n"},
		} {
			if o := r.cli(strings.Fields(args)...); o.status != want.status || o.stdout != "" || !strings.HasPrefix(o.stderr, want.stderr) {
				r.Errorf("%s: %+v", args, o)
			}
		}
		if b := must(os.ReadFile(file))(r); string(b) != "precious" {
			r.Errorf("the file is %q", b)
		}
		o := r.cli("capture", "-w", "-", "--seconds", "1", "--snaplen", "64")
		if o.status != 0 || !strings.HasPrefix(o.stdout, "\n\r\r\n") || !strings.HasSuffix(o.stderr, " lost\n") {
			r.Errorf("capture -w -: %+v", o)
		}
	})
}
