package store

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"time"
)

// Kind is what an event is about.
type Kind string

// The kinds of event.
const (
	Ready    Kind = "ready"    // the fleet's side is up
	Enrolled Kind = "enrolled" // a printer enrolled, or renewed its certificate
	Batch    Kind = "batch"    // a batch was verified
	Refused  Kind = "refused"  // something was not believed; see Reason
	Missing  Kind = "missing"  // batches From to To of a chain did not come
	Silent   Kind = "silent"   // nothing was believed of a printer since Since
	Heard    Kind = "heard"    // a printer that was silent is not any more
	Sensors  Kind = "sensors"  // a printer cannot read other sensors than before; see Mask
	Settings Kind = "settings" // a printer runs with something else than before; see Config, Board, Controller
	Offered  Kind = "offered"  // a printer has taken an offer of a job
	Leaves   Kind = "leaves"   // a printer was revoked or is gone; see Reason
	Releases Kind = "releases" // the releases known were read anew
	Stopped  Kind = "stopped"  // the fleet's side goes down
)

// Schema is the version of events.
const Schema = 1

// Event is one thing that happened: a line of the log, and of the output of
// platen-fleet up -o jsonl.
type Event struct {
	Event   Kind      `json:"event"`
	Schema  int       `json:"schema"`
	At      time.Time `json:"at"`
	Printer string    `json:"printer,omitempty"`

	Seq      uint64           `json:"seq,omitempty"`
	Boot     uint64           `json:"boot,omitempty"`
	Release  uint64           `json:"release,omitempty"`
	Msgs     int              `json:"msgs,omitempty"`
	Dropped  uint64           `json:"dropped,omitempty"`   // messages lost to the printer's spool
	Fresh    bool             `json:"fresh,omitempty"`     // the quote is over a nonce of the last minutes
	Late     bool             `json:"late,omitempty"`      // had been missing
	NewChain bool             `json:"new_chain,omitempty"` // first of a boot or of a restarted agent
	Values   map[string]int64 `json:"values,omitempty"`    // of the last message, by the catalogue's names and units
	Frame    []byte           `json:"frame,omitempty"`     // the evidence itself, without padding; in the log only

	Job    string `json:"job,omitempty"` // random id of a ticket
	Reason string `json:"reason,omitempty"`
	From   uint64 `json:"from,omitempty"`
	To     uint64 `json:"to,omitempty"`

	Config     string `json:"config,omitempty"`     // SHA-256 of the configuration, in hexadecimal
	Board      string `json:"board,omitempty"`      // of the board file
	Controller string `json:"controller,omitempty"` // of the image in the controller; empty if none was installed by us

	Since time.Time `json:"since,omitzero"`
	Mask  uint64    `json:"mask,omitempty"` // bit n is sensor n of the board file, which cannot be read

	MQTT      string `json:"mqtt,omitempty"`  // host:port
	HTTPS     string `json:"https,omitempty"` // URL
	CA        string `json:"ca,omitempty"`    // PEM file
	Recipient string `json:"recipient,omitempty"`
	Name      string `json:"name,omitempty"`
	Known     int    `json:"known,omitempty"` // releases
}

// Events reads the log in dir, oldest first. Lines that a power cut has torn are
// left out. It yields at most one error, as its last pair.
func Events(dir string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		if _, err := Peek(dir); err != nil {
			yield(Event{}, err)
			return
		}
		files, err := logFiles(dir)
		if err != nil {
			yield(Event{}, err)
			return
		}
		for _, f := range files {
			if !readEvents(f, yield) {
				return
			}
		}
	}
}

func readEvents(path string, yield func(Event, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		yield(Event{}, fmt.Errorf("read the event log: %w", err))
		return false
	}
	defer f.Close()
	for e, err := range lines(f) {
		if err != nil {
			err = fmt.Errorf("read the event log: %w", err)
		}
		if !yield(e, err) || err != nil {
			return false
		}
	}
	return true
}

// lines reads events, one a line, and leaves out lines that are none. It yields at most one
// error, as its last pair.
func lines(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		sc := bufio.NewScanner(r)
		sc.Buffer(nil, maxLine)
		for sc.Scan() {
			var e Event
			if json.Unmarshal(sc.Bytes(), &e) != nil {
				continue
			}
			if !yield(e, nil) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			yield(Event{}, err)
		}
	}
}
