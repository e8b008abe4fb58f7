package packetio

// sender is the writing half of a PacketQueue, the goroutine's in WriteBatch.
type sender struct {
	*port
	out outbox

	frames   [][]byte
	sent     int
	fault    error
	transmit func(fd uintptr)
}

func newSender(p *port) *sender {
	s := &sender{port: p}
	s.out.init()
	s.transmit = s.sendAll // made once, as in newDoorbell
	return s
}

func (s *sender) begin(frames [][]byte) { s.frames, s.sent, s.fault = frames, 0, nil }

func (s *sender) sendAll(fd uintptr) {
	for len(s.frames) > 0 && s.fault == nil {
		n := min(len(s.frames), BatchSize)
		s.fault = s.sendSome(fd, s.frames[:n])
		s.frames = s.frames[n:]
	}
}

// sendSome sends at most BatchSize frames.
func (s *sender) sendSome(fd uintptr, frames [][]byte) error {
	s.out.load(frames)
	for i := 0; i < len(frames); {
		n, errno := s.out.send(fd, i, len(frames))
		s.sent += n
		i += n
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
