package lab_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"tidegate/e2e/lab"
)

func capture(t *testing.T, h *lab.Host, iface string, filter ...bpf.Instruction) *lab.Capture {
	t.Helper()
	c, err := h.Capture(iface, filter...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantEcho(t *testing.T, conn net.Conn) {
	t.Helper()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	defer conn.SetDeadline(time.Time{})
	if _, err := conn.Write([]byte("tide")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "tide" {
		t.Fatalf("echo: %q, %v", got, err)
	}
}

func TestEcho(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	masquerade(t, l)
	tcp, err := lab.ServeTCPEcho(l.Servers[0], ":7")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := lab.ServeUDPEcho(l.Servers[1], ":7")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		network string
		server  *lab.Server
	}{{"tcp", tcp}, {"udp", udp}} {
		local := netip.AddrPortFrom(l.Hosts[0].Addr, 40000)
		conn, err := l.Hosts[0].DialFrom(within(t, 2*time.Second), c.network, local, c.server.Addr.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if conn.LocalAddr().String() != local.String() {
			t.Errorf("%s from %s, want %s", c.network, conn.LocalAddr(), local)
		}
		wantEcho(t, conn)
	}
}

const blobSize = 20_000_000

func TestTransfer(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1})
	masquerade(t, l)
	server, err := lab.ServeHTTP(l.Servers[0], ":80", lab.Blobs())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: l.Hosts[0].Dial}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	want, err := lab.Digest(lab.Blob(blobSize))
	if err != nil {
		t.Fatal(err)
	}
	c := capture(t, l.Hosts[0], "eth0")
	base := "http://" + server.Addr.String()
	if got, err := lab.Digest(get(t, client, base+"/blob/20000000")); got != want {
		t.Errorf("download: %s, %v, want %s", got, err, want)
	}
	response, err := client.Post(base+"/digest", "application/octet-stream", lab.Blob(blobSize))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); string(got) != want {
		t.Errorf("upload: %s, %v, want %s", got, err, want)
	}
	if remote, _ := io.ReadAll(get(t, client, base+"/remote")); !strings.HasPrefix(string(remote), "203.0.113.1:") {
		t.Errorf("server sees %s", remote)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	wantAllCaptured(t, c)
	wantPcap(t, c)
}

func get(t *testing.T, client *http.Client, url string) io.Reader {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatal(response.Status)
	}
	return response.Body
}

// wantAllCaptured expects every byte of the blob in each direction.
func wantAllCaptured(t *testing.T, c *lab.Capture) {
	t.Helper()
	if n := c.Lost(); n > 0 {
		t.Errorf("the capture lost %d frames", n)
	}
	var in, out int
	for _, p := range c.Packets() {
		tcp := p.TCP()
		if tcp == nil {
			continue
		}
		// The length that IP gives: gopacket keeps Ethernet padding out of it.
		n := len(tcp.Payload)
		if p.Outgoing {
			out += n
		} else {
			in += n
		}
	}
	if in < blobSize || out < blobSize {
		t.Errorf("captured %d bytes in, %d out, want %d and more", in, out, blobSize)
	}
}

// wantPcap reads the capture back from a file.
func wantPcap(t *testing.T, c *lab.Capture) {
	t.Helper()
	var file bytes.Buffer
	if err := c.WritePcap(&file); err != nil {
		t.Fatal(err)
	}
	r, err := pcapgo.NewReader(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range c.Packets() {
		bytesRead, seen, err := r.ReadPacketData()
		if err != nil || !bytes.Equal(bytesRead, p.Data()) || !seen.Timestamp.Equal(p.Metadata().Timestamp) {
			t.Fatalf("packet %d read back: %d bytes at %v, %v", i, len(bytesRead), seen.Timestamp, err)
		}
	}
}

func TestCaptureFilter(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 2})
	c := capture(t, l.Hosts[0], "eth0",
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(layers.EthernetTypeARP), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: 20},
	)
	if _, err := l.Hosts[0].Ping(within(t, 2*time.Second), l.Hosts[1].Addr); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, p := range c.Packets() {
		ci := p.Metadata().CaptureInfo
		if ci.CaptureLength != 20 || ci.Length < 42 || binary.BigEndian.Uint16(p.Data()[12:]) != uint16(layers.EthernetTypeARP) {
			t.Errorf("captured %d of %d bytes: %x", ci.CaptureLength, ci.Length, p.Data())
		}
	}
	if n := len(c.Packets()); n < 2 {
		t.Errorf("%d packets captured, want an ARP request and reply", n)
	}
	if _, err := c.Wait(t.Context(), func(lab.Packet) bool { return false }); !errors.Is(err, io.EOF) {
		t.Errorf("wait on a closed capture: %v", err)
	}
	if _, err := l.Hosts[0].Capture("nope0"); err == nil {
		t.Error("captured an interface that is not there")
	}
}

// With offload the capture shows super-packets and partial checksums, without it
// what a wire would carry.
func TestOffload(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 2})
	client, server := connect(t, l.Hosts[0], l.Hosts[1])
	large, partial := sendCaptured(t, l, client, server)
	if large == 0 || partial == 0 {
		t.Errorf("with offload: %d large frames, %d partial checksums", large, partial)
	}
	for _, h := range l.Hosts {
		if err := h.SetOffload("eth0", false); err != nil {
			t.Fatal(err)
		}
	}
	large, partial = sendCaptured(t, l, client, server)
	if large != 0 || partial != 0 {
		t.Errorf("without offload: %d large frames, %d partial checksums", large, partial)
	}
	if err := l.Hosts[0].SetOffload("nope0", true); !errors.Is(err, unix.ENODEV) {
		t.Errorf("offload of no interface: %v", err)
	}
}

// sendCaptured sends 1 MB and counts the frames no wire would carry; the
// checksum of every other one must be right.
func sendCaptured(t *testing.T, l *lab.Lab, from, to net.Conn) (large, partial int) {
	t.Helper()
	c := capture(t, l.Hosts[1], "eth0")
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(from, lab.Blob(1e6))
		sent <- err
	}()
	if _, err := io.CopyN(io.Discard, to, 1e6); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, p := range c.Packets() {
		switch {
		case p.TCP() == nil:
			continue
		case p.PartialChecksum:
			partial++
		case !checksumRight(t, p):
			t.Errorf("wrong checksum: %v", p)
		}
		if p.Metadata().Length > 1514 {
			large++
		}
	}
	return large, partial
}

// checksumRight has gopacket compute the TCP checksum again.
func checksumRight(t *testing.T, p lab.Packet) bool {
	t.Helper()
	tcp, stated := p.TCP(), p.TCP().Checksum
	payload := tcp.Payload
	if err := tcp.SetNetworkLayerForChecksum(p.IPv4()); err != nil {
		t.Fatal(err)
	}
	buf := gopacket.NewSerializeBuffer()
	err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{ComputeChecksums: true}, tcp, gopacket.Payload(payload))
	if err != nil {
		t.Fatal(err)
	}
	return binary.BigEndian.Uint16(buf.Bytes()[16:]) == stated
}

func connect(t *testing.T, from, to *lab.Host) (client, server *net.TCPConn) {
	t.Helper()
	client, server, err := lab.Connect(within(t, 2*time.Second), from, to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
	})
	return client, server
}

func TestConnectEndsWithContext(t *testing.T) {
	l := newLab(t, lab.Options{Hosts: 1}) // no masquerade: no answer comes back
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, _, err := lab.Connect(ctx, l.Hosts[0], l.Servers[0]); err == nil {
		t.Error("connected without a way back")
	}
}
