package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tidegate/config"
)

const defaultConfig = "/etc/tidegate/tidegate.yaml"

func newCheck() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "check -c FILE",
		Short: "Validate a configuration; print every problem; touch nothing",
		Long: "Reads a configuration and says what is in it, or prints every problem there is, one per line\n" +
			"and by its key. The gateway need not run, and nothing is changed. No other file is opened: not\n" +
			"the tokens and certificates that api names, which `tidegate run` reads when it starts.",
		Example: "  tidegate check -c tidegate.yaml && systemctl reload tidegate",
		Args:    usageArgs(cobra.NoArgs), ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(file)
			if err != nil {
				return err
			}
			return write(cmd.OutOrStdout(), false, func(p *page) {
				p.line("", file+" is ", painted{good, "valid"}, ": "+summary(c))
			})
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// load reads the configuration; one that can't be used is a wrong call.
func load(file string) (*config.Config, error) {
	if _, err := os.Stat(file); err != nil { // before its extension is judged
		return nil, usageError{fmt.Errorf("config: %w", err)}
	}
	c, err := config.Load(file)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", defaultConfig, "the configuration: YAML, JSON or TOML")
	if err := cmd.MarkFlagFilename("config", "yaml", "yml", "json", "toml"); err != nil {
		panic(err) // the flag is there: see above
	}
}

// summary counts what there is; frontends and outbound rules are said to be missing.
func summary(c *config.Config) string {
	parts := []string{
		fmt.Sprintf("profile %s, datapath %s", c.Profile, c.Gateway.Datapath),
		count(len(c.FrontendIPConfigurations), "frontend"), count(len(c.OutboundRules), "outbound rule"),
	}
	for _, section := range []struct {
		n    int
		what string
	}{
		{len(c.NATRules()), "inbound NAT rule"}, {len(c.LoadBalancingRules), "load-balancing rule"},
		{len(c.Probes), "probe"}, {len(c.InstancePublicIPs), "instance-level public IP"},
	} {
		if section.n > 0 {
			parts = append(parts, count(section.n, section.what))
		}
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
