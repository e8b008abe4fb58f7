package conntrack

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// mapped returns n zeroed values of T in anonymous memory. Pages that are never
// touched cost nothing.
func mapped[T any](n int) ([]T, error) {
	size := n * int(unsafe.Sizeof(*new(T)))
	b, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("conntrack: map %d bytes for flows: %w (lower gateway.maxFlows)", size, err)
	}
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE) // fewer TLB misses; without it, it only gets slower
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n), nil
}

func unmap[T any](s []T) {
	if s == nil {
		return
	}
	size := len(s) * int(unsafe.Sizeof(s[0]))
	_ = unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), size))
}
