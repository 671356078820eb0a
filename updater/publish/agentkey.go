package publish

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

// Messages of the agent protocol (draft-ietf-sshm-ssh-agent).
const (
	agentList     = 11
	agentListed   = 12
	agentSign     = 13
	agentSigned   = 14
	agentLongest  = 256 << 10
	agentPatience = 5 * time.Minute // somebody may have to touch a token
)

const (
	sshEd25519 = "ssh-ed25519"
	sshP256    = "ecdsa-sha2-nistp256"
)

// agentKey is a key that an ssh-agent has.
type agentKey struct {
	socket string
	blob   []byte
	public crypto.PublicKey
}

// AgentKeys lists the keys of the ssh-agent at a socket ("": that of SSH_AUTH_SOCK) that
// can sign here. The agent may have them from files, from a PKCS #11 token (ssh-add -s
// MODULE), or be one that keeps them in a TPM.
func AgentKeys(socket string) ([]Signer, error) {
	if socket == "" {
		socket = os.Getenv("SSH_AUTH_SOCK")
	}
	if socket == "" {
		return nil, errors.New("no ssh-agent: start one, or name its socket")
	}
	answer, err := askAgent(socket, []byte{agentList}, agentListed)
	if err != nil {
		return nil, err
	}
	if len(answer) < 4 {
		return nil, errAgent
	}
	var list []Signer
	rest := answer[4:]
	for range min(binary.BigEndian.Uint32(answer), 1<<10) {
		blob, more, ok1 := cutString(rest)
		_, after, ok2 := cutString(more)
		if !ok1 || !ok2 {
			return nil, errAgent
		}
		if public := sshPublic(blob); public != nil {
			list = append(list, agentKey{socket, blob, public})
		}
		rest = after
	}
	return list, nil
}

func (k agentKey) Public() crypto.PublicKey { return k.public }

func (k agentKey) Sign(message []byte) ([]byte, error) {
	req := appendString([]byte{agentSign}, k.blob)
	req = binary.BigEndian.AppendUint32(appendString(req, message), 0)
	answer, err := askAgent(k.socket, req, agentSigned)
	if err != nil {
		return nil, err
	}
	signature, _, ok1 := cutString(answer)
	_, rest, ok2 := cutString(signature)
	sig, _, ok3 := cutString(rest)
	if !ok1 || !ok2 || !ok3 {
		return nil, errAgent
	}
	if _, ok := k.public.(ed25519.PublicKey); ok {
		return sig, nil
	}
	r, rest, ok1 := cutString(sig)
	s, _, ok2 := cutString(rest)
	if !ok1 || !ok2 {
		return nil, errAgent
	}
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(r), new(big.Int).SetBytes(s)})
}

var errAgent = errors.New("the ssh-agent answers what it should not")

// askAgent sends one request and returns the answer behind its type.
func askAgent(socket string, request []byte, want byte) (answer []byte, err error) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("reach the ssh-agent: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(agentPatience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(appendString(nil, request)); err != nil {
		return nil, fmt.Errorf("ask the ssh-agent: %w", err)
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, fmt.Errorf("ask the ssh-agent: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > agentLongest {
		return nil, errAgent
	}
	answer = make([]byte, n)
	if _, err := io.ReadFull(c, answer); err != nil {
		return nil, fmt.Errorf("ask the ssh-agent: %w", err)
	}
	if answer[0] != want {
		return nil, errors.New("the ssh-agent refuses: is it locked, or was the key removed?")
	}
	return answer[1:], nil
}

func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

func cutString(b []byte) (s, rest []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if n > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// sshPublic is the public key in a key blob (RFC 8709, RFC 5656), nil for what cannot sign
// here.
func sshPublic(blob []byte) crypto.PublicKey {
	kind, rest, ok := cutString(blob)
	if !ok {
		return nil
	}
	switch string(kind) {
	case sshEd25519:
		if k, _, ok := cutString(rest); ok && len(k) == ed25519.PublicKeySize {
			return ed25519.PublicKey(k)
		}
	case sshP256:
		_, rest, ok1 := cutString(rest) // the curve again
		point, _, ok2 := cutString(rest)
		if !ok1 || !ok2 {
			return nil
		}
		if k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point); err == nil {
			return k
		}
	}
	return nil
}
