package azure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// functions are those of the template language that need nothing but their
// arguments; parameters and variables are the scope's own.
var functions = map[string]func(e *expression, args []any) (any, error){
	"concat":     concat,
	"format":     format,
	"resourceid": resourceID,
	"tolower":    onText(strings.ToLower),
	"toupper":    onText(strings.ToUpper),
	"trim":       onText(strings.TrimSpace),
	"string":     onText(func(s string) string { return s }),
	"int":        toInt,
	"true":       func(*expression, []any) (any, error) { return true, nil },
	"false":      func(*expression, []any) (any, error) { return false, nil },
	"null":       func(*expression, []any) (any, error) { return nil, nil },
}

var errTooLong = fmt.Errorf("the result has more than %d bytes or elements", maxText)

// embeds are the functions whose result may hold a placeholder as a part.
var embeds = map[string]bool{"concat": true, "format": true, "resourceid": true}

func (s *scope) invoke(e *expression) result {
	name := strings.ToLower(e.call)
	function, known := functions[name]
	if !known && name != "parameters" && name != "variables" {
		return unknown(e.source, "%s() can't be evaluated here", cut(e.call))
	}
	args := make([]any, len(e.args))
	var missing []string
	for i, a := range e.args {
		r := s.evaluate(a)
		args[i] = r.value
		missing = append(missing, r.missing...)
	}
	if len(missing) > 0 && !embeds[name] {
		return result{placeholder("%s", e.source), missing}
	}
	if !known {
		return s.lookUp(e, name, args)
	}
	value, err := function(e, args)
	if err != nil {
		return unknown(e.source, "%s(): %v", cut(e.call), err)
	}
	return result{value, missing}
}

// lookUp is parameters('name') and variables('name').
func (s *scope) lookUp(e *expression, function string, args []any) result {
	name, ok := "", false
	if len(args) == 1 {
		name, ok = args[0].(string)
	}
	if !ok {
		return unknown(e.source, "%s() takes one name", function)
	}
	s.effort -= (s.parameters.size() + s.variables.size()) / 16 // looked through one by one
	if function == "variables" {
		if v := s.variables.member(name); v != nil {
			return s.readOnce(e, name, v)
		}
		return unknown(e.source, "the template has no variable %q", cut(name))
	}
	if given := s.given[strings.ToLower(name)]; given != nil {
		return s.read(given)
	}
	parameter := s.parameters.member(name)
	if parameter == nil {
		return unknown(e.source, "the template has no parameter %q", cut(name))
	}
	if value := parameter.member("defaultValue"); value != nil {
		return s.readOnce(e, name, value)
	}
	return unknown("parameter "+name, "parameter %q has no default; give a parameters file too, or write the value in", cut(name))
}

// readOnce is read, for what may refer to itself.
func (s *scope) readOnce(e *expression, name string, v *node) result {
	key := strings.ToLower(e.call + " " + name)
	if s.open[key] {
		return unknown(e.source, "%q refers to itself", cut(name))
	}
	s.open[key] = true
	defer delete(s.open, key)
	return s.read(v)
}

// plain returns how a value reads within a text.
func plain(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case int:
		return strconv.Itoa(v), nil
	case bool: // as resource manager prints it
		return strings.ToUpper(strconv.FormatBool(v)[:1]) + strconv.FormatBool(v)[1:], nil
	}
	return "", errors.New("a list, an object or null is no text")
}

// onText makes a function of one text.
func onText(f func(string) string) func(*expression, []any) (any, error) {
	return func(_ *expression, args []any) (any, error) {
		if len(args) != 1 {
			return nil, fmt.Errorf("takes one argument, not %d", len(args))
		}
		s, err := plain(args[0])
		return f(s), err
	}
}

func toInt(_ *expression, args []any) (any, error) {
	if len(args) != 1 {
		return nil, fmt.Errorf("takes one argument, not %d", len(args))
	}
	s, err := plain(args[0])
	if err != nil {
		return nil, err
	}
	return wholeNumber(s)
}

// concat joins texts, or lists.
func concat(_ *expression, args []any) (any, error) {
	if len(args) > 0 {
		if first, ok := args[0].(*node); ok && first.list {
			return concatLists(args)
		}
	}
	var b strings.Builder
	for _, a := range args {
		s, err := plain(a)
		if err != nil {
			return nil, err
		}
		if b.WriteString(s); b.Len() > maxText {
			return nil, errTooLong
		}
	}
	return b.String(), nil
}

func concatLists(args []any) (any, error) {
	all := &node{list: true}
	for _, a := range args {
		list, ok := a.(*node)
		if !ok || !list.list {
			return nil, errors.New("lists and texts are mixed")
		}
		if len(all.nodes)+len(list.nodes) > maxText {
			return nil, errTooLong
		}
		for _, e := range list.nodes {
			all.nodes = append(all.nodes, &node{parent: all, index: len(all.nodes), scalar: e.scalar,
				list: e.list, object: e.object, nodes: e.nodes, scope: e.scope, missing: e.missing})
		}
	}
	return all, nil
}

// format puts arguments in the places {0}, {1}, … of its first; {{ and }} are braces.
func format(_ *expression, args []any) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("takes a text first")
	}
	rest, err := plain(args[0])
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	for i := strings.IndexAny(rest, "{}"); i >= 0; i = strings.IndexAny(rest, "{}") {
		b.WriteString(rest[:i])
		brace := rest[i : i+1]
		rest = rest[i+1:]
		part := brace
		if strings.HasPrefix(rest, brace) {
			rest = rest[1:]
		} else if part, rest, err = argument(brace, rest, args[1:]); err != nil {
			return nil, err
		}
		if b.WriteString(part); b.Len() > maxText {
			return nil, errTooLong
		}
	}
	return b.String() + rest, nil
}

// argument reads the N} of {N} and returns the argument it names and what follows.
func argument(brace, rest string, args []any) (part, after string, err error) {
	number, after, closed := strings.Cut(rest, "}")
	n, err := strconv.Atoi(number)
	if brace == "}" || !closed || err != nil || n < 0 || n >= len(args) {
		return "", "", fmt.Errorf("%q is no place of an argument", cut(brace+number))
	}
	part, err = plain(args[n])
	return part, after, err
}

// resourceID builds an id without its subscription and resource group, which no
// reference here needs: /providers/TYPE/NAME/SUBTYPE/NAME.
func resourceID(_ *expression, args []any) (any, error) {
	texts := make([]string, len(args))
	for i, a := range args {
		s, err := plain(a)
		if err != nil {
			return nil, err
		}
		texts[i] = s
	}
	for i, kind := range texts {
		types := strings.Split(kind, "/")
		names := splitID(strings.Join(texts[i+1:], "/"))
		if len(types) < 2 || strings.HasPrefix(kind, "<") {
			continue // a subscription or resource group
		}
		if len(names) != len(types)-1 {
			return nil, fmt.Errorf("%q needs %d names, not %d", cut(kind), len(types)-1, len(names))
		}
		id := "/providers/" + types[0]
		for j, t := range types[1:] {
			id += "/" + t + "/" + names[j]
		}
		return id, nil
	}
	return nil, errors.New("no argument is a type such as Microsoft.Network/loadBalancers")
}
