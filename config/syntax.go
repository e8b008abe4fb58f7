package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// located makes one line of a codec's error, with the place in the file.
func located(err error, format string, content []byte) error {
	var toml interface{ Position() (row, column int) }
	var syntax *json.SyntaxError
	var typ *json.UnmarshalTypeError
	switch {
	case errors.As(err, &toml):
		row, _ := toml.Position()
		return fmt.Errorf("line %d: %s", row, strings.TrimPrefix(err.Error(), "toml: "))
	case errors.As(err, &syntax):
		return fmt.Errorf("line %d: %w", lineAt(content, syntax.Offset), err)
	case errors.As(err, &typ):
		return fmt.Errorf("line %d: the file is a JSON %s, not an object", lineAt(content, typ.Offset), typ.Value)
	case format == "toml": // its place is not known
		return errors.New(strings.TrimPrefix(err.Error(), "toml: "))
	}
	return yamlError(err.Error(), content)
}

// lineAt counts from 1; an offset outside the content is its nearest end.
func lineAt(content []byte, offset int64) int {
	return 1 + bytes.Count(content[:max(0, min(int(offset), len(content)))], []byte("\n"))
}

// countedFromZero matches what the YAML decoder's parser says. Unlike its
// scanner, it counts lines from 0 (and so cannot name the first).
var countedFromZero = regexp.MustCompile(`^line (\d+): (did not find expected (?:node content|key|'-' indicator|',' or '[\]}]'|<document start>)|found undefined tag handle)$`)

// yamlError gives a message of the YAML decoder its line where it has none: the
// decoder leaves out line 1, and that of a byte which no YAML may hold. Its
// words on anchors are about no one line.
func yamlError(message string, content []byte) error {
	message = oneLine(message)
	if m := countedFromZero.FindStringSubmatch(message); m != nil {
		line, _ := strconv.Atoi(m[1])
		return fmt.Errorf("line %d: %s", line+1, m[2])
	}
	switch {
	case strings.HasPrefix(message, "line "), strings.Contains(message, "anchor"), strings.Contains(message, "aliasing"):
		return errors.New(message)
	case strings.Contains(message, "control characters"), strings.Contains(message, "UTF-8"):
		return fmt.Errorf("line %d: %s; is this a text file?", lineAt(content, int64(bytes.IndexFunc(content, notText))), message)
	}
	return errors.New("line 1: " + message)
}

// notText is what the YAML decoder's reader refuses (YAML 1.2.2 §5.1).
func notText(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) && r != '\t' && r != '\n' && r != '\r' && r != 0x85
}

// oneLine flattens the YAML decoder's lists, keeps their head, and says its Go
// type in plain words.
func oneLine(message string) string {
	message = strings.TrimPrefix(message, "yaml: ")
	message = strings.TrimPrefix(message, "unmarshal errors:\n")
	message = strings.ReplaceAll(message, "map[string]interface {}", "a map of keys")
	lines := strings.Split(message, "\n")
	if more := len(lines) - 3; more > 0 {
		lines = append(lines[:3], fmt.Sprintf("and %d more", more))
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "; ")
}

// secondDocument refuses content of which the YAML decoder took only the first of
// several documents. It looks for a "---" after content; in column one nothing
// else can be meant by it (YAML 1.2.2 §9.1.2).
func secondDocument(content []byte) error {
	started, n := false, 0
	for line := range bytes.Lines(content) {
		n++
		text := bytes.TrimSpace(line)
		switch {
		case bytes.Equal(line[:min(3, len(line))], []byte("---")) && (len(text) == 3 || text[3] == ' '):
			if started {
				return fmt.Errorf("line %d: a second document begins; a file holds one", n)
			}
			started = len(text) > 3
		case len(text) > 0 && text[0] != '#' && text[0] != '%':
			started = true
		}
	}
	return nil
}
