package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tidegate/e2e/lab"
)

const (
	dashboard = "http://" + loopback

	// evil is a name that would be a script, were it ever taken for HTML.
	evil = `<img src=x onerror=alert(1)>`

	hogPorts = 16 // of each member; of these the hog uses
	hogUses  = 14 // at first, which is near exhaustion

	hogRow = "#ports tbody tr:first-child"
)

// browsed is a rig with a hog among its members, and the page that shows it. The
// page is the same on each datapath: one will do.
func browsed(t *testing.T) (*browser, []net.Conn, netip.AddrPort) {
	t.Parallel()
	r := newRig(t, "packet")
	r.watch()
	r.start(settings{listen: loopback, ports: hogPorts, rules: strings.Replace(configuration, "egress", "'"+evil+"'", 1)})
	echo := must(lab.ServeTCPEcho(r.Servers[0], ":7"))(r).Addr
	var conns []net.Conn
	for range hogUses {
		conns = append(conns, r.dialEcho(r.Hosts[0], echo))
	}
	r.dialEcho(r.Hosts[1], echo)
	p := r.browse(dashboard)
	p.do(chromedp.EmulateViewport(1600, 900), chromedp.Navigate(dashboard+"/"))
	return p, conns, echo
}

// A member that eats ports is seen at a glance, and its flows are one press away; one
// of them is ended without a mouse, and its socket learns it.
func TestDashboardFindsAndKills(t *testing.T) {
	p, conns, echo := browsed(t)
	p.wantFirstPaint(time.Second)
	p.await(hogRow, "near exhaustion")
	p.await(hogRow, "10.0.0.10")
	p.await("#rules tbody", evil)
	p.await("#state", "ready")
	p.look("light", "light", 1600)

	p.tabTo(hogRow + " button")
	p.keys(kb.Enter)
	p.await("#found", fmt.Sprintf("%d flows", hogUses))
	if got := p.text("document.activeElement.value"); got != "proto=tcp backend=10.0.0.10" {
		p.Errorf("the search is %q", got)
	}
	p.look("dark", "dark", 1600)
	p.tabTo("#flows tbody button")
	label := p.text("document.activeElement.getAttribute('aria-label')")
	victim := p.connectionOf(label, conns)
	p.keys(kb.Enter)
	p.await("#confirm-what", victim.LocalAddr().String())
	p.keys(kb.Escape)
	if got := p.text("document.activeElement.getAttribute('aria-label')"); got != label {
		p.Errorf("after Escape the focus is at %q, not at %q", got, label)
	}
	p.check(say(victim, victim))
	p.keys(kb.Enter)
	p.tabTo("#confirm button.danger")
	p.keys(kb.Enter)
	must(lab.WaitReset(victim, shown))(p)
	p.await("#said", "Killed: tcp "+victim.LocalAddr().String())
	p.await("#found", fmt.Sprintf("%d flows", hogUses-1))
	for _, conn := range conns {
		if conn != victim {
			p.check(say(conn, conn))
		}
	}
	p.await("#events ol", victim.LocalAddr().String())

	p.exhaustOnce(hogPorts-hogUses+1, echo)
	p.await(hogRow, "✕ exhausted")
	p.await("#events ol", "snat.exhausted")
	p.look("narrow", "light", 360)
	p.wantNoWider(360)
	p.wantQuiet()
}

// connectionOf is the connection of a kill button.
func (p *browser) connectionOf(label string, conns []net.Conn) net.Conn {
	p.Helper()
	at := slices.IndexFunc(conns, func(c net.Conn) bool { return strings.HasPrefix(label, "Kill tcp "+c.LocalAddr().String()+" to ") })
	if at < 0 {
		p.Fatalf("the button %q ends nothing of the hog", label)
	}
	return conns[at]
}

// exhaustOnce uses the ports that are left, and then one that is not there.
func (p *browser) exhaustOnce(left int, to netip.AddrPort) {
	p.Helper()
	for range left {
		p.dialEcho(p.Hosts[0], to)
	}
	if conn, err := p.Hosts[0].Dial(p.within(2*time.Second), "tcp4", to.String()); err == nil {
		conn.Close()
		p.Error("there was one port more")
	}
}

// wantFirstPaint looks again if it was late: other tests may keep the machine busy.
func (p *browser) wantFirstPaint(limit time.Duration) {
	p.Helper()
	for try := 1; ; try++ {
		p.do(chromedp.Navigate(dashboard + "/"))
		p.await("#state", "ready")
		var took time.Duration
		p.eventually(shown, "the first paint", func() (there bool) {
			var err error
			took, err = time.ParseDuration(p.text(`performance.getEntriesByName('first-contentful-paint')[0]?.startTime + 'ms'`))
			return err == nil
		})
		p.Logf("first contentful paint after %v", took)
		if took <= limit {
			return
		}
		if try == 3 {
			p.Fatalf("three first paints, and none within %v", limit)
		}
	}
}

