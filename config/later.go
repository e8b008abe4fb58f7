package config

import (
	"errors"
	"reflect"
)

// What the configuration language names and this version does not do. Such a
// key may stand in a file as long as it asks for nothing (false, 0, an empty
// list). To make one live, delete its line here and give it a typed field in
// the tree.
type (
	laterSections struct {
		LoadBalancingRules notYet `mapstructure:"loadBalancingRules"`
		Probes             notYet `mapstructure:"probes"`
		InstancePublicIPs  notYet `mapstructure:"instancePublicIPs"`
	}
	laterFrontend struct {
		PrivateIPAddress notYet `mapstructure:"privateIPAddress"`
	}
	laterPool struct {
		DrainPeriodInSeconds notYet `mapstructure:"drainPeriodInSeconds"`
	}
	laterRule struct {
		KeepaliveBeforeReset notYet `mapstructure:"keepaliveBeforeReset"`
		LateTCPReset         notYet `mapstructure:"lateTcpReset"`
	}
	laterNATRule struct {
		BackendAddressPool     notYet `mapstructure:"backendAddressPool"`
		FrontendPortRangeStart notYet `mapstructure:"frontendPortRangeStart"`
		FrontendPortRangeEnd   notYet `mapstructure:"frontendPortRangeEnd"`
		EndpointACL            notYet `mapstructure:"endpointACL"`
		EnableFloatingIP       notYet `mapstructure:"enableFloatingIP"`
	}
)

// notYet is the type of a key that is recognised and refused.
type notYet struct{}

var errNotYet = errors.New("not supported by this version")

// asNotYet accepts what asks for nothing.
func asNotYet(v reflect.Value) (any, error) {
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		if v.Len() == 0 {
			return notYet{}, nil
		}
	default:
		if v.IsZero() {
			return notYet{}, nil
		}
	}
	return nil, errNotYet
}
