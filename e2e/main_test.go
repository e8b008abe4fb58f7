package e2e

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"tidegate/e2e/lab"
)

const labName = "e2e"

// scratch is where this run keeps its files, and program the binary under test:
// a copy of our own, so that every process of it is ours.
var scratch, program string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) (status int) {
	if os.Geteuid() != 0 {
		return complain(errors.New("network namespaces need root: go test -exec sudo ./e2e"))
	}
	defer func() { os.RemoveAll(scratch) }()
	if err := prepare(); err != nil {
		return complain(err)
	}
	status = m.Run()
	if err := leftBehind(); err != nil {
		return complain(err)
	}
	return status
}

func complain(err error) (status int) {
	fmt.Fprintln(os.Stderr, "e2e:", err)
	return 1
}

// prepare makes the scratch directory, which nobody but root writes and everybody
// may read, and puts the program there.
func prepare() (err error) {
	if _, err := lab.Sweep(labName); err != nil {
		return err
	}
	if scratch, err = os.MkdirTemp("", "tidegate-e2e-"); err != nil {
		return err
	}
	program = filepath.Join(scratch, "tidegate")
	return errors.Join(os.Chmod(scratch, 0o755), limitParallel(), build())
}

// limitParallel lets three tests run at once, whatever the number of CPUs: they
// wait more than they work, but promise times to the second. -parallel has
// precedence.
func limitParallel() error {
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if chosen {
		return nil
	}
	return flag.Set("test.parallel", "3")
}

func build() error {
	if bin := os.Getenv("TIDEGATE_BIN"); bin != "" {
		content, err := os.ReadFile(bin)
		if err != nil {
			return fmt.Errorf("TIDEGATE_BIN: %w", err)
		}
		return os.WriteFile(program, content, 0o755)
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", program, "tidegate/cmd/tidegate")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build tidegate: %w\n%s", err, out)
	}
	return nil
}

// leftBehind is what must not be there after all tests, those that failed too:
// namespaces, processes, mounts, and on the machine itself interfaces and nftables.
func leftBehind() error {
	prefix := fmt.Sprintf("%s-%d-", labName, os.Getpid())
	var errs []error
	if names, err := lab.Leftovers(prefix); err != nil || len(names) > 0 {
		errs = append(errs, fmt.Errorf("namespaces left behind: %v, %v", names, err))
	}
	if pids := processesOf(scratch); len(pids) > 0 {
		errs = append(errs, fmt.Errorf("processes left behind: %v", pids))
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), prefix) || strings.Contains(string(mounts), scratch) {
		errs = append(errs, fmt.Errorf("mounts left behind: %v\n%s", err, mounts))
	}
	for _, name := range []string{"in0", "out0", "tide0"} {
		if _, err := net.InterfaceByName(name); err == nil {
			errs = append(errs, fmt.Errorf("interface %s left behind on the machine itself", name))
		}
	}
	if err := exec.Command("nft", "list", "table", "netdev", "tidegate").Run(); err == nil {
		errs = append(errs, errors.New("nftables table left behind on the machine itself"))
	}
	return errors.Join(errs...)
}

// processesOf returns the processes whose program or arguments are in dir.
func processesOf(dir string) (found []string) {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range all {
		exe, err := os.Readlink(filepath.Join(p, "exe"))
		if errors.Is(err, fs.ErrNotExist) { // ended meanwhile, or a kernel thread
			continue
		}
		args, _ := os.ReadFile(filepath.Join(p, "cmdline"))
		if filepath.Base(p) != fmt.Sprint(os.Getpid()) && (strings.HasPrefix(exe, dir) || strings.Contains(string(args), dir)) {
			found = append(found, filepath.Base(p)+" "+strings.ReplaceAll(string(args), "\x00", " "))
		}
	}
	return found
}
