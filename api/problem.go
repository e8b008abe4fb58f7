package api

import "net/http"

// ProblemType is the media type of an error.
const ProblemType = "application/problem+json"

// Problem is an error as RFC 9457 has it. It is an error itself.
type Problem struct {
	Type     string   `json:"type,omitempty"` // empty means about:blank: Title is the status text
	Title    string   `json:"title,omitempty"`
	Status   int      `json:"status,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Instance string   `json:"instance,omitempty"`
	Errors   []Detail `json:"errors,omitempty"`
}

// Detail is one of several things wrong with a request.
type Detail struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty"`
	Value    any    `json:"value,omitempty"`
}

// NewProblem makes a Problem of an HTTP status.
func NewProblem(status int, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// Error returns the most that is said in one line.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	for _, e := range p.Errors {
		text += "; "
		if e.Location != "" {
			text += e.Location + ": "
		}
		text += e.Message
	}
	return text
}
