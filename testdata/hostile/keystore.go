package hostile

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"

	"platen/slicer/secure/securetest"
)

// edit changes the files of a package before they are packed.
type edit func(files map[string][]byte)

// editStore edits the keystore.
func editStore(f func(string) string) edit {
	return func(files map[string][]byte) {
		files["Secure/keystore.xml"] = []byte(f(string(files["Secure/keystore.xml"])))
	}
}

// replace puts new in the place of old in one file.
func replace(name, old, new string) edit {
	return func(files map[string][]byte) {
		was := string(files[name])
		is := strings.Replace(was, old, new, 1)
		if is == was {
			panic("nothing to replace: " + old)
		}
		files[name] = []byte(is)
	}
}

// span is where the first element of a keystore is that begins with open.
func span(s, open, end string) (from, to int) {
	from = strings.Index(s, open)
	return from, from + strings.Index(s[from:], end) + len(end)
}

func remove(open, end string) edit {
	return editStore(func(s string) string {
		from, to := span(s, open, end)
		return s[:from] + s[to:]
	})
}

func twice(open, end string) edit {
	return editStore(func(s string) string {
		from, to := span(s, open, end)
		return s[:to] + s[from:]
	})
}

// EmptyGroup is a group of a keystore in which nothing is encrypted. 64 of them are sound.
const EmptyGroup = `<resourcedatagroup keyuuid="1f0d9c3e-1111-4222-8333-944445555666"/>`

// Secured are packages with encrypted parts whose keystore lies, or whose parts are not
// what it says: threat T15. Nobody has the key of what is encrypted in them.
func Secured() ([]File, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("making a key that nobody has: %w", err)
	}
	var files []File
	for _, c := range keystores() {
		b, err := securetest.Make(securetest.Package{
			Consumers: []securetest.Consumer{{ID: "P1", Key: &key.PublicKey, ShowsKey: true}}, Edit: c.edit,
		})
		if err != nil {
			return nil, fmt.Errorf("making a package that lies: %w", err)
		}
		files = append(files, File{Name: c.name, Class: NoFormat, Body: b})
	}
	return files, nil
}

// wound is one lie of a package with encrypted parts.
type wound struct {
	name string
	edit edit
}

func keystores() []wound {
	const (
		store, root, part = "Secure/keystore.xml", "3D/3dmodel.model", "3D/part.model"
		rels, partRels    = "_rels/.rels", "3D/_rels/3dmodel.model.rels"
		encrypted         = `<Relationship Id="b" Target="/3D/part.model" Type="http://schemas.openxmlformats.org/package/2006/relationships/encryptedfile"/>`
	)
	return []wound{
		{"no relationship of encryption", replace(partRels, encrypted, "")},
		{"only the relationship", remove("<resourcedata ", "</resourcedata>")},
		{"no keystore in the package", func(f map[string][]byte) { delete(f, store) }},
		{"no relationship of the store", replace(rels, "2019/04/keystore", "2019/04/other")},
		{"the root is encrypted", replace(store, `path="/3D/part.model"`, `path="/3D/3dmodel.model"`)},
		{"the keystore is encrypted", replace(store, `path="/3D/part.model"`, `path="/Secure/keystore.xml"`)},
		{"relationships are encrypted", replace(store, `path="/3D/part.model"`, `path="/_rels/.rels"`)},
		{"a part that is not there", replace(store, `path="/3D/part.model"`, `path="/3D/nothing.model"`)},
		{"a relative part", replace(store, `path="/3D/part.model"`, `path="3D/part.model"`)},
		{"a path upwards", replace(store, `path="/3D/part.model"`, `path="/../3D/part.model"`)},
		{"a part twice", twice("<resourcedata ", "</resourcedata>")},
		{"no iv", remove("<iv>", "</iv>")},
		{"no tag", remove("<tag>", "</tag>")},
		{"two tags", twice("<tag>", "</tag>")},
		{"a short iv", editStore(func(s string) string { at := strings.Index(s, "<iv>") + 4; return s[:at] + s[at+4:] })},
		{"a short tag", editStore(func(s string) string { at := strings.Index(s, "<tag>") + 5; return s[:at] + s[at+4:] })},
		{"another cipher", replace(store, "aes256-gcm", "aes256-cbc")},
		{"another compression", replace(store, `compression="none"`, `compression="zstd"`)},
		{"another wrapping", replace(store, "2009/xmlenc11#rsa-oaep", "2001/04/xmlenc#rsa-1_5")},
		{"mgf with the fixed one", replace(store, `"http://www.w3.org/2009/xmlenc11#rsa-oaep"`, `"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" mgfalgorithm="http://www.w3.org/2009/xmlenc11#mgf1sha1"`)},
		{"another digest", replace(store, "<kekparams ", `<kekparams digestmethod="md5" `)},
		{"another mask", replace(store, "<kekparams ", `<kekparams mgfalgorithm="md5" `)},
		{"a consumer out of range", replace(store, `consumerindex="0"`, `consumerindex="1"`)},
		{"a negative consumer", replace(store, `consumerindex="0"`, `consumerindex="-1"`)},
		{"no consumer index", replace(store, `consumerindex="0"`, ``)},
		{"two rights of one", twice("<accessright ", "</accessright>")},
		{"no wrapped key", remove("<cipherdata>", "</cipherdata>")},
		{"no base64", replace(store, "<xenc:CipherValue>", "<xenc:CipherValue>!")},
		{"no parameters of the right", remove("<kekparams ", "/>")},
		{"no parameters of the part", remove("<cekparams ", "</cekparams>")},
		{"a consumer twice", twice("<consumer ", "</consumer>")},
		{"a consumer without id", replace(store, `consumerid="P1"`, ``)},
		{"a key that is none", replace(store, "BEGIN PUBLIC KEY", "BEGIN PRIVATE KEY")},
		{"no UUID", replace(store, `UUID="0dd2`, `UUID="xdd2`)},
		{"no UUID of the group", replace(store, `keyuuid=`, `key=`)},
		{"an unknown element", replace(store, "</keystore>", "<more/></keystore>")},
		{"another namespace", replace(store, "securecontent/2019/04", "securecontent/2019/07")},
		{"a document type", replace(store, "<keystore", "<!DOCTYPE x><keystore")},
		{"another root", replace(store, "<keystore", "<store/><keystore")},
		{"65 groups", editStore(func(s string) string {
			return strings.Replace(s, "</keystore>", strings.Repeat(EmptyGroup, 64)+"</keystore>", 1)
		})},
		{"megabytes of nothing", editStore(func(s string) string {
			return strings.Replace(s, "</keystore>", strings.Repeat(" ", 2<<20)+"</keystore>", 1)
		})},
		{"another first bytes", func(f map[string][]byte) { f[part][0] = 'x' }},
		{"another version", func(f map[string][]byte) { f[part][5] = 1 }},
		{"a header beyond the part", func(f map[string][]byte) { f[part][11] = 1 }},
		{"a header too short", func(f map[string][]byte) { f[part][8] = 11 }},
		{"a part of eleven bytes", func(f map[string][]byte) { f[part] = f[part][:11] }},
		{"an encrypted target outside", replace(partRels, `Id="b"`, `Id="b" TargetMode="External"`)},
		{"a plain part said to be sealed", func(f map[string][]byte) { _, plain := securetest.Model(); f[part] = []byte(plain) }},
	}
}
