package pipe

import (
	"slices"

	"platen/slicer/geom"
	"platen/slicer/vault"
)

// neighbours is the stage that sees layers together with those around them. It is
// alone and in order: what it does must be cheap, and everything else is left to
// the workers.
type neighbours struct {
	p       Params
	pending []*Layer // shaped, not yet handed on, lowest first
	prev    geom.Region
	skins   skins
	props   *props
}

func newNeighbours(p Params) *neighbours {
	return &neighbours{p: p, skins: skins{p: &p}, props: newProps(&p)}
}

func (n *neighbours) wipe() {
	n.prev.Wipe()
	n.skins.wipe()
	n.props.wipe()
}

// keep has all buffers that have grown moved into the vault.
func (n *neighbours) keep(a *vault.Arena) {
	a.Keep(&n.prev)
	n.skins.keep(a)
	n.props.keep(a)
}

// lookahead is how many layers above a layer must be there before it is handed on.
func (p Params) lookahead() int {
	if p.Support.Plan.Empty() {
		return p.skinsAhead()
	}
	return max(p.skinsAhead(), p.layersWithin(p.Support.Gap))
}

// add takes the next layer, which has been shaped.
func (n *neighbours) add(l *Layer) error {
	if l.Index < 0 { // of a raft
		n.pending = append(n.pending, l)
		return nil
	}
	l.below.Reset()
	if l.upright = l.Index == 0 || sameRegion(&n.prev, &l.Outline); !l.upright {
		l.below.Append(&n.prev)
	}
	n.prev.Reset()
	n.prev.Append(&l.Outline)
	n.pending = append(n.pending, l)
	return nil
}

// next looks at the lowest pending layer and returns it, or nil if a layer that it
// depends on is still to come. last says that there are no more layers. pending[1]
// and on are the layers above it meanwhile.
func (n *neighbours) next(last bool) (*Layer, error) {
	if len(n.pending) > 0 && n.pending[0].Index < 0 {
		l := n.pending[0]
		n.props.found(l)
		n.pending = slices.Delete(n.pending, 0, 1)
		return l, nil
	}
	if len(n.pending) == 0 || (!last && len(n.pending) <= n.p.lookahead()) {
		return nil, nil
	}
	l := n.pending[0]
	n.skins.look(l, n.pending[1:])
	n.props.found(l)
	n.props.meet(l, n.pending[1:])
	n.pending = slices.Delete(n.pending, 0, 1)
	n.skins.leave(l)
	return l, nil
}
