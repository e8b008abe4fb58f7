package lab

import (
	"context"
	"io"
	"sync"
)

// A tape is a growing slice that one goroutine records and any number read and
// wait on. What is on it never changes, so readers share it.
type tape[T any] struct {
	mu    sync.Mutex
	items []T
	ended bool
	moved chan struct{} // closed at the next record or end; nil if nobody waits
}

// record appends items.
func (t *tape[T]) record(items ...T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = append(t.items, items...)
	t.move()
}

// end says that no more will come.
func (t *tape[T]) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.move()
}

func (t *tape[T]) move() {
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// all returns what is recorded so far. Read only.
func (t *tape[T]) all() []T {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.items[:len(t.items):len(t.items)]
}

// beyond waits until more than n items are recorded and returns all of them. The
// error is ctx's, or io.EOF when the tape ended without more.
func (t *tape[T]) beyond(ctx context.Context, n int) ([]T, error) {
	for {
		items, moved, err := t.look(n)
		if len(items) > n || err != nil {
			return items, err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return items, ctx.Err()
		}
	}
}

// look is one look of beyond: what there is, and what to wait on for more.
func (t *tape[T]) look(n int) ([]T, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	items := t.items[:len(t.items):len(t.items)]
	if len(items) <= n && t.ended {
		return items, nil, io.EOF
	}
	if t.moved == nil {
		t.moved = make(chan struct{})
	}
	return items, t.moved, nil
}
