package server

import "testing"

func TestLoopbackName(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1:9180": true, "127.0.0.1": true, "localhost:9180": true, "localhost": true, "[::1]:9180": true,
		"evil.example:9180": false, "127.0.0.1.evil.example": false, "203.0.113.5:9180": false, "": false,
	} {
		if got := loopbackName(host); got != want {
			t.Errorf("loopbackName(%q) = %v, want %v", host, got, want)
		}
	}
}
