package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os/exec"
	"strconv"
)

// measureBulk sends as much as TCP takes between the kernels of client and server.
// Segments are offloaded as on any machine, so a packet there has up to 64 KiB.
func measureBulk(ctx context.Context, l *leg) error {
	if err := l.start(ctx, load{}); err != nil {
		return err
	}
	server, err := l.server.Start(exec.CommandContext(ctx, "iperf3", "-s", "--forceflush"))
	if err != nil {
		return err
	}
	if err := server.WaitOutput(ctx, "Server listening"); err != nil {
		return err
	}
	for _, streams := range []int{1, 8} {
		for _, direction := range []struct{ name, flag string }{{"up", "--get-server-output"}, {"down", "--reverse"}} {
			rate, err := l.iperf(ctx, "-P", strconv.Itoa(streams), direction.flag)
			if err != nil {
				return err
			}
			l.add(fmt.Sprintf("TCP bulk, %d × %s", streams, direction.name), "Gbit/s", rate/1e9)
		}
	}
	return nil
}

// iperf returns the bits per second that the receiver got.
func (l *leg) iperf(ctx context.Context, args ...string) (float64, error) {
	seconds := strconv.Itoa(int(math.Ceil(l.duration.Seconds())))
	args = append([]string{"-c", serverAddr.String(), "-t", seconds, "-J"}, args...)
	cmd := exec.CommandContext(ctx, "iperf3", args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	p, err := l.client.Start(cmd)
	if err != nil {
		return 0, err
	}
	failed := p.Wait()
	var result struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	err = json.Unmarshal(out.Bytes(), &result)
	if err := errors.Join(failed, err); err != nil {
		return 0, fmt.Errorf("bench: run iperf3: %w: %s", err, result.Error)
	}
	return result.End.Received.Rate, nil
}
