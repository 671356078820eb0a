package cut

import "platen/slicer/vault"

// Spend says that the coming pass is the last one: the memory of triangles goes back
// to the system when the plane has left them behind. Whoever shares the mesh must be
// done with it, and v belongs to whoever calls Next from then on.
func (c *Cutter) Spend(v *vault.Vault) {
	c.spent = v
	c.piece = 1 << 19
	if v.Stats().Secret {
		c.piece = 1 << 22 // it goes in chunks
	}
}

// smallest is the size of a piece between triangles that stay below which it stays,
// too: each that goes splits a mapping.
const smallest = 1 << 16

// giveBack gives back the triangles that have come to be below the plane since it
// was called last, but for those that the plane still crosses.
func (c *Cutter) giveBack() {
	const size = 12 // of a triangle
	end := int(c.starts[c.layer])
	if (end-c.given)*size < c.piece {
		return
	}
	drop := func(from, to int) {
		if (to-from)*size >= smallest {
			vault.Forget(c.spent, c.tris[from:to])
		}
	}
	from := c.given
	for _, t := range c.active[:c.n] { // in order
		if int(t) >= end {
			break
		}
		if int(t) >= from {
			drop(from, int(t))
			from = int(t) + 1
		}
	}
	drop(from, end)
	c.given = end
}
