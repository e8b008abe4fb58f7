package config

// Azure Resource Manager's codes for what is refused here for its reasons; they
// open the message, for those who search for them.
const (
	codeNotMultipleOfEight = "SpecifiedAllocatedOutboundPortsForOutboundRuleIsNotAMultipleOfEight"
	codeMoreThanAllowed    = "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAllowedPortsPerRule"
	codeMoreThanAvailable  = "SpecifiedAllocatedOutboundPortsForOutboundRuleExceedsTotalNumberOfAvailablePorts"
	codeSharedFrontend     = "MoreThanOneOutboundRuleUsingSameFrontendIPConfigurationAndProtocolIsNotSupported"
	codeSNATNotDisabled    = "LoadBalancingRuleMustDisableSNATSinceSameFrontendIPConfigurationIsReferencedByOutboundRule"
	codeSharedBackendPort  = "RulesUseSameBackendPortProtocolAndPool"
	codeNoFrontend         = "LoadBalancerWithoutFrontendIPCantHaveChildResources"
	codeTooManyRules       = "LoadBalancerRuleCountLimitReachedForNic"
)
