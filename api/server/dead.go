package server

import (
	"fmt"
	"time"

	"tidegate/api"
	"tidegate/conntrack"
	"tidegate/gateway"
)

// dead is how the last flow ended that had the packet's tuple, nil if there was none,
// or one lives.
func (s *Server) dead(e *gateway.Explanation) *api.DeadFlow {
	if e.Known {
		return nil
	}
	end, _, ok := s.Gateway.Obituary(e.Original)
	if !ok {
		return nil
	}
	d := &api.DeadFlow{
		Flow: s.flowAt(&end.Flow, end.At), Ended: s.wall(end.At), Reason: end.Reason.String(),
		Resets: s.resetsOf(&end), Message: s.obituary(&end),
	}
	if ranOut(&end) {
		d.Timer, d.TimerSeconds = s.timerOf(&end.Flow), seconds(setting(&end))
	}
	return d
}

// resetsOf says what the gateway sent when it gave a flow up: see ARCHITECTURE.md on
// the number.
func (s *Server) resetsOf(e *gateway.Event) []string {
	said := []string{}
	if !e.Reset {
		return said
	}
	f := &e.Flow
	for to, who := range [...]string{conntrack.Original: "client", conntrack.Reply: "server"} {
		expects, sent := f.MaxAck[to], f.MaxEnd[to^1]
		said = append(said, fmt.Sprintf("RST with sequence number %d to the %s %v", expects, who, f.Tuple[to].Source()))
		if sent != expects {
			said = append(said, fmt.Sprintf("RST with sequence number %d to the %s %v, in case the last bytes sent to it came",
				sent, who, f.Tuple[to].Source()))
		}
	}
	return said
}

// deadSteps tell of a dead flow in sentences.
func deadSteps(d *api.DeadFlow, now time.Time) []string {
	ago := max(0, now.Sub(d.Ended)).Round(time.Second)
	steps := []string{fmt.Sprintf("No flow has this tuple now; the last one ended %v ago: %s", ago, d.Message)}
	if d.Timer != "" {
		steps = append(steps, fmt.Sprintf("The timer that ran out was %s, %v.", d.Timer, time.Duration(d.TimerSeconds*float64(time.Second))))
	}
	for _, sent := range d.Resets {
		steps = append(steps, "The gateway sent a "+sent+".")
	}
	return steps
}
