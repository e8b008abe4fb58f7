package packetio

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// filter is the socket's classic BPF program. It accepts what the kernel's own IP
// input would: IPv4, sent to this host's link address (not broadcast, not what
// only a promiscuous interface sees, not what the host itself sends) and not of a
// VLAN, whose tag the kernel has taken off the frame by then. A tag that only
// carries a priority (VLAN 0, IEEE 802.1Q §9.6) makes no VLAN.
//
// It is attached last: until then nothing passes, so that no frame is queued before
// there is a ring, nor by two sockets of which one is about to join the other's group.
func filter() ([]bpf.RawInstruction, error) {
	const (
		etherType = 12
		vlanID    = 0x0fff
		whole     = 1 << 18 // longer than any frame
	)
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadAbsolute{Off: etherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 8},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_HOST, SkipTrue: 6},
		bpf.LoadExtension{Num: bpf.ExtVLANTagPresent},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: vlanID},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: whole},
		bpf.RetConstant{Val: 0},
	})
}

// deafFilter is the program that accepts no frame.
func deafFilter() ([]bpf.RawInstruction, error) {
	return bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 0}})
}

// admit opens the socket to what filter accepts.
func admit(fd int) error {
	program, err := filter()
	if err != nil {
		return err
	}
	code := make([]unix.SockFilter, len(program))
	for i, p := range program {
		code[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return fmt.Errorf("SO_ATTACH_FILTER: %w", err)
	}
	return nil
}
