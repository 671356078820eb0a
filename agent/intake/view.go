package intake

import "time"

// HeaterView is one heater in °C.
type HeaterView struct {
	Name   string `json:"name"`
	Actual int32  `json:"actual_c"`
	Target int32  `json:"target_c"`
}

// GrantView is one recipient of machine data.
type GrantView struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Profile string    `json:"profile"`
	Expires time.Time `json:"expires"`
}

// BrokenView is a print that a power loss has broken. It is for the owner, at the printer: a
// layer is design data and leaves by no other way than the local socket.
type BrokenView struct {
	Layer  int    `json:"layer"`          // at which it would go on; at 0 it begins anew
	Ticket bool   `json:"ticket"`         // it was a sealed job
	Code   string `json:"code,omitempty"` // of why it cannot go on
	Why    string `json:"why,omitempty"`
}

// TestView is what a self-test has measured; see the catalogue.
type TestView struct {
	Motion  string     `json:"motion"` // the first four bytes of its SHA-256
	Half    uint32     `json:"answer_half_us"`
	Most    uint32     `json:"answer_most_us"`
	Longest uint32     `json:"answer_longest_us"`
	Noise   uint32     `json:"noise_mk"`
	Resends uint32     `json:"resends"`
	Errors  uint32     `json:"errors"`
	Axes    []AxisView `json:"axes"`
}

// AxisView is one axis of a TestView.
type AxisView struct {
	Axis   string  `json:"axis"`
	Sweep  uint32  `json:"sweep_ms"`
	Spread *uint32 `json:"spread_um,omitempty"` // nil: its end stop is not found by a time that tells
	Shift  *int32  `json:"shift_um,omitempty"`
}
