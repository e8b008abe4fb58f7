package conntrack

import (
	"testing"
	"time"

	"tidegate/packet"
)

// A flow of which one end never speaks lives as long as the other does, beyond where
// the clock of milliseconds has half its range between them.
func TestOneSidedFlowOutlivesTheClock(t *testing.T) {
	o := newOneWay(t, resetting)
	o.from(Original, packet.SYN, 100, 0, 0)
	o.from(Original, packet.ACK, 101, 501, 0)
	buf := make([]Ended, 0, 4)
	for day := range 60 {
		for range 24 * 60 / 3 {
			o.now += int64(3 * time.Minute)
			o.from(Original, packet.ACK, 101, 501, 0)
			for more := true; more; {
				var ended []Ended
				if ended, more = o.table.Sweep(o.now, buf); len(ended) > 0 {
					t.Fatalf("ended on day %d: %+v", day, ended[0])
				}
			}
		}
	}
	o.now += int64(5 * time.Minute)
	ended, _ := o.table.Sweep(o.now, buf)
	for range 10 { // a wheel turn is less than the days without sweeps
		o.now += int64(time.Minute)
		more, _ := o.table.Sweep(o.now, buf)
		ended = append(ended, more...)
	}
	if len(ended) != 1 || ended[0].Reason != Idle || !ended[0].Reset {
		t.Errorf("given up are %+v", ended)
	}
}
