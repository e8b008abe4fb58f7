package e2e

import (
	"net/http"
	"strconv"
	"strings"
)

// metrics returns what /metrics says: the value of each series by its name with labels.
func (r *rig) metrics() map[string]float64 {
	r.Helper()
	status, body, err := r.get(r.api(), "/metrics")
	r.check(err)
	if status != http.StatusOK {
		r.Fatalf("/metrics answered %d: %s", status, body)
	}
	return r.parseMetrics(body)
}

// parseMetrics reads the text format, and fails on a line that is none of it.
func (r *rig) parseMetrics(body string) map[string]float64 {
	r.Helper()
	series := map[string]float64{}
	for l := range strings.Lines(body) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "#") {
			continue
		}
		cut := strings.LastIndexByte(l, ' ')
		if cut < 0 {
			r.Fatalf("/metrics has the line %q", l)
		}
		series[l[:cut]] = must(strconv.ParseFloat(l[cut+1:], 64))(r)
	}
	return series
}
