package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"tidegate/api"
)

// blame is which keys are wrong, and what the text has there and nowhere else.
type blame map[string]string

// wrong are edits of living that can't be put in force.
var wrong = []struct {
	name   string
	edit   []string
	status int // of PUT
	blame  blame
}{
	{"values", []string{"protocol: All", "protocol: Icmp", "frontendPort: 2222", "frontendPort: 0"}, http.StatusUnprocessableEntity,
		blame{"outboundRules[0].protocol": "protocol: Icmp", "inboundNatRules[0].frontendPort": "frontendPort: 0"}},
	{"keys and names", []string{"backendPort: 22,", "backendPort: 22, colour: blue,", "backendPort: 8080,", "backendPort: 8080, probe: none,"}, http.StatusUnprocessableEntity,
		blame{"inboundNatRules[0].colour": "colour: blue", "loadBalancingRules[0].probe": "probe: none"}},
	{"what needs a restart", []string{"workers: 2", "workers: 1\n  maxFlows: 4096"}, http.StatusConflict,
		blame{"gateway.workers": "workers: 1", "gateway.maxFlows": "maxFlows: 4096"}},
}

// broken is living, less a member, with an edit.
func (r *rig) broken(prefix string, edit []string) string {
	r.Helper()
	whole := r.text(settings{rules: prefix + living})
	whole = strings.Replace(whole, "gateway:\n", "gateway:\n  workers: 2\n", 1)
	text := strings.NewReplacer(append([]string{"[ 10.0.0.10, 10.0.0.11 ]", "[ 10.0.0.11 ]"}, edit...)...).Replace(whole)
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(whole, edit[i]) {
			r.Fatalf("nothing to edit: %q", edit[i])
		}
	}
	return text
}

// A configuration that is not good changes nothing, whichever way it comes, and it is
// said what is wrong with it.
func TestReloadOfWrongChangesNothing(t *testing.T) {
	for name, prefix := range map[string]string{"PUT and SIGHUP": "", "file": watched} {
		t.Run(name, func(t *testing.T) {
			onEachHost(t, func(r *rig) {
				r.startTwoWorkers(prefix)
				talk := r.keepTalking(r.everyDirection())
				was, before := r.byID(), r.everything()
				for _, c := range wrong {
					text := r.broken(prefix, c.edit)
					if prefix == "" {
						r.putWrong(text, c.status, c.blame)
					}
					r.fileWrong(prefix, text, c.blame)
					if after := r.everything(); after != before {
						r.Errorf("%s: before:\n%s\nafter:\n%s", c.name, before, after)
					}
				}
				r.wantSameFlows(was)
				r.wantRepaired(prefix)
				r.wantSameFlows(was)
				talk.end()
				r.wantNoneGivenUp()
			})
		})
	}
}

// startTwoWorkers starts a gateway with living, and with a key that needs a restart.
func (r *rig) startTwoWorkers(prefix string) {
	r.Helper()
	good := settings{rules: prefix + living}
	r.configure(good)
	r.setGuardRoutes()
	text := strings.Replace(r.text(good), "gateway:\n", "gateway:\n  workers: 2\n", 1)
	r.check(os.WriteFile(r.file(), []byte(text), 0o644))
	r.launch()
	r.awaitReady()
	r.setTunnelRoutes()
}

// everything is what a configuration decides on, but for flows: the configuration
// itself byte for byte, ports, backends and rules.
func (r *rig) everything() string {
	r.Helper()
	status, config, err := r.get(r.api(), "/v1/config")
	r.check(err)
	if status != http.StatusOK {
		r.Fatalf("GET /v1/config: %d %s", status, config)
	}
	all := config
	for _, p := range must(r.client.Ports(r.Context(), api.ByBackend))(r).Rows {
		all += fmt.Sprintf("\n%+v", p)
	}
	for _, b := range must(r.client.Backends(r.Context()))(r).Rows {
		all += fmt.Sprintf("\n%+v", b)
	}
	s := r.status()
	for _, rule := range s.Rules {
		all += fmt.Sprintf("\n%+v", rule)
	}
	return all + fmt.Sprintf("\nfrom %s at %v", s.Config.Source, s.Config.Loaded)
}

// putWrong brings a configuration by PUT, and wants each key named.
func (r *rig) putWrong(text string, status int, b blame) {
	r.Helper()
	err := r.client.SetConfig(r.Context(), api.YAMLType, strings.NewReader(text))
	var p *api.Problem
	if !errors.As(err, &p) || p.Status != status {
		r.Fatalf("PUT: %v, want status %d", err, status)
	}
	var locations []string
	for _, e := range p.Errors {
		locations = append(locations, e.Location)
	}
	slices.Sort(locations)
	if want := slices.Sorted(maps.Keys(b)); !slices.Equal(locations, want) {
		r.Errorf("PUT blames %v, want %v: %v", locations, want, err)
	}
	r.wantRejected("api", b)
}

// change writes the file, and says so unless that is watched.
func (r *rig) change(prefix, text string) {
	r.Helper()
	r.check(os.WriteFile(r.file(), []byte(text), 0o644))
	if prefix != watched {
		r.check(r.tidegate.Signal(syscall.SIGHUP))
	}
}

// fileWrong brings it by the file, and wants each key named with its line.
func (r *rig) fileWrong(prefix, text string, b blame) {
	r.Helper()
	r.awaitChange(func() { r.change(prefix, text) })
	r.wantRejected(r.file(), b)
	for key, word := range b {
		before, _, _ := strings.Cut(text, word)
		place := fmt.Sprintf("(line %d)", strings.Count(before, "\n")+1)
		if e := r.status().Config.LastError; !strings.Contains(e, place) {
			r.Errorf("status does not say that %s is in %s: %s", key, place, e)
		}
	}
}

// wantRejected checks that all who ask for the last change learn what was wrong.
func (r *rig) wantRejected(source string, b blame) {
	r.Helper()
	event := r.lastChange()
	if event.Type != api.ConfigRejected || !strings.Contains(event.Message, "from "+source+" ") {
		r.Fatalf("what came from %s is rejected, the last event is %+v", source, event)
	}
	for key := range b {
		for where, text := range map[string]string{"status": r.status().Config.LastError, "the event": event.Message} {
			if !strings.Contains(text, key+": ") {
				r.Errorf("%s does not name %s: %s", where, key, text)
			}
		}
	}
	if n, there := r.metrics()["tidegate_config_last_reload_successful"]; !there || n != 0 {
		r.Errorf("tidegate_config_last_reload_successful is %v (there: %t), want 0", n, there)
	}
}

// wantRepaired reloads what is good.
func (r *rig) wantRepaired(prefix string) {
	r.Helper()
	text := r.broken(prefix, nil)
	r.awaitReloaded(func() { r.change(prefix, text) })
	if n := r.metrics()["tidegate_config_last_reload_successful"]; n != 1 {
		r.Errorf("tidegate_config_last_reload_successful is %v, want 1", n)
	}
	if e := r.status().Config.LastError; e != "" {
		r.Errorf("status still says %s", e)
	}
	events := must(r.client.Events(r.Context(), api.EventQuery{Types: []string{api.ConfigReloaded}}))(r).Events
	if len(events) != 1 || !strings.Contains(events[0].Message, r.file()) {
		r.Errorf("the events are %+v", events)
	}
}
