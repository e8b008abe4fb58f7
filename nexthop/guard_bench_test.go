package nexthop

import (
	"encoding/binary"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"tidegate/packet"
)

// BenchmarkGuard floods the gateway's inside from the client, sender and receiver
// on one CPU, so that the CPU time of a packet is all of its cost. The guard's own is
// the difference to "floor", where one rule drops everything, and what it saves the
// difference to "none", where the stack routes the packet and drops it. "set" looks
// the destination up in a set of the host's addresses, after letting pass multicast,
// instead of asking fib. "carried" goes to a SNAT port of a frontend that the host has.
//
//	for i in $(seq 30); do go test ./nexthop -run '^$' -bench Guard -benchtime 20000x; done
func BenchmarkGuard(b *testing.B) {
	const foreign, frontend = "198.51.100.7", "203.0.113.5"
	for _, v := range []struct {
		name, dst string
		rules     func(*guardTx, []guardRule) []guardRule
	}{
		{"none", foreign, func(*guardTx, []guardRule) []guardRule { return nil }},
		{"floor", foreign, func(*guardTx, []guardRule) []guardRule { return []guardRule{{"", drop()}} }},
		{"fib", foreign, func(_ *guardTx, r []guardRule) []guardRule { return r }},
		{"set", foreign, fromSet},
		{"carried", frontend, func(_ *guardTx, r []guardRule) []guardRule { return r }},
	} {
		b.Run(v.name, func(b *testing.B) {
			l := newLab(b) // here, because every b.Run is a goroutine of its own
			l.gateway.address(b, "out0", frontend+"/32")
			l.installVariant(b, v.rules)
			l.flood(b, udpFrame(l.gateway.mac(b, "in0"), v.dst, 40000))
		})
	}
}

// installVariant installs a guard on the inside whose rules are changed.
func (l *lab) installVariant(b *testing.B, change func(*guardTx, []guardRule) []guardRule) {
	tx := must(openGuardTx())(b)
	runs := disjoint([]Guarded{{Addresses: netip.MustParsePrefix("203.0.113.5/32"), Outbound: true}})
	ok(b, tx.build(nil, runs))
	rules := change(tx, ingressRules(false, tx.frontends))
	if rules != nil {
		tx.guard(ingress{chain: "inside", device: "in0"}, rules)
	}
	ok(b, tx.Flush())
}

// fromSet replaces the question to fib.
func fromSet(tx *guardTx, r []guardRule) []guardRule {
	local := &nftables.Set{Table: tx.table, Name: "local", KeyType: nftables.TypeIPAddr, Size: 64}
	var elements []nftables.SetElement
	for _, a := range []string{"10.0.0.1", "10.0.0.255", "203.0.113.1", "203.0.113.255", "203.0.113.5"} {
		elements = append(elements, nftables.SetElement{Key: be32(addr(a))})
	}
	tx.addSet(local, elements)
	top := []byte{0xe0, 0, 0, 0}
	multicast := guardRule{"", accept(destination(),
		&expr.Bitwise{SourceRegister: reg0, DestRegister: reg0, Len: 4, Mask: top, Xor: make([]byte, 4)}, is(top))}
	miss := guardRule{"", drop(destination(), &expr.Lookup{SourceRegister: reg0, SetName: local.Name, SetID: local.ID, Invert: true})}
	return append(r[:2:2], multicast, miss, r[3])
}

// flood sends b.N frames from the client, 64 in a system call.
func (l *lab) flood(b *testing.B, frame []byte) {
	var fd int
	l.in(l.client, func() {
		fd = must(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0))(b)
		ok(b, unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: l.client.link(b, "cl0").Attrs().Index}))
	})
	defer unix.Close(fd)
	var cpu, before unix.CPUSet
	ok(b, unix.SchedGetaffinity(0, &before))
	defer func() { ok(b, unix.SchedSetaffinity(0, &before)) }()
	cpu.Set(runtime.NumCPU() - 1)
	ok(b, unix.SchedSetaffinity(0, &cpu))

	iov := unix.Iovec{Base: &frame[0], Len: uint64(len(frame))}
	type message struct {
		header unix.Msghdr
		_, _   uint32 // the kernel writes how much it sent
	}
	var batch [64]message
	for i := range batch {
		batch[i].header.Iov, batch[i].header.Iovlen = &iov, 1
	}
	b.ResetTimer()
	began := cpuTime(b)
	defer func() { b.ReportMetric(float64(cpuTime(b)-began)/float64(b.N), "cpu-ns/op") }()
	for sent := 0; sent < b.N; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&batch)), uintptr(min(len(batch), b.N-sent)), 0, 0, 0)
		if errno != 0 && errno != unix.ENOBUFS && errno != unix.EINTR {
			b.Fatal(errno)
		}
		sent += max(int(n), 0)
	}
}

// cpuTime is what the thread has used, receiving in its softirqs included.
func cpuTime(b *testing.B) int64 {
	var ts unix.Timespec
	ok(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts))
	return ts.Nano()
}

// udpFrame is a frame of 60 bytes from the client.
func udpFrame(to net.HardwareAddr, dst string, port uint16) []byte {
	f := make([]byte, 60)
	copy(f, to)
	copy(f[6:], []byte{2, 0, 0, 0, 0, 9})
	be := binary.BigEndian
	be.PutUint16(f[12:], etherTypeIPv4)
	ip := f[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, byte(packet.UDP)
	be.PutUint16(ip[2:], 46)
	be.PutUint32(ip[12:], uint32(addr("10.0.0.10")))
	be.PutUint32(ip[16:], uint32(addr(dst)))
	be.PutUint16(ip[10:], headerSum(ip[:20]))
	be.PutUint16(ip[20:], 40000)
	be.PutUint16(ip[22:], port)
	be.PutUint16(ip[24:], 26)
	return f
}

func headerSum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
