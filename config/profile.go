package config

import "time"

// Profile says which idle timeouts are valid.
type Profile string

// The profiles.
const (
	ProfileAzure     Profile = "azure"      // as Azure first documented it
	ProfileAzure2026 Profile = "azure-2026" // as Azure documents it in 2026
	ProfileCustom    Profile = "custom"     // 1 s – 24 h, and idleTimeout in seconds
)

// Bounds of idleTimeout, which only ProfileCustom has.
const (
	minIdle = time.Second
	maxIdle = 24 * time.Hour
)

// minutes is an inclusive range of idleTimeoutInMinutes.
type minutes struct{ min, max int }

func (m minutes) hold(n int) bool { return n >= m.min && n <= m.max }

// idleLimits gives each profile its ranges. Azure's two stand in its pages on
// TCP reset and idle timeout; custom's is minIdle–maxIdle in whole minutes.
var idleLimits = map[Profile]struct{ outbound, inbound minutes }{
	ProfileAzure:     {outbound: minutes{4, 100}, inbound: minutes{4, 30}},
	ProfileAzure2026: {outbound: minutes{4, 120}, inbound: minutes{4, 100}},
	ProfileCustom:    {outbound: minutes{1, 1440}, inbound: minutes{1, 1440}},
}
