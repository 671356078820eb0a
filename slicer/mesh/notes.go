package mesh

// Notes says what of a file was passed over. Nothing of it is in the mesh.
type Notes uint8

// The notes.
const (
	NoteMaterials  Notes = 1 << iota // colours, materials and textures
	NoteHelpers                      // supports, surfaces and modifiers
	NoteNotPrinted                   // objects that the file says are not to be printed
	NoteLattice                      // beams that the file does not insist upon
	NoteSlices                       // ready-made slices, of which the file has the mesh as well
)

var noteTexts = [...]string{
	"colours and materials are ignored",
	"supports, surfaces and modifiers are left out",
	"objects marked as not to be printed are left out",
	"beams are left out",
	"ready-made slices are ignored",
}

// Texts are the notes in words. They say nothing of the model's shape.
func (n Notes) Texts() []string {
	var out []string
	for i, text := range noteTexts {
		if n&(1<<i) != 0 {
			out = append(out, text)
		}
	}
	return out
}

// String says nothing of the file.
func (n Notes) String() string { return "notes" }
