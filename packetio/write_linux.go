package packetio

import "golang.org/x/sys/unix"

// WriteBatch hands frames to the kernel, and returns how many it took. One that
// it refuses is counted by cause and skipped: there is no way to wait for a device
// without stopping the other direction too. err is not nil only when the queue is
// of no further use.
func (q *PacketQueue) WriteBatch(frames [][]byte) (sent int, err error) {
	if err := q.enter(); err != nil {
		return 0, q.fail("write", err)
	}
	defer q.leave()
	for len(frames) > 0 {
		batch := frames[:min(len(frames), BatchSize)]
		frames = frames[len(batch):]
		n, err := q.writeOnce(batch)
		sent += n
		if err != nil {
			return sent, q.fail("write", err)
		}
	}
	return sent, nil
}

func (q *PacketQueue) writeOnce(frames [][]byte) (sent int, err error) {
	q.out.load(frames)
	for i := 0; i < len(frames); {
		n, errno := q.out.send(q.fd, i, len(frames))
		sent += n
		i += n
		if errno == 0 {
			continue
		}
		if err := q.refuse(errno); err != nil {
			return sent, err
		}
		i++
	}
	return sent, nil
}

// refuse counts a frame that the kernel did not take, and returns an error if it
// will never take any.
func (c *counts) refuse(errno unix.Errno) error {
	switch errno {
	case unix.ENOBUFS, unix.EAGAIN, unix.ENOMEM:
		c.full.Add(1)
	case unix.EMSGSIZE:
		c.tooLong.Add(1)
	case unix.ENETDOWN, unix.EIO: // a TUN says the latter
		c.down.Add(1)
	case unix.ENXIO, unix.ENODEV, unix.EBADFD: // a TUN says the last
		return ErrNoInterface
	default:
		c.invalid.Add(1)
	}
	return nil
}
