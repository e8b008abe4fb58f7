package config

import (
	"fmt"
	"reflect"
)

// Fixed returns the keys in which next differs from the configuration of a
// running gateway although they can't change while it runs, nil if none. Their
// lines are next's.
func Fixed(running, next *Config) Problems {
	var ps Problems
	for _, part := range []struct {
		path           string
		running, wants any
	}{
		{"gateway", running.Gateway, next.Gateway},
		{"api", running.API, next.API},
		{"log.format", running.Log.Format, next.Log.Format},
		{"reload", running.Reload, next.Reload},
		{"flowRecords", running.FlowRecords, next.FlowRecords},
	} {
		ps.differences(part.path, reflect.ValueOf(part.running), reflect.ValueOf(part.wants))
	}
	next.locate(ps)
	return ps
}

// differences adds each key, at path or below it, whose values differ.
func (ps *Problems) differences(path string, running, next reflect.Value) {
	if running.Kind() == reflect.Struct {
		for _, f := range fieldsOf(running.Type()) {
			ps.differences(join(path, f.name), running.FieldByIndex(f.index), next.FieldByIndex(f.index))
		}
		return
	}
	is, would := inMessage(running), inMessage(next)
	if is != would {
		ps.add(path, "can't be changed while the gateway runs (is %s, would be %s); restart it", is, would)
	}
}

// inMessage tells values apart that differ.
func inMessage(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String, reflect.Slice: // of text
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprint(v)
}
