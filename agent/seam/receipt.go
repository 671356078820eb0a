package seam

// Code is how a job ended or what it reached.
type Code uint8

// The codes of a Receipt.
const (
	CodeLoaded    Code = iota + 1 // read, authenticated and indexed
	CodeDone                      // printed to the end
	CodeCancelled                 // cancelled by the owner
	CodeRefused                   // not a file that can be printed; see Reason
	CodeFault                     // the machine stopped; see Reason
)

// String names the code in lower case.
func (c Code) String() string {
	names := [...]string{"none", "loaded", "done", "cancelled", "refused", "fault"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// Reason explains a Refused or Fault receipt as a code.
type Reason uint8

// The reasons.
const (
	ReasonNone       Reason = iota
	ReasonDecrypt           // the sealed file does not open or was altered
	ReasonFormat            // not a file of the format it claims
	ReasonGeometry          // the mesh cannot be printed, for example it is empty
	ReasonTooBig            // does not fit the locked memory
	ReasonEnvelope          // does not fit the machine
	ReasonMachine           // the controller stopped or is gone
	ReasonConfine           // the session could not be confined
	ReasonInternal          // anything else
	ReasonOutOfReach        // the model lies outside the build volume
	ReasonGCode             // a line of a pre-sliced file is refused
	ReasonSlicing           // a model on a board that prints pre-sliced files only, or none
	ReasonProfile           // the settings that came along are none, or not for this board or file
	ReasonPlate             // a package with several plates, or without the one that was chosen
	ReasonRecover           // a print that was broken off cannot go on where it was
	ReasonWarm              // a self-test of a machine that is warm, or whose door is open
)

// String names the reason and what to do about it.
func (r Reason) String() string {
	names := [...]string{
		"none",
		"the sealed or encrypted file does not open: seal it again to this printer's current key, which platen recipient prints",
		"the file is no model and no G-code: export it again",
		"the mesh cannot be printed: it is empty or damaged beyond repair",
		"the file does not fit the printer's locked memory: make it smaller (fewer triangles, .bgcode in place of .gcode) or raise vault in the configuration",
		"the program asks for what the machine cannot do: check the board file's limits",
		"the controller stopped or is gone: look at the printer, then at platen status",
		"the session or its system cannot keep a model to itself: run platen doctor",
		"internal error: see the agent's log",
		"the model does not fit the build volume: scale it down",
		"a line of the file is nothing that may be printed: platen check names it",
		"the board has no hot end and prints no models: give it G-code",
		"the profile is not for this job: it asks for what the board or the model does not allow, or comes with G-code, or places a sealed model",
		"the file has several plates, or not this one: choose one with --plate",
		"the broken print cannot go on: its controller has levelled the bed, or another tool printed, or it had not that layer; clear the bed, platen discard",
		"the machine is warm or its door is open: a self-test is run on a cold, closed machine",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return "unknown reason"
}

// MostMaterial is the last of the buckets of a Receipt's material.
const MostMaterial = 15

// Receipt says what became of a job.
type Receipt struct {
	Job    [16]byte
	Code   Code
	Reason Reason
	// Material is the filament that the job took, as the number of a bucket: 0 is none,
	// n is up to 2^(n-1) m and more than half of it. Nothing finer crosses the seam.
	Material uint8
}

func (Receipt) kind() Kind { return KindReceipt }

func (r Receipt) append(dst []byte) []byte {
	dst = append(dst, r.Job[:]...)
	return append(dst, byte(r.Code), byte(r.Reason), r.Material)
}

func (r *Receipt) parse(b []byte) bool {
	if len(b) != 19 {
		return false
	}
	copy(r.Job[:], b)
	r.Code, r.Reason, r.Material = Code(b[16]), Reason(b[17]), b[18]
	return r.Material <= MostMaterial && r.Code >= CodeLoaded && r.Code <= CodeFault && r.Reason <= ReasonWarm
}
