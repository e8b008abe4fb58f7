package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-cmp/cmp"

	"tidegate/e2e/lab"
)

// hostState is all that a gateway could have changed on a host: packet filters,
// addresses, rules, routes and kernel settings.
func (r *rig) hostState(h *lab.Host) string {
	r.Helper()
	// The far end's namespace is left out: ip looks for it among those of other tests.
	state := r.shell(h, "nft list ruleset; ip addr 2>&- | sed 's/ link-netns.*//'; ip rule; ip route show table all")
	var settings strings.Builder
	r.check(h.Do(func() error {
		return filepath.WalkDir("/proc/sys/net/ipv4", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if value, err := os.ReadFile(path); err == nil { // some can only be written
				settings.WriteString(path + " " + string(value))
			}
			return nil
		})
	}))
	return state + settings.String()
}

func (r *rig) wantHostState(h *lab.Host, before string) {
	r.Helper()
	if diff := cmp.Diff(strings.Split(before, "\n"), strings.Split(r.hostState(h), "\n")); diff != "" {
		r.Errorf("%s is not as before:\n%s", h.Name, diff)
	}
}
