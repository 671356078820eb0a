package secure

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strconv"

	"platen/slicer/markup"
	"platen/slicer/pack"
	"platen/slicer/vault"
)

const (
	nsSecure markup.Space = iota
	nsEncryption
)

// Namespace is that of the extension.
const Namespace = "http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04"

var spaces = []string{Namespace, "http://www.w3.org/2001/04/xmlenc#"}

// Names of algorithms.
const (
	wrapMGF1    = "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" // with MGF1 and SHA-1
	wrapOAEP    = "http://www.w3.org/2009/xmlenc11#rsa-oaep"
	maskSHA1    = "http://www.w3.org/2009/xmlenc11#mgf1sha1"
	maskSHA256  = "http://www.w3.org/2009/xmlenc11#mgf1sha256"
	digestSHA1  = "http://www.w3.org/2000/09/xmldsig#sha1"
	digest256   = "http://www.w3.org/2001/04/xmlenc#sha256"
	cipherGCM   = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
	mostText    = 16 << 10 // of one element
	freeXML     = 1 << 20
	perResource = 2 << 10 // bytes of XML that an element of use may take
)

// reader reads a keystore.
type reader struct {
	*Store
	a *pack.Archive
	x *markup.Reader
}

// Read reads the keystore that entry of an archive is. It takes 84 KiB of scratch memory
// of v. The errors are ErrFormat and those of packages pack, markup and vault.
func Read(v *vault.Vault, a *pack.Archive, in *pack.Reader, entry int) (*Store, error) {
	x, err := markup.New(v, spaces)
	if err != nil {
		return nil, err
	}
	text, err := vault.Scratch[byte](v, mostText)
	if err != nil {
		return nil, err
	}
	r := &reader{&Store{parts: map[int]part{}, text: text[:0]}, a, x}
	in.Reset(a, entry)
	if err := x.Reset(in, freeXML); err != nil {
		return nil, err
	}
	if err := r.document(); err != nil {
		return nil, err
	}
	if r.Has(entry) {
		return nil, malformed("it says of itself that it is encrypted")
	}
	return r.Store, nil
}

func malformed(what string) error { return fmt.Errorf("%w (%s)", ErrFormat, what) }

func (r *reader) document() error {
	if e, err := r.x.Next(); err != nil {
		return err
	} else if e != markup.Start || !r.x.Is(nsSecure, "keystore") {
		return malformed("another root element")
	}
	if !r.uuid("UUID") {
		return malformed("a keystore without UUID")
	}
	err := r.children(func() error {
		switch {
		case r.x.Is(nsSecure, "consumer") && r.groups == 0:
			return r.consumer()
		case r.x.Is(nsSecure, "resourcedatagroup"):
			return r.group()
		}
		return r.other()
	})
	if err != nil {
		return err
	}
	_, err = r.x.Next() // nothing may follow the root
	return err
}

// children calls f for every element in the one that began; f must read all of it.
func (r *reader) children(f func() error) error {
	if r.x.Empty() {
		return nil
	}
	for {
		e, err := r.x.Next()
		if err != nil {
			return err
		}
		if e == markup.End {
			return nil
		}
		r.x.Allow(perResource)
		if err := f(); err != nil {
			return err
		}
	}
}

// other passes over an element of another namespace.
func (r *reader) other() error {
	if _, s := r.x.Name(); s == nsSecure || s == nsEncryption || s == markup.NoSpace {
		return malformed("an element where none may be")
	}
	return r.x.Skip()
}

// attr returns an attribute, good until the next element.
func (r *reader) attr(name string) (string, bool) {
	b, ok := r.x.Get(markup.NoSpace, name)
	if !ok {
		return "", false
	}
	b, ok = markup.Text(r.text[:0], b)
	return string(b), ok
}

// uuid reports whether an attribute has the form of a UUID (RFC 9562, 4).
func (r *reader) uuid(name string) bool {
	v, ok := r.attr(name)
	if !ok || len(v) != 36 {
		return false
	}
	for i := range len(v) {
		switch c := v[i] | 0x20; {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if v[i] != '-' {
				return false
			}
		case '0' <= v[i] && v[i] <= '9', 'a' <= c && c <= 'f':
		default:
			return false
		}
	}
	return true
}

func (r *reader) consumer() error {
	id, ok := r.attr("consumerid")
	if !ok || id == "" || len(r.consumers) == mostConsumers {
		return malformed("a consumer without id, or too many consumers")
	}
	keyID, _ := r.attr("keyid")
	for _, c := range r.consumers {
		if string(c.id) == id && string(c.keyID) == keyID {
			return malformed("a consumer is there twice")
		}
	}
	c := consumer{id: []byte(id), keyID: []byte(keyID)}
	err := r.children(func() error {
		if !r.x.Is(nsSecure, "keyvalue") || c.spki != nil {
			return r.other()
		}
		text, err := r.x.Content(r.text[:0])
		if err != nil {
			return err
		}
		block, _ := pem.Decode(bytes.TrimSpace(text))
		if block == nil || block.Type != "PUBLIC KEY" {
			return malformed("the key of a consumer is no public key")
		}
		c.spki = block.Bytes
		return nil
	})
	r.consumers = append(r.consumers, c)
	return err
}

