// Package securetest makes 3MF packages with encrypted parts, sound ones and others, for
// the tests of those who open them. It is written from the specification of Secure
// Content 1.0.3, apart from package secure.
package securetest

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"hash"
	"strings"
)

// Package says how a package is made. The zero value has no consumer.
type Package struct {
	Consumers []Consumer
	Deflate   bool   // before encryption
	Zip       uint16 // method of the encrypted part in the archive: 0 stored, 8 deflate
	Extra     string // authenticated data
	Hash      string // of OAEP: "" says nothing, "sha1" or "sha256"
	MGF1      bool   // the algorithm whose mask generation is fixed

	// Edit changes the files of the package before they are packed.
	Edit func(files map[string][]byte)
}

// Consumer may read the package.
type Consumer struct {
	ID       string
	Key      *rsa.PublicKey
	ShowsKey bool // the key stands in the keystore
}

// Model is a cube of 20 mm in a part of its own, and a root model that refers to it.
func Model() (root, part string) {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources><object id="1" type="model"><mesh><vertices>`)
	for i := range 8 {
		fmt.Fprintf(&b, `<vertex x="%d" y="%d" z="%d"/>`, 20*(i&1), 20*(i>>1&1), 20*(i>>2&1))
	}
	b.WriteString(`</vertices><triangles>`)
	for _, t := range sides {
		fmt.Fprintf(&b, `<triangle v1="%d" v2="%d" v3="%d"/>`, t[0], t[1], t[2])
	}
	b.WriteString(`</triangles></mesh></object></resources><build/></model>`)
	return `<?xml version="1.0" encoding="UTF-8"?><model unit="millimeter" xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02" ` +
		`xmlns:p="http://schemas.microsoft.com/3dmanufacturing/production/2015/06" xmlns:sc="http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04" ` +
		`requiredextensions="sc p"><resources><object id="2"><components><component objectid="1" p:path="/3D/part.model"/></components></object></resources>` +
		`<build><item objectid="2"/></build></model>`, b.String()
}

// Sides of a cube by its corners; bit k of a corner's number is its side along axis k.
var sides = [][3]int{{0, 2, 1}, {1, 2, 3}, {4, 5, 6}, {5, 7, 6}, {0, 1, 4}, {1, 5, 4}, {2, 6, 3}, {3, 6, 7}, {0, 4, 2}, {2, 4, 6}, {1, 3, 5}, {3, 7, 5}}

// Make makes the package around Model.
func Make(p Package) ([]byte, error) {
	root, part := Model()
	key, iv := make([]byte, 32), make([]byte, 12)
	rand.Read(key)
	rand.Read(iv)
	sealed, tag, err := encrypt([]byte(part), key, iv, p)
	if err != nil {
		return nil, err
	}
	store, err := keystore(key, iv, tag, p)
	if err != nil {
		return nil, err
	}
	const types = "http://schemas.microsoft.com/3dmanufacturing/"
	relation := func(id, target, kind string) string {
		return `<Relationship Id="` + id + `" Target="` + target + `" Type="` + kind + `"/>`
	}
	relations := func(r string) []byte {
		return []byte(`<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` + r + `</Relationships>`)
	}
	files := map[string][]byte{
		"_rels/.rels": relations(relation("m", "/3D/3dmodel.model", types+"2013/01/3dmodel") + relation("k", "/Secure/keystore.xml", types+"2019/04/keystore") +
			relation("p", "/Secure/keystore.xml", "http://schemas.openxmlformats.org/package/2006/relationships/mustpreserve")),
		"3D/_rels/3dmodel.model.rels": relations(relation("a", "/3D/part.model", types+"2013/01/3dmodel") +
			relation("b", "/3D/part.model", "http://schemas.openxmlformats.org/package/2006/relationships/encryptedfile")),
		"3D/3dmodel.model": []byte(root), "3D/part.model": sealed, "Secure/keystore.xml": store,
	}
	if p.Edit != nil {
		p.Edit(files)
	}
	return pack(files, p.Zip)
}

func pack(files map[string][]byte, method uint16) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range []string{"_rels/.rels", "Secure/keystore.xml", "3D/_rels/3dmodel.model.rels", "3D/3dmodel.model", "3D/part.model"} {
		body, ok := files[name]
		if !ok {
			continue
		}
		m := zip.Deflate
		if name == "3D/part.model" {
			m = method
		}
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: m})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(body); err != nil {
			return nil, err
		}
	}
	err := z.Close()
	return b.Bytes(), err
}

// encrypt makes a cipher file, whose tag is elsewhere.
func encrypt(plain, key, iv []byte, p Package) (file, tag []byte, err error) {
	if p.Deflate {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		if err != nil {
			return nil, nil, err
		}
		w.Write(plain)
		w.Close()
		plain = b.Bytes()
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, nil, err
	}
	sealed := gcm.Seal(nil, iv, plain, []byte(p.Extra))
	cut := len(sealed) - gcm.Overhead()
	return append([]byte("%3McF\x00\x00\x00\x0c\x00\x00\x00"), sealed[:cut]...), sealed[cut:], nil
}

func keystore(key, iv, tag []byte, p Package) ([]byte, error) {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<keystore xmlns="http://schemas.microsoft.com/3dmanufacturing/securecontent/2019/04" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#" UUID="0dd2a021-9bd9-4a2c-9d6e-7e1f3a0c5b11">` + "\n")
	for _, c := range p.Consumers {
		fmt.Fprintf(&b, `<consumer consumerid="%s" keyid="1">`, c.ID)
		if c.ShowsKey {
			der, err := x509.MarshalPKIXPublicKey(c.Key)
			if err != nil {
				return nil, err
			}
			fmt.Fprintf(&b, "<keyvalue>%s</keyvalue>", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		}
		b.WriteString("</consumer>\n")
	}
	b.WriteString(`<resourcedatagroup keyuuid="1f0d9c3e-1111-4222-8333-944445555666">` + "\n")
	wrapping := `wrappingalgorithm="http://www.w3.org/2009/xmlenc11#rsa-oaep"`
	digest := hash.Hash(sha1.New())
	switch {
	case p.MGF1:
		wrapping = `wrappingalgorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"`
	case p.Hash == "sha1":
		wrapping += ` mgfalgorithm="http://www.w3.org/2009/xmlenc11#mgf1sha1" digestmethod="http://www.w3.org/2000/09/xmldsig#sha1"`
	case p.Hash == "sha256":
		wrapping += ` mgfalgorithm="http://www.w3.org/2009/xmlenc11#mgf1sha256" digestmethod="http://www.w3.org/2001/04/xmlenc#sha256"`
		digest = sha256.New()
	}
	for i, c := range p.Consumers {
		wrapped, err := rsa.EncryptOAEP(digest, rand.Reader, c.Key, key, nil)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "<accessright consumerindex=\"%d\"><kekparams %s/><cipherdata><xenc:CipherValue>%s</xenc:CipherValue></cipherdata></accessright>\n", i, wrapping, text(wrapped))
	}
	compression := "none"
	if p.Deflate {
		compression = "deflate"
	}
	fmt.Fprintf(&b, `<resourcedata path="/3D/part.model"><cekparams encryptionalgorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm" compression="%s"><iv>%s</iv><tag>%s</tag>`, compression, text(iv), text(tag))
	if p.Extra != "" {
		fmt.Fprintf(&b, "<aad>%s</aad>", text([]byte(p.Extra)))
	}
	b.WriteString("</cekparams></resourcedata></resourcedatagroup></keystore>\n")
	return []byte(b.String()), nil
}

func text(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
