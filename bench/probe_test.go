package main

import (
	"testing"
	"time"

	"tidegate/e2e/lab"
)

func TestProbe(t *testing.T) {
	for range 3 {
		t0 := time.Now()
		l, err := lab.New(lab.Options{Name: "tgbenchprobe", Hosts: 1})
		if err != nil {
			t.Fatal(err)
		}
		t1 := time.Now()
		t.Log(l.Close(), t1.Sub(t0), time.Since(t1))
	}
}
