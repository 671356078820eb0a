package check

import "strings"

// Kind is what a line makes.
type Kind uint8

// The kinds of lines. Those from Skirt on are no part of the model.
const (
	Unknown Kind = iota
	Outer
	Inner
	Overhang // a wall, outer or inner, that hangs over
	Gap      // between walls, or a thin wall
	Sparse
	Solid
	Bridge
	Ironing
	Skirt
	Support
	Other
)

func (k Kind) part() bool { return k < Skirt }
func (k Kind) wall() bool { return k >= Outer && k <= Gap }

// words are the values of ;TYPE: comments of several slicers, in lower case.
var words = map[string]Kind{
	// PrusaSlicer and SuperSlicer
	"external perimeter": Outer, "perimeter": Inner, "internal perimeter": Inner, "overhang perimeter": Overhang,
	"thin wall": Gap, "gap fill": Gap, "internal infill": Sparse, "solid infill": Solid, "top solid infill": Solid,
	"bridge infill": Bridge, "internal bridge infill": Bridge, "ironing": Ironing, "skirt/brim": Skirt, "skirt": Skirt,
	"support material": Support, "support material interface": Support, "wipe tower": Other, "custom": Other, "mixed": Unknown,
	// OrcaSlicer and Bambu Studio
	"outer wall": Outer, "inner wall": Inner, "overhang wall": Overhang, "gap infill": Gap, "sparse infill": Sparse,
	"internal solid infill": Solid, "top surface": Solid, "bottom surface": Solid, "bridge": Bridge, "internal bridge": Bridge,
	"brim": Skirt, "support": Support, "support interface": Support, "support transition": Support, "prime tower": Other,
	"floating vertical shell": Solid, "raft": Support,
	// Cura
	"wall-outer": Outer, "wall-inner": Inner, "skin": Solid, "fill": Sparse, "support-interface": Support, "prime-tower": Other,
	"prime": Other,
}

// kindOf is the kind that a comment names; an unknown word is a part of some kind.
func kindOf(word string) Kind { return words[strings.ToLower(strings.TrimSpace(word))] }
