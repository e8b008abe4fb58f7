package probe

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Targets that stay go on as if nothing had been; the others come and go at once.
func TestSetTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		asked := map[netip.Addr]int{}
		var heard []Target
		all := hosts("web", 3)
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: all[:2], Changed: func(x Target, up bool) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, x)
		}})
		p.ask = func(ctx context.Context, q *question, _, backend netip.Addr) answer {
			mu.Lock()
			defer mu.Unlock()
			asked[backend]++
			return answer{kind: yes, result: "200 OK"}
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		interval := web(nil).Interval
		time.Sleep(interval / 2)
		gone, err := p.SetTargets([]Target{all[2], all[1]})
		if err != nil || !slices.Equal(gone, all[:1]) {
			t.Errorf("gone are %v, %v", gone, err)
		}
		if _, err := p.SetTargets([]Target{{"other", all[0].Backend}}); err == nil {
			t.Error("a target of no probe is taken")
		}
		time.Sleep(7 * interval / 4)
		mu.Lock()
		if n := [3]int{asked[all[0].Backend], asked[all[1].Backend], asked[all[2].Backend]}; n != [3]int{1, 3, 2} {
			t.Errorf("asked %v times", n)
		}
		if !slices.Equal(heard, []Target{all[0], all[1], all[2]}) && !slices.Equal(heard, []Target{all[1], all[0], all[2]}) {
			t.Errorf("heard of %v", heard)
		}
		mu.Unlock()
		if got := p.Status(); got[0].Target != all[2] || got[1].Succeeded != 3 {
			t.Errorf("the state is %+v", got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
