package azure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// expression is a piece of the template language: 'text', 42, name(arguments),
// of.key or of[key].
type expression struct {
	source  string
	literal any // string or int; nil: one of the following
	call    string
	args    []*expression // of the call
	of, key *expression   // access
}

// isExpression says whether a template evaluates s: [ ] around it, and not the
// escape [[.
func isExpression(s string) bool {
	return strings.HasPrefix(s, "[") && !strings.HasPrefix(s, "[[") && strings.HasSuffix(s, "]")
}

// maxNesting bounds how deep expressions, and variables in variables, nest.
const maxNesting = 100

// parseExpression reads what stands between the brackets.
func parseExpression(source string) (*expression, error) {
	p := &expressionParser{source: source}
	e, err := p.expression(0)
	if err != nil {
		return nil, err
	}
	p.skipSpace()
	if p.at < len(source) {
		return nil, fmt.Errorf("%q is left over", cut(source[p.at:]))
	}
	return e, nil
}

type expressionParser struct {
	source string
	at     int
}

func (p *expressionParser) skipSpace() {
	for p.at < len(p.source) && strings.IndexByte(" \t\r\n", p.source[p.at]) >= 0 {
		p.at++
	}
}

// take steps over a mark if it comes next.
func (p *expressionParser) take(mark string) bool {
	p.skipSpace()
	if !strings.HasPrefix(p.source[p.at:], mark) {
		return false
	}
	p.at += len(mark)
	return true
}

func (p *expressionParser) expression(depth int) (*expression, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested more than %d deep", maxNesting)
	}
	p.skipSpace()
	start := p.at
	e, err := p.primary(depth)
	for err == nil {
		e.source = strings.TrimSpace(p.source[start:p.at])
		switch {
		case p.take(".?"), p.take("."):
			word := p.word()
			if word == "" {
				return nil, errors.New("a name is missing after the dot")
			}
			e = &expression{of: e, key: &expression{literal: word}}
		case p.take("["):
			e = &expression{of: e}
			if e.key, err = p.expression(depth + 1); err == nil && !p.take("]") {
				err = errors.New("] is missing")
			}
		default:
			return e, nil
		}
	}
	return nil, err
}

func (p *expressionParser) primary(depth int) (*expression, error) {
	if p.take("'") {
		return p.text()
	}
	word := p.word()
	if n, err := strconv.Atoi(word); err == nil {
		return &expression{literal: n}, nil
	}
	if word == "" {
		return nil, fmt.Errorf("a function, text or number is missing at %q", cut(p.source[p.at:]))
	}
	if !p.take("(") {
		return nil, fmt.Errorf("( is missing after %s", cut(word))
	}
	return p.call(word, depth)
}

func (p *expressionParser) call(name string, depth int) (*expression, error) {
	e := &expression{call: name}
	for !p.take(")") {
		if len(e.args) > 0 && !p.take(",") {
			return nil, fmt.Errorf(") is missing after the arguments of %s", cut(name))
		}
		arg, err := p.expression(depth + 1)
		if err != nil {
			return nil, err
		}
		e.args = append(e.args, arg)
	}
	return e, nil
}

// text reads up to the closing quote; two quotes are one of the text's.
func (p *expressionParser) text() (*expression, error) {
	var b strings.Builder
	for {
		n := strings.IndexByte(p.source[p.at:], '\'')
		if n < 0 {
			return nil, errors.New("' is missing at the end of a text")
		}
		b.WriteString(p.source[p.at : p.at+n])
		p.at += n + 1
		if !strings.HasPrefix(p.source[p.at:], "'") {
			return &expression{literal: b.String()}, nil
		}
		b.WriteByte('\'')
		p.at++
	}
}

// word reads a name or a number.
func (p *expressionParser) word() string {
	p.skipSpace()
	start := p.at
	for p.at < len(p.source) {
		c := p.source[p.at]
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			break
		}
		p.at++
	}
	return p.source[start:p.at]
}
