package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// record is a line of the file of flow records.
type record struct {
	api.Flow
	Type, Reason    string
	Resets          []string
	DurationSeconds float64
}

// recordsIn reads the file, and those that were put aside.
func (r *rig) recordsIn(path string) (all []record, files int) {
	r.Helper()
	for _, file := range must(filepath.Glob(strings.TrimSuffix(path, ".jsonl") + "*"))(r) {
		files++
		for l := range bytes.Lines(must(os.ReadFile(file))(r)) {
			var one record
			if err := json.Unmarshal(l, &one); err != nil {
				r.Fatalf("%s: %v in %q", file, err, l)
			}
			all = append(all, one)
		}
	}
	return all, files
}

const collected = 4739 // IPFIX (RFC 7011 §10)

// A real connection, and then very many, are in the file and at the collector with the
// ports that they had; the log says as much of a burst as somebody can read.
func TestFlowsAreRecorded(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet") // records are made above the datapath
	path := filepath.Join(r.dir, "flows.jsonl")
	collector := must(r.Hosts[2].ListenPacket("udp4", fmt.Sprint(":", collected)))(r)
	defer collector.Close()
	wire := must(r.Hosts[2].Capture("eth0"))(r)
	r.start(settings{silent: true, rules: fmt.Sprintf(
		"flowRecords: { file: { path: %s, maxSizeInMB: 1, maxFiles: 9 }, ipfix: { collector: \"10.0.0.12:%d\" } }\n", path, collected) + configuration})
	p := r.connect(r.Hosts[0], r.Servers[0])
	r.numbersOf(p) // nothing is under way that would count later
	f := r.flow(p)
	r.wantTable([]string{"kill", "id=" + f.ID}, "1 flow ended")
	r.eventually(4*time.Second, "two records", func() bool { all, _ := r.recordsIn(path); return len(all) == 2 })
	all, _ := r.recordsIn(path)
	for i, want := range []string{"start ", "end killed"} {
		one := all[i]
		if one.Type+" "+one.Reason != want || one.ID != f.ID || one.Internal != f.Internal || one.External != f.External || one.Remote != f.Remote ||
			one.Rule != "egress" || one.Frontend != "public" || one.Direction != "outbound" || one.Protocol != "tcp" {
			r.Errorf("the flow %+v has the record %+v", f, one)
		}
	}
	if end := all[1]; end.State != "ESTABLISHED" || len(end.Resets) != 2 || end.PacketsOut != f.PacketsOut || end.BytesIn != f.BytesIn || end.DurationSeconds <= 0 {
		r.Errorf("the flow %+v has the record %+v", f, end)
	}
	if n := strings.Count(string(r.tidegate.Output()), "type=flow.closed reason=killed rule=egress flow="+f.ID+" "); n != 1 {
		r.Errorf("the end of %s is logged %d times", f.ID, n)
	}
	r.wantCollected(wire, f)
	r.floodRecords(path)
	r.wantRateOfLog(recorded)
	r.stop()
}

const recorded = 2500 // flows; beginning and end of them are some two megabytes

// floodRecords has many short flows, all of which are in the files.
func (r *rig) floodRecords(path string) {
	r.Helper()
	socket := must(r.Hosts[1].ListenPacket("udp4", ":0"))(r)
	defer socket.Close()
	r.eventually(8*time.Second, "all flows", func() bool { // a busy machine may lose some datagrams
		for i := range recorded {
			must(socket.WriteTo([]byte(line), net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.Servers[0].Addr, uint16(10000+i)))))(r)
			if i%50 == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		return len(r.flows("proto=udp")) == recorded
	})
	r.wantTable([]string{"kill", "proto=udp"}, fmt.Sprint(recorded, " flows ended"))
	count := map[string]int{}
	r.eventually(5*time.Second, "all records", func() bool {
		all, files := r.recordsIn(path)
		clear(count)
		for _, one := range all {
			if one.Protocol == "udp" {
				count[one.Type]++
			}
		}
		return count["start"] == recorded && count["end"] == recorded && files >= 2
	})
	for _, sink := range []string{"file", "log", "ipfix"} {
		series := `tidegate_events_lost_total{sink="` + sink + `"}`
		if n, there := r.metrics()[series]; !there || n != 0 {
			r.Errorf("%s is %v (there: %t)", series, n, there)
		}
	}
	for _, file := range must(filepath.Glob(strings.TrimSuffix(path, ".jsonl") + "*"))(r) {
		if at := must(os.Stat(file))(r); at.Size() > 1<<20 || at.Mode().Perm() != 0o600 {
			r.Errorf("%s has %d bytes and mode %v", file, at.Size(), at.Mode())
		}
	}
}

// wantCollected has tshark read what went to the collector.
func (r *rig) wantCollected(wire *lab.Capture, f api.Flow) {
	r.Helper()
	file := filepath.Join(r.dir, "ipfix.pcap")
	port := func(a netip.AddrPort) string { return strconv.Itoa(int(a.Port())) }
	of := strings.Join([]string{f.Internal.Addr().String(), f.External.Addr().String(), f.Remote.Addr().String(), port(f.Internal), port(f.External), port(f.Remote), "6"}, " ")
	want := []string{"4 " + of, "5 " + of} // NAT44 session create and delete (RFC 8158 §8)
	var got []string
	r.eventually(4*time.Second, "both records", func() bool {
		var b bytes.Buffer
		r.check(wire.WritePcap(&b))
		r.check(os.WriteFile(file, b.Bytes(), 0o644))
		got = r.natEvents(file)
		return len(got) >= 2
	})
	if !slices.Equal(got, want) {
		r.Errorf("the collector got\n%q, want\n%q", got, want)
	}
}

// natEvents are the records in a capture, of which a message may have several.
func (r *rig) natEvents(file string) (all []string) {
	r.Helper()
	out := must(exec.Command("tshark", "-r", file, "-n", "-d", fmt.Sprintf("udp.port==%d,cflow", collected), "-Y", "cflow.nat_event", "-T", "fields",
		"-e", "cflow.nat_event", "-e", "cflow.srcaddr", "-e", "cflow.post_natsource_ipv4_address", "-e", "cflow.dstaddr",
		"-e", "cflow.srcport", "-e", "cflow.post_naptsource_transport_port", "-e", "cflow.dstport", "-e", "cflow.protocol").Output())(r)
	for l := range strings.Lines(string(out)) {
		var columns [][]string
		for _, field := range strings.Fields(l) {
			columns = append(columns, strings.Split(field, ","))
		}
		for i := range columns[0] {
			var one []string
			for _, c := range columns {
				one = append(one, c[i])
			}
			all = append(all, strings.Join(one, " "))
		}
	}
	return all
}

// wantRateOfLog checks that of a burst some lines are there, and how many are not.
func (r *rig) wantRateOfLog(flows int) {
	r.Helper()
	r.eventually(4*time.Second, "every flow is in a line or counted in one", func() bool {
		lines, suppressed := 0, 0
		for l := range bytes.Lines(r.tidegate.Output()) {
			if !bytes.Contains(l, []byte("type=flow.closed reason=killed")) {
				continue
			}
			if bytes.Contains(l, []byte("protocol=udp")) {
				lines++
			}
			if m := regexp.MustCompile(` suppressed=(\d+)`).FindSubmatch(l); m != nil {
				suppressed += must(strconv.Atoi(string(m[1])))(r)
			}
		}
		if lines > 100 {
			r.Fatalf("%d lines of a burst", lines)
		}
		return lines >= 10 && lines+suppressed == flows
	})
}
