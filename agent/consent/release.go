package consent

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
)

// The owner's word on a release: what is signed begins with releaseHead, and the
// signature is the last line.
const (
	releaseHead = "platen: the owner approves\n"
	releaseSig  = "signature "
)

// maxRelease bounds the owner's word, in bytes.
const maxRelease = 8 << 10

// ErrRelease reports an owner's word on a release that is none.
var ErrRelease = errors.New("the approval is not signed by the owner's key: platen update sign")

// ReleaseStatement is what the owner signs of a release that is described by text.
func ReleaseStatement(text []byte) []byte { return append([]byte(releaseHead), text...) }

// SignRelease signs a statement that ReleaseStatement has made. It refuses any other text,
// so that nothing else is ever signed by mistake.
func SignRelease(statement []byte, owner ed25519.PrivateKey) ([]byte, error) {
	if !bytes.HasPrefix(statement, []byte(releaseHead)) || !bytes.HasSuffix(statement, []byte("\n")) ||
		len(statement) > maxRelease || bytes.Contains(statement, []byte("\n"+releaseSig)) {
		return nil, errors.New("that is no release to be approved: take it from platen update waiting")
	}
	sig := base64.StdEncoding.EncodeToString(ed25519.Sign(owner, statement))
	return append(bytes.Clone(statement), releaseSig+sig+"\n"...), nil
}

// OpenRelease is the statement of an approval, if it is the owner's; otherwise it returns
// ErrRelease.
func OpenRelease(approval []byte, owner ed25519.PublicKey) ([]byte, error) {
	at := bytes.LastIndex(approval, []byte("\n"+releaseSig))
	if at < 0 || len(approval) > 2*maxRelease || len(owner) != ed25519.PublicKeySize {
		return nil, ErrRelease
	}
	statement := approval[:at+1]
	sig, err := base64.StdEncoding.Strict().DecodeString(string(bytes.TrimSuffix(approval[at+1+len(releaseSig):], []byte("\n"))))
	if err != nil || !bytes.HasPrefix(statement, []byte(releaseHead)) || !ed25519.Verify(owner, statement, sig) {
		return nil, ErrRelease
	}
	return statement, nil
}
