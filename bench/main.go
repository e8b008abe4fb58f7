package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if runChild(os.Args) {
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		stop()
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	only     string
	peers    string
	tidegate string
	output   string
	rounds   int
	duration time.Duration
}

// Bounds of -duration: below, two ticks of /proc/stat decide a figure; above, the
// flows of the flood of new ones no longer fit tableSize.
const (
	minDuration = 100 * time.Millisecond
	maxDuration = 4 * time.Second
)

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.only, "only", "", "metrics, of "+strings.Join(metricNames(), ",")+"; all without it")
	f.StringVar(&o.peers, "peers", "nft,forward,packet,tun", "peers, in the order of a round")
	f.StringVar(&o.tidegate, "tidegate", "bin/tidegate", "the program behind the peers packet and tun")
	f.StringVar(&o.output, "o", "table", "table or json")
	f.IntVar(&o.rounds, "rounds", 3, "rounds, 1 to 100")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "of each measurement, 100ms to 4s")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("bench: argument %q: there are only flags; see -h", f.Arg(0))
	case o.output != "table" && o.output != "json":
		return o, fmt.Errorf("bench: -o %q: is neither table nor json", o.output)
	case o.rounds < 1 || o.rounds > 100:
		return o, fmt.Errorf("bench: -rounds %d: is outside 1–100", o.rounds)
	case o.duration < minDuration || o.duration > maxDuration:
		return o, fmt.Errorf("bench: -duration %v: is outside %v–%v", o.duration, minDuration, maxDuration)
	}
	return o, nil
}

// run measures what the command line asks for, prints it, and leaves the machine
// as it was. What could not be measured is an error after the table.
func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := newPlan(o)
	if err != nil {
		return err
	}
	if err := needs(p); err != nil {
		return err
	}
	restore, err := prepareMachine()
	if err != nil {
		return err
	}
	report, err := p.measure(ctx)
	err = errors.Join(err, restore())
	if len(report.Lines) == 0 {
		return err
	}
	return errors.Join(report.print(os.Stdout, o.output), err)
}

// needs looks for what the plan will use, so that nothing is missed only after
// minutes.
func needs(p plan) error {
	if os.Geteuid() != 0 {
		return errors.New("bench: make network namespaces: not root; run with sudo")
	}
	// sudo may pass a normal user's PATH on, which lacks the administrator's programs.
	os.Setenv("PATH", os.Getenv("PATH")+":/usr/sbin:/sbin")
	programs := []string{"nft", "ip"}
	if slices.ContainsFunc(p.metrics, func(m metric) bool { return m.name == "tcp" }) {
		programs = append(programs, "iperf3")
	}
	if i := slices.IndexFunc(p.peers, isTidegate); i >= 0 {
		programs = append(programs, p.peers[i].(tidegate).program)
	}
	for _, name := range programs {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("bench: find program: %w; `make bench` builds tidegate and installs the others", err)
		}
	}
	return nil
}
