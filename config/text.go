package config

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// checkText refuses what does not belong into a line: names end up in terminals, logs
// and YAML, which a control character would steer or break.
func checkText(s string) error {
	if !utf8.ValidString(s) { // of the environment, or YAML's !!binary; no JSON could hold it
		return fmt.Errorf("%s is not UTF-8", quote(s))
	}
	if i := strings.IndexFunc(s, unprintable); i >= 0 {
		r, _ := utf8.DecodeRuneInString(s[i:])
		return fmt.Errorf("%s holds the control character %U; remove it", quote(s), r)
	}
	return nil
}

// unprintable is C0, DEL and C1; the separators of lines; what turns the direction of
// writing; and what is no character at all (Unicode §23.7).
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control, unicode.Noncharacter_Code_Point)
}
