package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a key that a struct of the tree knows.
type field struct {
	name  string
	typ   reflect.Type
	index []int // for reflect.Value.FieldByIndex
}

// fieldsOf returns the keys of a section, none for a leaf such as an address.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		name, options, tagged := strings.Cut(t.Field(i).Tag.Get("mapstructure"), ",")
		switch {
		case options == "squash":
			for _, f := range fieldsOf(t.Field(i).Type) {
				fields = append(fields, field{f.name, f.typ, append([]int{i}, f.index...)})
			}
		case name != "" && !tagged:
			fields = append(fields, field{name, t.Field(i).Type, []int{i}})
		}
	}
	return fields
}

// unknownKeys finds keys of the decoded file that no field of t answers to, and
// keys that are one field's twice. Letter case does not count, as viper has it
// and as Azure's own pages need it (enableTCPReset beside enableTcpReset). The
// values are the decoder's business.
func (ps *Problems) unknownKeys(node reflect.Value, t reflect.Type, path string) {
	if node.Kind() == reflect.Interface {
		node = node.Elem()
	}
	switch {
	case ps.enough():
	case t.Kind() == reflect.Slice && node.Kind() == reflect.Slice:
		for i := range node.Len() {
			ps.unknownKeys(node.Index(i), t.Elem(), at(path, i))
		}
	case t.Kind() == reflect.Struct && node.Kind() == reflect.Map:
		if fields := fieldsOf(t); len(fields) > 0 {
			ps.unknownIn(node, fields, path)
		}
	}
}

// unknownIn is unknownKeys for one map.
func (ps *Problems) unknownIn(node reflect.Value, fields []field, path string) {
	seen := map[string]string{}
	for _, key := range sortedKeys(node) {
		name := fmt.Sprint(key)
		i := slices.IndexFunc(fields, func(f field) bool { return strings.EqualFold(f.name, name) })
		switch {
		case ps.enough():
			return
		case i < 0:
			ps.add(join(path, name), "unknown key%s", suggestion(name, fields))
			continue
		}
		known := join(path, fields[i].name)
		if other, twice := seen[known]; twice {
			ps.add(known, "given twice, as %s and %s; letter case does not count", other, name)
		}
		seen[known] = name
		ps.unknownKeys(node.MapIndex(key), fields[i].typ, known)
	}
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return keys
}

// join appends a key to a path, quoted where it would not read as one.
func join(path, key string) string {
	odd := func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}
	if key == "" || strings.ContainsFunc(key, odd) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggestion names the key that was probably meant: two typing errors away at most.
func suggestion(name string, fields []field) string {
	best, distance := "", 3
	for _, f := range fields {
		if d := editDistance(strings.ToLower(name), strings.ToLower(f.name)); d < distance {
			best, distance = f.name, d
		}
	}
	if best == "" || len(best) <= 3 { // two edits turn anything into a short word
		return ""
	}
	return ", did you mean " + best + "?"
}

// editDistance is Levenshtein's, in bytes; 3 stands for every greater one.
func editDistance(a, b string) int {
	if len(a)-len(b) > 2 || len(b)-len(a) > 2 {
		return 3
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

// scalarKeys lists the keys that the environment may override: profile and the
// single values in sections. List elements have no name to be addressed by.
func scalarKeys(t reflect.Type, path string) []string {
	var keys []string
	for _, f := range fieldsOf(t) {
		key := join(path, f.name)
		switch {
		case f.typ.Kind() == reflect.Struct:
			keys = append(keys, scalarKeys(f.typ, key)...)
		case f.typ == reflect.TypeFor[time.Duration](), f.typ.Kind() == reflect.Int, f.typ.Kind() == reflect.Bool, f.typ.Kind() == reflect.String:
			keys = append(keys, key)
		}
	}
	return keys
}
