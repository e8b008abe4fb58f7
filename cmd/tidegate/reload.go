package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"tidegate/api"
	"tidegate/config"
	"tidegate/gateway"
)

// apiSource is the source of a configuration that PUT /v1/config has brought. The file
// stays as it is: who reads it again goes back to it.
const apiSource = "api"

// reloads reads the file again at each SIGHUP, and when it changes if that is asked for.
func (s *service) reloads(ctx context.Context, hup <-chan os.Signal) error {
	changed := make(chan struct{}, 1)
	if s.watched != nil {
		go s.watch(ctx, changed)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
		case <-changed:
		}
		c, err := config.Load(s.file)
		_ = s.change(ctx, c, s.file, err) // it is told of
	}
}

// watch signals when the file has changed. A gateway whose file can't be watched any
// more goes on without.
func (s *service) watch(ctx context.Context, changed chan<- struct{}) {
	err := s.watched.run(ctx, func() {
		select {
		case changed <- struct{}{}:
		default: // it is about to be read
		}
	})
	if err != nil && ctx.Err() == nil {
		s.log.Error("the configuration file is no longer watched; SIGHUP reloads it", "file", s.file, "error", err)
	}
}

// inForce is a configuration and what has come of it.
type inForce struct {
	config *config.Config
	plan   *plan
	needs  []need // of the plan, and what flows may need yet of those before
	source string // a file, or apiSource
	loaded time.Time
}

func (s *service) now() *inForce { return s.inForce.Load() }

// change puts a configuration in force, unless there was an error in reading it or it
// can't be: then everything stays as it was. Either is told as an event.
func (s *service) change(ctx context.Context, c *config.Config, source string, err error) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	if err == nil {
		err = s.replace(ctx, c, source)
	}
	s.rejected.Store(&err)
	if err != nil {
		s.gateway.Note(gateway.Notice{Kind: gateway.ConfigRejected, Rule: -1,
			Message: fmt.Sprintf("The configuration from %s is rejected, the one before stays in force: %s", source, oneLine(err))})
		return err
	}
	s.gateway.Note(gateway.Notice{Kind: gateway.ConfigReloaded, Rule: -1,
		Message: fmt.Sprintf("The configuration from %s is in force.", source)})
	return nil
}

// replace changes what runs, step by step. Those that can fail come first, and what
// they have changed does no harm to the configuration before.
func (s *service) replace(ctx context.Context, c *config.Config, source string) error {
	was := s.now()
	next, err := s.planned(c, was)
	if err != nil {
		return err
	}
	if err := s.reloadTokens(); err != nil {
		return err
	}
	now := &inForce{config: c, plan: next, needs: next.needsStill(c, was.needs), source: source}
	if err := s.guard(c, append(now.needs, was.needs...)); err != nil {
		return err
	}
	if err := s.checks.ask(ctx, next, was.plan); err != nil { // whoever is new is known when new flows come
		return err
	}
	prepared, err := s.gateway.Prepare(next.change())
	if err != nil {
		return err // can't be: it was possible a moment ago
	}
	s.adopt(prepared, now)
	return nil
}

// planned says how a configuration would be carried out, if it can be.
func (s *service) planned(c *config.Config, was *inForce) (*plan, error) {
	if fixed := config.Fixed(was.config, c); len(fixed) > 0 {
		return nil, fixedError{fixed}
	}
	next := newPlan(c, was.plan)
	if len(next.rules) > maxRules {
		return nil, errors.New("this gateway has had 65,536 rules since it started; restart it")
	}
	if err := s.path.accepts(c); err != nil {
		return nil, err
	}
	return next, s.gateway.Check(next.change())
}

// guard has the host keep its hands off all that is needed.
func (s *service) guard(c *config.Config, needs []need) error {
	if s.path.guard == nil {
		return nil
	}
	return s.path.guard.Update(guard(c, needs))
}

// adopt puts a configuration in force. What fails now is said and doesn't undo it.
func (s *service) adopt(p *gateway.Prepared, now *inForce) {
	was := s.now()
	now.loaded = time.Now()
	complain := func(what string, err error) {
		if err != nil {
			s.log.Error(what, "error", err)
		}
	}
	complain("resets could not be sent", s.gateway.Adopt(p))
	s.inForce.Store(now)
	s.path.answer(was.config, now.config)
	s.level.Set(levelOf(now.config.Log))
	complain("the host guard keeps more than it has to", s.guard(now.config, now.needs))
	complain("probes go on that nobody needs", s.checks.replace(now.plan))
}

func (p *plan) change() gateway.Change {
	return gateway.Change{Rules: slices.Clone(p.rules), Names: p.names, Timers: p.timers, Policy: p.nat, Pools: p.pools}
}

func (s *service) reloadTokens() error {
	if s.tokens == nil {
		return nil
	}
	return s.tokens.Reload()
}

// applyConfig is PUT /v1/config.
func (s *service) applyConfig(format string, body []byte) error {
	c, err := config.Parse(format, body)
	return asProblem(s.change(context.Background(), c, apiSource, err))
}

// checkConfig is POST /v1/config:validate.
func (s *service) checkConfig(format string, body []byte) error {
	c, err := config.Parse(format, body)
	if err != nil {
		return asProblem(err)
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	_, err = s.planned(c, s.now())
	return asProblem(err)
}

// fixedError is what can't change while the gateway runs.
type fixedError struct{ config.Problems }

// asProblem is how the API tells of an error in a configuration.
func asProblem(err error) error {
	if err == nil {
		return nil
	}
	p := api.NewProblem(http.StatusUnprocessableEntity, "the configuration is not valid")
	var problems config.Problems
	var fixed fixedError
	switch {
	case errors.As(err, &fixed):
		p, problems = api.NewProblem(http.StatusConflict, "the configuration can't be put in force without a restart"), fixed.Problems
	case !errors.As(err, &problems):
		p.Detail = err.Error()
	}
	for _, one := range problems {
		p.Errors = append(p.Errors, api.Detail{Location: one.Path, Message: one.Message})
	}
	return p
}

func levelOf(c config.Log) (level slog.Level) {
	_ = level.UnmarshalText([]byte(c.Level)) // the configuration is validated
	return level
}

// longestLine bounds what an error takes of an event, a log line or a status, bytes.
const longestLine = 2_000

// oneLine is an error of several lines in one, and not too long for a person.
func oneLine(err error) string {
	line := inOne(err)
	if len(line) > longestLine {
		line = strings.ToValidUTF8(line[:longestLine], "") + " …"
	}
	return line
}

// inOne joins the lines of an error. Where the file is at fault it says in
// which of its lines.
func inOne(err error) string {
	var fixed fixedError
	var problems config.Problems
	if errors.As(err, &fixed) {
		problems = fixed.Problems
	} else if !errors.As(err, &problems) {
		return strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	parts := make([]string, len(problems))
	for i, p := range problems {
		if parts[i] = p.String(); p.Line > 0 {
			parts[i] += fmt.Sprintf(" (line %d)", p.Line)
		}
	}
	return strings.Join(parts, "; ")
}
