package intake

import "time"

// QueueView is the queue of jobs.
type QueueView struct {
	Mode     string   `json:"mode"`  // "manual" or "auto"
	Clear    bool     `json:"clear"` // the bed was said to be clear since the last job began
	MostJobs int      `json:"most_jobs"`
	Most     int64    `json:"most_bytes"`
	Jobs     []Queued `json:"jobs"`

	// Refused are offers that were not taken since the agent started, by why, the latest last.
	Refused []RefusedOffers `json:"refused_offers,omitempty"`
}

// RefusedOffers are offers that were refused for one reason.
type RefusedOffers struct {
	Code  string    `json:"code"`
	Count int       `json:"count"`
	Last  time.Time `json:"last"` // of them, by the printer's clock
}

// Queued is one job in the queue, known by the random id of its ticket.
type Queued struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`         // see package queue
	Why       string    `json:"why,omitempty"` // its file is not there: a code
	Size      int64     `json:"size"`          // bytes of the sealed file
	Copies    int       `json:"copies"`        // that its ticket allows in all
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}
