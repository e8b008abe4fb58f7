package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/viper"
)

// envPrefix opens the name of every variable that overrides a key.
const envPrefix = "TIDEGATE"

// formats are those of viper's that the contract promises.
var formats = []string{"yaml", "yml", "json", "toml"}

// Load reads and validates the file at path; its extension says whether it is
// YAML, JSON or TOML. An error is Problems unless the file could not be read or
// is not well-formed.
func Load(path string) (*Config, error) {
	format := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	if !slices.Contains(formats, format) {
		return nil, fmt.Errorf("config: read %s: %q is no known extension; use .yaml, .json or .toml", path, filepath.Ext(path))
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	c, err := parse(path, format, content)
	if err != nil {
		return nil, err
	}
	c.file = filepath.Base(path)
	return c, nil
}

// Parse is Load for content that has no file, as an API request's body. The
// format is yaml, json or toml.
func Parse(format string, content []byte) (*Config, error) {
	if !slices.Contains(formats, format) {
		return nil, fmt.Errorf("config: parse: %q is no known format; use yaml, json or toml", format)
	}
	return parse(format, format, content)
}

func parse(name, format string, content []byte) (*Config, error) {
	tree, where, err := read(format, content)
	if problems, ok := err.(Problems); ok {
		return nil, problems
	}
	if err != nil {
		return nil, fmt.Errorf("config: parse %s: %w", name, err)
	}
	c := Default()
	env := environment()
	c.origin = origin{root: where, overridden: overriddenBy(env)}
	problems := c.fill(tree, env)
	if len(problems) == 0 {
		return c, nil
	}
	c.nameVariables(problems)
	c.locate(problems)
	problems.inOrder()
	return nil, problems.shortened()
}

// fill decodes the tree and the environment into c, and returns what is wrong with
// it: enough, not always all.
func (c *Config) fill(tree map[string]any, env *viper.Viper) Problems {
	var problems Problems
	problems.unknownKeys(reflect.ValueOf(tree), reflect.TypeFor[Config](), "")
	if problems.enough() {
		return problems
	}
	problems = append(problems, (&conversion{}).decode(tree, c)...)
	problems = append(problems, (&conversion{fromText: true}).decode(env.AllSettings(), c)...)
	if problems.enough() {
		return problems
	}
	return append(problems, c.Validate().withoutEchoes(problems)...)
}

// read decodes content with viper's codec, and says where everything stands in
// it. It leaves out viper's own merge, which lower-cases keys, splits them at
// dots and drops those without a value: an unknown key would go unnoticed or be
// told in a spelling not in the file.
func read(format string, content []byte) (map[string]any, *place, error) {
	decoder, err := viper.NewCodecRegistry().Decoder(format)
	if err != nil {
		return nil, nil, err
	}
	where, refused := places(format, content)
	var e *excess
	if errors.As(refused, &e) {
		return nil, nil, e.problems()
	}
	tree := map[string]any{}
	if err := decoder.Decode(content, tree); err != nil {
		return nil, nil, located(err, format, content)
	}
	return tree, where, refused
}

// environment returns a viper that knows the overrides and nothing else:
// TIDEGATE_GATEWAY_MAXFLOWS for gateway.maxFlows. An empty variable is none.
func environment() *viper.Viper {
	v := viper.New()
	v.SetEnvPrefix(envPrefix)
	v.SetEnvKeyReplacer(strings.NewReplacer(".", "_"))
	for _, key := range scalarKeys(reflect.TypeFor[Config](), "") {
		v.MustBindEnv(key)
	}
	return v
}

// overriddenBy returns the keys, folded, that the environment has.
func overriddenBy(env *viper.Viper) map[string]bool {
	overridden := map[string]bool{}
	for _, key := range scalarKeys(reflect.TypeFor[Config](), "") {
		if env.IsSet(key) {
			overridden[fold(key)] = true
		}
	}
	return overridden
}

// nameVariables says of each value at fault that it is not the file's.
func (c *Config) nameVariables(problems Problems) {
	for i, p := range problems {
		if c.overridden[fold(p.Path)] {
			variable := envPrefix + "_" + strings.ToUpper(strings.ReplaceAll(p.Path, ".", "_"))
			problems[i].Message += " (from " + variable + ")"
		}
	}
}
