package packetio

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender is the writing half of a PacketQueue, the goroutine's in WriteBatch.
type sender struct {
	*port
	messages

	frames   [][]byte
	sent     int
	fault    error
	transmit func(fd uintptr)
}

func newSender(p *port) *sender {
	s := &sender{port: p}
	s.init()
	s.transmit = s.sendAll // made once, as in newReceiver
	return s
}

func (s *sender) begin(frames [][]byte) { s.frames, s.sent, s.fault = frames, 0, nil }

func (s *sender) sendAll(fd uintptr) {
	for len(s.frames) > 0 && s.fault == nil {
		n := min(len(s.frames), BatchSize)
		s.load(s.frames[:n])
		s.fault = s.sendLoaded(fd, n)
		s.frames = s.frames[n:]
	}
}

// load points the messages at frames.
func (s *sender) load(frames [][]byte) {
	for i, f := range frames {
		s.iov[i].Base = unsafe.SliceData(f)
		s.iov[i].SetLen(len(f))
	}
}

// sendLoaded sends the first n messages. The kernel takes some, up to the one that
// it refuses, and names the reason when that one is the first.
func (s *sender) sendLoaded(fd uintptr, n int) error {
	for i := 0; i < n; {
		taken, errno := s.transfer(unix.SYS_SENDMMSG, fd, i, n)
		s.sent += taken
		i += taken
		if errno == 0 {
			continue
		}
		if err := s.refuse(errno); err != nil {
			return err
		}
		i++
	}
	return nil
}
