package main

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// told is what somebody at a terminal sees of work that takes so long.
func told(t *testing.T, takes time.Duration) (text string) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		var b bytes.Buffer
		done := make(chan struct{})
		go func() { time.Sleep(takes); close(done) }()
		tell(&b, func() string { return "counting\x1b[2J" }, done)
		text = b.String()
	})
	return text
}

func TestProgress(t *testing.T) {
	if text := told(t, patience-time.Millisecond); text != "" {
		t.Errorf("quick work says %q", text)
	}
	text := told(t, patience+1500*time.Millisecond)
	for _, want := range []string{"counting\uFFFD[2J … 2 s", "… 3 s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if strings.Contains(text, "4 s") || !strings.HasSuffix(text, wipe) {
		t.Errorf("%q", text)
	}
}
