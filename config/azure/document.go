// Package azure turns descriptions of Azure's load balancers into a Tidegate
// configuration: [ARM] reads Microsoft.Network/loadBalancers as a resource or in
// a template, [Classic] the two forms that came before it.
//
// What a description says is carried over or told as a [Warning] with its place,
// never dropped in silence; what says nothing (null, an empty list) and what
// only describes the record, such as an etag, is left out (unread.go lists it).
// What it can't know, such as the address that Azure gives a public IP, becomes a
// placeholder, text of the form <…>, which `tidegate check` names. What is not
// such a description at all, or refers to what is not in it, is an error.
//
// The package reads bytes it is given and nothing else: no files, no network.
// It does not validate; the configuration's own check does.
package azure

import (
	"fmt"
	"strings"
)

// File is one input: its name for messages and its content.
type File struct {
	Name    string
	Content []byte
}

// maxFile bounds one input, in bytes; the largest template that Azure itself
// takes has 4 MB.
const maxFile = 16 << 20

// Warning is something in the input that the configuration does not say.
type Warning struct {
	Path    string // a JSON path, resources[0].properties.probes[1].name, or for XML one like XPath's; "": the whole input
	Message string // one line
}

// String returns the warning as a line.
func (w Warning) String() string {
	if w.Path == "" {
		return w.Message
	}
	return w.Path + ": " + w.Message
}

// Document is the configuration made of an input.
type Document struct {
	Warnings []Warning // in the order of the input's sections

	origin  []string // lines of the opening comment
	reason  string   // why profile azure does not do; empty: it does
	section map[string][]fields
	told    map[Warning]bool
}

func newDocument(origin ...string) *Document {
	return &Document{origin: origin, section: map[string][]fields{}, told: map[Warning]bool{}}
}

// fields is a map of the configuration with its keys in order.
type fields []field

type field struct {
	key   string
	value any // string, int, bool, []any or fields
}

// set appends a key, unless there is nothing to say.
func (f *fields) set(key string, value any) {
	if value != nil && value != "" {
		*f = append(*f, field{key, value})
	}
}

func (d *Document) emit(section string, f fields) { d.section[section] = append(d.section[section], f) }

// warn notes a warning once.
func (d *Document) warn(path, format string, args ...any) {
	w := Warning{cut(strings.TrimSuffix(path, ": ")), cut(fmt.Sprintf(format, args...))}
	if !d.told[w] {
		d.told[w] = true
		d.Warnings = append(d.Warnings, w)
	}
}

// Upper ends of idleTimeoutInMinutes in profile azure.
const (
	maxIdleOutbound = 100
	maxIdle         = 30
)

// idle carries an idle timeout over and sees which profile it needs.
func (d *Document) idle(f *fields, path string, minutes any, limit int) {
	f.set("idleTimeoutInMinutes", minutes)
	if n, ok := minutes.(int); ok && n > limit && d.reason == "" {
		d.reason = fmt.Sprintf("%s is %d; profile azure ends at %d", cut(path), n, limit)
	}
}

// placeholder stands for what the input does not know.
func placeholder(format string, args ...any) string {
	return "<" + bare(fmt.Sprintf(format, args...)) + ">"
}

// bare takes off the brackets of placeholders within, so that there is one pair.
func bare(s string) string { return cut(strings.NewReplacer("<", "", ">", "").Replace(s)) }

// oneLine replaces what would break or hide in a line of a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}
