package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Leftovers lists the namespaces whose name starts with prefix: a lab's Prefix
// to see whether its Close removed everything, or Options.Name and a dash for
// all labs of that name. A lab has nothing that is not in its namespaces.
func Leftovers(prefix string) ([]string, error) {
	entries, err := os.ReadDir(namespaceDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // no namespace had a name since the machine started
	}
	if err != nil {
		return nil, fmt.Errorf("lab: list namespaces: %w", err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Sweep removes the namespaces that labs of this Options.Name left behind whose
// process no longer lives, and returns their names. A process number that the
// kernel gave to another process protects them until that one ends.
func Sweep(name string) ([]string, error) {
	names, err := Leftovers(name + "-")
	if err != nil {
		return nil, err
	}
	var swept []string
	for _, ns := range names {
		if !orphaned(name, ns) {
			continue
		}
		if err := removeNamespace(ns); err != nil {
			return swept, err
		}
		swept = append(swept, ns)
	}
	return swept, nil
}

// orphaned says whether a namespace is of a lab of that name whose process is gone.
func orphaned(name, namespace string) bool {
	m := regexp.MustCompile(`^-(\d+)-\d+-[a-z]+\d*$`).FindStringSubmatch(namespace[len(name):])
	if m == nil {
		return false
	}
	pid, err := strconv.Atoi(m[1])
	return err == nil && unix.Kill(pid, 0) == unix.ESRCH
}
