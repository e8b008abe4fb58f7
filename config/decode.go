package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
)

// conversion turns decoded values into the types of the tree. It is strict: a
// quoted number is no number. Only what comes from the environment is text
// whatever it means.
type conversion struct {
	fromText bool
	refused  int // values
}

// decode fills c from a decoded file; what the file leaves out stays as it is.
func (cv *conversion) decode(tree map[string]any, c *Config) Problems {
	decoder, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{Result: c, DecodeHook: cv.convert})
	if err != nil {
		return Problems{{Message: err.Error()}}
	}
	return decodeProblems(decoder.Decode(tree))
}

// decodeProblems takes the errors that mapstructure joined apart again.
func decodeProblems(err error) Problems {
	switch e := err.(type) {
	case nil:
		return nil
	case *mapstructure.DecodeError:
		return Problems{{Path: e.Name(), Message: e.Unwrap().Error()}}
	case interface{ Unwrap() []error }:
		var ps Problems
		for _, err := range e.Unwrap() {
			ps = append(ps, decodeProblems(err)...)
		}
		return ps
	case interface{ Unwrap() error }:
		return decodeProblems(e.Unwrap())
	}
	return Problems{{Message: err.Error()}}
}

// convert is the decoder's hook: it sees each value before it is stored and
// lets only values of the exact type pass. When there are enough problems the rest
// is left out, because the decoder can't be stopped.
func (cv *conversion) convert(from, to reflect.Value) (any, error) {
	if cv.refused > mostProblems {
		return reflect.Zero(to.Type()).Interface(), nil
	}
	converted, err := cv.converted(from, to)
	if err != nil {
		cv.refused++
	}
	return converted, err
}

func (cv *conversion) converted(from, to reflect.Value) (any, error) {
	switch to.Interface().(type) {
	case netip.Addr:
		return asParsed(from, parseAddress)
	case netip.Prefix:
		return asPrefix(from)
	case PoolAddress:
		preset(to)
		return asPoolAddress(from)
	case ACLEntry:
		return retyped[subnetText](from, "remoteSubnet")
	case time.Duration:
		return asDuration(from)
	}
	switch to.Kind() {
	case reflect.Int:
		return cv.asInt(from)
	case reflect.Bool:
		return cv.asBool(from)
	case reflect.String:
		return asText(from)
	case reflect.Slice:
		return asList(from)
	case reflect.Struct:
		preset(to)
		return asMap(from)
	}
	return from.Interface(), nil // a pointer: its element is converted next
}

// preset fills in the defaults of a list's element before its keys are stored.
func preset(element reflect.Value) {
	switch e := element.Addr().Interface().(type) {
	case *PoolAddress:
		e.AdminState = AdminNone
	case *LoadBalancingRule:
		e.LoadDistribution = DistributionDefault
	case *Probe:
		*e = defaultProbe()
	}
}

func asParsed[T any](v reflect.Value, parse func(string) (T, error)) (any, error) {
	switch {
	case v.Kind() != reflect.String:
		return nil, fmt.Errorf("%s is not an IPv4 address or prefix", describe(v))
	case placeholder(v.String()):
		return nil, fmt.Errorf("%s is a placeholder: write the address it stands for", describe(v))
	}
	return parse(v.String())
}

// Text of a key whose prefix is written in more ways than one.
type (
	memberText string // of a pool: "10.0.0.10" or a prefix
	subnetText string // of an ACL: "10.0.0.10" or any prefix
)

func asPrefix(v reflect.Value) (any, error) {
	switch v.Interface().(type) {
	case memberText:
		return asParsed(v, parseMember)
	case subnetText:
		return asParsed(v, parseSubnet)
	}
	return asParsed(v, parsePrefix)
}

// asPoolAddress reads an entry of a pool: its address alone, or a map.
func asPoolAddress(v reflect.Value) (any, error) {
	if v.Kind() != reflect.Map {
		p, err := asParsed(v, parseMember)
		if err != nil {
			return nil, err
		}
		return PoolAddress{p.(netip.Prefix), AdminNone}, nil
	}
	return retyped[memberText](v, "ipAddress")
}

