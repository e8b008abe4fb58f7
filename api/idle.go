package api

// IdleAges says how long the live flows have been silent by now, and so how many of
// them a shorter timeout would have ended.
type IdleAges struct {
	Bounds []float64  `json:"bounds" nullable:"false" doc:"Seconds, ascending"`
	Rules  []IdleRule `json:"rules" nullable:"false" doc:"Those with flows"`
}

// IdleRule is the flows of one rule whose timer is an idle timeout: TCP flows that are
// ESTABLISHED or half-closed, and UDP flows.
type IdleRule struct {
	Rule               string  `json:"rule"`
	RuleType           string  `json:"ruleType"`
	IdleTimeoutSeconds float64 `json:"idleTimeoutSeconds"`
	Flows              int     `json:"flows"`
	Longer             []int   `json:"longer" nullable:"false" doc:"For each bound, how many flows have been silent for longer"`
}
