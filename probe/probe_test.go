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
func TestReplaceTargets(t *testing.T) {
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
		gone, err := p.Replace([]Spec{web(nil)}, []Target{all[2], all[1]})
		if err != nil || !slices.Equal(gone, all[:1]) {
			t.Errorf("gone are %v, %v", gone, err)
		}
		if _, err := p.Replace([]Spec{web(nil)}, []Target{{"other", all[0].Backend}}); err == nil {
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

// A probe that asks another question takes over what is known, and is heard from then
// on; the one before it is heard no more.
func TestReplaceQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []bool
		paths := map[string]int{}
		all := hosts("web", 1)
		p := mustNew(t, Options{Specs: []Spec{web(nil)}, Targets: all, Changed: func(_ Target, up bool) {
			mu.Lock()
			defer mu.Unlock()
			heard = append(heard, up)
		}})
		p.ask = func(_ context.Context, q *question, _, _ netip.Addr) answer {
			mu.Lock()
			defer mu.Unlock()
			paths[q.Path]++
			if q.Path == "/other" && paths[q.Path] > 1 {
				return answer{kind: no, result: "503"}
			}
			return answer{kind: yes, result: "200 OK"}
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		synctest.Wait()
		since := p.Status()[0].Since
		time.Sleep(time.Millisecond)
		other := web(func(s *Spec) { s.Path = "/other" })
		if gone, err := p.Replace([]Spec{other}, all); err != nil || len(gone) != 0 {
			t.Errorf("gone are %v, %v", gone, err)
		}
		if s := p.Status()[0]; !s.Known || !s.Up || !s.Since.Equal(since) {
			t.Errorf("after the change %+v", s)
		}
		if _, err := p.Replace([]Spec{other, other}, all); err == nil {
			t.Error("two probes of one name are taken")
		}
		time.Sleep(other.Interval + time.Second)
		mu.Lock()
		defer mu.Unlock()
		if paths[web(nil).Path] != 1 || paths["/other"] != 2 || !slices.Equal(heard, []bool{true, false}) {
			t.Errorf("asked %v, heard %v", paths, heard)
		}
		stop()
		mu.Unlock()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		mu.Lock()
	})
}