// retyped returns a copy of the map v in which the text at key has the type T.
func retyped[T ~string](v reflect.Value, key string) (any, error) {
	if v.Kind() != reflect.Map {
		return asMap(v)
	}
	copied := map[string]any{}
	for k, value := range v.Seq2() {
		name, content := fmt.Sprint(k), value.Interface()
		if text, ok := content.(string); ok && strings.EqualFold(name, key) {
			content = T(text)
		}
		copied[name] = content
	}
	return copied, nil
}

func asDuration(v reflect.Value) (any, error) {
	if v.CanInt() {
		return nil, fmt.Errorf("%s has no unit; write %ss for seconds", describe(v), describe(v))
	}
	if v.Kind() != reflect.String {
		return nil, fmt.Errorf("%s is not a duration such as 30s or 4m", describe(v))
	}
	d, err := time.ParseDuration(v.String())
	if err != nil {
		return nil, fmt.Errorf("%s is not a duration such as 30s or 4m", describe(v))
	}
	return d, nil
}

func (cv *conversion) asInt(v reflect.Value) (any, error) {
	switch {
	case v.CanInt():
		return int(v.Int()), nil
	case v.CanUint(): // YAML has them only above the largest int
		return nil, fmt.Errorf("%s is too large", describe(v))
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()) && math.Abs(v.Float()) < 1<<53: // all of JSON's
		return int(v.Float()), nil
	case v.Kind() == reflect.String && placeholder(v.String()):
		return nil, fmt.Errorf("%s is a placeholder: write the number it stands for", describe(v))
	case v.Kind() == reflect.String:
		return cv.intFromText(v)
	}
	return nil, fmt.Errorf("%s is not a whole number", describe(v))
}

func (cv *conversion) intFromText(v reflect.Value) (any, error) {
	n, err := strconv.Atoi(v.String())
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s is not a whole number", describe(v))
	case !cv.fromText:
		return nil, fmt.Errorf("%s is text; write %d without quotes", describe(v), n)
	}
	return n, nil
}

func (cv *conversion) asBool(v reflect.Value) (any, error) {
	if v.Kind() == reflect.Bool {
		return v.Bool(), nil
	}
	if s := v.String(); cv.fromText && (s == "true" || s == "false") {
		return s == "true", nil
	}
	if s := describe(v); s == `"true"` || s == `"false"` {
		return nil, fmt.Errorf("%s is text; write %s without quotes", s, strings.Trim(s, `"`))
	}
	if v.Kind() == reflect.String && placeholder(v.String()) {
		return nil, fmt.Errorf("%s is a placeholder: write true or false", describe(v))
	}
	return nil, fmt.Errorf("%s is neither true nor false", describe(v))
}

func asText(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.String:
		return v.String(), checkText(v.String())
	case reflect.Slice, reflect.Map, reflect.Struct:
		return nil, fmt.Errorf("%s is not text", describe(v))
	}
	return nil, fmt.Errorf("%s is not text; write %q", describe(v), describe(v))
}

func asList(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Slice:
		return v.Interface(), checkElements(v)
	case reflect.Map:
		return nil, errors.New("a map is not a list; each element needs its own dash")
	}
	return nil, fmt.Errorf("%s is not a list; write [ %s ]", describe(v), describe(v))
}

// checkElements refuses an empty element, which the decoder would pass over.
func checkElements(list reflect.Value) error {
	for i := range list.Len() {
		if e := list.Index(i); e.Kind() == reflect.Interface && e.IsNil() {
			return fmt.Errorf("element %d is empty", i)
		}
	}
	return nil
}

func asMap(v reflect.Value) (any, error) {
	if v.Kind() == reflect.Map {
		return v.Interface(), nil
	}
	return nil, fmt.Errorf("%s is not a map of keys", describe(v))
}

// describe names a value in a message.
func describe(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return quote(v.String())
	case reflect.Slice:
		return "a list"
	case reflect.Map:
		return "a map"
	case reflect.Struct: // TOML's dates
		return "a date"
	}
	return fmt.Sprint(v)
}

// quote cuts what would drown the message.
func quote(s string) string {
	const most = 60 // bytes: longer than any name, address or number that was meant
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}
