package main

import (
	"context"
	"errors"
	"os"
	"reflect"

	"tidegate/config"
)

// errRestart is for a change that this version can't make while it runs.
var errRestart = errors.New("it differs in more than adminState and the members of pools without outbound ports and NAT ranges " +
	"(a load-balancing rule on a public frontend gives them unless it says disableOutboundSnat: true); restart the gateway")

// hangups reads the configuration again at each SIGHUP. What can't be changed in
// a running gateway leaves everything as it was.
func (s *service) hangups(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			err := s.reload()
			s.reloaded.Store(err == nil)
			if err != nil {
				s.log.Error("configuration not reloaded, the one before stays in force", "file", s.file, "error", err)
				continue
			}
			s.log.Info("configuration reloaded", "file", s.file)
		}
	}
}

func (s *service) reload() error {
	c, err := config.Load(s.file)
	if err != nil {
		return err
	}
	if !sameButBackends(s.config, c) {
		return errRestart
	}
	p := newPlan(c)
	if err := s.checks.replace(p); err != nil {
		return err
	}
	s.gateway.SetMembers(&p.nat)
	for _, pool := range p.pools {
		s.gateway.SetBackends(pool.Name, pool.Backends)
	}
	s.config = c
	return nil
}

// sameButBackends says whether two configurations differ in the backends of
// load-balancing rules at most.
func sameButBackends(a, b *config.Config) bool {
	return reflect.DeepEqual(a.Gateway, b.Gateway) && reflect.DeepEqual(a.API, b.API) && a.Log == b.Log &&
		reflect.DeepEqual(withoutBackends(newPlan(a)), withoutBackends(newPlan(b)))
}

func withoutBackends(p *plan) *plan {
	for _, pool := range p.pools {
		pool.Backends = nil
	}
	p.nat.Members = nil
	return p
}
