package packetiotest

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidegate/packetio"
)

// queue is what the gateway uses of one, and a real one has.
type queue interface {
	ReadBatch(frames [][]byte) (int, error)
	WriteBatch(frames [][]byte) (int, error)
	Layout() packetio.Layout
	Stats() packetio.Stats
	Close() error
}

var (
	_ queue = (*Queue)(nil)
	_ queue = (*packetio.PacketQueue)(nil)
	_ queue = (*packetio.TUNQueue)(nil)
)

var layout = packetio.Layout{Vnet: 10, Link: 14}

func TestReadBatch(t *testing.T) {
	q := New(layout, 200)
	for i := range byte(150) {
		q.Inject([]byte{i, i})
	}
	batch := make([][]byte, 100)
	var next byte
	for _, want := range []int{packetio.BatchSize, packetio.BatchSize, 150 - 2*packetio.BatchSize} {
		n, err := q.ReadBatch(batch)
		if n != want || err != nil {
			t.Fatalf("ReadBatch returned %d, %v; want %d", n, err, want)
		}
		for _, f := range batch[:n] {
			if !bytes.Equal(f, []byte{next, next}) {
				t.Fatalf("frame %v, want %d", f, next)
			}
			next++
		}
	}
	if q.Layout() != layout {
		t.Errorf("layout %v", q.Layout())
	}
}

func TestFramesDieAtNextReadBatch(t *testing.T) {
	q := New(layout, 4)
	own := []byte("mine")
	q.Inject(own)
	q.Inject([]byte("next"))
	batch := make([][]byte, 1)
	if _, err := q.ReadBatch(batch); err != nil {
		t.Fatal(err)
	}
	kept := batch[0]
	kept[0] = 'M' // in place, as a gateway does
	if _, err := q.WriteBatch(batch); err != nil {
		t.Fatal(err)
	}
	if _, err := q.ReadBatch(batch); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kept, bytes.Repeat([]byte{Poison}, 4)) {
		t.Errorf("a frame that was kept reads %q", kept)
	}
	if string(batch[0]) != "next" || string(own) != "mine" {
		t.Errorf("the next frame reads %q, the injected one %q", batch[0], own)
	}
	if sent := <-q.Sent(); string(sent) != "Mine" {
		t.Errorf("sent %q", sent)
	}
}

// Close comes before what has arrived, and ends the one who waits.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(layout, 1)
		ended := make(chan error)
		go func() {
			_, err := q.ReadBatch(make([][]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		q.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch returned %v", err)
		}
		q.Inject([]byte{1})
		if _, err := q.ReadBatch(make([][]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("ReadBatch after Close returned %v", err)
		}
		if _, err := q.WriteBatch([][]byte{{1}}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("WriteBatch after Close returned %v", err)
		}
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A reader wakes for a frame, however long that takes.
func TestReadBatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := New(layout, 1)
		time.AfterFunc(time.Hour, func() { q.Inject([]byte{7}) })
		batch := make([][]byte, 2)
		if n, err := q.ReadBatch(batch); n != 1 || err != nil || batch[0][0] != 7 {
			t.Errorf("ReadBatch returned %d, %v", n, err)
		}
	})
}

func TestLossIsCounted(t *testing.T) {
	q := New(layout, 2)
	kept := []bool{q.Inject([]byte{1}), q.Inject([]byte{2}), q.Inject([]byte{3})}
	if !slices.Equal(kept, []bool{true, true, false}) {
		t.Errorf("Inject returned %v", kept)
	}
	if n, err := q.WriteBatch([][]byte{{1}, {2}, {3}, {4}}); n != 2 || err != nil {
		t.Errorf("WriteBatch returned %d, %v", n, err)
	}
	want := packetio.Stats{Dropped: 1, Refused: packetio.Refused{Full: 2}}
	if got := q.Stats(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Everyone at once, for the race detector.
func TestConcurrentUse(t *testing.T) {
	const frames = 1000
	q := New(layout, frames)
	var group sync.WaitGroup
	group.Go(func() {
		for range frames {
			q.Inject([]byte{1})
			q.Stats()
		}
	})
	group.Go(func() {
		batch := make([][]byte, packetio.BatchSize)
		for {
			n, err := q.ReadBatch(batch)
			if err != nil {
				return
			}
			q.WriteBatch(batch[:n])
		}
	})
	for range frames {
		<-q.Sent()
	}
	q.Close()
	group.Wait()
}
