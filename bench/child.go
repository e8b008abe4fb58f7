package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"tidegate/e2e/lab"
)

// children are the parts of the program that run in processes of their own, in a
// host's namespace, so that neither their CPU time nor their garbage collector is
// the measurer's. Each gets its order as JSON, and may answer in JSON.
var children = map[string]func(order []byte) (any, error){
	"flood":   serve(flood),
	"connect": serve(connectAgain),
	"answer":  serve(answer),
	"ping":    serve(ping),
	"pong":    serve(pong),
	"end":     serve(runEnd),
}

func serve[Order any, Result any](f func(Order) (Result, error)) func([]byte) (any, error) {
	return func(raw []byte) (any, error) {
		var order Order
		if err := json.Unmarshal(raw, &order); err != nil {
			return nil, err
		}
		return f(order)
	}
}

// runChild does the work of a child if the command line is a child's. It ends the
// process where that fails.
func runChild(args []string) bool {
	if len(args) != 3 || children[args[1]] == nil {
		return false
	}
	result, err := children[args[1]]([]byte(args[2]))
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(result)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// child is a part of the program that runs on a host.
type child struct {
	*lab.Process
	name   string
	stdin  io.Closer
	stdout bytes.Buffer // complete when Done is closed
}

// startChild starts a part of the program on a host. It is killed when ctx or the
// row ends.
func startChild(ctx context.Context, n node, name string, order any) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("bench: find own program: %w", err)
	}
	raw, err := json.Marshal(order)
	if err != nil {
		return nil, fmt.Errorf("bench: encode order for %s: %w", name, err)
	}
	c := &child{name: name}
	cmd := exec.CommandContext(ctx, program, name, string(raw))
	cmd.Stdout = &c.stdout
	if c.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("bench: start %s: %w", name, err)
	}
	c.Process, err = n.Start(cmd)
	return c, err
}

// stop asks the child to finish, which it learns by the end of its input.
func (c *child) stop() { c.stdin.Close() }

// stopped is closed when the parent calls stop.
func stopped() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	return done
}

// result waits for the child's end and reads its answer.
func (c *child) result(v any) error {
	if err := c.Wait(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(c.Output()))
	}
	if err := json.Unmarshal(c.stdout.Bytes(), v); err != nil {
		return fmt.Errorf("bench: read answer of %s: %w", c.name, err)
	}
	return nil
}

// nothing is the answer of a child that has none.
type nothing struct{}
