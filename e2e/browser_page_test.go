package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// browser is the dashboard in a headless Chromium on the gateway's host.
type browser struct {
	*rig
	ctx      context.Context
	origin   string
	mu       sync.Mutex
	asked    []string // URLs that were requested
	messages []string // of the console: nothing there is fine
	excused  func(message string) bool
}

// browse starts a browser of its own, that ends with the test.
func (r *rig) browse(origin string) *browser {
	r.Helper()
	home, ip := must(os.MkdirTemp(scratch, "chromium-"))(r), must(exec.LookPath("ip"))(r)
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(home),
		chromedp.ModifyCmdFunc(func(cmd *exec.Cmd) { // it talks over pipes, which know no namespaces
			cmd.Args = append([]string{ip, "netns", "exec", r.Gateway.Namespace(), cmd.Path}, cmd.Args[1:]...)
			cmd.Path = ip
			cmd.Env = append(os.Environ(), "HOME="+home)
		}))
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	r.Cleanup(func() {
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := chromedp.Cancel(bounded); err != nil {
			r.Errorf("the browser did not end well: %v", err)
		}
		end()
		os.RemoveAll(home)
	})
	p := &browser{rig: r, ctx: ctx, origin: origin, excused: func(string) bool { return false }}
	r.check(chromedp.Do(ctx))
	r.check(chromedp.Listen(ctx, p.listen))
	go p.readConsole(chromedp.Console(ctx))
	return p
}

func (p *browser) listen(event any) {
	if e, ok := event.(*network.EventRequestWillBeSent); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked = append(p.asked, e.Request.URL)
	}
}

func (p *browser) readConsole(messages func(func(chromedp.ConsoleMessage, error) bool)) {
	for m, err := range messages {
		if err != nil {
			return // the browser has ended
		}
		p.mu.Lock()
		p.messages = append(p.messages, fmt.Sprintf("%v (%s:%d)", m, m.URL, m.Line))
		p.mu.Unlock()
	}
}

func (p *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
	defer cancel()
	p.check(chromedp.Do(ctx, steps...))
}

// text is what a script says, in the page.
func (p *browser) text(script string) string {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	return must(chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise)))(p)
}

// shown is how long what is seldom asked for, and a busy machine, may take; most is there
// at once.
const shown = 15 * time.Second

// await waits until an element has a text in it.
func (p *browser) await(selector, text string) {
	p.Helper()
	deadline := time.Now().Add(shown)
	for {
		got := p.text(fmt.Sprintf("document.querySelector(%q)?.innerText ?? ''", selector))
		if strings.Contains(got, text) {
			return
		}
		if time.Now().After(deadline) {
			p.Fatalf("not within %v: %q in %s, which is %q", shown, text, selector, got)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// keys presses keys, one after the other, wherever the focus is.
func (p *browser) keys(keys string) {
	p.Helper()
	p.do(chromedp.KeyEvent(keys))
}

// enter puts a text in place of what is in a field, and presses Enter.
func (p *browser) enter(field, text string) {
	p.Helper()
	p.do(chromedp.Evaluate[chromedp.Void]("document.querySelector('"+field+"').select()"), chromedp.SendKeys(chromedp.CSS(field), text+kb.Enter))
}

// press presses a button that is there or comes. A click of the mouse would be aimed at
// where the button was before the page grew.
func (p *browser) press(button string) {
	p.Helper()
	p.do(chromedp.WaitVisible(chromedp.CSS(button)), chromedp.Focus(chromedp.CSS(button)))
	p.keys(kb.Enter)
}

// tabTo goes from element to element, as somebody without a mouse does.
func (p *browser) tabTo(selector string) {
	p.Helper()
	for range 80 {
		p.keys(kb.Tab)
		if p.text(fmt.Sprintf("String(document.activeElement.matches(%q))", selector)) == "true" {
			return
		}
	}
	p.Fatalf("80 times tab, and never at %s", selector)
}

// requests is how many there were.
func (p *browser) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// wantQuiet says that nothing was written to the console and nobody else was asked.
func (p *browser) wantQuiet() {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.messages {
		if !p.excused(m) {
			p.Errorf("the console says: %s", m)
		}
	}
	if len(p.asked) < 10 {
		p.Errorf("only %d requests were seen", len(p.asked))
	}
	for _, url := range p.asked {
		if !strings.HasPrefix(url, p.origin+"/") && !strings.HasPrefix(url, "data:") {
			p.Errorf("it asked for %s", url)
		}
	}
}

// wantNowhere says that no secret was part of a URL.
func (p *browser) wantNowhere(secrets ...string) {
	p.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, url := range p.asked {
		for _, secret := range secrets {
			if strings.Contains(url, secret) {
				p.Errorf("%s is in %s", secret, url)
			}
		}
	}
}

// look writes a picture of the whole page to where TIDEGATE_SCREENSHOTS says.
func (p *browser) look(name, scheme string, width int64) {
	p.Helper()
	dir := os.Getenv("TIDEGATE_SCREENSHOTS")
	if dir == "" {
		return
	}
	colours := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}
	must(chromedp.Call(p.ctx, emulation.SetEmulatedMedia, colours))(p)
	p.do(chromedp.EmulateViewport(width, 900), chromedp.Sleep(300*time.Millisecond))
	picture := must(chromedp.Run(p.ctx, chromedp.FullScreenshot(100)))(p)
	p.check(os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}
