package config

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestMembersAreAllAddresses(t *testing.T) {
	p := BackendAddressPool{Addresses: []PoolAddress{
		{Prefix: netip.MustParsePrefix("10.0.0.9/32")}, {Prefix: netip.MustParsePrefix("10.0.0.4/30")},
		{Prefix: netip.MustParsePrefix("223.255.255.254/31")},
	}}
	var got []string
	for a := range p.Members() {
		got = append(got, a.String())
	}
	want := []string{"10.0.0.9", "10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.7", "223.255.255.254", "223.255.255.255"}
	if !slices.Equal(got, want) || p.Size() != len(want) {
		t.Errorf("got %d members %v, want %v", p.Size(), got, want)
	}
	for a := range p.Members() {
		if a.String() == "10.0.0.5" {
			break // an early end is allowed
		}
	}
	if got := p.Addresses[0].String() + " " + p.Addresses[1].String(); got != "10.0.0.9 10.0.0.4/30" {
		t.Errorf("entries print as %s", got)
	}
}

func TestFrontendAddresses(t *testing.T) {
	one := FrontendIPConfiguration{PublicIPAddress: netip.MustParseAddr("203.0.113.5")}
	inside := FrontendIPConfiguration{PrivateIPAddress: netip.MustParseAddr("10.0.0.4")}
	four := FrontendIPConfiguration{PublicIPPrefix: netip.MustParsePrefix("203.0.113.64/30")}
	if got := slices.Collect(one.Addresses()); len(got) != 1 || got[0] != one.PublicIPAddress || one.Size() != 1 {
		t.Errorf("an address has %v", got)
	}
	if got := slices.Collect(inside.Addresses()); len(got) != 1 || got[0] != inside.PrivateIPAddress || inside.Size() != 1 {
		t.Errorf("an internal address has %v", got)
	}
	if one.Internal() || four.Internal() || !inside.Internal() {
		t.Error("the one with a private address is internal, and no other")
	}
	got := slices.Collect(four.Addresses())
	if len(got) != 4 || four.Size() != 4 || got[0].String() != "203.0.113.64" || got[3].String() != "203.0.113.67" {
		t.Errorf("a prefix has %v", got)
	}
	if none := (FrontendIPConfiguration{}); none.Size() != 0 || len(slices.Collect(none.Addresses())) != 0 {
		t.Error("the zero frontend has addresses")
	}
}

// TestClaims compares the index with a walk over everything claimed.
func TestClaims(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index, all := newClaims(), []netip.Prefix{}
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			address := netip.AddrFrom4([4]byte{10, 0, 0, rapid.Byte().Draw(t, "address")})
			p := netip.PrefixFrom(address, rapid.IntRange(24, 32).Draw(t, "bits")).Masked()
			got, ok := index.overlap(p)
			if want := slices.ContainsFunc(all, p.Overlaps); ok != want {
				t.Fatalf("overlap of %s with %v is %v, want %v", p, all, ok, want)
			}
			if ok && (!got.prefix.Overlaps(p) || got.owner != got.prefix.String()) {
				t.Fatalf("%s is said to overlap %+v", p, got)
			}
			free := 0
			for a := range addresses(p) {
				if !slices.ContainsFunc(all, func(claimed netip.Prefix) bool { return claimed.Contains(a) }) {
					free++
				}
			}
			if got := index.free(p); got != free {
				t.Fatalf("%d addresses of %s are free of %v, want %d", got, p, all, free)
			}
			index.add(p, p.String())
			all = append(all, p)
		}
	})
}