func (p *browser) wantNoWider(pixels int) {
	p.Helper()
	p.do(chromedp.EmulateViewport(int64(pixels), 740))
	if got := p.text("String(document.documentElement.scrollWidth)"); got != fmt.Sprint(pixels) {
		p.Errorf("on %d pixels the page is %s wide", pixels, got)
	}
}

// All that match are ended after their count is typed; the what-if slider answers; a
// wrong filter is told as the gateway tells it.
func TestDashboardKillsAllAndAnswers(t *testing.T) {
	p, conns, _ := browsed(t)
	p.excused = func(m string) bool { return strings.Contains(m, "400 (Bad Request)") } // Chromium's own
	p.await(hogRow, "near exhaustion")
	p.enter("#filter", "colour=blue")
	p.await("#flows .problem", `unknown parameter "colour"`)
	p.enter("#filter", `rule="`+evil+`" backend=10.0.0.10`)
	p.await("#kill-all", fmt.Sprintf("Kill all %d", hogUses))
	p.await("#flows tbody", evil)
	p.press("#kill-all")
	p.enter("#confirm-n", fmt.Sprint(hogUses+1))
	p.check(say(conns[0], conns[0]))
	p.enter("#confirm-n", fmt.Sprint(hogUses))
	for _, conn := range conns {
		must(lab.WaitReset(conn, shown))(p)
	}
	p.await("#said", fmt.Sprintf("%d flows killed", hogUses))
	p.await("#found", "No flow matches")

	p.await("#idle-answer", "of 1 live flows")
	p.do(chromedp.Focus(chromedp.CSS("#idle-slider")))
	p.keys(kb.Home) // the shortest timeout
	p.await("#idle-answer", "1 of 1 live flows (100 %) have been silent for longer than 1 s")
	p.wantLandmarks()
	p.wantQuiet()
}

// wantLandmarks looks at what a screen reader is told.
func (p *browser) wantLandmarks() {
	p.Helper()
	tree := must(chromedp.Call(p.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}))(p)
	seen := make(map[string]int)
	for _, node := range tree.Nodes {
		if node.Ignored || node.Role == nil {
			continue
		}
		role := strings.Trim(string(node.Role.Value), `"`)
		seen[role]++
		named := node.Name != nil && strings.Trim(string(node.Name.Value), `"`) != ""
		if slices.Contains([]string{"button", "textbox", "combobox", "slider", "table", "region", "link"}, role) && !named {
			p.Errorf("a %s has no name", role)
		}
	}
	for role, least := range map[string]int{"banner": 1, "navigation": 1, "main": 1, "search": 1, "contentinfo": 1,
		"region": 9, "table": 5, "status": 2, "alert": 1, "log": 1, "slider": 1} {
		if seen[role] < least {
			p.Errorf("%d times %s, want %d: %v", seen[role], role, least, seen)
		}
	}
}

// A gateway that goes away is said to be away, and found again when it is back.
func TestDashboardSurvivesRestart(t *testing.T) {
	p, _, _ := browsed(t)
	p.excused = func(m string) bool { return strings.Contains(m, "net::ERR_") } // Chromium's own complaint
	p.await("#state", "ready")
	p.stop()
	p.await("#banner", "not reachable since")
	p.look("away", "light", 1600)
	p.launch()
	p.awaitReady()
	p.await("#state", "ready")
	if banner := p.text("document.querySelector('#banner').innerText"); banner != "" {
		p.Errorf("still: %s", banner)
	}
	p.await("#now-created", "/s")
	p.wantQuiet()
}

// Health is shown with what the probe found, and a page that nobody looks at asks nothing.
func TestDashboardShowsHealth(t *testing.T) {
	t.Parallel()
	r := newRig(t, "packet")
	r.serveHealth(":9000", r.Hosts[0])
	r.start(settings{listen: loopback, rules: probed})
	p := r.browse(dashboard)
	p.do(chromedp.EmulateViewport(1600, 900), chromedp.Navigate(dashboard+"/"))
	p.await("#backends .summary", "of 4 take new flows")
	p.await("#backends tr.exhausted", "✕ down")
	p.await("#backends tr.exhausted", "10.0.0.11")
	p.await("#backends tr.exhausted", "refused")
	p.await("#backends tr.fine", "● up")
	p.await("#events ol", "✕ backend.down")
	p.await("#ports .empty", "no outbound rule")
	p.await("#idle .empty", "No live flows yet")
	p.look("health", "light", 1600)
	p.press("#pause")
	time.Sleep(500 * time.Millisecond) // for what was asked before
	before := p.requests()
	time.Sleep(2500 * time.Millisecond)
	if n := p.requests() - before; n != 0 {
		p.Errorf("%d requests in a pause", n)
	}
	p.press("#pause")
	r.eventually(shown, "it asks again", func() bool { return p.requests() > before+3 })
	p.wantQuiet()
}

