package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"tidegate/config/azure"
)

func newImport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "import arm|classic FILE…",
		Short: "Turn an Azure load balancer's description into a configuration on standard output",
		Long: "Turns an Azure load balancer's description into a configuration on standard output. What it\n" +
			"can't carry over is a warning on standard error, with its place. What the description can't\n" +
			"know is a placeholder in <>, which `tidegate check` names.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("import: say which form: arm or classic; see `%s --help`", cmd.CommandPath())}
		},
	}
	cmd.AddCommand(newImportARM(), newImportClassic())
	return cmd
}

func newImportARM() *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "arm FILE…",
		Short: "A Microsoft.Network/loadBalancers resource, a template with its parameters file, or az network lb show's output",
		Args:  usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return importWith(cmd, args, func(files []azure.File) (*azure.Document, error) {
				return azure.ARM(files, name)
			})
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the load balancer meant, where there are several")
	return cmd
}

func newImportClassic() *cobra.Command {
	return &cobra.Command{
		Use:   "classic FILE…",
		Short: "A cloud service's .csdef with its .cscfg, or a LoadBalancedEndpointList",
		Args:  usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			return importWith(cmd, args, azure.Classic)
		},
	}
}

// importWith prints what convert makes of the files. One that can't be converted
// is a wrong call.
func importWith(cmd *cobra.Command, names []string, convert func([]azure.File) (*azure.Document, error)) error {
	var files []azure.File
	for _, name := range names {
		content, err := readInput(cmd.InOrStdin(), name)
		if err != nil {
			return usageError{fmt.Errorf("import: %w", err)}
		}
		if name == "-" {
			name = "standard input"
		}
		files = append(files, azure.File{Name: name, Content: content})
	}
	document, err := convert(files)
	if err != nil {
		return usageError{err}
	}
	text, err := document.YAML()
	if err != nil {
		return err
	}
	for _, w := range document.Warnings {
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "tidegate: warning: %s\n", w); err != nil {
			return err
		}
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

// maxInput bounds one input, in bytes; the conversions take no more.
const maxInput = 16 << 20

// readInput reads a file, or standard input for "-".
func readInput(stdin io.Reader, name string) ([]byte, error) {
	in := stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	content, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err == nil && len(content) > maxInput {
		err = errors.New("the file has more than 16 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return content, nil
}
