package server

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/danielgtaylor/huma/v2"

	"tidegate/api"
	"tidegate/gateway"
	"tidegate/nexthop"
	"tidegate/packet"
)

type (
	explainInput  struct{ Body explainRequest }
	explainOutput struct{ Body api.Explanation }
)

// explainRequest is an api.ExplainRequest whose words Tuple checks and huma does
// not, as letter case counts for huma.
type explainRequest api.ExplainRequest

// TransformSchema keeps the words in the document.
func (*explainRequest) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	for _, key := range []string{"protocol", "side"} {
		words := s.Properties[key]
		words.Extensions, words.Enum = map[string]any{"enum": words.Enum}, nil
	}
	return s
}

func (s *Server) routeExplain(routes huma.API) {
	huma.Register(routes, huma.Operation{
		OperationID: "explain", Method: http.MethodPost, Path: "/v1/explain",
		Summary:      "What would happen to a packet, and why",
		Description:  "Nothing is sent, and no state changes. A drop is an answer, not an error.",
		MaxBodyBytes: bodyLimit,
		Middlewares:  wholeBody(routes, "packet"),
		Errors: []int{
			http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity,
			http.StatusUnsupportedMediaType, http.StatusInternalServerError,
		},
	}, s.explain)
}

func (s *Server) explain(_ context.Context, in *explainInput) (*explainOutput, error) {
	request := api.ExplainRequest(in.Body)
	endpoints, err := request.Tuple()
	if err != nil {
		return nil, huma.Error400BadRequest(err.Error())
	}
	t := tupleOf(request.Protocol, endpoints)
	from := s.Gateway.SideOf(t)
	switch request.Side {
	case api.Inside:
		from = nexthop.Inside
	case api.Outside:
		from = nexthop.Outside
	}
	e := s.Gateway.Explain(t, from)
	return &explainOutput{s.explanation(&e, request.Side == "")}, nil
}

func tupleOf(protocol string, t api.Tuple) packet.Tuple {
	proto := map[string]packet.Protocol{"tcp": packet.TCP, "udp": packet.UDP, "icmp": packet.ICMP}[protocol]
	return packet.Tuple{
		Src: packet.AddrFrom(t.Source.Addr()), SrcPort: t.Source.Port(),
		Dst: packet.AddrFrom(t.Destination.Addr()), DstPort: t.Destination.Port(), Proto: proto,
	}
}

func wireTuple(t *packet.Tuple) api.Tuple {
	return api.Tuple{Source: t.Source(), Destination: t.Destination()}
}

// explanation puts into words what the gateway would do. guessed says that nobody
// has named the side.
func (s *Server) explanation(e *gateway.Explanation, guessed bool) api.Explanation {
	a := s.account(e, guessed)
	x := api.Explanation{
		Verdict: e.Verdict.String(), Summary: a.summary(), Steps: a.steps(),
		Side: e.From.String(), Original: wireTuple(&e.Original),
		Frontend: a.frontend(), Backend: text4(a.backend()), RulePosition: a.position(), Dead: a.dead,
	}
	if a.rule != nil {
		x.Rule, x.RuleType = a.rule.Name, string(a.rule.Type)
	}
	if e.Known {
		flow := s.flow(&e.Flow)
		x.Flow = &flow
	}
	if a.translated() {
		t := wireTuple(&e.Translated)
		x.Translated, x.Leaves = &t, e.Out.String()
		x.IdleTimeoutSeconds, x.TCPReset = e.Idle.Seconds(), a.resets()
	}
	if e.Ports.Total > 0 {
		x.SNAT = &api.SNAT{Member: text4(e.Ports.Member), Total: e.Ports.Total, Used: e.Ports.Used}
	}
	return x
}

// text4 is an address in text, nothing for none.
func text4(a packet.Addr) string {
	if a == 0 {
		return ""
	}
	return a.String()
}

// end is an endpoint as people write it: without the port that ICMP has not.
func end(ap netip.AddrPort, p packet.Protocol) string {
	if p == packet.ICMP && ap.Port() == 0 {
		return ap.Addr().String()
	}
	return ap.String()
}
