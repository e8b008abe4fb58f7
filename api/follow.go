package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// EventStream is the media type of events as they happen (HTML Standard, Server-sent
// events), and MissedEvent the name of a Missed among them.
const (
	EventStream = "text/event-stream"
	MissedEvent = "missed"
)

const (
	// silence is how long a stream may say nothing: the gateway says at least
	// something every 15 s.
	silence = 45 * time.Second

	maxLine = 1 << 20 // bytes; an event has some hundreds
)

// errSilent means that a gateway that is still connected has stopped.
var errSilent = fmt.Errorf("nothing for %v", silence)

// FollowEvents calls yield with every event that matches, as it happens, and with how
// many are lost before it, of any type; then yield is too slow, or the gateway was
// asked too late. It returns nil when ctx is done, what yield returns if that is an
// error, and an error when the gateway or the way to it fails. Who wants to go on asks
// again, with After as the Seq of the last event; a gateway that has been restarted
// begins anew with what it has kept.
func (c *Client) FollowEvents(ctx context.Context, q EventQuery, yield func(e Event, missed uint64) error) error {
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q.Limit = 0
	resp, err := c.open(asking, http.MethodGet, "/v1/events?"+q.Query().Encode(), http.Header{"Accept": {EventStream}}, http.NoBody)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer resp.Body.Close()
	watchdog := time.AfterFunc(silence, func() { cancel(errSilent) })
	defer watchdog.Stop()
	err = readStream(resp.Body, watchdog, yield)
	var told *yieldError
	switch {
	case errors.As(err, &told):
		return told.error
	case ctx.Err() != nil:
		return nil
	case asking.Err() != nil:
		err = context.Cause(asking)
	}
	return fmt.Errorf("api: GET /v1/events: stream: %w", err)
}

// yieldError is one of the caller's own.
type yieldError struct{ error }

// readStream reads events until the stream ends, which is an error too. The watchdog
// runs while it waits, and not while yield does what it does.
func readStream(r io.Reader, watchdog *time.Timer, yield func(Event, uint64) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	var name, data string
	var missed uint64
	for next(lines, watchdog) {
		line := lines.Text()
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "event":
			name = value
		case field == "data":
			data += value
		case line == "" && data != "":
			if err := deliver(name, data, &missed, yield); err != nil {
				return err
			}
			name, data = "", ""
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

func next(lines *bufio.Scanner, watchdog *time.Timer) bool {
	watchdog.Reset(silence)
	defer watchdog.Stop()
	return lines.Scan()
}

func deliver(name, data string, missed *uint64, yield func(Event, uint64) error) error {
	if name == MissedEvent {
		var m Missed
		err := json.Unmarshal([]byte(data), &m)
		*missed += m.Missed
		return err
	}
	var e Event
	if err := json.Unmarshal([]byte(data), &e); err != nil {
		return err
	}
	lost := *missed
	*missed = 0
	if err := yield(e, lost); err != nil {
		return &yieldError{err}
	}
	return nil
}
