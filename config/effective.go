package config

import (
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// Tree returns the effective configuration, defaults filled in, as a file spells
// it: maps, lists, text, numbers and booleans, ready to become JSON. Keys without
// a value are left out. [Parse] makes the same Config of it.
func (c *Config) Tree() map[string]any {
	return spellSection(reflect.ValueOf(c).Elem(), reflect.ValueOf(Default()).Elem())
}

// spellSection spells a struct of the tree. The fallback is what holds for keys
// that are left out.
func spellSection(v, fallback reflect.Value) map[string]any {
	section := map[string]any{}
	for _, f := range fieldsOf(v.Type()) {
		if spelled, ok := spell(v.FieldByIndex(f.index), fallback.FieldByIndex(f.index)); ok {
			section[f.name] = spelled
		}
	}
	return section
}

// spell returns the value as the file has it; false where to leave it out means
// the same.
func spell(v, fallback reflect.Value) (any, bool) {
	switch x := v.Interface().(type) {
	case netip.Addr:
		return x.String(), x.IsValid()
	case netip.Prefix:
		return x.String(), x.IsValid()
	case PoolAddress:
		return x.spell(), true
	case time.Duration:
		return spellDuration(x), true
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil, false
		}
		return spell(v.Elem(), v.Elem())
	case reflect.Slice:
		return spellList(v), !v.IsNil()
	case reflect.Struct:
		section := spellSection(v, fallback)
		return section, len(section) > 0
	case reflect.String:
		return v.String(), v.Len()+fallback.Len() > 0
	}
	return v.Interface(), true // a number or a boolean
}

func spellList(v reflect.Value) []any {
	fallback := reflect.New(v.Type().Elem()).Elem()
	preset(fallback)
	list := make([]any, v.Len())
	for i := range list {
		list[i], _ = spell(v.Index(i), fallback)
	}
	return list
}

// spellDuration has 4m where Go has 4m0s.
func spellDuration(d time.Duration) string {
	s := d.String()
	for _, none := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(s, none) {
			s = s[:len(s)-2]
		}
	}
	return s
}

func (p PoolAddress) spell() any {
	if p.AdminState == AdminNone {
		return p.String()
	}
	return map[string]any{"ipAddress": p.String(), "adminState": string(p.AdminState)}
}