func (r *reader) group() error {
	if !r.uuid("keyuuid") || r.groups == MostGroups {
		return malformed("a group without UUID, or too many groups")
	}
	group := r.groups
	r.groups++
	return r.children(func() error {
		switch {
		case r.x.Is(nsSecure, "accessright"):
			return r.right(group)
		case r.x.Is(nsSecure, "resourcedata"):
			return r.resource(group)
		}
		return r.other()
	})
}

func (r *reader) right(group int) error {
	index, _ := r.attr("consumerindex")
	n, err := strconv.ParseUint(index, 10, 31)
	if err != nil || n >= uint64(len(r.consumers)) {
		return malformed("a right of a consumer that is not there")
	}
	w := right{consumer: int(n), Wrapped: Wrapped{Group: group}}
	for _, other := range r.rights {
		if other.Group == group && other.consumer == w.consumer {
			return malformed("a consumer has two rights to one group")
		}
	}
	err = r.children(func() error {
		switch {
		case r.x.Is(nsSecure, "kekparams") && w.Digest == 0:
			if err := r.wrapping(&w.Wrapped); err != nil {
				return err
			}
			return r.children(r.other)
		case r.x.Is(nsSecure, "cipherdata") && w.Key == nil:
			return r.children(func() error {
				if !r.x.Is(nsEncryption, "CipherValue") || w.Key != nil {
					return r.other()
				}
				w.Key, err = r.base64(1 << 10)
				return err
			})
		}
		return r.other()
	})
	if err == nil && (w.Digest == 0 || len(w.Key) == 0) {
		err = malformed("a right without a key")
	}
	r.rights = append(r.rights, w)
	return err
}

// wrapping reads how a content key is encrypted.
func (r *reader) wrapping(w *Wrapped) error {
	algorithm, _ := r.attr("wrappingalgorithm")
	mask, hasMask := r.attr("mgfalgorithm")
	digest, hasDigest := r.attr("digestmethod")
	w.Digest, w.Mask = SHA1, SHA1
	switch {
	case algorithm == wrapMGF1 && hasMask, algorithm != wrapMGF1 && algorithm != wrapOAEP:
		return malformed("a content key is encrypted in a way that is not known")
	case mask == maskSHA256:
		w.Mask = SHA256
	case hasMask && mask != maskSHA1:
		return malformed("a mask generation that is not known")
	}
	switch {
	case digest == digest256:
		w.Digest = SHA256
	case hasDigest && digest != digestSHA1:
		return malformed("a digest that is not known")
	}
	return nil
}

func (r *reader) resource(group int) error {
	path, ok := r.attr("path")
	entry := -1
	if ok && len(path) > 1 && path[0] == '/' {
		entry = r.a.Find([]byte(path))
	}
	if entry < 0 || len(r.parts) == mostParts {
		return malformed("an encrypted part that is not there, or too many of them")
	}
	if r.Has(entry) || bytes.HasSuffix(r.a.Name(entry), []byte(".rels")) {
		return malformed("a part is encrypted twice, or must not be encrypted")
	}
	p := part{group: group}
	seen := false
	err := r.children(func() error {
		if !r.x.Is(nsSecure, "cekparams") || seen {
			return r.other()
		}
		seen = true
		return r.content(&p)
	})
	if err == nil && !seen {
		err = malformed("an encrypted part without parameters")
	}
	r.parts[entry] = p
	return err
}

// content reads how a part is encrypted.
func (r *reader) content(p *part) error {
	if algorithm, _ := r.attr("encryptionalgorithm"); algorithm != cipherGCM {
		return malformed("a part is encrypted in a way that is not known")
	}
	switch compression, ok := r.attr("compression"); {
	case compression == "deflate":
		p.deflate = true
	case ok && compression != "none":
		return malformed("a part is compressed in a way that is not known")
	}
	var iv, tag []byte
	err := r.children(func() (err error) {
		switch {
		case r.x.Is(nsSecure, "iv") && iv == nil:
			iv, err = r.base64(len(p.iv))
		case r.x.Is(nsSecure, "tag") && tag == nil:
			tag, err = r.base64(len(p.tag))
		case r.x.Is(nsSecure, "aad") && p.extra == nil:
			p.extra, err = r.base64(mostExtra)
		default:
			err = r.other()
		}
		return err
	})
	if err == nil && (copy(p.iv[:], iv) != len(p.iv) || copy(p.tag[:], tag) != len(p.tag)) {
		err = malformed("an encrypted part without its initial value or its tag")
	}
	return err
}

// base64 reads the element that began as base64 of at most so many bytes; white space
// in it does not count.
func (r *reader) base64(most int) ([]byte, error) {
	text, err := r.x.Content(r.text[:0])
	if err != nil {
		return nil, err
	}
	kept := text[:0]
	for _, b := range text {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			kept = append(kept, b)
		}
	}
	b, err := base64.StdEncoding.Strict().AppendDecode(make([]byte, 0, most+2), kept)
	if err != nil || len(b) > most {
		return nil, malformed("a value is not base64, or is too long")
	}
	return b, nil
}
