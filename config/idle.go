package config

import "time"

// IdleTimer is what every rule says about flows that fall silent. Both timeouts
// stand as the file gives them, nil when it does not, and never both: ask Idle.
type IdleTimer struct {
	IdleTimeoutInMinutes *int           `mapstructure:"idleTimeoutInMinutes"`
	IdleTimeout          *time.Duration `mapstructure:"idleTimeout"` // profile custom only
	EnableTCPReset       bool           `mapstructure:"enableTcpReset"`
	KeepaliveBeforeReset bool           `mapstructure:"keepaliveBeforeReset"` // only with EnableTCPReset
	LateTCPReset         *bool          `mapstructure:"lateTcpReset"`         // nil when not given: ask LateReset
}

// Idle returns how long a flow of the rule may be silent.
func (t IdleTimer) Idle() time.Duration {
	switch {
	case t.IdleTimeout != nil:
		return *t.IdleTimeout
	case t.IdleTimeoutInMinutes != nil:
		return time.Duration(*t.IdleTimeoutInMinutes) * time.Minute
	}
	return defaultIdle
}

// LateReset reports whether a packet of a TCP flow that the gateway no longer
// knows gets a RST; where the file does not say, it does with EnableTCPReset.
func (t IdleTimer) LateReset() bool {
	if t.LateTCPReset != nil {
		return *t.LateTCPReset
	}
	return t.EnableTCPReset
}

// idle checks what a rule says of its idle timeout against the profile, and that
// what it says of resets concerns it.
func (v *validator) idle(path string, t IdleTimer, p Protocol, limits minutes) {
	v.idleTimeout(path, t, limits)
	switch {
	case p == ProtocolUDP:
		v.neverResets(path, t, "a rule for Udp has no TCP flows")
	case t.KeepaliveBeforeReset && !t.EnableTCPReset:
		v.add(path+".keepaliveBeforeReset", "has no effect without enableTcpReset: true")
	}
}

// neverResets refuses our own keys where they would have no effect. Azure's
// enableTcpReset is accepted, as Azure accepts it.
func (v *validator) neverResets(path string, t IdleTimer, because string) {
	if t.KeepaliveBeforeReset {
		v.add(path+".keepaliveBeforeReset", "has no effect: %s", because)
	}
	if t.LateTCPReset != nil && *t.LateTCPReset {
		v.add(path+".lateTcpReset", "has no effect: %s", because)
	}
}

func (v *validator) idleTimeout(path string, t IdleTimer, limits minutes) {
	profile := v.config.Profile
	if _, known := idleLimits[profile]; !known {
		return // told already
	}
	if m := t.IdleTimeoutInMinutes; m != nil && !limits.hold(*m) {
		v.add(path+".idleTimeoutInMinutes", "%d is outside %d–%d (profile %s)", *m, limits.min, limits.max, profile)
	}
	d := t.IdleTimeout
	switch path += ".idleTimeout"; {
	case d == nil:
	case profile != ProfileCustom:
		v.add(path, "only profile custom has this key; use idleTimeoutInMinutes")
	case t.IdleTimeoutInMinutes != nil:
		v.add(path, "idleTimeoutInMinutes is given too; keep one of them")
	case *d < minIdle || *d > maxIdle:
		v.add(path, "%s is outside 1s–24h (profile %s)", *d, profile)
	}
}
