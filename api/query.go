package api

import (
	"fmt"
	"net/url"
	"strconv"
)

// The size of a page of flows.
const (
	DefaultLimit = 100
	MaxLimit     = 10_000 // about 4 MB of JSON
)

// FlowQuery asks for one page of flows.
type FlowQuery struct {
	Filter Filter
	Limit  int    // 1 to MaxLimit; 0 means DefaultLimit
	Cursor string // FlowList.Next of the page before; empty for the first
}

// ParseFlowQuery reads the query parameters of GET /v1/flows.
func ParseFlowQuery(v url.Values) (q FlowQuery, err error) {
	if q.Filter, err = parseFilter(v, "limit", "cursor"); err != nil {
		return FlowQuery{}, err
	}
	for _, key := range []string{"limit", "cursor"} {
		if len(v[key]) > 1 {
			return FlowQuery{}, fmt.Errorf("api: parameter %s: given more than once", key)
		}
	}
	q.Cursor = v.Get("cursor")
	q.Limit, err = parseLimit(v, DefaultLimit, MaxLimit)
	return q, err
}

func parseLimit(v url.Values, usual, most int) (int, error) {
	if !v.Has("limit") {
		return usual, nil
	}
	n, err := strconv.Atoi(v.Get("limit"))
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("api: parameter limit: %q is no number in 1–%d", v.Get("limit"), most)
	}
	return n, nil
}

// Query returns the query parameters that ParseFlowQuery reads.
func (q FlowQuery) Query() url.Values {
	v := q.Filter.Query()
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	if q.Cursor != "" {
		v.Set("cursor", q.Cursor)
	}
	return v
}

// ParseNoQuery reads the query parameters of what has none.
func ParseNoQuery(q url.Values) (none struct{}, err error) {
	for key := range q {
		return none, fmt.Errorf("api: unknown parameter %q: there are none here", key)
	}
	return none, nil
}
