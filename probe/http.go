package probe

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"
)

const (
	// answerLimit is how many bytes of an answer are read, headers and body
	// together: what a page that says "I am well" needs, many times over.
	answerLimit = 16 << 10
	// readBuffer holds a whole answer mostly; there is one for each probe in flight.
	readBuffer = 1 << 10 // bytes
	// lingering bounds the wait for the rest of a body, which decides nothing.
	// Having read it the connection closes in good order instead of with RST.
	lingering = time.Second
	userAgent = "tidegate-probe"
)

// anyone takes every certificate and old TLS too: the probe asks whether the
// service answers, sends nothing that is secret, and knows a backend only by an
// address, which certificates seldom bear. Azure does not ask for a chain to a
// root either.
var anyone = &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}

// askHTTP asks over conn, which has its deadline. It is not net/http's Transport,
// whose two goroutines, buffers and pool are for connections that are used again,
// and which logs what a backend says unasked.
func askHTTP(conn net.Conn, q *question, remote netip.AddrPort, start time.Time) answer {
	if q.Protocol == HTTPS {
		secure := tls.Client(conn, anyone)
		if err := secure.Handshake(); err != nil {
			return unanswered(q, err).since(start)
		}
		defer secure.Close()
		conn = secure
	}
	get := &http.Request{Method: http.MethodGet, URL: q.path, Host: remote.String(), Close: true,
		Header: http.Header{"User-Agent": {userAgent}}}
	if err := get.Write(conn); err != nil {
		return unanswered(q, err).since(start)
	}
	a, body := readAnswer(conn, q, get)
	a = a.since(start)
	if body != nil {
		finish(conn, body, start.Add(q.Timeout))
	}
	return a
}

// readAnswer reads a status and headers. The body, if there is an answer, is unread.
func readAnswer(conn net.Conn, q *question, get *http.Request) (answer, io.Reader) {
	h := &hearing{LimitedReader: io.LimitedReader{R: conn, N: answerLimit}}
	r := bufio.NewReaderSize(h, readBuffer)
	response, err := http.ReadResponse(r, get)
	for err == nil && response.StatusCode/100 == 1 && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(r, get) // the answer is yet to come
	}
	switch {
	case err == nil:
		return judge(response), response.Body
	case h.N == 0:
		return answer{kind: no, result: fmt.Sprintf("headers of more than %d bytes", answerLimit)}, nil
	case h.ended != nil:
		return unanswered(q, h.ended), nil
	}
	return unanswered(q, err), nil
}

// hearing keeps how the reading ended: half a line is malformed to whoever parses
// it, and nothing but late if the other half did not come in time.
type hearing struct {
	io.LimitedReader
	ended error
}

func (h *hearing) Read(b []byte) (int, error) {
	n, err := h.LimitedReader.Read(b)
	if err != nil {
		h.ended = err
	}
	return n, err
}

func judge(r *http.Response) answer {
	if r.StatusCode == http.StatusOK {
		return answer{kind: yes, result: oneLine(r.Status)}
	}
	result := r.Status
	if to := r.Header.Get("Location"); r.StatusCode/100 == 3 && to != "" {
		result = fmt.Sprintf("%s: redirect to %s", r.Status, to)
	}
	return answer{kind: no, result: oneLine(result)}
}

// finish reads what is left of the body, if it comes before the deadline and soon.
func finish(conn net.Conn, body io.Reader, deadline time.Time) {
	if soon := time.Now().Add(lingering); soon.Before(deadline) {
		deadline = soon
	}
	if conn.SetReadDeadline(deadline) == nil {
		io.Copy(io.Discard, body) // what fails here is no longer the probe's business
	}
}
