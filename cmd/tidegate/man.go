package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// exitStatusHelp is what every verb's exit status means.
const exitStatusHelp = "0 fine, 1 it failed while running, 2 wrong usage or invalid configuration"

// helpWidth is the narrowest terminal that is common.
const helpWidth = 80

func init() { cobra.AddTemplateFunc("fill", fill) }

// fill breaks the paragraphs of a text anew, and leaves indented lines as they are.
func fill(text string) string {
	var b strings.Builder
	paragraph := ""
	flush := func() {
		if paragraph != "" {
			b.WriteString(ansi.Wordwrap(paragraph, helpWidth, "") + "\n")
		}
		paragraph = ""
	}
	for _, line := range strings.Split(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			flush()
			b.WriteString(line + "\n")
			continue
		}
		paragraph = strings.TrimPrefix(paragraph+" "+line, " ")
	}
	flush()
	return b.String()
}

// document puts into the help of a command what all have in common.
func document(root *cobra.Command) {
	usage := strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", helpWidth))
	root.SetUsageTemplate(usage + "\nExit status:\n  " + exitStatusHelp + "\n")
	root.SetHelpTemplate(strings.Replace(root.HelpTemplate(), "{{. |", "{{fill . |", 1))
	completeFlag(root, "output", "table", "wide", "json")
	for name, texts := range further {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			panic(err) // it is of our own making
		}
		cmd.Long, cmd.Example = orElse(cmd.Long, texts.long), orElse(cmd.Example, texts.example)
	}
}

// further is what the help of verbs lacks whose own files are about running gateways.
var further = map[string]struct{ long, example string }{
	"run": {
		long: "Runs the gateway in the foreground: takes what it needs from the host, forwards packets until\n" +
			"SIGTERM or Ctrl-C, and gives everything back. SIGHUP reads FILE again. One log line says `ready`\n" +
			"when packets flow; /readyz and systemd are told, too.",
		example: "  tidegate run -c tidegate.yaml\n  tidegate run -c tidegate.yaml --print-routes | sh -e",
	},
	"demo": {example: "  sudo tidegate demo\n  sudo tidegate demo --datapath tun"},
}

// manSection is that of programs for the administrator.
const manSection = "8"

func newMan() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the man pages into a directory", Hidden: true,
		Long: "Writes a man page for tidegate and for each verb that `tidegate --help` lists into DIR, which\n" +
			"is made if it is missing. The date in them is SOURCE_DATE_EPOCH, if that is set, or else today's.",
		Example: "  tidegate man /usr/local/share/man/man8",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			root := newRoot() // the texts are changed below
			root.DisableAutoGenTag = true
			forMan(root)
			header := &doc.GenManHeader{Section: manSection, Source: "tidegate " + version, Manual: "Tidegate"}
			if err := doc.GenManTree(root, header, args[0]); err != nil {
				return fmt.Errorf("man: %w", err)
			}
			return nil
		},
	}
}

// forMan turns the help of a command and of those below it into what go-md2man reads.
func forMan(cmd *cobra.Command) {
	cmd.Long = markdown(cmd.Long) + "\n\n# EXIT STATUS\n" + exitStatusHelp + "."
	for _, sub := range cmd.Commands() {
		forMan(sub)
	}
}

// markdown makes blocks of code of indented lines, which would be lost in a paragraph.
func markdown(text string) string {
	var b strings.Builder
	inside := false
	for _, line := range strings.Split(text, "\n") {
		indented := strings.HasPrefix(line, "  ")
		if indented != inside {
			b.WriteString("```\n")
			inside = indented
		}
		b.WriteString(line + "\n")
	}
	if inside {
		b.WriteString("```\n")
	}
	return strings.TrimRight(b.String(), "\n")
}
