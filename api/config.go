package api

// Validity is the answer to a configuration that could be put in force; to any other
// it is a Problem.
type Validity struct {
	Valid bool `json:"valid" doc:"Always true"`
}
