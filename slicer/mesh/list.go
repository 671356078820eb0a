package mesh

import "platen/slicer/vault"

// list is a list of unknown length in the scratch memory of a vault. It grows chunk
// by chunk and never moves.
type list[T any] struct {
	v      *vault.Vault
	bits   int // log2 of the length of a chunk
	chunks [][]T
	n      int
}

func newList[T any](v *vault.Vault, bits int) list[T] { return list[T]{v: v, bits: bits} }

// add appends x.
func (l *list[T]) add(x T) error {
	at := l.n & (1<<l.bits - 1)
	if at == 0 {
		c, err := vault.Scratch[T](l.v, 1<<l.bits)
		if err != nil {
			return err
		}
		l.chunks = append(l.chunks, c)
	}
	l.chunks[len(l.chunks)-1][at] = x
	l.n++
	return nil
}

// at is element i.
func (l *list[T]) at(i int) *T { return &l.chunks[i>>l.bits][i&(1<<l.bits-1)] }
