package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"tidegate/api"
	"tidegate/e2e/lab"
)

// demoIdle is the demo's idle timeout: long enough to see the connection work,
// short enough to wait for.
const demoIdle = 4 * time.Second

func newDemo() *cobra.Command {
	var datapath string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a gateway at work in a lab of network namespaces on this machine",
		Long: "Builds a small network out of network namespaces, runs the gateway in it with an idle\n" +
			"timeout of a few seconds, lets real clients reach real servers through it, shows a TCP\n" +
			"connection being reset on idle, and removes everything again. Needs root.",
		Args: usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), cmd.OutOrStdout(), datapath)
		},
	}
	cmd.Flags().StringVar(&datapath, "datapath", "auto", "auto, packet or tun")
	return cmd
}

// demo runs the scenes one after the other and sums them up.
func demo(ctx context.Context, w io.Writer, datapath string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("demo: network namespaces need root; try `sudo tidegate demo`, or `make demo`")
	}
	if _, err := lab.Sweep(demoName); err != nil {
		return err
	}
	s := &stage{ctx: ctx, out: &printer{w: w}}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.build(datapath); err != nil {
		if ctx.Err() != nil {
			return errInterrupted
		}
		return err
	}
	for _, scene := range []func(*stage) error{
		(*stage).web, (*stage).datagrams, (*stage).ping, (*stage).inbound, (*stage).stranger, (*stage).idle,
	} {
		err := scene(s)
		if ctx.Err() != nil {
			return errInterrupted
		}
		if err != nil {
			return errors.Join(err, s.gatewayLog())
		}
	}
	return errors.Join(s.out.err, s.sumUp())
}

const demoName = "demo"

var errInterrupted = errors.New("demo: interrupted")

// stage is the lab with the gateway running in it, and what the scenes found out.
type stage struct {
	ctx     context.Context
	out     *printer
	lab     *lab.Lab
	dir     string
	gateway *lab.Process
	client  *api.Client
	capture [2]*lab.Capture // of the gateway's inside and outside
	summary [][2]string
}

const demoConfig = `# written by tidegate demo
profile: custom
gateway:
  datapath: %s
  inside:  { interface: in0 }
  outside: { interface: out0 }
api: { listen: [ "unix:%s" ] }
frontendIPConfigurations:
  - { name: public, publicIPAddress: 203.0.113.5 }
backendAddressPools:
  - { name: vms, addresses: [ 10.0.0.10, 10.0.0.11 ] }
outboundRules:
  - { name: egress, frontendIPConfigurations: [ public ], backendAddressPool: vms, protocol: All,
      allocatedOutboundPorts: 1024, idleTimeout: %v, enableTcpReset: true }
inboundNatRules:
  - { name: ssh, frontendIPConfiguration: public, protocol: Tcp, frontendPort: 2222,
      backendAddress: 10.0.0.10, backendPort: 22, idleTimeout: 1m, enableTcpReset: true }
`

// build makes the lab, its servers, and the gateway as a process of its own.
func (s *stage) build(datapath string) (err error) {
	s.out.line("Building a network: h1, h2, h3 inside, the gateway, a router, servers s1 and s2 outside.")
	if s.lab, err = lab.New(lab.Options{Name: demoName}); err != nil {
		return err
	}
	if err := s.serve(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp("", "tidegate-demo-"); err != nil {
		return err
	}
	config, socket := filepath.Join(s.dir, "tidegate.yaml"), "unix:"+filepath.Join(s.dir, "api.sock")
	text := fmt.Sprintf(demoConfig, datapath, filepath.Join(s.dir, "api.sock"), demoIdle)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return fmt.Errorf("demo: write configuration: %w", err)
	}
	if s.client, err = api.NewClient(socket); err != nil {
		return err
	}
	return s.startGateway(config)
}

func (s *stage) serve() error {
	s1, s2, h1 := s.lab.Servers[0], s.lab.Servers[1], s.lab.Hosts[0]
	_, web := lab.ServeHTTP(s1, ":80", lab.Blobs())
	_, echo := lab.ServeTCPEcho(s1, ":7")
	_, udp := lab.ServeUDPEcho(s2, ":7")
	_, ssh := lab.ServeTCPEcho(h1, ":22")
	return errors.Join(web, echo, udp, ssh)
}

func (s *stage) startGateway(config string) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: find own program: %w", err)
	}
	for i, name := range [2]string{"in0", "out0"} {
		if s.capture[i], err = s.lab.Gateway.Capture(name); err != nil {
			return err
		}
	}
	if s.gateway, err = s.lab.Gateway.Start(exec.Command(self, "run", "-c", config)); err != nil {
		return err
	}
	if err := s.awaitReady(); err != nil {
		return errors.Join(err, s.gatewayLog())
	}
	if err := s.routeTunnel(self, config); err != nil {
		return err
	}
	status, err := s.client.Status(s.ctx)
	if err != nil {
		return err
	}
	s.out.line("The gateway runs on datapath %s (%s).", status.Datapath, status.DatapathReason)
	return nil
}

// awaitReady waits until packets flow.
func (s *stage) awaitReady() error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	for {
		status, err := s.client.Status(ctx)
		if err == nil && status.Ready {
			return nil
		}
		select {
		case <-s.gateway.Done():
			return errors.New("demo: the gateway ended early")
		case <-ctx.Done():
			return fmt.Errorf("demo: the gateway did not get ready: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// routeTunnel does what the operator of a TUN gateway does: the commands that
// --print-routes names, and a route to the frontend at the world's router.
func (s *stage) routeTunnel(self, config string) error {
	status, err := s.client.Status(s.ctx)
	if err != nil || status.Datapath != "tun" {
		return err
	}
	script := self + " run --print-routes -c " + config + " | sh -e"
	if out, err := s.lab.Gateway.Run(s.ctx, "sh", "-c", script); err != nil {
		return fmt.Errorf("demo: set routes: %w: %s", err, out)
	}
	if out, err := s.lab.Router.Run(s.ctx, "ip", "route", "add", "203.0.113.5/32", "via", "203.0.113.1"); err != nil {
		return fmt.Errorf("demo: route the frontend: %w: %s", err, out)
	}
	return nil
}

func (s *stage) gatewayLog() error {
	if s.gateway == nil {
		return nil
	}
	return fmt.Errorf("the gateway said:\n%s", s.gateway.Output())
}

func (s *stage) close() error {
	var errs []error
	if s.lab != nil {
		errs = append(errs, s.lab.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}
