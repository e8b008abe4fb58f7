package metrics

import "github.com/prometheus/client_golang/prometheus"

// maxLabels is the most labels that a family has.
const maxLabels = 4

// family adds up one metric by its label values. Adding up matters where values
// coincide: rules of different sections may share a name, as may the addresses
// of one frontend configuration.
type family struct {
	desc   *prometheus.Desc
	kind   prometheus.ValueType
	labels int
	values map[[maxLabels]string]float64
}

func newFamily(kind prometheus.ValueType, name, help string, labels ...string) *family {
	return &family{
		desc: prometheus.NewDesc(name, help, labels, nil), kind: kind, labels: len(labels),
		values: make(map[[maxLabels]string]float64),
	}
}

func counter(name, help string, labels ...string) *family {
	return newFamily(prometheus.CounterValue, name, help, labels...)
}

func gauge(name, help string, labels ...string) *family {
	return newFamily(prometheus.GaugeValue, name, help, labels...)
}

func (f *family) add(v float64, labels ...string) {
	var key [maxLabels]string
	copy(key[:], labels)
	f.values[key] += v
}

// set is for what can't be added up.
func (f *family) set(v float64, labels ...string) {
	var key [maxLabels]string
	copy(key[:], labels)
	f.values[key] = v
}

func (f *family) send(ch chan<- prometheus.Metric) {
	for key, v := range f.values {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, v, key[:f.labels]...)
	}
}

// families are all metrics of the gateway at one scrape.
type families struct {
	flows, created, closed, resets *family
	allocated, used, connections   *family
	packets, bytes, drops          *family
	backendUp, taking, chosen      *family
	probes, probeTook              *family
	datapath, reloaded             *family
	draining, flowsMax, lost       *family
}

func newFamilies() *families {
	f := &families{
		flows:   gauge("tidegate_flows", "Flows in the table, held ones included.", "rule", "protocol", "state"),
		created: counter("tidegate_flows_created_total", "Flows that began.", "rule", "protocol"),
		closed:  counter("tidegate_flows_closed_total", "Flows that ended.", "rule", "protocol", "reason"),
		resets:  counter("tidegate_tcp_resets_sent_total", "RST segments of the gateway's own, by the end they went to.", "rule", "reason", "side"),
		allocated: gauge("tidegate_snat_ports_allocated", "SNAT ports that a backend owns.",
			"frontend", "backend", "protocol"),
		used: gauge("tidegate_snat_ports_used", "SNAT ports with a flow, held ones included.",
			"frontend", "backend", "protocol"),
		connections: counter("tidegate_snat_connections_total",
			"New outbound flows that got a SNAT port and that got none, at the first frontend of the backend.",
			"frontend", "backend", "protocol", "state"),
		packets:  counter("tidegate_packets_total", "Frames on the interface of a side; an offloaded super-packet is one.", "side", "direction"),
		bytes:    counter("tidegate_bytes_total", "Bytes of those frames without link headers.", "side", "direction"),
		drops:    counter("tidegate_drops_total", "Packets that went nowhere.", "reason"),
		datapath: gauge("tidegate_datapath_info", "The datapath in use.", "datapath"),
		draining: gauge("tidegate_snat_ports_draining", "SNAT ports with flows of a backend that owns them no longer."),
		flowsMax: gauge("tidegate_flows_max", "Flows that the table has room for."),
		lost:     counter("tidegate_events_lost_total", "Events that a log, a file or a collector was too slow for.", "sink"),
		reloaded: gauge("tidegate_config_last_reload_successful", "Whether the last attempt to read the configuration succeeded."),
	}
	f.addBackends()
	return f
}

func (f *families) addBackends() {
	f.backendUp = gauge("tidegate_backend_up", "What the probe has found of a backend in a pool, 0 before its first result; 1 without a probe, whatever its adminState.",
		"pool", "backend", "probe")
	f.taking = gauge("tidegate_backend_taking_flows", "Whether a backend in a pool gets new flows: adminState and what happens when all are down count too.",
		"pool", "backend", "probe")
	f.chosen = counter("tidegate_backend_flows_created_total", "Flows that a load-balancing rule has led to a backend; there from the first on.",
		"rule", "backend")
	f.probes = counter("tidegate_probes_total", "Probes that have ended.", "probe", "backend", "result")
	f.probeTook = gauge("tidegate_probe_duration_seconds", "What the last probe took.", "probe", "backend")
}

func (f *families) all() []*family {
	return []*family{
		f.flows, f.created, f.closed, f.resets, f.allocated, f.used, f.connections,
		f.packets, f.bytes, f.drops, f.backendUp, f.taking, f.chosen, f.probes, f.probeTook, f.datapath, f.reloaded,
		f.draining, f.flowsMax, f.lost,
	}
}
