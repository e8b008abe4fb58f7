package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"go.yaml.in/yaml/v3"

	"tidegate/api"
)

type (
	configInput struct {
		query
		Accept string `header:"Accept" hidden:"true"`
	}
	configOutput struct {
		ContentType string `header:"Content-Type"`
		ETag        string `header:"ETag"`
		Body        []byte
	}
	validOutput struct{ Body api.Validity }
)

// configChange is a configuration as it was sent. It is not huma's to read: what is
// wrong with it is said here.
type configChange struct {
	query
	IfMatch string `header:"If-Match" doc:"The ETag of the configuration that this one comes from: it is refused if that is not in force any more"`

	media string
	body  io.Reader
}

// Resolve takes the rest from the request (huma.Resolver).
func (c *configChange) Resolve(ctx huma.Context) []error {
	c.media, c.body = ctx.Header("Content-Type"), ctx.BodyReader()
	return c.query.Resolve(ctx)
}

// configFormats are the formats of a configuration by media type.
var configFormats = map[string]string{
	api.JSONType: "json", api.YAMLType: "yaml", "application/x-yaml": "yaml", "text/yaml": "yaml",
}

func (s *Server) routeConfig(routes huma.API) {
	huma.Register(routes, huma.Operation{
		OperationID: "getConfig", Method: http.MethodGet, Path: "/v1/config",
		Summary:   "The configuration in force, defaults filled in",
		Responses: map[string]*huma.Response{"200": configResponse()},
		Errors:    []int{http.StatusBadRequest, http.StatusInternalServerError, http.StatusNotImplemented},
	}, s.getConfig)
	huma.Register(routes, huma.Operation{
		OperationID: "putConfig", Method: http.MethodPut, Path: "/v1/config",
		Summary:     "Put a whole configuration in force",
		Description: "It is checked first; one that is not valid, or changes what can't be changed while the gateway runs, changes nothing.",
		Responses:   map[string]*huma.Response{"200": configResponse()},
		Errors:      append(configErrors(), http.StatusPreconditionFailed),
	}, s.putConfig)
	huma.Register(routes, huma.Operation{
		OperationID: "validateConfig", Method: http.MethodPost, Path: "/v1/config:validate",
		Summary: "Say whether a configuration could be put in force",
		Errors:  configErrors(),
	}, s.validateConfig)
	paths := routes.OpenAPI().Paths // only now: huma reads a body that it knows of
	paths["/v1/config"].Put.RequestBody, paths["/v1/config:validate"].Post.RequestBody = configRequest(), configRequest()
}

func configErrors() []int {
	return []int{
		http.StatusBadRequest, http.StatusRequestTimeout, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusNotImplemented,
	}
}

// configContent is a configuration in each format.
func configContent(types ...string) map[string]*huma.MediaType {
	all := make(map[string]*huma.MediaType)
	for _, t := range types {
		all[t] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}}
	}
	return all
}

func configRequest() *huma.RequestBody {
	return &huma.RequestBody{Required: true, Content: configContent(api.JSONType, api.YAMLType, "application/x-yaml", "text/yaml")}
}

func configResponse() *huma.Response {
	return &huma.Response{Description: "OK", Content: configContent(api.JSONType, api.YAMLType)}
}

func (s *Server) getConfig(_ context.Context, in *configInput) (*configOutput, error) {
	if _, err := parseQuery(&in.query, api.ParseNoQuery); err != nil {
		return nil, err
	}
	out, err := s.config()
	if err == nil && accepts(in.Accept, api.YAMLType) {
		out.ContentType = api.YAMLType
		out.Body, err = asYAML(out.Body)
	}
	return out, problemOrInternal(err)
}

// config is the configuration in force as JSON. Its tag is the same in every format.
func (s *Server) config() (*configOutput, error) {
	if s.Config == nil {
		return nil, errNoConfig
	}
	var text bytes.Buffer
	if err := encode(&text, s.Config()); err != nil {
		return nil, fmt.Errorf("api: configuration: %w", err)
	}
	hash := sha256.Sum256(text.Bytes())
	return &configOutput{ContentType: api.JSONType, ETag: fmt.Sprintf(`"%x"`, hash[:16]), Body: text.Bytes()}, nil
}

var errNoConfig = api.NewProblem(http.StatusNotImplemented, "api: this gateway runs without a configuration that could be read or changed")

// asYAML writes JSON, which is YAML, in YAML's own style.
func asYAML(text []byte) ([]byte, error) {
	var tree yaml.Node
	if err := yaml.Unmarshal(printable(text), &tree); err != nil {
		return nil, fmt.Errorf("api: configuration: %w", err)
	}
	restyle(&tree)
	return yaml.Marshal(&tree)
}

// printable escapes what JSON may have as it is and YAML may not (YAML 1.2 §5.1). All of
// it is within strings.
func printable(text []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(text) {
		if r >= 0x7f && r <= 0x9f || r == 0xfffe || r == 0xffff {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.Bytes()
}

func restyle(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		restyle(child)
	}
}

func (s *Server) putConfig(_ context.Context, in *configChange) (*configOutput, error) {
	format, body, err := in.read()
	if err != nil {
		return nil, err
	}
	s.changing.Lock() // so that nothing comes between the comparison and the change
	defer s.changing.Unlock()
	if s.Apply == nil {
		return nil, problemOrInternal(errNoConfig)
	}
	if in.IfMatch != "" && in.IfMatch != "*" {
		now, err := s.config()
		if err != nil {
			return nil, problemOrInternal(err)
		}
		if in.IfMatch != now.ETag {
			return nil, huma.Error412PreconditionFailed("api: another configuration is in force than the one that was to be changed; read it again")
		}
	}
	if err := s.Apply(format, body); err != nil {
		return nil, problemOrInternal(err)
	}
	out, err := s.config()
	return out, problemOrInternal(err)
}

func (s *Server) validateConfig(_ context.Context, in *configChange) (*validOutput, error) {
	format, body, err := in.read()
	if err != nil {
		return nil, err
	}
	if s.Check == nil {
		return nil, problemOrInternal(errNoConfig)
	}
	if err := s.Check(format, body); err != nil {
		return nil, problemOrInternal(err)
	}
	return &validOutput{api.Validity{Valid: true}}, nil
}

// read checks all of a request but the configuration itself.
func (c *configChange) read() (format string, body []byte, err error) {
	if _, err := parseQuery(&c.query, api.ParseNoQuery); err != nil {
		return "", nil, err
	}
	media, _, err := mime.ParseMediaType(c.media)
	format, ok := configFormats[media]
	if err != nil || !ok {
		return "", nil, huma.Error415UnsupportedMediaType(fmt.Sprintf("api: configuration: Content-Type %q is none of "+
			"application/json, application/yaml, application/x-yaml, text/yaml", c.media))
	}
	body, refused := readBody(c.body, "configuration")
	if refused != nil {
		return "", nil, refused
	}
	if len(body) == 0 {
		return "", nil, huma.Error400BadRequest("api: configuration: the request has none; send the whole of it as the body")
	}
	return format, body, nil
}

// problemOrInternal is the answer to an error: itself if it is a Problem.
func problemOrInternal(err error) error {
	var p *api.Problem
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &p) || p.Status < 400 || p.Status > 599:
		return huma.Error500InternalServerError(err.Error())
	}
	model := &huma.ErrorModel{Type: p.Type, Title: p.Title, Status: p.Status, Detail: p.Detail, Instance: p.Instance}
	for _, e := range p.Errors {
		model.Errors = append(model.Errors, &huma.ErrorDetail{Message: e.Message, Location: e.Location, Value: e.Value})
	}
	return model
}
