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
		Short: "Turn an Azure load balancer's description into a configuration",
		Long: "Turns an Azure load balancer's description into a configuration on standard output. What it\n" +
			"can't carry over is a warning on standard error, with its place. What the description can't\n" +
			"know is a placeholder in <>, which `tidegate check` names.",
		Example: "  tidegate import arm template.json parameters.json > tidegate.yaml\n" +
			"  az network lb show -g rg -n lb | tidegate import arm - > tidegate.yaml\n" +
			"  tidegate import classic service.csdef service.cscfg > tidegate.yaml",
		Args: oneOf("form"),
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
		Short: "A loadBalancers resource, template with one, or az network lb show",
		Long: "Reads a Microsoft.Network/loadBalancers resource as Azure's tools print it, or a template that\n" +
			"holds one, with its parameters file if it has one, in any order. A FILE of - is standard input.",
		Example: "  tidegate import arm template.json parameters.json > tidegate.yaml\n" +
			"  az network lb show -g rg -n lb | tidegate import arm - > tidegate.yaml",
		Args: usageArgs(cobra.MinimumNArgs(1)),
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
		Short: "A cloud service's .csdef and .cscfg, or a LoadBalancedEndpointList",
		Long: "Reads a classic cloud service's definition and configuration, or the list of load-balanced\n" +
			"endpoints of a deployment, as the old service management API has it.",
		Example: "  tidegate import classic service.csdef service.cscfg > tidegate.yaml",
		Args:    usageArgs(cobra.MinimumNArgs(1)),
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
		if _, err := fmt.Fprintf(cmd.ErrOrStderr(), "tidegate: warning: %s\n", clean(fmt.Sprint(w))); err != nil {
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