// From another machine the page asks for a token, takes no wrong one, and does not
// offer what a read-only one may not.
func TestDashboardAsksForToken(t *testing.T) {
	t.Parallel()
	const remote, looks, acts = "203.0.113.1:9181", "looks-and-looks-only", "acts-as-it-wants-to"
	r := newRig(t, "packet")
	tokens := filepath.Join(r.dir, "tokens")
	r.check(os.WriteFile(tokens, []byte("read-only "+looks+"\nread-write "+acts+"\n"), 0o600))
	r.configure(settings{listen: remote})
	r.launch("env", "TIDEGATE_API_TOKENFILE="+tokens)
	r.awaitReady()
	conn := r.dialEcho(r.Hosts[0], must(lab.ServeTCPEcho(r.Servers[0], ":7"))(r).Addr)
	p := r.browse("http://" + remote)
	p.excused = func(m string) bool {
		return strings.Contains(m, "401 (Unauthorized)") || strings.Contains(m, "403 (Forbidden)")
	}
	p.do(chromedp.Navigate(p.origin + "/"))
	p.await("#token", "asks for a token")
	p.enter("#token-text", "none-of-those-there-are")
	p.await("#token .problem", "none of api.tokenFile")
	p.enter("#token-text", looks)
	p.await("#state", "ready")
	p.killFirst("proto=tcp")
	p.await("#flows .problem", "this token is read-only")
	p.check(say(conn, conn))
	p.text(`sessionStorage.clear() ?? ''`)
	p.await("#token", "asks for a token")
	p.enter("#token-text", acts)
	p.await("#state", "ready")
	p.killFirst("proto=tcp")
	must(lab.WaitReset(conn, shown))(p)
	p.wantQuiet()
	p.wantNowhere(looks, acts)
}

// killFirst searches, and presses what ends the first flow that is found.
func (p *browser) killFirst(filter string) {
	p.Helper()
	p.enter("#filter", filter)
	p.press("#flows tbody button")
	p.press("#confirm button.danger")
}

// The scripts that reckon, asked in the browser that runs them.
func TestDashboardWords(t *testing.T) {
	p, _, _ := browsed(t)
	for script, want := range map[string]string{
		`filter.parse('proto=tcp  idle>30s').toString()`:               "proto=tcp&idleOver=30s",
		`filter.parse('rule="my rule" state=CLOSED').get('rule')`:      "my rule",
		`filter.parse('').toString()`:                                  "",
		`filter.parse(filter.words({ rule: 'a "b\' c' })).get('rule')`: `a "b' c`,
		`format.count(9999)`:                                           "9,999",
		`format.count(10000)`:                                          "10.0 k",
		`format.count(999999)`:                                         "1.00 M",
		`format.count(1048576)`:                                        "1.05 M",
		`format.bits(0)`:                                               "0 bit/s",
		`format.bits(3.62e9)`:                                          "3.62 Gbit/s",
		`format.bytes(8000)`:                                           "8.00 kB",
		`format.rate(null)`:                                            "–",
		`format.rate(0.01)`:                                            "< 0.1/s",
		`format.rate(2.5)`:                                             "2.5/s",
		`format.duration(0)`:                                           "0 s",
		`format.duration(3.24)`:                                        "3.2 s",
		`format.duration(59.7)`:                                        "1 min",
		`format.duration(240)`:                                         "4 min",
		`format.duration(3905)`:                                        "1 h 5 min",
		`format.duration(90000)`:                                       "1 d 1 h",
		`format.percent(1, 0)`:                                         "0 %",
		`format.percent(1, 9999)`:                                      "< 0.1 %",
		`format.percent(15, 1024)`:                                     "1.5 %",
		`rates([0, 100], [1, 200])`:                                    "100",
		`rates([0, 100], [1, 200], [2, 250])`:                          "75",
		`rates([5, 100], [1, 50])`:                                     "null", // the gateway began anew
		`rates([0, 100], [60, 200])`:                                   "null", // nobody looked
		`rates([0, 100])`:                                              "null",
	} {
		got := p.text(`Promise.all(['filter', 'format', 'history'].map((n) => import('/ui/' + n + '.js'))).then(([filter, format, { History }]) => {
			const rates = (...of) => {
				const h = new History();
				for (const [uptimeSeconds, n] of of) h.add({ started: 'then', uptimeSeconds, n });
				return h.rate((s) => s.n);
			};
			return String(` + script + `);
		})`)
		if got != want {
			p.Errorf("%s is %q, want %q", script, got, want)
		}
	}
	if got := p.text(`import('/ui/filter.js').then((f) => f.parse('blue')).catch((e) => e.message)`); !strings.Contains(got, "KEY=VALUE") {
		p.Errorf("a word without a key: %s", got)
	}
}
