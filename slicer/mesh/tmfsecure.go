package mesh

import (
	"bytes"

	"platen/slicer/markup"
	"platen/slicer/secure"
)

// findRoot reads the relationships of the package, in which there must be one model, and
// those of that model; and the keystore if there is one.
func (t *tmfReader) findRoot() (int, error) {
	rels := t.a.Find([]byte("_rels/.rels"))
	if rels < 0 {
		return 0, ErrFormat
	}
	root, keys := -1, -1
	err := t.relations(rels, func(kind string, target int) error {
		at := &root
		switch kind {
		case relKeyOld:
			return unsupported("it is encrypted as a draft of the Secure Content extension said")
		case relKeystore:
			at = &keys
		case relModel:
		default:
			return nil
		}
		if *at >= 0 || target < 0 {
			return ErrFormat
		}
		*at = target
		return nil
	})
	if err != nil {
		return 0, err
	}
	if root < 0 {
		return 0, ErrFormat
	}
	if rels := t.relationsOf(root); rels >= 0 {
		if err := t.relations(rels, func(string, int) error { return nil }); err != nil {
			return 0, err
		}
	}
	if keys >= 0 {
		if t.store, err = secure.Read(t.v, t.a, t.in, keys); err != nil {
			return 0, err
		}
	}
	if t.shut[root] || t.store != nil && t.store.Has(root) {
		return 0, ErrFormat // it must be readable
	}
	return root, nil
}

// relations calls f for every relationship within the package, and notes what is
// encrypted. A target that is not there is -1.
func (t *tmfReader) relations(entry int, f func(kind string, target int) error) error {
	if err := t.begin(entry); err != nil {
		return err
	}
	return t.document("Relationships", nsRelations, nil, func() error {
		kind, _ := t.x.Get(markup.NoSpace, "Type")
		mode, outside := t.x.Get(markup.NoSpace, "TargetMode")
		target, at := []byte(nil), -1
		if outside = outside && string(mode) != "Internal"; !outside {
			target, _ = t.x.Get(markup.NoSpace, "Target")
			at = t.find(target)
		}
		if string(kind) == relEncrypted {
			if at < 0 {
				return ErrFormat
			}
			t.shut[at] = true
		}
		if err := f(string(kind), at); err != nil {
			return err
		}
		return t.x.Skip()
	})
}

// relationsOf is the entry with the relationships of another one, or -1 (ECMA-376 part
// 2, 6.5.2.2).
func (t *tmfReader) relationsOf(entry int) int {
	name := t.a.Name(entry)
	at := bytes.LastIndexByte(name, '/') + 1
	path := append(append(append(append(t.text[:0], name[:at]...), "_rels/"...), name[at:]...), ".rels"...)
	return t.a.Find(path)
}

// beginModel starts to read a model part, decrypted if it is encrypted: then the
// keystore and a relationship must both say so.
func (t *tmfReader) beginModel(entry int) error {
	has := t.store != nil && t.store.Has(entry)
	if has != t.shut[entry] {
		return ErrFormat
	}
	if !has {
		return t.begin(entry)
	}
	if err := t.store.Open(t.v, t.a, t.in, entry, t.keys); err != nil {
		return err
	}
	return t.x.Reset(ctxReader{t.ctx, t.in}, freeMarkup)
}
