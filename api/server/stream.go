package server

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tidegate/api"
	"tidegate/gateway"
)

const (
	// maxStreams bounds what streams take: each reads the journal fifty times a second.
	maxStreams = 64

	// streamTimeout is how long a client may take to read what it was sent.
	streamTimeout = 10 * time.Second

	// pingEvery keeps a silent stream alive in proxies, and tells a dead client.
	pingEvery = 15 * time.Second
)

// accepts says whether a client asks for a media type by name.
func accepts(header, media string) bool {
	for want := range strings.SplitSeq(header, ",") {
		if t, _, err := mime.ParseMediaType(want); err == nil && t == media {
			return true
		}
	}
	return false
}

// writeJSON answers as huma does where it knows the type.
func writeJSON(ctx huma.Context, v any) {
	ctx.SetHeader("Content-Type", api.JSONType)
	_ = encode(ctx.BodyWriter(), v) // a client that is gone needs no answer
}

// encode writes JSON on one line. What is for a page to show the page has to escape.
func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// openStream takes one of the places for streams, which its body gives back.
func (s *Server) openStream(q api.EventQuery, lastEventID string) (*huma.StreamResponse, error) {
	after, err := s.streamStart(&q, lastEventID)
	if err != nil {
		return nil, huma.Error400BadRequest(err.Error())
	}
	select {
	case s.streams <- struct{}{}:
	default:
		return nil, busy(fmt.Sprintf("api: %d event streams are open already, which is all there may be; close one", maxStreams))
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer func() { <-s.streams }()
		r, w := humago.Unwrap(ctx)
		s.stream(r, w, &q, after)
	}}, nil
}

// streamStart is the number of the event after which a stream begins.
func (s *Server) streamStart(q *api.EventQuery, lastEventID string) (after uint64, err error) {
	after, last := q.After, s.Gateway.LastEvent()
	if lastEventID != "" {
		if after, err = api.ParseSeq(lastEventID); err != nil {
			return 0, err
		}
	}
	switch {
	case after > last:
		return 0, nil // of the gateway that ran before: what is kept is all news
	case after == 0:
		return last, nil
	}
	return after, nil
}

// stream writes events until the client goes, reads too slowly, or the server stops.
func (s *Server) stream(r *http.Request, w http.ResponseWriter, q *api.EventQuery, after uint64) {
	out := &stream{ResponseController: http.NewResponseController(w), w: w}
	_ = out.SetReadDeadline(time.Time{}) // which is for requests, and would end the context; if it can't be set there is none
	w.Header().Set("Content-Type", api.EventStream)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead || out.comment("events") != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	var pings sync.WaitGroup
	pings.Go(func() { out.ping(ctx, cancel) })
	defer pings.Wait()
	defer cancel()
	beginnings := func() bool { return len(q.Types) == 0 || slices.Contains(q.Types, api.FlowCreated) }
	_ = s.Gateway.Follow(ctx, after, beginnings, func(events []gateway.Event, missed uint64) error { // whoever is gone needs no reason
		return out.write(s.chunk(q, events, missed))
	})
}

// chunk is a batch of events as a stream has them.
func (s *Server) chunk(q *api.EventQuery, events []gateway.Event, missed uint64) []byte {
	var b bytes.Buffer
	if missed > 0 {
		fmt.Fprintf(&b, "event: %s\ndata: {\"missed\":%d}\n\n", api.MissedEvent, missed)
	}
	for i := range events {
		if !s.selects(q, &events[i]) {
			continue
		}
		e := s.event(&events[i])
		fmt.Fprintf(&b, "id: %d\nevent: %s\ndata: ", e.Seq, e.Type)
		_ = encode(&b, e) // it is all text and numbers
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// stream is written to by turns.
type stream struct {
	*http.ResponseController
	mu sync.Mutex
	w  io.Writer
}

// write sends what there is at once, and fails if the client doesn't read it in time.
func (o *stream) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.SetWriteDeadline(time.Now().Add(streamTimeout)) // in place of the server's; if it can't be set there is none
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.Flush()
}

func (o *stream) comment(text string) error { return o.write([]byte(": " + text + "\n\n")) }

// ping says that the gateway lives until ctx is done, and ends the stream if the
// client doesn't.
func (o *stream) ping(ctx context.Context, end func()) {
	ticker := time.NewTicker(pingEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if o.comment("ping") != nil {
				end()
				return
			}
		}
	}
}
