package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

func newCapture(g *global) *cobra.Command {
	var q api.CaptureQuery
	var name string
	cmd := &cobra.Command{
		Use: "capture [FILTER...] -w FILE", Short: "Write packets before and after translation to a pcapng file",
		Long: "Writes the packets that match until interrupted, as they come and as they leave: each on an\n" +
			"interface of its own, before and after, with its flow and its verdict as a comment. Packets that\n" +
			"are dropped, and those that the gateway makes itself, such as resets, are among them. Wireshark\n" +
			"and tshark open the file, which only its owner may read.\n\n" + filterHelp + "\n\n" +
			"A packet that is of no flow is selected by its own protocol and addresses.",
		Example: "  tidegate capture internal=10.0.0.10 -w member.pcapng\n" +
			"  tidegate capture proto=tcp remote=198.51.100.7:443 --seconds 60 -w s.pcapng\n" +
			"  tidegate capture rule=egress -w - | tshark -r - -T fields -e frame.comment",
		ValidArgsFunction: g.completeFilter,
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if q.Filter, err = parseFilter(args); err != nil {
				return err
			}
			if err := checkCapture(cmd, &q, name); err != nil {
				return err
			}
			return g.capture(cmd, q, name)
		},
	}
	f := cmd.Flags()
	f.StringVarP(&name, "write", "w", "", "write to `FILE`; - is standard output")
	f.IntVar(&q.Packets, "packets", 0, "end after so many; one that is forwarded counts twice")
	f.IntVar(&q.Seconds, "seconds", 0, "end after so long")
	f.IntVar(&q.Snaplen, "snaplen", api.MaxSnaplen, "keep so many bytes of each packet")
	return cmd
}

// checkCapture finds what can't be meant before the gateway is asked.
func checkCapture(cmd *cobra.Command, q *api.CaptureQuery, name string) error {
	switch {
	case name == "":
		return usageError{errors.New("capture: a file to write to is needed, as -w FILE, or -w - for standard output")}
	case name == "-" && isTerminal(cmd.OutOrStdout()):
		return usageError{errors.New("capture: standard output is a terminal; use -w FILE, or a pipe into tshark -r -")}
	}
	for _, n := range []struct {
		flag               string
		value, least, most int
	}{
		{"packets", q.Packets, 1, api.MaxCapturePackets},
		{"seconds", q.Seconds, 1, api.MaxCaptureSeconds},
		{"snaplen", q.Snaplen, api.MinSnaplen, api.MaxSnaplen},
	} {
		if cmd.Flags().Changed(n.flag) && (n.value < n.least || n.value > n.most) {
			return usageError{fmt.Errorf("--%s %d: must be %d–%d", n.flag, n.value, n.least, n.most)}
		}
	}
	return nil
}

func (g *global) capture(cmd *cobra.Command, q api.CaptureQuery, name string) error {
	c, err := g.ask()
	if err != nil {
		return err
	}
	defer c.Close()
	if name == "-" {
		return captureTo(cmd, c, q, cmd.OutOrStdout())
	}
	file := &laterFile{name: name}
	return errors.Join(captureTo(cmd, c, q, file), file.Close())
}

// captureTo captures, and says how far it has come.
func captureTo(cmd *cobra.Command, c *api.Client, q api.CaptureQuery, file io.Writer) error {
	var captured atomic.Pointer[api.Captured]
	captured.Store(&api.Captured{})
	began := time.Now()
	err := working(cmd.ErrOrStderr(), func() string { return capturedText(captured.Load()) }, func() error {
		return c.Capture(cmd.Context(), q, file, func(n api.Captured) { captured.Store(&n) })
	})
	took := time.Since(began)
	if local := (*fs.PathError)(nil); errors.As(err, &local) {
		return fmt.Errorf("capture: %w", local) // the gateway has no part in it
	}
	if err != nil {
		return interrupted(cmd.Context(), err)
	}
	if _, err = fmt.Fprintln(cmd.ErrOrStderr(), capturedText(captured.Load())); err != nil {
		return err
	}
	if cmd.Context().Err() == nil && !atLimit(q, captured.Load(), took) {
		return errors.New("capture: the gateway ended the capture; what has come is kept; `tidegate status` says whether it still runs")
	}
	return nil
}

// atLimit says whether a capture has ended because it was to. The gateway's clock
// measured the time, so to the second is near enough.
func atLimit(q api.CaptureQuery, n *api.Captured, took time.Duration) bool {
	return q.Packets > 0 && n.Packets >= uint64(q.Packets) ||
		q.Seconds > 0 && took.Round(time.Second) >= time.Duration(q.Seconds)*time.Second
}

func capturedText(c *api.Captured) string {
	return fmt.Sprintf("%s, %d lost", count(int(c.Packets), "packet"), c.Lost)
}

// laterFile is made, or made empty, when there is something to write into it: a
// capture that the gateway refuses leaves what was there. Only its owner may read it.
type laterFile struct {
	name string
	*os.File
}

// Write implements io.Writer.
func (f *laterFile) Write(b []byte) (n int, err error) {
	if f.File == nil {
		if f.File, err = os.OpenFile(f.name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600); err != nil {
			return 0, err
		}
		if err = f.hide(); err != nil {
			return 0, err
		}
	}
	return f.File.Write(b)
}

// hide takes from others what rights they had to a file that was there. What is no
// file, such as a pipe with a name, keeps its own.
func (f *laterFile) hide() error {
	s, err := f.Stat()
	if err != nil || !s.Mode().IsRegular() || s.Mode().Perm()&0o077 == 0 {
		return err
	}
	return f.Chmod(0o600)
}

// Close closes the file, if it was opened.
func (f *laterFile) Close() error {
	if f.File == nil {
		return nil
	}
	return f.File.Close()
}
