package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"tidegate/e2e/lab"
)

// Both listeners answer, in the formats that they promise.
func TestAPI(t *testing.T) {
	onEach(t, settings{listen: loopback}, func(r *rig) {
		r.connect(r.Hosts[0], r.Servers[0])
		for _, address := range []string{r.api(), "http://" + loopback} {
			for path, member := range map[string]string{
				"/healthz": "", "/readyz": "", "/openapi.json": "paths",
				"/v1/status": "rules", "/v1/flows?proto=tcp&limit=1": "flows", "/v1/ports?by=rule": "ports",
			} {
				status, body, err := r.get(address, path)
				if err != nil || status != http.StatusOK {
					r.Errorf("%s%s: %d %v %s", address, path, status, err, body)
					continue
				}
				if member != "" && !hasMember(body, member) {
					r.Errorf("%s%s has no %q: %s", address, path, member, body)
				}
			}
			r.wantProblem(address, "/v1/flows?colour=blue", http.StatusBadRequest)
			r.wantProblem(address, "/v2", http.StatusNotFound)
		}
	})
}

func hasMember(body, name string) bool {
	var members map[string]json.RawMessage
	return json.Unmarshal([]byte(body), &members) == nil && members[name] != nil
}

func (r *rig) wantProblem(address, path string, want int) {
	r.Helper()
	status, body, err := r.get(address, path)
	if err != nil || status != want || !hasMember(body, "title") {
		r.Errorf("%s%s: %d, want %d: %v %s", address, path, status, want, err, body)
	}
}

func TestMetrics(t *testing.T) {
	onEach(t, settings{}, func(r *rig) {
		r.connect(r.Hosts[0], r.Servers[0])
		m := r.metrics()
		for series, want := range map[string]float64{
			`tidegate_flows{protocol="tcp",rule="egress",state="ESTABLISHED"}`:                                         1,
			`tidegate_flows_created_total{protocol="tcp",rule="egress"}`:                                               1,
			`tidegate_flows_closed_total{protocol="tcp",reason="idle",rule="egress"}`:                                  0,
			`tidegate_tcp_resets_sent_total{reason="idle",rule="egress",side="client"}`:                                0,
			`tidegate_snat_ports_allocated{backend="10.0.0.10",frontend="public",protocol="tcp"}`:                      1024,
			`tidegate_snat_ports_used{backend="10.0.0.10",frontend="public",protocol="tcp"}`:                           1,
			`tidegate_snat_connections_total{backend="10.0.0.10",frontend="public",protocol="tcp",state="successful"}`: 1,
			`tidegate_drops_total{reason="not-a-member"}`:                                                              0,
			`tidegate_datapath_info{datapath="` + r.datapath + `"}`:                                                    1,
			`tidegate_config_last_reload_successful`:                                                                   1,
		} {
			if got, there := m[series]; !there || got != want {
				r.Errorf("%s is %v (there: %t), want %v", series, got, there, want)
			}
		}
		for _, series := range []string{
			`tidegate_packets_total{direction="in",side="inside"}`, `tidegate_packets_total{direction="out",side="outside"}`,
			`tidegate_bytes_total{direction="in",side="outside"}`, "go_goroutines", "process_resident_memory_bytes",
		} {
			if m[series] == 0 {
				r.Errorf("%s is 0", series)
			}
		}
		_, body, err := r.get(r.api(), "/metrics", "Accept", "application/openmetrics-text; version=1.0.0")
		r.check(err)
		if !strings.HasSuffix(body, "# EOF\n") {
			r.Error("no OpenMetrics for who asks for them")
		}
		r.parseMetrics(body)
	})
}

// The first 200 of /readyz means that the next packet passes.
func TestReadyMeansThatPacketsFlow(t *testing.T) {
	onEachHost(t, func(r *rig) {
		echo := must(lab.ServeUDPEcho(r.Servers[0], ":7"))(r)
		conn := must(r.Hosts[0].Dial(r.Context(), "udp4", echo.Addr.String()))(r)
		defer conn.Close()
		r.start(settings{})
		r.check(conn.SetDeadline(time.Now().Add(time.Second)))
		must(conn.Write([]byte(line)))(r)
		if n, err := conn.Read(make([]byte, 100)); err != nil || n != len(line) {
			r.Errorf("one datagram right after ready: %d bytes, %v", n, err)
		}
		if mode := must(os.Stat(r.socket()))(r).Mode(); mode.Perm()&0o007 != 0 {
			r.Errorf("everybody may use the API: %v", mode)
		}
	})
}
