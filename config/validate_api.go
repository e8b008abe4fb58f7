package config

import (
	"math"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	maxSocketPath = 107   // bytes: sun_path less its NUL, unix(7)
	maxRecordSize = 10000 // MB: what a tool can still open
	maxRecords    = 1000  // files in one directory
)

func (v *validator) checkAPI() {
	seen := map[string]int{}
	for i, listener := range v.config.API.Listen {
		path := at("api.listen", i)
		if first, twice := seen[listener]; twice {
			v.add(path, "%s is %s already", quote(listener), at("api.listen", first))
			continue
		}
		seen[listener] = i
		v.listener(path, listener)
	}
	if v.config.API.TokenFile != "" {
		v.absolute("api.tokenFile", v.config.API.TokenFile)
	}
	v.checkTLS()
}

func (v *validator) listener(path, listener string) {
	if socket, ok := strings.CutPrefix(listener, "unix:"); ok {
		v.socket(path, socket)
		return
	}
	host, port, err := net.SplitHostPort(listener)
	if err != nil {
		v.add(path, "%s is neither unix:/PATH nor HOST:PORT", quote(listener))
		return
	}
	v.port(path, listener, port)
	address, err := netip.ParseAddr(host)
	switch {
	case host == "localhost":
	case host == "":
		v.add(path, "%s has no host; write 0.0.0.0:%s for every address", quote(listener), port)
	case err != nil:
		v.add(path, "the host of %s is neither an IP address nor localhost", quote(listener))
	case !address.Unmap().IsLoopback() && v.config.API.TokenFile == "":
		v.add(path, "%s is neither a unix socket nor loopback; set api.tokenFile, so that only who has its token may ask", listener)
	}
}

// port checks the number that ends HOST:PORT.
func (v *validator) port(path, hostPort, port string) {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		v.add(path, "%s has no port in 1–65535", quote(hostPort))
	}
}

func (v *validator) socket(path, socket string) {
	switch {
	case !filepath.IsAbs(socket):
		v.add(path, "%s is not an absolute path", quote(socket))
	case len(socket) > maxSocketPath:
		v.add(path, "%s is longer than the %d bytes of a socket's path", quote(socket), maxSocketPath)
	}
}

func (v *validator) checkTLS() {
	t := v.config.API.TLS
	for _, file := range []struct{ path, name, other, otherPath string }{
		{"api.tls.certFile", t.CertFile, t.KeyFile, "api.tls.keyFile"},
		{"api.tls.keyFile", t.KeyFile, t.CertFile, "api.tls.certFile"},
	} {
		switch {
		case file.name != "":
			v.absolute(file.path, file.name)
		case file.other != "":
			v.add(file.path, "is required with %s", file.otherPath)
		}
	}
}

func (v *validator) checkFlowRecords() {
	file, ipfix := v.config.FlowRecords.File, v.config.FlowRecords.IPFIX
	if file.Path != "" {
		v.absolute("flowRecords.file.path", file.Path)
	}
	v.between("flowRecords.file.maxSizeInMB", file.MaxSizeInMB, 1, maxRecordSize)
	v.between("flowRecords.file.maxFiles", file.MaxFiles, 1, maxRecords)
	if ipfix.Collector != "" {
		v.collector("flowRecords.ipfix.collector", ipfix.Collector)
	}
	if uint64(ipfix.ObservationDomainID) > math.MaxUint32 { // 32 bits on the wire; below 0 is far above
		v.add("flowRecords.ipfix.observationDomainId", "%d is outside 0–%d", ipfix.ObservationDomainID, uint32(math.MaxUint32))
	}
	oneOf(v, "flowRecords.ipfix.protocol", ipfix.Protocol, "udp", "tcp")
}

func (v *validator) collector(path, collector string) {
	host, port, err := net.SplitHostPort(collector)
	if err != nil {
		v.add(path, "%s is not HOST:PORT", quote(collector))
		return
	}
	v.port(path, collector, port)
	if a, err := netip.ParseAddr(host); err != nil || a.IsUnspecified() {
		v.add(path, "the host of %s is not an IP address to send to", quote(collector))
	}
}
