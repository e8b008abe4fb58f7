package gateway

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"tidegate/nexthop"
)

// logged is a rig whose log can be read.
func logged(t *testing.T, level slog.Level) (*rig, *bytes.Buffer) {
	var b bytes.Buffer
	r := newRig(t, func(o *Options) { o.Log = slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: level})) })
	return r, &b
}

func TestEndsAreLogged(t *testing.T) {
	r, log := logged(t, slog.LevelDebug)
	p := r.dial(nexthop.Inside, 1, 2)
	p.expire()
	for _, want := range []string{"rule=egress", "reason=idle", "state=ESTABLISHED", "10.0.0.10:40000", "reset=true"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
}

// The log names a member that runs out of ports, and where it wanted to go, once
// a second.
func TestExhaustionIsLogged(t *testing.T) {
	r, log := logged(t, slog.LevelInfo)
	r.use(server)
	for range 5 {
		r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	}
	r.control.reportExhaustion()
	r.expect(DropExhausted, nexthop.Inside, syn(client, server))
	r.control.reportExhaustion()
	if n := strings.Count(log.String(), "snat exhausted"); n != 1 {
		t.Errorf("it is said %d times in one moment", n)
	}
	for _, want := range []string{"rule=egress", "member=10.0.0.10", "protocol=tcp", "198.51.100.7:443", "failed=5"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, log)
		}
	}
	log.Reset()
	r.clock += int64(time.Second)
	r.control.reportExhaustion()
	if !strings.Contains(log.String(), "failed=1") {
		t.Errorf("a second later the log says\n%s", log)
	}
	log.Reset()
	r.clock += int64(time.Second)
	r.control.reportExhaustion()
	if log.Len() != 0 {
		t.Errorf("with nothing new the log says\n%s", log)
	}
}
