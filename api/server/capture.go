package server

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"tidegate/api"
	"tidegate/capture"
	"tidegate/gateway"
)

const (
	// maxCaptures bounds what captures take of memory and of the gateway's lock; it has
	// room for more taps than that.
	maxCaptures = 4

	// captureBuffer is in bytes: what a slow client may be behind by, some tens of
	// milliseconds of a fast link.
	captureBuffer = 8 << 20

	// statisticsEvery is how often they are told at most, unless packets are lost.
	statisticsEvery = time.Second

	// flushSize is how much of a batch is sent at once, in bytes.
	flushSize = 64 << 10
)

func (s *Server) routeCapture(routes huma.API) {
	file := huma.Schema{Type: huma.TypeString, Format: "binary"}
	huma.Register(routes, huma.Operation{
		OperationID: "capture", Method: http.MethodGet, Path: "/v1/capture",
		Summary: "Packets as they come and as they leave, as a pcapng file",
		Description: "Two interfaces, before and after; each packet has a comment with its flow and its verdict. The file goes on " +
			"until one of the limits is reached or the client goes. A packet that is of no flow goes by its own addresses and " +
			"protocol; no other parameter selects it. Packets for the host itself are left out.",
		Parameters: append(filterParameters(), captureParameters()...),
		Responses: map[string]*huma.Response{"200": {
			Description: "OK", Content: map[string]*huma.MediaType{api.CaptureType: {Schema: &file}},
		}},
		Errors: []int{http.StatusBadRequest, http.StatusServiceUnavailable},
	}, s.capture)
}

func captureParameters() []*huma.Param {
	whole := func(least, most float64) huma.Schema {
		return huma.Schema{Type: huma.TypeInteger, Minimum: &least, Maximum: &most}
	}
	return []*huma.Param{
		parameter("packets", "end after so many; one that is forwarded counts twice", whole(1, api.MaxCapturePackets)),
		parameter("seconds", "end after so long", whole(1, api.MaxCaptureSeconds)),
		parameter("snaplen", "bytes of each packet; all of it if not given", whole(api.MinSnaplen, api.MaxSnaplen)),
	}
}

// capture takes one of the places for captures, which its body gives back.
func (s *Server) capture(_ context.Context, in *query) (*huma.StreamResponse, error) {
	q, err := parseQuery(in, api.ParseCaptureQuery)
	if err != nil {
		return nil, err
	}
	if q.Snaplen == 0 {
		q.Snaplen = api.MaxSnaplen
	}
	if s.captures.Add(1) > maxCaptures {
		s.captures.Add(-1)
		return nil, busy(fmt.Sprintf("api: %d captures run already, which is all there may be; end one", maxCaptures))
	}
	tap, err := s.Gateway.Tap(gateway.TapOptions{Match: s.sieve(q.Filter).matches, Snaplen: q.Snaplen, Buffer: captureBuffer})
	if err != nil {
		s.captures.Add(-1)
		return nil, busy(err.Error())
	}
	return &huma.StreamResponse{Body: func(ctx huma.Context) {
		defer s.captures.Add(-1)
		defer tap.Close()
		r, w := humago.Unwrap(ctx)
		s.record(r, w, &q, tap)
	}}, nil
}

func busy(why string) error {
	return huma.ErrorWithHeaders(huma.Error503ServiceUnavailable(why), http.Header{"Retry-After": {"5"}})
}

// record writes what a tap shows until a limit is reached, the client goes or reads too
// slowly, or the server stops.
func (s *Server) record(r *http.Request, w http.ResponseWriter, q *api.CaptureQuery, tap *gateway.Tap) {
	w.Header().Set("Content-Type", api.CaptureType)
	w.Header().Set("Cache-Control", "no-store")
	if r.Method == http.MethodHead {
		return
	}
	ctx := r.Context()
	if q.Seconds != 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(q.Seconds)*time.Second)
		defer cancel()
	}
	to := &stream{ResponseController: http.NewResponseController(w), w: w}
	_ = to.SetReadDeadline(time.Time{}) // which is for requests, and would end the context; if it can't be set there is none
	out := bufio.NewWriterSize(to, flushSize)
	file, err := capture.NewWriter(out, "tidegate "+s.Version, q.Snaplen)
	if err != nil || out.Flush() != nil {
		return
	}
	c := camera{Server: s, tap: tap, out: out, file: file, left: q.Packets, start: time.Now().UnixNano() - s.Gateway.Now()}
	if c.run(ctx) == nil {
		_ = c.statistics() // whoever is gone needs no end
	}
}

// Write implements io.Writer: what is written is sent at once.
func (o *stream) Write(b []byte) (int, error) {
	if err := o.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// camera writes one capture.
type camera struct {
	*Server
	tap   *gateway.Tap
	out   *bufio.Writer
	file  *capture.Writer
	left  int       // packets, 0 for no limit
	start int64     // of the gateway's clock, nanoseconds since 1970
	lost  [2]uint64 // as told last
	told  time.Time // then
}

// run writes packets until it is to end, or an error of the client's.
func (c *camera) run(ctx context.Context) error {
	for {
		batch, err := c.tap.Next(ctx)
		if err != nil {
			return nil
		}
		last := c.left != 0 && c.left <= len(batch)
		if last {
			batch = batch[:c.left]
		}
		if err := c.write(batch); err != nil || last {
			return err
		}
		c.left -= min(c.left, len(batch))
	}
}

func (c *camera) write(batch []gateway.Sighting) error {
	for i := range batch {
		x := &batch[i]
		p := capture.Packet{
			Time: time.Unix(0, c.start+x.At), Outbound: x.After,
			Length: x.Length, Bytes: x.Packet, Comment: c.comment(x),
		}
		if x.After {
			p.Interface = capture.After
		}
		if err := c.file.Write(&p); err != nil {
			return err
		}
	}
	before, after := c.tap.Lost()
	if c.lost != [2]uint64{before, after} || time.Since(c.told) >= statisticsEvery {
		return c.statistics() // a client that has seen enough hears no end
	}
	return c.out.Flush()
}

// statistics says how many there were, and how many were lost.
func (c *camera) statistics() error {
	c.lost[0], c.lost[1] = c.tap.Lost()
	c.told = time.Now()
	if err := c.file.Statistics(c.lost, c.told); err != nil {
		return err
	}
	return c.out.Flush()
}
