package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// readBody reads all of a request's body, or says what is wrong with it.
func readBody(r io.Reader, what string) ([]byte, huma.StatusError) {
	body, err := io.ReadAll(r)
	var timeout net.Error
	switch {
	case len(body) > maxBody:
		return nil, huma.Error413RequestEntityTooLarge(fmt.Sprintf("api: %s: it has more than %d bytes", what, maxBody))
	case errors.As(err, &timeout) && timeout.Timeout():
		return nil, huma.NewError(http.StatusRequestTimeout, "api: "+what+": it does not come")
	case err != nil:
		return nil, huma.Error400BadRequest("api: " + what + ": " + err.Error())
	}
	return body, nil
}

// wholeBody reads the body before huma does, to whom one that breaks off is the server's
// fault.
func wholeBody(routes huma.API, what string) huma.Middlewares {
	return huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		body, refused := readBody(ctx.BodyReader(), what)
		if refused != nil {
			_ = huma.WriteErr(routes, ctx, refused.GetStatus(), refused.Error()) // a client that is gone needs no answer
			return
		}
		next(bodyContext{ctx, body})
	}}
}

// bodyContext is a request whose body was read.
type bodyContext struct {
	humaContext
	body []byte
}

type humaContext = huma.Context // which has a method Context

// BodyReader implements huma.Context.
func (c bodyContext) BodyReader() io.Reader { return bytes.NewReader(c.body) }
