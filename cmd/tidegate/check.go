package main

import (
	"fmt"
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
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(file)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %s\n", file, summary(c))
			return err
		},
	}
	configFlag(cmd, &file)
	return cmd
}

// load reads the configuration; one that can't be used is a wrong call.
func load(file string) (*config.Config, error) {
	c, err := config.Load(file)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

func configFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVarP(file, "config", "c", defaultConfig, "the configuration: YAML, JSON or TOML")
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
