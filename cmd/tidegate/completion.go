package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
)

// The gateway may be away, and whoever presses Tab does not want to wait or to be told.
const completionLimit = 300 * time.Millisecond

func newCompletion() *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use: "completion bash|zsh|fish", Short: "A script that completes tidegate's words in a shell",
		Long: "Writes a script that makes a shell complete verbs, flags, filter keys, states, and the names\n" +
			"of the running gateway's rules and frontends. That for bash needs the package bash-completion.",
		Example: "  source <(tidegate completion bash)\n" +
			"  tidegate completion zsh > \"${fpath[1]}/_tidegate\"\n" +
			"  tidegate completion fish > ~/.config/fish/completions/tidegate.fish",
		Args: usageArgs(cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs)), ValidArgs: shells, DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch root, w := cmd.Root(), cmd.OutOrStdout(); args[0] {
			case "bash":
				return root.GenBashCompletionV2(w, true)
			case "zsh":
				return root.GenZshCompletion(w)
			default:
				return root.GenFishCompletion(w, true)
			}
		},
	}
}

// completeFlag completes a flag that has a closed set of values.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(fmt.Sprintf("completion of --%s: %v", flag, err)) // the flag must have been added before
	}
}

// completeProtocol completes the first word of `tidegate explain`.
func completeProtocol(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []string{"tcp", "udp", "icmp"}, cobra.ShellCompDirectiveNoFileComp
}

// completeFilter completes a word of a filter: first its key, then the value where it
// is one of a few.
func (g *global) completeFilter(cmd *cobra.Command, _ []string, word string) ([]string, cobra.ShellCompDirective) {
	key, value, ok := strings.Cut(word, "=")
	if !ok {
		return filterWords(), cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, v := range g.filterValues(cmd.Context(), key) {
		if strings.HasPrefix(strings.ToLower(v), strings.ToLower(value)) {
			words = append(words, key+"="+v)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// filterWords returns the keys, as words begin with them.
func filterWords() (words []string) {
	for _, p := range api.FilterParameters() {
		word := p.Name + "="
		if p.Name == "idleOver" {
			word = "idle>"
		}
		words = append(words, word+"\t"+p.Doc)
	}
	return words
}

func (g *global) filterValues(ctx context.Context, key string) []string {
	switch key {
	case "rule":
		return g.ruleNames(ctx)
	case "frontend":
		return g.frontendNames(ctx)
	}
	all := api.FilterParameters()
	if i := slices.IndexFunc(all, func(p api.Parameter) bool { return p.Name == key }); i >= 0 {
		return all[i].Values
	}
	return nil
}

func (g *global) ruleNames(ctx context.Context) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	c, err := g.ask()
	if err != nil {
		return nil
	}
	s, _ := c.Status(ctx)
	for _, r := range s.Rules {
		names = append(names, r.Name)
	}
	return completable(names)
}

func (g *global) frontendNames(ctx context.Context) (names []string) {
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	c, err := g.ask()
	if err != nil {
		return nil
	}
	p, _ := c.PortsUncounted(ctx, api.ByFrontend)
	for _, r := range p.Rows {
		names = append(names, r.Frontend)
	}
	return completable(names)
}

// completable returns the names once each, without those that would steer the terminal
// which the shell shows them on.
func completable(names []string) []string {
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" || clean(s) != s })
}
