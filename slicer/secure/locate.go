package secure

import (
	"platen/slicer/markup"
	"platen/slicer/pack"
	"platen/slicer/vault"
)

const relKeystore = "http://schemas.microsoft.com/3dmanufacturing/2019/04/keystore"

// Locate returns the entry of an archive that is its keystore, or -1 if it has none. It
// takes 68 KiB of scratch memory of v. The errors are ErrFormat and those of packages
// pack, markup and vault.
func Locate(v *vault.Vault, a *pack.Archive, in *pack.Reader) (int, error) {
	rels := a.Find([]byte("_rels/.rels"))
	if rels < 0 {
		return -1, nil
	}
	x, err := markup.New(v, []string{"http://schemas.openxmlformats.org/package/2006/relationships"})
	if err != nil {
		return -1, err
	}
	in.Reset(a, rels)
	if err := x.Reset(in, freeXML); err != nil {
		return -1, err
	}
	for found := -1; ; {
		switch e, err := x.Next(); {
		case err != nil || e == markup.Done:
			return found, err
		case e == markup.End || !x.Is(0, "Relationship"):
			continue
		}
		if kind, _ := x.Get(markup.NoSpace, "Type"); string(kind) != relKeystore {
			continue
		}
		target, _ := x.Get(markup.NoSpace, "Target")
		path, ok := markup.Text(make([]byte, 0, 1<<10), target)
		if at := a.Find(path); ok && at >= 0 && found < 0 {
			found = at
			continue
		}
		return -1, malformed("the keystore is not there, or there are two")
	}
}
