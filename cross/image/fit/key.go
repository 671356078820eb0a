package fit

import (
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"math/big"

	"platen/cross/image/fdt"
)

// KeyName is how a FIT and U-Boot's device tree name the key.
const KeyName = "platen"

func algorithm(key *rsa.PublicKey) (string, error) {
	switch bits := key.N.BitLen(); bits {
	case 2048, 3072, 4096:
		return fmt.Sprintf("sha256,rsa%d", bits), nil
	}
	return "", fmt.Errorf("a key for FITs has 2048, 3072 or 4096 bits, not %d", key.N.BitLen())
}

// Require puts a public key into the device tree of U-Boot itself: it then starts only what
// this key has signed. The form is that of mkimage -K -r: the modulus n, R² mod n and -1/n
// mod 2³² for Montgomery's multiplication (U-Boot lib/rsa/rsa-mod-exp.c).
func Require(control *fdt.Node, key *rsa.PublicKey) error {
	algo, err := algorithm(key)
	if err != nil {
		return err
	}
	bits := key.N.BitLen()
	one := big.NewInt(1)
	word := new(big.Int).Lsh(one, 32)
	inverse := new(big.Int).ModInverse(key.N, word)
	inverse.Sub(word, inverse)
	squared := new(big.Int).Lsh(one, uint(2*bits))
	squared.Mod(squared, key.N)

	n := control.Child("signature").Child("key-" + KeyName)
	n.Text("required", "conf")
	n.Text("algo", algo)
	n.Text("key-name-hint", KeyName)
	n.Cells("rsa,num-bits", uint32(bits))
	n.Cells("rsa,n0-inverse", uint32(inverse.Uint64()))
	n.Set("rsa,exponent", binary.BigEndian.AppendUint64(nil, uint64(key.E)))
	n.Set("rsa,modulus", key.N.FillBytes(make([]byte, bits/8)))
	n.Set("rsa,r-squared", squared.FillBytes(make([]byte, bits/8)))
	return nil
}
