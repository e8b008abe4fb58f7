package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate/e2e/lab"
)

const bulk = 20 << 20 // bytes

// Who leaves checksums and segmentation to the card.
var offloads = []struct {
	name         string
	ends, middle bool
}{
	{"offload", true, true},
	{"no offload at the ends", false, true},
	{"no offload in the middle", true, false},
	{"no offload anywhere", false, false},
}

func TestTransfer(t *testing.T) {
	for _, o := range offloads {
		t.Run(o.name, func(t *testing.T) {
			onEachHost(t, func(r *rig) { // not watched: recording takes longer than the transfer
				r.start(settings{})
				r.setOffload(o.ends, r.Hosts[0], "eth0")
				r.setOffload(o.ends, r.Servers[0], "eth0")
				r.setOffload(o.middle, r.Gateway, "in0")
				r.setOffload(o.middle, r.Gateway, "out0")
				r.transfer()
			})
		})
	}
}

func (r *rig) setOffload(on bool, h *lab.Host, iface string) {
	r.Helper()
	r.check(h.SetOffload(iface, on))
}

// transfer moves bulk each way, by curl and by a client of our own.
func (r *rig) transfer() {
	r.Helper()
	h1 := r.Hosts[0]
	server := must(lab.ServeHTTP(r.Servers[0], ":80", lab.Blobs()))(r)
	url := "http://" + server.Addr.String()
	want := must(lab.Digest(lab.Blob(bulk)))(r)

	download := r.run(h1, exec.Command("curl", "-sSf", "--max-time", "20", url+"/blob/20971520"))
	if d := must(lab.Digest(strings.NewReader(download.stdout)))(r); download.status != 0 || d != want {
		r.Errorf("curl received %d other bytes: %s", len(download.stdout), download.stderr)
	}
	upload := exec.Command("curl", "-sSf", "--max-time", "20", "--data-binary", "@-", url+"/digest")
	upload.Stdin = lab.Blob(bulk)
	if o := r.run(h1, upload); o.status != 0 || o.stdout != want {
		r.Errorf("the server received other bytes from curl: %+v", o)
	}
	r.transferByGo(url, want)
}

// transferByGo moves both ways at once.
func (r *rig) transferByGo(url, want string) {
	r.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: r.Hosts[0].Dial}}
	defer client.CloseIdleConnections()
	group, ctx := errgroup.WithContext(r.within(20 * time.Second))
	request := func(method, path string, body io.Reader, digest func(io.Reader) (string, error)) {
		request := must(http.NewRequestWithContext(ctx, method, url+path, body))(r)
		group.Go(func() error {
			response, err := client.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if d, err := digest(response.Body); err != nil || d != want {
				return fmt.Errorf("%s: other bytes arrived: %s, %w", method, d, err)
			}
			return nil
		})
	}
	request(http.MethodGet, "/blob/20971520", nil, lab.Digest)
	request(http.MethodPost, "/digest", lab.Blob(bulk), text)
	r.check(group.Wait())
}

func text(body io.Reader) (string, error) {
	b, err := io.ReadAll(body)
	return string(b), err
}
