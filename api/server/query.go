package server

import (
	"net/url"

	"github.com/danielgtaylor/huma/v2"
)

// query is the input of an operation that has only query parameters. Package
// api parses them, since the command line has the same; huma is told of them in
// Operation.Parameters.
type query struct {
	raw string
}

// Resolve takes the query from the request (huma.Resolver).
func (q *query) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	q.raw = u.RawQuery
	return nil
}

// parseQuery applies a parser of package api. Its error is a 400.
func parseQuery[T any](q *query, parse func(url.Values) (T, error)) (v T, err error) {
	values, err := url.ParseQuery(q.raw)
	if err == nil {
		v, err = parse(values)
	}
	if err != nil {
		return v, huma.Error400BadRequest(err.Error())
	}
	return v, nil
}

func parameter(name, doc string, schema huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: doc, Schema: &schema}
}

// text is the schema of a string, with a closed set of values if any are given.
func text(values ...string) huma.Schema {
	s := huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}
