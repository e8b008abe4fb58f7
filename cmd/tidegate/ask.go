package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// global is what every verb that asks the gateway knows.
type global struct {
	api       string
	output    string
	tokenFile string
	ca        string
	root      *cobra.Command
}

// flags adds the flags that all verbs have.
func (g *global) flags(root *cobra.Command) {
	g.root = root
	f := root.PersistentFlags()
	f.StringVar(&g.api, "api", api.DefaultAddress, "the gateway's API: unix:PATH, http://HOST:PORT or https://HOST:PORT (env TIDEGATE_API)")
	f.StringVarP(&g.output, "output", "o", "table", "table (fits the terminal), wide (all there is) or json")
	f.StringVar(&g.tokenFile, "token-file", "", "`FILE` with the API's bearer token (env TIDEGATE_TOKEN_FILE)")
	f.StringVar(&g.ca, "ca", "", "`FILE` with the certificates, in PEM, that the API's is to be checked with (env TIDEGATE_CA_FILE)")
}

// setting is a flag's value, or the environment's where the flag is not given.
func (g *global) setting(flag, value, env string) string {
	if s := os.Getenv(env); s != "" && !g.root.PersistentFlags().Changed(flag) {
		return s
	}
	return value
}

// ask returns a client of the gateway, after checking the output format. What it does
// not connect with is a wrong usage.
func (g *global) ask() (*api.Client, error) {
	switch g.output {
	case "table", "wide", "json":
	default:
		return nil, usageError{fmt.Errorf("-o %s: must be table, wide or json", g.output)}
	}
	var options []api.ClientOption
	if file := g.setting("token-file", g.tokenFile, "TIDEGATE_TOKEN_FILE"); file != "" {
		token, err := readToken(file)
		if err != nil {
			return nil, usageError{fmt.Errorf("--token-file: %w", err)}
		}
		options = append(options, api.WithToken(token))
	}
	if file := g.setting("ca", g.ca, "TIDEGATE_CA_FILE"); file != "" {
		roots, err := readRoots(file)
		if err != nil {
			return nil, usageError{fmt.Errorf("--ca: %w", err)}
		}
		options = append(options, api.WithRoots(roots))
	}
	c, err := api.NewClient(g.setting("api", g.api, "TIDEGATE_API"), options...)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// readToken reads a file whose first line is the token, or the gateway's own tokenFile,
// whose lines name what a token is good for: then the first that may change things is
// taken, or else the first.
func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	token := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case len(words) == 2 && words[0] == "read-write":
			return words[1], nil
		case len(words) == 2 && words[0] == "read-only":
			token = orElse(token, words[1])
		case len(words) == 1 && token == "":
			return words[0], nil
		default:
			return "", fmt.Errorf("%s: the first line must be the token, or each one `read-only TOKEN` or `read-write TOKEN`", file)
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read %s: %w", file, err)
	}
	if token == "" {
		return "", fmt.Errorf("%s: there is no token in it", file)
	}
	return token, nil
}

func readRoots(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: there is no certificate in it; it must be in PEM, as -----BEGIN CERTIFICATE-----", file)
	}
	return roots, nil
}

func (g *global) wide() bool { return g.output == "wide" }

// show writes v as JSON, or as the page that text makes of it.
func (g *global) show(w io.Writer, v any, text func(*page)) error {
	if g.output == "json" {
		return writeJSON(w, v, "  ")
	}
	return write(w, g.wide(), text)
}

// inquire asks the gateway and shows the answer: what most verbs do.
func inquire[T any](g *global, cmd *cobra.Command, fetch func(context.Context, *api.Client) (T, error), text func(*page, *T)) error {
	c, err := g.ask()
	if err != nil {
		return err
	}
	defer c.Close()
	var answer T
	err = working(cmd.ErrOrStderr(), waiting, func() (err error) {
		answer, err = fetch(cmd.Context(), c)
		return err
	})
	if err != nil {
		return interrupted(cmd.Context(), err)
	}
	return g.show(cmd.OutOrStdout(), answer, func(p *page) { text(p, &answer) })
}

func waiting() string { return "waiting for the gateway's answer" }

// interrupted says in one word why a request was given up, if the user did it.
func interrupted(ctx context.Context, err error) error {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return err
}

// parseFilter reads FILTER words.
func parseFilter(words []string) (api.Filter, error) {
	f, err := api.ParseFilter(words)
	if err != nil {
		return f, usageError{err}
	}
	return f, nil
}

const filterHelp = `FILTER is key=value, and all must hold:
  proto, rule, state, frontend         a word
  internal, external, remote, backend  an address, addr:port or prefix
  id                                   a flow's, as -o wide shows it
  idle>30s                             idle for longer than that`

// short writes a time in seconds as 3.2s or 3m56.8s; from an hour on without fractions.
func short(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Hour {
		return d.Round(time.Second).String()
	}
	return d.Round(100 * time.Millisecond).String()
}
