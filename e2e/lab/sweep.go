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
// process no longer lives, and returns their names. It knows the processes of
// its own PID namespace only. A process number that the kernel gave to another
// process protects them until that one ends.
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

// namespaceForm are the parts of a namespace's name after Options.Name: process,
// number of the lab, host.
var namespaceForm = regexp.MustCompile(`^-(\d+)-(\d+)-[a-z]+\d*$`)

// orphaned says whether a namespace is of a lab of that name whose process is
// gone. In a container that starts again, the process that is gone had the number
// of this one: labs of ours have a number that we gave.
func orphaned(name, namespace string) bool {
	parts := namespaceForm.FindStringSubmatch(namespace[len(name):])
	if parts == nil {
		return false
	}
	pid, badPid := strconv.Atoi(parts[1])
	lab, badLab := strconv.ParseInt(parts[2], 10, 64)
	if badPid != nil || badLab != nil {
		return false
	}
	if pid == os.Getpid() {
		return lab > labs.Load()
	}
	return unix.Kill(pid, 0) == unix.ESRCH
}
